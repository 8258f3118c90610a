//! The jobs that wait for a thread, and the threads that wait for a job.
//!
//! A lock around two state machines that decide: [`Turns`], which job is next, and [`Crew`], who is to
//! be woken for it. A thread without a job is idle from the moment in which it finds none, under the
//! same lock, so a job that comes later finds it. No job is dropped under the lock: it may own a user's
//! values.

use std::sync::Arc;

use super::crew::{Crew, Orders, Rest, Run};
use super::turns::{Arrival, Place, Reserved, Settled, Strands, Turn, Turns};
use crate::io::StreamId;
use crate::service::in_flight::CallId;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::{ContextId, Handle};

/// Work that can be queued.
pub(super) trait Queued {
    /// The stream that takes no answers of this job at present, if so.
    fn held(&self) -> Option<StreamId>;
}

/// What a queue can have done, on any thread. Nothing of it may block.
pub(super) trait Hands: Send + Sync {
    /// Ends the wait of the reader, or of the next one that becomes so.
    fn help(&self);

    /// The reader of this queue, and no other, is to end its wait.
    fn dismiss(&self);

    /// It has.
    fn dismissed(&self);

    /// Lets the I/O thread look after the streams, or not.
    fn watch(&self, wanted: bool);

    /// Starts one more thread that takes jobs; `false` if that is not possible.
    fn start(&self) -> bool;

    /// Calls [`Queue::tick`] in a short time; `false` if that is not possible.
    fn tick_later(&self) -> bool;
}

/// A queue that can be closed. What is in it is bounded by those who put it there.
pub(super) struct Queue<J, S> {
    state: Mutex<State<J, S>>,
    /// Signalled when it is settled whether a service is there, or the queue is closed.
    settled: Condvar,
    /// Signalled for each thread that is unparked.
    unparked: Condvar,
    hands: Box<dyn Hands>,
}

struct State<J, S> {
    turns: Turns<J, S>,
    crew: Crew,
    /// How many of the parked threads are to go on.
    unparked: usize,
    closed: bool,
}

