//! Whose turn it is on a stream, without locks and threads.
//!
//! On each stream one job is under way at a time, in the order in which they came. A job whose receiver does
//! not take anything for a while steps aside, so that those behind it go on; it comes to its end beside
//! them.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// How many jobs wait for their turn on all streams together, beyond those under way.
const MAX_WAITING: usize = 4096;

/// How many jobs of a stream may have stepped aside. Each holds a thread and a file.
const MAX_ASIDE: usize = 32;

/// The same of all streams together, but for the first one of each: so no stream keeps others from going on.
const MAX_ALL_ASIDE: usize = 256;

/// The jobs of all streams.
#[derive(Debug)]
pub(super) struct Lanes<L, J> {
    lanes: HashMap<L, Lane<J>>,
    waiting: usize,
    aside: usize,
}

/// A stream that has a job. Without one it has no lane.
#[derive(Debug)]
struct Lane<J> {
    /// One has its turn.
    busy: bool,
    waiting: VecDeque<J>,
    aside: usize,
}

/// What becomes of a new job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Enqueued<J> {
    /// It has its turn.
    Go(J),
    /// Its turn will come.
    Waits,
    /// Too many wait.
    Full(J),
}

/// What becomes of a job whose receiver takes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Aside<J> {
    /// Nobody else wants the stream.
    Stay,
    /// It goes on beside this one, whose turn has come.
    MakeWay(J),
    /// Too many are in its state, and it is at its end.
    GiveUp,
}

impl<L, J> Default for Lanes<L, J> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), waiting: 0, aside: 0 }
    }
}

impl<L: Hash + Eq, J> Lanes<L, J> {
    /// A new job for a stream.
    pub(super) fn enqueue(&mut self, lane: L, job: J) -> Enqueued<J> {
        let full = self.waiting >= MAX_WAITING;
        let lane = self.lanes.entry(lane).or_insert_with(|| Lane { busy: false, waiting: VecDeque::new(), aside: 0 });
        if !lane.busy {
            lane.busy = true;
            return Enqueued::Go(job);
        }
        if full {
            return Enqueued::Full(job);
        }
        lane.waiting.push_back(job);
        self.waiting += 1;
        Enqueued::Waits
    }

    /// The job that had its turn is at its end: gives the next one.
    pub(super) fn finished(&mut self, key: &L) -> Option<J> {
        let lane = self.lanes.get_mut(key)?;
        let next = lane.waiting.pop_front();
        match &next {
            Some(_) => self.waiting -= 1,
            None => {
                lane.busy = false;
                self.forget_if_idle(key);
            }
        }
        next
    }

    /// The receiver of the job that has its turn takes nothing.
    pub(super) fn stalled(&mut self, key: &L) -> Aside<J> {
        let Some(lane) = self.lanes.get_mut(key) else { return Aside::Stay };
        if lane.waiting.is_empty() {
            return Aside::Stay;
        }
        if lane.aside >= MAX_ASIDE || (lane.aside > 0 && self.aside >= MAX_ALL_ASIDE) {
            return Aside::GiveUp;
        }
        let Some(next) = lane.waiting.pop_front() else { return Aside::Stay };
        lane.aside += 1;
        self.aside += 1;
        self.waiting -= 1;
        Aside::MakeWay(next)
    }

