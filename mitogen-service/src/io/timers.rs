//! What is due when: a plain table of jobs by time, without a clock of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Names a job that was scheduled, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    at: Instant,
    /// Tells jobs of the same moment apart, and keeps their order.
    number: u64,
}

/// Jobs by the moment at which they are due.
pub(crate) struct Timers<J> {
    jobs: BTreeMap<TimerId, J>,
    next: u64,
}

impl<J> Timers<J> {
    /// No jobs yet.
    pub(crate) fn new() -> Self {
        Self { jobs: BTreeMap::new(), next: 0 }
    }

    /// Adds a job.
    pub(crate) fn schedule(&mut self, at: Instant, job: J) -> TimerId {
        let id = TimerId { at, number: self.next };
        self.next += 1;
        self.jobs.insert(id, job);
        id
    }

    /// Takes a job back; it is given only if it has not run yet.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<J> {
        self.jobs.remove(&id)
    }

    /// How long until the earliest job, zero if it is late, `None` without jobs.
    pub(crate) fn timeout(&self, now: Instant) -> Option<Duration> {
        self.jobs.first_key_value().map(|(id, _)| id.at.saturating_duration_since(now))
    }

    /// The next job that is due, oldest first.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<J> {
        let id = *self.jobs.first_key_value()?.0;
        if id.at > now { None } else { self.jobs.remove(&id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_timeout_is_that_of_the_earliest_job_and_never_negative() {
        let now = Instant::now();
        let mut timers = Timers::new();
        assert_eq!(timers.timeout(now), None);
        timers.schedule(now + SECOND * 3, "late");
        timers.schedule(now + SECOND, "early");
        assert_eq!(timers.timeout(now), Some(SECOND));
        assert_eq!(timers.timeout(now + SECOND * 9), Some(Duration::ZERO));
    }

    #[test]
    fn due_jobs_come_once_in_order_also_those_of_one_moment() {
        let now = Instant::now();
        let mut timers = Timers::new();
        timers.schedule(now + SECOND, 'b');
        timers.schedule(now, 'a');
        timers.schedule(now + SECOND, 'c');
        assert_eq!(timers.expire(now), Some('a'));
        assert_eq!(timers.expire(now), None);
        assert_eq!(timers.expire(now + SECOND), Some('b'));
        assert_eq!(timers.expire(now + SECOND), Some('c'));
        assert_eq!(timers.expire(now + SECOND), None);
    }

    #[test]
    fn when_the_earliest_job_is_cancelled_the_next_one_decides_and_comes_in_its_time() {
        let now = Instant::now();
        let mut timers = Timers::new();
        timers.schedule(now + SECOND * 3, "late");
        let early = timers.schedule(now + SECOND, "early");
        let twin = timers.schedule(now + SECOND, "twin");
        assert_eq!(timers.cancel(early), Some("early"));
        assert_eq!(timers.timeout(now), Some(SECOND), "another one of the same moment stays");
        assert_eq!(timers.cancel(twin), Some("twin"));
        assert_eq!(timers.timeout(now), Some(SECOND * 3));
        assert_eq!(timers.expire(now + SECOND * 2), None);
        assert_eq!(timers.expire(now + SECOND * 3), Some("late"));
        assert_eq!(timers.timeout(now + SECOND * 3), None);
    }

    #[test]
    fn a_cancelled_job_never_comes_and_cancelling_twice_is_harmless() {
        let now = Instant::now();
        let mut timers = Timers::new();
        let id = timers.schedule(now, ());
        assert_eq!(timers.cancel(id), Some(()));
        assert_eq!(timers.cancel(id), None);
        assert_eq!(timers.expire(now), None);
    }
}
