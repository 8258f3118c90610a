//! A bounded number of places for calls that take their time, without locks and threads.
//!
//! A call that finds no place waits for its turn, in the order of arrival, and beyond a bound is refused. Those whose
//! callers have given up count until the bound is reached.

use std::collections::VecDeque;

/// Who runs and who waits.
#[derive(Debug)]
pub(super) struct Places<W> {
    running: usize,
    max_running: usize,
    max_waiting: usize,
    /// Invariant: empty if none run.
    waiting: VecDeque<W>,
    stopped: bool,
}

/// What becomes of new work.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered<W> {
    /// It has a place.
    Go(W),
    /// Its turn will come. Some of those that have waited are not wanted any more.
    Waits { unwanted: Vec<W> },
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

    /// New work has come.
    pub(super) fn enter(&mut self, work: W, is_wanted: impl Fn(&W) -> bool) -> Entered<W> {
        if self.stopped {
            return Entered::Stopped(work);
        }
        if self.running < self.max_running {
            self.running += 1;
            // Some may wait for which there was no thread.
            let Some(first) = self.waiting.pop_front() else { return Entered::Go(work) };
            self.waiting.push_back(work);
            return Entered::Go(first);
        }
        let mut unwanted = Vec::new();
        if self.waiting.len() >= self.max_waiting {
            let (left, gone): (VecDeque<W>, VecDeque<W>) = self.waiting.drain(..).partition(is_wanted);
            self.waiting = left;
            unwanted.extend(gone);
            if unwanted.is_empty() {
                return Entered::Full(work);
            }
        }
        self.waiting.push_back(work);
        Entered::Waits { unwanted }
    }

    /// There is no thread for some work: it is the next one of those that there are. Gives what nobody will do.
    pub(super) fn put_back(&mut self, work: W) -> VecDeque<W> {
        self.running -= 1;
        self.waiting.push_front(work);
        if self.running > 0 && !self.stopped { VecDeque::new() } else { std::mem::take(&mut self.waiting) }
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

    const WAITS: Entered<i32> = Entered::Waits { unwanted: Vec::new() };

    fn wanted(_: &i32) -> bool {
        true
    }

    #[test]
    fn as_many_run_as_may_and_the_others_follow_in_order() {
        let mut places = Places::new(2, 3);
        assert_eq!([places.enter(0, wanted), places.enter(1, wanted)], [Entered::Go(0), Entered::Go(1)]);
        for number in 2..5 {
            assert_eq!(places.enter(number, wanted), WAITS);
        }
        assert_eq!(places.enter(5, wanted), Entered::Full(5));
        assert_eq!([places.leave(), places.leave()], [Some(2), Some(3)]);
        assert_eq!(places.enter(6, wanted), WAITS, "all places are still taken");
        assert_eq!([places.leave(), places.leave()], [Some(4), Some(6)]);
        assert_eq!([places.leave(), places.leave()], [None, None]);
        assert_eq!((places.running, places.enter(7, wanted)), (0, Entered::Go(7)));
    }

    #[test]
    fn those_whose_callers_have_given_up_make_room_when_it_is_needed() {
        let mut places = Places::new(1, 4);
        for number in 0..5 {
            places.enter(number, wanted);
        }
        let is_wanted = |number: &i32| *number % 2 == 0;
        assert_eq!(places.enter(5, is_wanted), Entered::Waits { unwanted: vec![1, 3] });
        assert_eq!(places.enter(6, is_wanted), WAITS, "nobody is looked for while there is room");
        assert_eq!(places.enter(7, wanted), Entered::Full(7));
        let in_order: Vec<_> = std::iter::from_fn(|| places.leave()).collect();
        assert_eq!(in_order, [2, 4, 5, 6]);
    }

    #[test]
    fn what_finds_no_thread_is_done_by_one_that_there_is_and_refused_if_there_is_none() {
        let mut places = Places::new(3, 10);
        assert_eq!([places.enter(0, wanted), places.enter(1, wanted)], [Entered::Go(0), Entered::Go(1)]);
        assert!(places.put_back(1).is_empty());
        assert_eq!(places.enter(2, wanted), Entered::Go(1), "in the order of arrival");
        assert!(places.put_back(1).is_empty());
        assert_eq!(places.leave(), Some(1));
        // The last thread leaves when there is nothing more, and the next one does not come to be.
        assert_eq!([places.leave(), places.leave()], [Some(2), None]);
        assert_eq!(places.enter(3, wanted), Entered::Go(3));
        assert_eq!(places.put_back(3), [3]);
        // None of two that were to be there.
        assert_eq!([places.enter(4, wanted), places.enter(5, wanted)], [Entered::Go(4), Entered::Go(5)]);
        assert!(places.put_back(4).is_empty());
        assert_eq!(places.put_back(5), [5, 4]);
        assert_eq!((places.running, places.waiting.len()), (0, 0));
    }

    #[test]
    fn nothing_begins_after_the_end() {
        let mut places = Places::new(1, 10);
        for number in 0..3 {
            places.enter(number, wanted);
        }
        assert_eq!(places.stop(), [1, 2]);
        assert_eq!(places.enter(3, wanted), Entered::Stopped(3));
        assert_eq!(places.leave(), None);
    }
}
