//! How many contexts may be on their way at once.

use crate::sync::{Condvar, Mutex};

/// So many may connect at once; the others wait for their turn.
pub(crate) struct Permits {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: usize,
    closed: bool,
}

/// The right to connect; dropping it gives it to the next one.
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    pub(crate) fn new(free: usize) -> Self {
        Self { state: Mutex::new(State { free, closed: false }), changed: Condvar::new() }
    }

    /// Waits for a permit; `None` if it is not wanted any more, or the router closes.
    pub(crate) fn acquire(&self, is_cancelled: impl Fn() -> bool) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        loop {
            if state.closed || is_cancelled() {
                return None;
            }
            if state.free > 0 {
                state.free -= 1;
                return Some(Permit(self));
            }
            self.changed.wait(&mut state);
        }
    }

    /// Those who wait look whether they are wanted still.
    pub(crate) fn wake(&self) {
        // The lock orders this after a waiter's look and before its sleep.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// No more are given.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state.lock().free += 1;
        // All: who is woken may have been cancelled meanwhile, and would keep it from the others.
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn who_waits_goes_on_when_there_is_room_or_no_wish() {
        let permits = Permits::new(1);
        let cancelled = AtomicBool::new(false);
        let first = permits.acquire(|| false);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| permits.acquire(|| false).is_some());
            let third = scope.spawn(|| permits.acquire(|| cancelled.load(Ordering::SeqCst)).is_none());
            cancelled.store(true, Ordering::SeqCst);
            permits.wake();
            assert!(third.join().unwrap());
            drop(first);
            assert!(second.join().unwrap());
        });
        permits.close();
        assert!(permits.acquire(|| false).is_none());
    }
}
