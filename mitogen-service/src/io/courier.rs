//! A thread that runs what the broker must not: callbacks of users, and log events, whose
//! subscriber is a user's code as well.

use std::time::Duration;

use crossbeam_channel::{Receiver, SendError, Sender, unbounded};

use crate::deadline;
use crate::ledger::Ledger;
use crate::panics;
use crate::sync::{Condvar, Mutex};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs one after the other on a thread of its own, started by the first one.
pub(crate) struct Courier {
    name: &'static str,
    capacity: usize,
    ledger: Ledger,
    state: Mutex<State>,
    done: std::sync::Arc<Done>,
}

enum State {
    /// No job has come yet.
    Idle,
    Running {
        jobs: Sender<Job>,
        thread: std::thread::ThreadId,
    },
    Stopped,
}

#[derive(Default)]
struct Done {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Courier {
    /// A courier that holds at most `capacity` jobs.
    pub(crate) fn new(name: &'static str, capacity: usize, ledger: &Ledger) -> Self {
        Self { name, capacity, ledger: ledger.clone(), state: Mutex::new(State::Idle), done: std::sync::Arc::default() }
    }

    /// Queues a job. Gives it back when the queue is full or the courier is stopped: it may hold what is a
    /// user's, which must not be dropped on every thread that may post.
    pub(crate) fn post(&self, job: Job) -> Result<(), Job> {
        match self.jobs() {
            Some(jobs) if jobs.len() < self.capacity => jobs.send(job).map_err(|SendError(job)| job),
            _ => Err(job),
        }
    }

    /// Lets the queued jobs run, for `bound` at most, and ends the thread.
    pub(crate) fn stop(&self, bound: Duration) {
        let previous = std::mem::replace(&mut *self.state.lock(), State::Stopped);
        let State::Running { jobs, thread } = previous else { return };
        drop(jobs);
        if thread == std::thread::current().id() {
            return;
        }
        let deadline = deadline::after(bound);
        let mut ended = self.done.ended.lock();
        while !*ended {
            if self.done.changed.wait_until(&mut ended, deadline).timed_out() {
                return;
            }
        }
    }

    fn jobs(&self) -> Option<Sender<Job>> {
        let mut state = self.state.lock();
        match &*state {
            State::Running { jobs, .. } => Some(jobs.clone()),
            State::Stopped => None,
            State::Idle => {
                // Bounded by `post`: a bounded channel would touch all its places at once.
                let (jobs, queue) = unbounded();
                let done = self.done.clone();
                let thread = self.ledger.spawn(self.name, move || {
                    run(&queue);
                    *done.ended.lock() = true;
                    done.changed.notify_all();
                });
                let id = thread.ok()?.thread().id();
                *state = State::Running { jobs: jobs.clone(), thread: id };
                Some(jobs)
            }
        }
    }
}

fn run(queue: &Receiver<Job>) {
    for job in queue {
        panics::contain(job);
    }
}