    /// The job that was to go on cannot: it is the next one again, and the stalled one has its turn back.
    pub(super) fn stays(&mut self, key: &L, next: J) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.waiting.push_front(next);
            lane.aside -= 1;
            self.aside -= 1;
            self.waiting += 1;
        }
    }

    /// A job that had stepped aside is at its end.
    pub(super) fn aside_finished(&mut self, key: &L) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.aside -= 1;
            self.aside -= 1;
            self.forget_if_idle(key);
        }
    }

    /// Takes out the waiting jobs that nobody wants any more.
    pub(super) fn remove(&mut self, unwanted: impl Fn(&J) -> bool) -> Vec<J> {
        let mut removed = Vec::new();
        for lane in self.lanes.values_mut() {
            let (gone, left) = std::mem::take(&mut lane.waiting).into_iter().partition(|job| unwanted(job));
            lane.waiting = left;
            let gone: VecDeque<J> = gone;
            removed.extend(gone);
        }
        self.waiting -= removed.len();
        removed
    }

    fn forget_if_idle(&mut self, key: &L) {
        if self.lanes.get(key).is_some_and(|lane| !lane.busy && lane.aside == 0) {
            self.lanes.remove(key);
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.waiting == 0 && self.aside == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn jobs_of_a_stream_follow_each_other_and_streams_do_not_wait_for_each_other() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.enqueue('a', 1), Enqueued::Go(1));
        assert_eq!(lanes.enqueue('a', 2), Enqueued::Waits);
        assert_eq!(lanes.enqueue('a', 3), Enqueued::Waits);
        assert_eq!(lanes.enqueue('b', 4), Enqueued::Go(4));
        assert_eq!(lanes.finished(&'a'), Some(2));
        assert_eq!(lanes.finished(&'a'), Some(3));
        assert_eq!(lanes.finished(&'a'), None);
        assert_eq!(lanes.finished(&'b'), None);
        assert!(lanes.is_empty());
        assert_eq!(lanes.enqueue('a', 5), Enqueued::Go(5));
    }

    #[test]
    fn a_stalled_job_makes_way_if_there_is_somebody_to_make_way_for() {
        let mut lanes = Lanes::default();
        lanes.enqueue('a', 0);
        assert_eq!(lanes.stalled(&'a'), Aside::Stay);
        for job in 1..=MAX_ASIDE + 1 {
            lanes.enqueue('a', job);
        }
        for job in 1..=MAX_ASIDE {
            assert_eq!(lanes.stalled(&'a'), Aside::MakeWay(job));
        }
        assert_eq!(lanes.stalled(&'a'), Aside::GiveUp);
        assert_eq!(lanes.finished(&'a'), Some(MAX_ASIDE + 1));
        assert_eq!(lanes.finished(&'a'), None);
        for _ in 0..MAX_ASIDE {
            assert!(!lanes.is_empty());
            lanes.aside_finished(&'a');
        }
        assert!(lanes.is_empty());
    }

    #[test]
    fn no_more_step_aside_on_all_streams_than_may_and_one_of_each_does() {
        let mut lanes = Lanes::default();
        let streams = MAX_ALL_ASIDE / MAX_ASIDE;
        for stream in 0..=streams {
            for job in 0..=MAX_ASIDE + 1 {
                lanes.enqueue(stream, job);
            }
        }
        for stream in 0..streams {
            (0..MAX_ASIDE).for_each(|_| assert!(matches!(lanes.stalled(&stream), Aside::MakeWay(_))));
        }
        assert_eq!(lanes.stalled(&streams), Aside::MakeWay(1));
        assert_eq!(lanes.stalled(&streams), Aside::GiveUp);
        lanes.aside_finished(&0);
        assert_eq!(lanes.stalled(&streams), Aside::GiveUp, "one more than may had stepped aside");
        lanes.aside_finished(&0);
        assert_eq!(lanes.stalled(&streams), Aside::MakeWay(2));
    }

    #[test]
    fn a_job_that_cannot_make_way_has_its_turn_back() {
        let mut lanes = Lanes::default();
        for job in 0..3 {
            lanes.enqueue('a', job);
        }
        assert_eq!(lanes.stalled(&'a'), Aside::MakeWay(1));
        lanes.stays(&'a', 1);
        assert_eq!([lanes.finished(&'a'), lanes.finished(&'a'), lanes.finished(&'a')], [Some(1), Some(2), None]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut lanes = Lanes::default();
        lanes.enqueue(0, 0);
        for job in 0..MAX_WAITING {
            assert_eq!(lanes.enqueue(0, job), Enqueued::Waits);
        }
        assert_eq!(lanes.enqueue(0, 7), Enqueued::Full(7));
        assert_eq!(lanes.enqueue(1, 8), Enqueued::Go(8), "another stream has its turn all the same");
        assert_eq!(lanes.remove(|job| job % 2 == 0).len(), MAX_WAITING / 2);
        assert_eq!(lanes.enqueue(0, 7), Enqueued::Waits);
    }

    proptest! {
        /// Whatever happens, each job has its turn once and in its order, or is taken out.
        #[test]
        fn every_job_comes_to_its_turn_once(events in proptest::collection::vec((0..5u8, 0..3u8), 1..200)) {
            let mut lanes = Lanes::default();
            let (mut next, mut busy, mut aside) = (0, [None; 3], [0; 3]);
            let (mut begun, mut removed) = (Vec::new(), Vec::new());
            for (event, key) in events {
                let at = usize::from(key);
                match event {
                    0 => {
                        if let Enqueued::Go(job) = lanes.enqueue(key, (key, next)) {
                            prop_assert_eq!(busy[at].replace(job), None);
                            begun.push(job);
                        }
                        next += 1;
                    }
                    1 if busy[at].is_some() => {
                        busy[at] = lanes.finished(&key);
                        begun.extend(busy[at]);
                    }
                    2 if busy[at].is_some() => match lanes.stalled(&key) {
                        Aside::MakeWay(job) => {
                            aside[at] += 1;
                            busy[at] = Some(job);
                            begun.push(job);
                        }
                        Aside::GiveUp => prop_assert_eq!(aside[at], MAX_ASIDE),
                        Aside::Stay => {}
                    },
                    4 if busy[at].is_some() => {
                        if let Aside::MakeWay(job) = lanes.stalled(&key) {
                            lanes.stays(&key, job);
                        }
                    }
                    3 if aside[at] > 0 => {
                        aside[at] -= 1;
                        lanes.aside_finished(&key);
                    }
                    _ => removed.extend(lanes.remove(|(of, number)| *of == key && number % 5 == 0)),
                }
            }
            for key in 0..3u8 {
                let at = usize::from(key);
                while busy[at].is_some() {
                    busy[at] = lanes.finished(&key);
                    begun.extend(busy[at]);
                }
                (0..aside[at]).for_each(|_| lanes.aside_finished(&key));
                let of_key: Vec<_> = begun.iter().filter(|(of, _)| *of == key).collect();
                prop_assert!(of_key.is_sorted());
            }
            prop_assert!(lanes.is_empty());
            begun.extend(removed);
            begun.sort_by_key(|(_, number)| *number);
            let numbers: Vec<_> = begun.into_iter().map(|(_, number)| number).collect();
            prop_assert_eq!(numbers, (0..next).collect::<Vec<i32>>());
        }
    }
}
