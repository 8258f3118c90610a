//! A bound on how many of something there are at once; who comes too many waits.

use crate::sync::{Condvar, Mutex};

/// Counts to a limit.
pub(crate) struct Gate {
    state: Mutex<State>,
    freed: Condvar,
    limit: usize,
}

#[derive(Default)]
struct State {
    inside: usize,
    closed: bool,
}

impl Gate {
    /// A gate that lets `limit` in.
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), freed: Condvar::new(), limit }
    }

    /// Waits for a place; `false` when the gate was closed.
    pub(crate) fn enter(&self) -> bool {
        let mut state = self.state.lock();
        while state.inside >= self.limit && !state.closed {
            self.freed.wait(&mut state);
        }
        state.inside += usize::from(!state.closed);
        !state.closed
    }

    /// Takes a place if there is one; `false` when the gate is full or was closed.
    pub(crate) fn try_enter(&self) -> bool {
        let mut state = self.state.lock();
        let admitted = state.inside < self.limit && !state.closed;
        state.inside += usize::from(admitted);
        admitted
    }

    /// Gives places back.
    pub(crate) fn leave(&self, places: usize) {
        if places == 0 {
            return;
        }
        let mut state = self.state.lock();
        let was_full = state.inside >= self.limit;
        state.inside = state.inside.saturating_sub(places);
        drop(state);
        if was_full {
            self.freed.notify_all();
        }
    }

    /// Sends everybody who waits away, and lets nobody in any more.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_too_many_waits_for_one_to_leave() {
        let gate = Gate::new(2);
        assert!(gate.enter() && gate.try_enter() && !gate.try_enter());
        std::thread::scope(|scope| {
            let third = scope.spawn(|| gate.enter());
            gate.leave(1);
            assert!(third.join().unwrap());
        });
    }

    #[test]
    fn closing_sends_the_waiting_away() {
        let gate = Gate::new(1);
        assert!(gate.enter());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| gate.enter());
            gate.close();
            assert!(!second.join().unwrap());
        });
    }
}
