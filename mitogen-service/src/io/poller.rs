//! Which descriptors are ready: epoll behind an interface small enough for kqueue to follow.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// The token under which the poller's own wake-up descriptor is registered.
const WAKE: u64 = u64::MAX;

/// What a source wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// That it can be read, or that the other end has closed; again and again while it holds.
    Read,
    /// That it can be written, once; ask again with [`Poller::modify`].
    WriteOnce,
}

/// Waits for many descriptors at once.
pub(crate) struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
}

impl Poller {
    /// A poller that watches nothing yet.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self { epoll, wake })
    }

    /// How many descriptors the poller itself holds.
    pub(crate) const FDS: usize = 2;

    /// Starts to watch a descriptor; its events carry `token`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), flags(interest))
    }

    /// Asks anew, after a [`Interest::WriteOnce`] has been reported.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> rustix::io::Result<()> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags(interest))
    }

    /// Stops watching a descriptor, which must still be open.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) {
        // Fails only for a descriptor that is not watched, and then there is nothing to do.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Makes a [`wait`](Self::wait) that runs now, or else the next one, return.
    pub(crate) fn wake(&self) {
        // Fails only when the counter is full, and then a wake-up is under way already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Waits until something is ready or the time is over, and adds the tokens of what is ready.
    pub(crate) fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> rustix::io::Result<()> {
        let mut events = Vec::with_capacity(64);
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().min(i64::MAX as u64) as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in events {
            match event.data.u64() {
                WAKE => self.drain_wake(),
                token => ready.push(token),
            }
        }
        Ok(())
    }

    fn drain_wake(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(self.wake.as_fd(), &mut count);
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Read => EventFlags::IN,
        Interest::WriteOnce => EventFlags::OUT | EventFlags::ONESHOT,
    }
}
