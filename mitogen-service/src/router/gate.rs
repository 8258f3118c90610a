//! A bound on how many of something there are at once; who comes too many waits.

use std::time::Instant;

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

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// There was no place, in the time that was given.
    Full,
    /// The gate was closed.
    Closed,
}

impl Gate {
    /// A gate that lets `limit` in.
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), freed: Condvar::new(), limit }
    }

    /// Whether there is no place at this moment.
    pub(crate) fn is_full(&self) -> bool {
        self.state.lock().inside >= self.limit
    }

    /// Waits for a place, until `deadline` at most, or as long as it takes without one.
    pub(crate) fn enter_until(&self, deadline: Option<Instant>) -> Result<(), Shut> {
        let mut state = self.state.lock();
        let mut time_is_over = false;
        loop {
            // Looked at before the clock: a place that is free is taken however late it is.
            match self.admit(&mut state) {
                Err(Shut::Full) if !time_is_over => {}
                entered => return entered,
            }
            match deadline {
                None => self.freed.wait(&mut state),
                Some(deadline) => time_is_over = self.freed.wait_until(&mut state, deadline).timed_out(),
            }
        }
    }

    /// Takes a place if there is one.
    pub(crate) fn try_enter(&self) -> Result<(), Shut> {
        self.admit(&mut self.state.lock())
    }

    fn admit(&self, state: &mut State) -> Result<(), Shut> {
        if state.closed {
            return Err(Shut::Closed);
        }
        if state.inside >= self.limit {
            return Err(Shut::Full);
        }
        state.inside += 1;
        Ok(())
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_comes_too_many_waits_for_one_to_leave() {
        let gate = Gate::new(2);
        assert_eq!([gate.enter_until(None), gate.try_enter(), gate.try_enter()], [Ok(()), Ok(()), Err(Shut::Full)]);
        std::thread::scope(|scope| {
            let third = scope.spawn(|| gate.enter_until(None));
            gate.leave(1);
            assert_eq!(third.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn who_waits_until_a_moment_goes_away_then_and_takes_no_place() {
        let gate = Gate::new(1);
        let now = Instant::now();
        assert_eq!(gate.enter_until(Some(now)), Ok(()), "a free place is not waited for");
        let soon = now + Duration::from_millis(20);
        assert_eq!(gate.enter_until(Some(soon)), Err(Shut::Full));
        assert!(Instant::now() >= soon);
        gate.leave(1);
        assert_eq!([gate.try_enter(), gate.try_enter()], [Ok(()), Err(Shut::Full)]);
    }

    #[test]
    fn who_waits_until_a_moment_is_let_in_before_it() {
        let gate = Gate::new(1);
        assert_eq!(gate.try_enter(), Ok(()));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| gate.enter_until(Some(Instant::now() + Duration::from_secs(60))));
            gate.leave(1);
            assert_eq!(second.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn closing_sends_the_waiting_away() {
        let gate = Gate::new(1);
        assert_eq!(gate.try_enter(), Ok(()));
        std::thread::scope(|scope| {
            let waiting = [None, Some(Instant::now() + Duration::from_secs(60))];
            let waiting = waiting.map(|deadline| {
                scope.spawn({
                    let gate = &gate;
                    move || gate.enter_until(deadline)
                })
            });
            gate.close();
            assert!(waiting.into_iter().all(|thread| thread.join().unwrap() == Err(Shut::Closed)));
        });
        gate.leave(1);
        assert_eq!(gate.try_enter(), Err(Shut::Closed));
    }
}
