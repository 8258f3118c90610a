//! Ends the wait of a thread that waits for a descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};

use crate::ledger::{Entry, Ledger};

/// A descriptor that becomes readable when it is signalled, and a waker that does so.
pub(super) struct Interrupt {
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell {
    fd: OwnedFd,
    _entry: Entry,
}

impl Interrupt {
    pub(super) fn new(ledger: &Ledger) -> std::io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell = Arc::new(Bell { fd, _entry: ledger.fds(1) });
        Ok(Self { waker: Waker::from(bell.clone()), bell })
    }

    /// Ends the wait.
    pub(super) fn signal(&self) {
        self.bell.ring();
    }

    /// What signals when it is woken.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Makes it silent again.
    pub(super) fn clear(&self) {
        let mut count = [0; 8];
        // Fails only if it was not signalled.
        let _ = rustix::io::read(&self.bell.fd, &mut count);
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.fd.as_fd()
    }
}

impl Bell {
    fn ring(&self) {
        // Fails only when the counter is full, and then it is signalled.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
