//! What is ready: a small interface over epoll, small enough for kqueue to follow.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// The token under which the poller's own wake-up descriptor is registered.
const WAKE: u64 = u64::MAX;

/// What a source wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// That it can be read, or that the other end has closed; again and again while it holds.
    Read,
    /// The same, once for each time that something has come. [`Poller::modify`] with this interest looks
    /// anew, and tells at once if there is something to read.
    Edge,
    /// That it can be written, once; ask again with [`Poller::modify`].
    WriteOnce,
    /// Nothing at present.
    Nothing,
}

/// What is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    /// Whose it is.
    pub(crate) token: u64,
    /// The other end has closed, so that reading comes to an end.
    pub(crate) closed: bool,
}

/// How a wake-up is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// By one thread, which is the only one that waits.
    One,
    /// By any one of the threads that wait, now or later.
    Any,
}

/// Room for what [`Poller::wait`] finds, kept from one wait to the next.
pub(crate) struct Events(Vec<Event>);

/// Waits for many descriptors at once.
pub(crate) struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
    kind: Wake,
}

impl Events {
    /// Room for so many.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }
}

impl Poller {
    /// A poller that watches nothing yet.
    pub(crate) fn new(kind: Wake) -> rustix::io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let interest = match kind {
            Wake::One => Interest::Read,
            // Nobody has to read it: each write tells anew, once, and waits until somebody asks.
            Wake::Any => Interest::Edge,
        };
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), flags(interest))?;
        Ok(Self { epoll, wake, kind })
    }

    /// How many descriptors the poller itself holds.
    pub(crate) const FDS: usize = 2;

    /// Starts to watch a descriptor; its events carry `token`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), flags(interest))
    }

    /// Asks for something else, or anew.
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

    /// Waits until something is ready or the time is over, and adds what is ready. Tells whether it was
    /// [woken](Self::wake).
    pub(crate) fn wait(
        &self,
        timeout: Option<Duration>,
        events: &mut Events,
        ready: &mut Vec<Happened>,
    ) -> rustix::io::Result<bool> {
        events.0.clear();
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().min(i64::MAX as u64) as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events.0), timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error),
        }
        let mut woken = false;
        for event in &events.0 {
            match event.data.u64() {
                WAKE => woken = true,
                token => {
                    let closed = { event.flags }.intersects(EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR);
                    ready.push(Happened { token, closed });
                }
            }
        }
        if woken && self.kind == Wake::One {
            self.drain_wake();
        }
        Ok(woken)
    }

    fn drain_wake(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(self.wake.as_fd(), &mut count);
    }
}

/// A poller can itself be watched by another one: it is readable while something is ready.
impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Read => EventFlags::IN,
        Interest::Edge => EventFlags::IN | EventFlags::RDHUP | EventFlags::ET,
        Interest::WriteOnce => EventFlags::OUT | EventFlags::ONESHOT,
        // Errors and hang-ups are told all the same, so they are told once.
        Interest::Nothing => EventFlags::ET,
    }
}