/// What a thread gets that looks for a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<J, S> {
    /// It runs this.
    Turn(Turn<J, S>),
    /// There is none: it is the reader, waits, and [comes](Queue::comes) then.
    Read,
    /// There is none, and somebody else is the reader: it [parks](Queue::park).
    Park,
    /// The queue is closed: it leaves.
    Leave,
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
    /// Nothing waits, and there is no service and no thread; `size` threads may be started.
    pub(super) fn new(me: ContextId, size: usize, hands: Box<dyn Hands>) -> Self {
        let state = State { turns: Turns::new(me), crew: Crew::new(size), unparked: 0, closed: false };
        Self { state: Mutex::new(state), settled: Condvar::new(), unparked: Condvar::new(), hands }
    }

    /// Has done what the crew needs; the watch under the lock, so that the last word is the last one done.
    fn carry_out(&self, mut state: MutexGuard<'_, State<J, S>>, orders: Orders) {
        if let Some(wanted) = orders.watch {
            self.hands.watch(wanted);
        }
        state.unparked += usize::from(orders.unpark);
        drop(state);
        if orders.unpark {
            self.unparked.notify_one();
        }
        if orders.help {
            self.hands.help();
        }
        if orders.start && !self.hands.start() {
            self.state.lock().crew.not_started();
        }
        if orders.tick && !self.hands.tick_later() {
            self.ticks_end();
        }
    }

    /// Jobs may have become ready that the calling thread does not take.
    fn rouse(&self, mut state: MutexGuard<'_, State<J, S>>) {
        if state.turns.waiting() > 0 {
            let orders = state.crew.pushed();
            self.carry_out(state, orders);
        }
    }

    /// Starts the first thread, so that it is known whether any can be started.
    pub(super) fn start_one(&self) -> bool {
        self.state.lock().crew.start_one();
        let started = self.hands.start();
        if !started {
            self.state.lock().crew.not_started();
        }
        started
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

    /// The same by the names under which they are called.
    pub(super) fn named(&self) -> Vec<(Arc<str>, S)> {
        self.state.lock().turns.named().map(|(name, service)| (name.clone(), service.clone())).collect()
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

    /// Queues a job; `coming` if the calling thread will look for jobs as soon as it has queued all it has
    /// read.
    pub(super) fn push(&self, arrival: Arrival<'_, J>, coming: bool) -> Result<(), NotQueued<J>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(NotQueued::Closed(arrival.job));
        }
        if let Err(job) = state.turns.push(arrival) {
            return Err(NotQueued::Circle(job));
        }
        if !coming {
            self.rouse(state);
        }
        Ok(())
    }

    /// Takes a job.
    pub(super) fn take(&self) -> Taken<J, S> {
        self.take_from(self.state.lock())
    }

    /// The same for the one who was the reader; `helped` if somebody wanted [help](Hands::help).
    pub(super) fn comes(&self, helped: bool) -> Taken<J, S> {
        let mut state = self.state.lock();
        state.crew.comes(helped);
        if state.closed {
            self.hands.dismissed();
        }
        self.take_from(state)
    }

    fn take_from(&self, mut state: MutexGuard<'_, State<J, S>>) -> Taken<J, S> {
        if let Some(turn) = state.turns.next(J::held) {
            state.crew.takes();
            return Taken::Turn(turn);
        }
        let (taken, orders) = if state.closed {
            (Taken::Leave, state.crew.leaves())
        } else {
            match state.crew.rests() {
                (Rest::Read, orders) => (Taken::Read, orders),
                (Rest::Park, orders) => (Taken::Park, orders),
            }
        };
        self.carry_out(state, orders);
        taken
    }

    /// Waits until there is something to do for a thread that is parked, and takes it.
    pub(super) fn park(&self) -> Taken<J, S> {
        let mut state = self.state.lock();
        while state.unparked == 0 {
            self.unparked.wait(&mut state);
        }
        state.unparked -= 1;
        self.take_from(state)
    }

    /// The calling thread is about to run a job that it has taken; `fast` if the method is known to be.
    /// Tells as well whether it is trusted to be, while others wait that this thread will take next.
    pub(super) fn runs(&self, fast: bool) -> (Run, bool) {
        let mut state = self.state.lock();
        let waiting = state.turns.waiting();
        let (run, orders) = state.crew.runs(fast, waiting);
        self.carry_out(state, orders);
        (run, waiting > 0 && matches!(run, Run::Trusted(_)))
    }

    /// It has run.
    pub(super) fn ran(&self, run: Run) {
        self.state.lock().crew.ran(run);
    }

    /// Some time has passed; tells whether to tick on.
    pub(super) fn tick(&self) -> bool {
        let mut state = self.state.lock();
        let waiting = state.turns.waiting();
        let (orders, goes_on) = state.crew.tick(waiting);
        self.carry_out(state, orders);
        goes_on
    }

    /// The ticks end here.
    pub(super) fn ticks_end(&self) {
        self.state.lock().crew.tickless();
    }

    /// A job that the call with this handle waits for, if there is one.
    pub(super) fn take_nested(&self, handle: Handle) -> Option<Turn<J, S>> {
        self.state.lock().turns.next_nested(handle)
    }

    /// A job that was given out with a place has run; gives the handles of calls that wait for what is
    /// there. `coming` as in [`push`](Self::push).
    pub(super) fn done(&self, place: Place, coming: bool) -> Vec<Handle> {
        let mut state = self.state.lock();
        let nested = state.turns.done(place);
        if !coming {
            self.rouse(state);
        }
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
        self.rouse(state);
        self.settled.notify_all();
        drop(late_service);
        failed.extend(late_job);
        Aftermath { failed, nested, closed }
    }

    /// A stream takes answers again.
    pub(super) fn release(&self, stream: StreamId) {
        let mut state = self.state.lock();
        if state.turns.release(stream) {
            self.rouse(state);
        }
    }

    /// Takes no more jobs, and lets the threads leave; gives what is queued.
    pub(super) fn close(&self) -> Vec<J> {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.closed, true) {
            let (parked, reader) = state.crew.dismiss();
            state.unparked += parked;
            if reader {
                // Under the lock, so that it is counted before it is gone.
                self.hands.dismiss();
            }
        }
        let jobs = state.turns.drain_all();
        drop(state);
        self.settled.notify_all();
        self.unparked.notify_all();
        jobs
    }

    /// Takes out all services.
    pub(super) fn clear(&self) -> Vec<S> {
        self.state.lock().turns.clear()
    }
}
