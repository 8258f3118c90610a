//! A bounded number of places for calls that take their time, without locks and threads.
//!
//! A call that finds no place waits for its turn, in the order of arrival, and beyond a bound is refused.

use std::collections::VecDeque;

/// How many calls of one service run at a time. Each holds a thread, and mostly a file.
const MAX_RUNNING: usize = 32;

/// How many more wait for their turn.
const MAX_WAITING: usize = 4096;

/// Who runs and who waits.
#[derive(Debug)]
pub(super) struct Places<W> {
    running: usize,
    /// Invariant: empty unless as many run as may.
    waiting: VecDeque<W>,
    stopped: bool,
}

/// What becomes of new work.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered<W> {
    /// It has a place.
    Go(W),
    /// Its turn will come.
    Waits,
    /// Too many wait.
    Full(W),
    /// Nothing begins any more.
    Stopped(W),
}

impl<W> Default for Places<W> {
    fn default() -> Self {
        Self { running: 0, waiting: VecDeque::new(), stopped: false }
    }
}

impl<W> Places<W> {
    pub(super) fn enter(&mut self, work: W) -> Entered<W> {
        if self.stopped {
            return Entered::Stopped(work);
        }
        if self.running < MAX_RUNNING {
            self.running += 1;
            return Entered::Go(work);
        }
        if self.waiting.len() >= MAX_WAITING {
            return Entered::Full(work);
        }
        self.waiting.push_back(work);
        Entered::Waits
    }

    /// Some work is done: gives what has its place now.
    pub(super) fn leave(&mut self) -> Option<W> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.running -= 1;
        }
        next
    }

    /// Nothing begins any more: gives what has waited.
    pub(super) fn stop(&mut self) -> VecDeque<W> {
        self.stopped = true;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_run_as_may_and_the_others_follow_in_order() {
        let mut places = Places::default();
        for number in 0..MAX_RUNNING {
            assert_eq!(places.enter(number), Entered::Go(number));
        }
        for number in 0..MAX_WAITING {
            assert_eq!(places.enter(number), Entered::Waits);
        }
        assert_eq!(places.enter(7), Entered::Full(7));
        for number in 0..MAX_WAITING {
            assert_eq!(places.leave(), Some(number));
        }
        assert_eq!(places.enter(7), Entered::Waits, "all places are still taken");
        assert_eq!(places.leave(), Some(7));
        for _ in 0..MAX_RUNNING {
            assert_eq!(places.leave(), None);
        }
        assert_eq!((places.running, places.enter(8)), (0, Entered::Go(8)));
    }

    #[test]
    fn nothing_begins_after_the_end() {
        let mut places = Places::default();
        for number in 0..MAX_RUNNING + 2 {
            places.enter(number);
        }
        assert_eq!(places.stop(), [MAX_RUNNING, MAX_RUNNING + 1]);
        assert_eq!(places.enter(7), Entered::Stopped(7));
        assert_eq!(places.leave(), None);
    }
}
