//! What a router has taken from the system and must give back: threads, descriptors, children.
//!
//! Each is counted by an entry that gives it back when dropped, so that a router's end can assert
//! that nothing is left.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

thread_local! {
    /// Set in threads that a router has started.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// The counters of one router.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    left: Mutex<Left>,
    changed: Condvar,
}

/// What a router holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) threads: usize,
    pub(crate) fds: usize,
    pub(crate) children: usize,
}

/// Some of what is counted; dropping it gives it back.
pub(crate) struct Entry {
    shared: Arc<Shared>,
    part: Left,
}

impl Ledger {
    /// Counts descriptors.
    pub(crate) fn fds(&self, fds: usize) -> Entry {
        self.enter(Left { fds, ..Left::default() })
    }

    /// Counts a child process.
    pub(crate) fn child(&self) -> Entry {
        self.enter(Left { children: 1, ..Left::default() })
    }

    /// Starts a thread that is counted until it ends.
    pub(crate) fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
        let entry = self.enter(Left { threads: 1, ..Left::default() });
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _entry = entry;
            COUNTED.set(true);
            body();
        })
    }

    /// Whether the calling thread is itself one that is counted, and so cannot wait for all to end.
    pub(crate) fn counts_this_thread() -> bool {
        COUNTED.get()
    }

    /// Waits until everything has been given back, and tells what has not been after `bound`.
    pub(crate) fn settle(&self, bound: Duration) -> Left {
        let deadline = crate::deadline::after(bound);
        let mut left = self.shared.left.lock();
        while *left != Left::default() {
            if self.shared.changed.wait_until(&mut left, deadline).timed_out() {
                break;
            }
        }
        *left
    }

    fn enter(&self, part: Left) -> Entry {
        self.shared.left.lock().add(&part);
        Entry { shared: self.shared.clone(), part }
    }
}

impl Left {
    fn add(&mut self, part: &Left) {
        self.threads += part.threads;
        self.fds += part.fds;
        self.children += part.children;
    }

    fn remove(&mut self, part: &Left) {
        self.threads -= part.threads;
        self.fds -= part.fds;
        self.children -= part.children;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.left.lock().remove(&self.part);
        self.shared.changed.notify_all();
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threads, fds, children } = self;
        write!(f, "{threads} threads, {fds} descriptors, {children} children")
    }
}
