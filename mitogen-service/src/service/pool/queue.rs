//! The jobs that wait for a thread, and the threads that wait for a job.
//!
//! A lock and a condition around [`Turns`], which decides. A thread is woken for each job that comes,
//! and all of them when jobs become ready that were passed over. No job is dropped under the lock: it
//! may own a user's values.

use super::turns::{Arrival, Place, Settled, Strands, Turn, Turns};
use crate::io::StreamId;
use crate::sync::{Condvar, Mutex};
use crate::wire::{ContextId, Handle};

/// Work that can be queued.
pub(super) trait Queued {
    /// The stream that takes no answers of this job at present, if so.
    fn held(&self) -> Option<StreamId>;
}

/// A queue that can be closed. What is in it is bounded by those who put it there.
pub(super) struct Queue<J, S> {
    state: Mutex<State<J, S>>,
    /// Signalled when there may be a job to give out, or the queue is closed.
    ready: Condvar,
}

struct State<J, S> {
    turns: Turns<J, S>,
    closed: bool,
}

/// A job that was not queued, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotQueued<J> {
    /// The queue is closed.
    Closed(J),
    /// The job waits for itself.
    Circle(J),
}

impl<J: Queued, S: Strands<J>> Queue<J, S> {
    /// Nothing waits, and there is no service.
    pub(super) fn new(me: ContextId) -> Self {
        Self { state: Mutex::new(State { turns: Turns::new(me), closed: false }), ready: Condvar::new() }
    }

    /// Adds a service; `false` if there is one of its name, or one is being made.
    pub(super) fn add(&self, name: &str, service: S) -> bool {
        let added = self.state.lock().turns.add(name, service);
        self.ready.notify_all();
        added
    }

    /// The service of this name, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<S> {
        self.state.lock().turns.get(name).cloned()
    }

    /// All services that are there.
    pub(super) fn services(&self) -> Vec<S> {
        self.state.lock().turns.services()
    }

    /// How many jobs wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().turns.waiting()
    }

    /// Queues a job.
    pub(super) fn push(&self, arrival: Arrival<'_, J>) -> Result<(), NotQueued<J>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(NotQueued::Closed(arrival.job));
        }
        let pushed = state.turns.push(arrival);
        drop(state);
        pushed.map_err(NotQueued::Circle)?;
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for a job; `None` when the queue is closed.
    pub(super) fn take(&self) -> Option<Turn<J, S>> {
        let mut state = self.state.lock();
        loop {
            if let Some(turn) = state.turns.next(J::held) {
                return Some(turn);
            }
            if state.closed {
                return None;
            }
            self.ready.wait(&mut state);
        }
    }

    /// A job that the call with this handle waits for, if there is one.
    pub(super) fn take_nested(&self, handle: Handle) -> Option<Turn<J, S>> {
        self.state.lock().turns.next_nested(handle)
    }

    /// A job that was given out with a place has run; gives the handles of calls that wait for what is
    /// there.
    pub(super) fn done(&self, place: Place) -> Vec<Handle> {
        let nested = self.state.lock().turns.done(place);
        self.ready.notify_one();
        nested
    }

    /// Tells what has come of a [`Turn::Vacant`]; gives the jobs that are to be failed, and the handles
    /// of calls that wait for what is there.
    pub(super) fn settle(&self, place: Place, settled: Settled<J, S>) -> (Vec<J>, Vec<Handle>) {
        let mut state = self.state.lock();
        let mut settled = state.turns.settle(place, settled);
        if state.closed {
            // The job that the service was made for has come back too late.
            settled.0.extend(state.turns.drain_all());
        }
        drop(state);
        self.ready.notify_all();
        settled
    }

    /// A stream takes answers again.
    pub(super) fn release(&self, stream: StreamId) {
        if self.state.lock().turns.release(stream) {
            self.ready.notify_all();
        }
    }

    /// Takes no more jobs, and lets the threads leave; gives what is queued.
    pub(super) fn close(&self) -> Vec<J> {
        let mut state = self.state.lock();
        state.closed = true;
        let jobs = state.turns.drain_all();
        drop(state);
        self.ready.notify_all();
        jobs
    }

    /// Takes out all services.
    pub(super) fn clear(&self) -> Vec<S> {
        self.state.lock().turns.clear()
    }
}
