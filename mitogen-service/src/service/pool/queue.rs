//! The jobs that wait for a thread, and the threads that wait for a job.
//!
//! A lock and a condition around [`Turns`], which decides. A thread is woken for each job that comes,
//! and all of them when jobs become ready that were passed over. No job is dropped under the lock: it
//! may own a user's values.

use super::turns::{Arrival, Place, Reserved, Settled, Strands, Turn, Turns};
use crate::io::StreamId;
use crate::service::in_flight::CallId;
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
    /// Signalled when it is settled whether a service is there, or the queue is closed.
    settled: Condvar,
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

/// Why a name was not kept for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotReserved {
    /// The queue is closed.
    Closed,
    /// A service of this name is there, or starts.
    Taken,
}

/// What follows when it is told what has come of a place.
pub(super) struct Aftermath<J> {
    /// The jobs that are to be failed.
    pub(super) failed: Vec<J>,
    /// The handles of calls that wait for what is there.
    pub(super) nested: Vec<Handle>,
    /// The queue was closed meanwhile: a service that has started is not there, and no job ever reaches
    /// it. Who has started it is the one to tell it of the end.
    pub(super) closed: bool,
}

impl<J: Queued, S: Strands<J>> Queue<J, S> {
    /// Nothing waits, and there is no service.
    pub(super) fn new(me: ContextId) -> Self {
        let state = Mutex::new(State { turns: Turns::new(me), closed: false });
        Self { state, ready: Condvar::new(), settled: Condvar::new() }
    }

    /// Keeps a name for a service that is about to start, for whoever acts for the last call of a chain,
    /// until [`settle`](Self::settle). Waits while it is open whether a call has a service of the name made.
    pub(super) fn reserve(&self, name: &str, chain: &[CallId]) -> Result<Place, NotReserved> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(NotReserved::Closed);
            }
            match state.turns.reserve(name, chain) {
                Reserved::Yes(place) => return Ok(place),
                Reserved::No => return Err(NotReserved::Taken),
                Reserved::NotYet => self.settled.wait(&mut state),
            }
        }
    }

    /// The service of this name, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<S> {
        self.state.lock().turns.get(name).cloned()
    }

    /// All services that are there.
    pub(super) fn services(&self) -> Vec<S> {
        self.state.lock().turns.services().cloned().collect()
    }

    /// Whether any of the services is such a one. `is` is called under the lock, and for threads that
    /// must not come to own a service.
    pub(super) fn any_service(&self, is: impl FnMut(&S) -> bool) -> bool {
        self.state.lock().turns.services().any(is)
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

    /// Tells what has come of a [`Turn::Vacant`] or of a reserved place.
    pub(super) fn settle(&self, place: Place, settled: Settled<J, S>) -> Aftermath<J> {
        let mut state = self.state.lock();
        let closed = state.closed;
        // A service that comes too late is let go of without the lock.
        let (settled, late_job, late_service) = match settled {
            Settled::Made(service, job) if closed => (Settled::Refused, Some(job), Some(service)),
            Settled::Added(service) if closed => (Settled::Refused, None, Some(service)),
            settled => (settled, None, None),
        };
        let (mut failed, nested) = state.turns.settle(place, settled);
        drop(state);
        self.ready.notify_all();
        self.settled.notify_all();
        drop(late_service);
        failed.extend(late_job);
        Aftermath { failed, nested, closed }
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
        self.settled.notify_all();
        jobs
    }

    /// Takes out all services.
    pub(super) fn clear(&self) -> Vec<S> {
        self.state.lock().turns.clear()
    }
}
