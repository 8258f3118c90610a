//! A bounded number of places for calls that take their time, without locks and threads.
//!
//! A call that finds no place waits for its turn, in the order of arrival, and beyond a bound is refused.

use std::collections::VecDeque;

/// Who runs and who waits.
#[derive(Debug)]
pub(super) struct Places<W> {
    running: usize,
    max_running: usize,
    max_waiting: usize,
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

impl<W> Places<W> {
    /// How many run at a time, and how many more wait.
    pub(super) fn new(max_running: usize, max_waiting: usize) -> Self {
        Self { running: 0, max_running, max_waiting, waiting: VecDeque::new(), stopped: false }
    }

    pub(super) fn enter(&mut self, work: W) -> Entered<W> {
        if self.stopped {
            return Entered::Stopped(work);
        }
        if self.running < self.max_running {
            self.running += 1;
            return Entered::Go(work);
        }
        if self.waiting.len() >= self.max_waiting {
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
        let mut places = Places::new(2, 3);
        assert_eq!([places.enter(0), places.enter(1)], [Entered::Go(0), Entered::Go(1)]);
        for number in 2..5 {
            assert_eq!(places.enter(number), Entered::Waits);
        }
        assert_eq!(places.enter(5), Entered::Full(5));
        assert_eq!([places.leave(), places.leave()], [Some(2), Some(3)]);
        assert_eq!(places.enter(6), Entered::Waits, "all places are still taken");
        assert_eq!([places.leave(), places.leave()], [Some(4), Some(6)]);
        assert_eq!([places.leave(), places.leave()], [None, None]);
        assert_eq!((places.running, places.enter(7)), (0, Entered::Go(7)));
    }

    #[test]
    fn nothing_begins_after_the_end() {
        let mut places = Places::new(1, 10);
        for number in 0..3 {
            places.enter(number);
        }
        assert_eq!(places.stop(), [1, 2]);
        assert_eq!(places.enter(3), Entered::Stopped(3));
        assert_eq!(places.leave(), None);
    }
}
