//! Open, closing, closed; and what a context does that has lost its parent.

use std::time::Instant;

use crate::sync::{Condvar, Mutex};

/// What the end of the parent's stream means for this context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The whole process ends: it was started to be this context.
    Process,
    /// Only the router is closed: the process has another life.
    Router,
}

/// How far a router's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    Closing,
    Closed,
}

/// The life of a router, and a place to wait for its news.
pub(crate) struct Lifecycle {
    phase: Mutex<Phase>,
    changed: Condvar,
}

impl Lifecycle {
    /// A router that is open.
    pub(crate) fn new() -> Self {
        Self { phase: Mutex::new(Phase::Open), changed: Condvar::new() }
    }

    /// Whether anything new may begin.
    pub(crate) fn is_open(&self) -> bool {
        *self.phase.lock() == Phase::Open
    }

    /// Begins to close; `false` if somebody else has.
    pub(crate) fn begin_closing(&self) -> bool {
        let mut phase = self.phase.lock();
        let first = *phase == Phase::Open;
        if first {
            *phase = Phase::Closing;
        }
        drop(phase);
        self.changed.notify_all();
        first
    }

    /// The router is closed.
    pub(crate) fn closed(&self) {
        *self.phase.lock() = Phase::Closed;
        self.changed.notify_all();
    }

    /// Waits until the router is closed.
    pub(crate) fn wait_closed(&self) {
        let mut phase = self.phase.lock();
        while *phase != Phase::Closed {
            self.changed.wait(&mut phase);
        }
    }

    /// Something that others wait for by [`wait_until`](Self::wait_until) may hold now.
    pub(crate) fn news(&self) {
        // The lock orders this after a waiter's look at its condition and before its sleep.
        drop(self.phase.lock());
        self.changed.notify_all();
    }

    /// Waits until the condition holds or the time is over; tells whether it holds.
    ///
    /// The condition is looked at under the lifecycle's lock, and must not take it.
    pub(crate) fn wait_until(&self, deadline: Instant, mut holds: impl FnMut() -> bool) -> bool {
        let mut phase = self.phase.lock();
        loop {
            if holds() {
                return true;
            }
            if self.changed.wait_until(&mut phase, deadline).timed_out() {
                return holds();
            }
        }
    }
}
