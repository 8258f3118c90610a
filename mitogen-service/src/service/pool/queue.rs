//! The calls that wait for a thread, and the threads that wait for a call.
//!
//! A lock and a condition around [`Turns`]. A thread is woken for each job that comes, and all of
//! them when jobs become ready that were passed over.

use std::sync::Arc;
use std::time::Instant;

use super::turns::{Arrival, Place, Settled, Strands, Turn, Turns};
use crate::error::{CallError, Trace};
use crate::io::{Stream, StreamId};
use crate::router::{Core, Delivery};
use crate::service::caller::{Caller, CallerParts};
use crate::service::hosted::Hosted;
use crate::service::in_flight::{CallId, InFlight, Weight};
use crate::service::nesting;
use crate::service::responder::Responder;
use crate::sync::{Condvar, Mutex};
use crate::wire::{CallEnvelope, ContextId, Encoding, Handle, Link, MAX_CHAIN, Message, Meta};

/// How many deferred functions may wait for a thread.
const MAX_DEFERRED: usize = 65_536;

/// Work for a thread.
pub(super) enum Job {
    Call(QueuedCall),
    Deferred(Box<dyn FnOnce() + Send>),
}

/// A call that waits for a thread.
pub(super) struct QueuedCall {
    pub(super) message: Message,
    pub(super) responder: Arc<Responder>,
    /// The stream that it came over, `None` if this process has made it itself.
    ingress: Option<Arc<Stream>>,
    /// Whose share of the pool it uses.
    origin: ContextId,
    /// The calls that wait for it.
    chain: Option<Arc<[Link]>>,
}

/// What the queue did not take.
///
/// The job is in it so that it is dropped without the lock: it may own a user's values.
#[expect(dead_code, reason = "the jobs are only there to be dropped")]
pub(super) enum Rejected {
    Full(Job),
    Stopped(Job),
}

/// A queue that can be closed. The calls in it are bounded by [`InFlight`].
pub(super) struct Queue {
    state: Mutex<State>,
    /// Signalled when there may be a job to give out, or the queue is closed.
    ready: Condvar,
}

struct State {
    turns: Turns<Job, Hosted>,
    deferred: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(me: ContextId) -> Self {
        let state = State { turns: Turns::new(me), deferred: 0, closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new() }
    }

    /// Adds a service; gives it back if there is one of its name, or one is being made.
    pub(super) fn add(&self, service: Hosted) -> Result<(), Hosted> {
        let name = service.descriptor().name;
        if !self.state.lock().turns.add(name, service.clone()) {
            return Err(service);
        }
        self.ready.notify_all();
        Ok(())
    }

    /// Queues a call; gives it back if the queue is closed, or if the call would wait for itself.
    pub(super) fn push(&self, call: QueuedCall) -> Result<(), NotQueued> {
        let payload = call.message.payload.clone();
        // What is no call at all is told so by the thread that takes it.
        let service = CallEnvelope::head(&payload).ok().filter(|_| call.is_message_pack()).map(|head| head.service);
        let chain: Vec<_> = call.chain().iter().map(|link| (link.context, link.handle)).collect();
        let id = Some(call.id()).filter(|id| id.1 != Handle::NONE);
        let mut state = self.state.lock();
        if state.closed {
            return Err(NotQueued::Closed(call));
        }
        let arrival = Arrival { service, caller: call.origin, id, chain: &chain, job: Job::Call(call) };
        let pushed = state.turns.push(arrival);
        drop(state);
        match pushed {
            Ok(()) => {
                self.ready.notify_one();
                Ok(())
            }
            Err(Job::Call(call)) => Err(NotQueued::Circle(call)),
            Err(Job::Deferred(_)) => Ok(()),
        }
    }

    /// Queues a function, on behalf of this context.
    pub(super) fn defer(&self, me: ContextId, f: Box<dyn FnOnce() + Send>) -> Result<(), Rejected> {
        let job = Job::Deferred(f);
        let mut state = self.state.lock();
        if state.closed {
            return Err(Rejected::Stopped(job));
        }
        if state.deferred >= MAX_DEFERRED {
            return Err(Rejected::Full(job));
        }
        state.deferred += 1;
        // Nobody waits for it, so it cannot wait for itself.
        let pushed = state.turns.push(Arrival { service: None, caller: me, id: None, chain: &[], job });
        drop(state);
        drop(pushed);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for a job; `None` when the queue is closed.
    pub(super) fn take(&self) -> Option<Turn<Job, Hosted>> {
        let mut state = self.state.lock();
        loop {
            if let Some(turn) = state.turns.next(Job::held) {
                state.deferred -= usize::from(matches!(turn, Turn::Nowhere(Job::Deferred(_))));
                return Some(turn);
            }
            if state.closed {
                return None;
            }
            self.ready.wait(&mut state);
        }
    }

    /// A call that the one with this handle waits for, if there is one.
    pub(super) fn take_nested(&self, handle: Handle) -> Option<Turn<Job, Hosted>> {
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
    pub(super) fn settle(&self, place: Place, settled: Settled<Job, Hosted>) -> (Vec<Job>, Vec<Handle>) {
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
    pub(super) fn close(&self) -> Vec<Job> {
        let mut state = self.state.lock();
        state.closed = true;
        let jobs = state.turns.drain_all();
        drop(state);
        self.ready.notify_all();
        jobs
    }

    /// Takes out all services.
    pub(super) fn clear(&self) -> Vec<Hosted> {
        self.state.lock().turns.clear()
    }
}

/// A call that was not queued, and why.
pub(super) enum NotQueued {
    /// The queue is closed.
    Closed(QueuedCall),
    /// The call waits for itself.
    Circle(QueuedCall),
}

impl Strands<Job> for Hosted {
    fn strand(&self, job: &Job) -> Option<usize> {
        let Job::Call(call) = job else { return None };
        self.strand_of(|| {
            let head = CallEnvelope::head(&call.message.payload).ok()?;
            self.descriptor().method(head.method)
        })
    }
}

impl Job {
    /// The stream that takes no answers of this job at present, if so.
    fn held(&self) -> Option<StreamId> {
        match self {
            Self::Call(call) => call.ingress.as_ref().filter(|stream| stream.is_over()).map(|stream| stream.id()),
            Self::Deferred(_) => None,
        }
    }
}

impl QueuedCall {
    /// The call that has arrived; `None` if it was beyond a bound, and has been answered.
    pub(super) fn admit(delivery: Delivery<'_>, in_flight: &Arc<InFlight>) -> Option<Self> {
        let Delivery { core, message, ingress, origin } = delivery;
        let id = (message.header.src_id, message.header.reply_to);
        let head = CallEnvelope::head(&message.payload);
        // What is no call at all is told so by the thread that takes it.
        let meta = head.map_or_else(|_| Ok(Meta::default()), |head| Meta::decode(head.meta));
        let time = meta.as_ref().map_or(None, |meta| meta.time);
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        let weight = Weight { origin, size: message.size() };
        let responder = Responder::admit(core, id, in_flight, weight, deadline)?;
        let meta = match meta {
            Ok(meta) => meta,
            Err(error) => {
                let reason = error.to_string();
                responder.refuse(&CallError::Malformed { reason, trace: Trace::default() });
                return None;
            }
        };
        if meta.chain.len() > MAX_CHAIN {
            responder.refuse(&nesting::too_deep(&meta.chain));
            return None;
        }
        let chain = (!meta.chain.is_empty()).then(|| meta.chain.into());
        Some(Self { message, responder, ingress: ingress.cloned(), origin, chain })
    }

    /// The name of the call; its handle is 0 if nobody waits for it.
    pub(super) fn id(&self) -> CallId {
        (self.message.header.src_id, self.message.header.reply_to)
    }

    /// The calls that wait for it.
    pub(super) fn chain(&self) -> &[Link] {
        self.chain.as_deref().unwrap_or_default()
    }

    /// The handles of calls of `me` that wait for it, the call itself included.
    pub(super) fn waiters(&self, me: ContextId) -> Vec<Handle> {
        let chain = self.chain().iter().map(|link| (link.context, link.handle));
        chain.chain([self.id()]).filter(|id| id.0 == me && id.1 != Handle::NONE).map(|id| id.1).collect()
    }

    fn is_message_pack(&self) -> bool {
        self.message.header.encoding == Encoding::MessagePack
    }

    /// The parts of the call, all of which have been checked.
    pub(super) fn envelope(&self) -> Result<CallEnvelope<'_>, CallError> {
        let malformed = |reason| CallError::Malformed { reason, trace: Trace::default() };
        if !self.is_message_pack() {
            return Err(malformed("a service call is MessagePack".to_owned()));
        }
        CallEnvelope::decode(&self.message.payload).map_err(|error| malformed(error.to_string()))
    }

    pub(super) fn caller(&self, core: &Arc<Core>) -> Caller {
        let parts = CallerParts {
            core: core.clone(),
            src_id: self.message.header.src_id,
            auth_id: self.message.header.auth_id,
            is_local: self.ingress.is_none(),
            credentials: None,
            id: self.id(),
            chain: self.chain.clone(),
        };
        Caller::new(parts, self.responder.flag().clone())
    }
}

/// The answer to a function that the full queue did not take.
pub(super) fn too_many_deferred() -> CallError {
    let what = format!("{MAX_DEFERRED} deferred functions wait for a thread of the pool; try again later");
    CallError::Overloaded { what, trace: Trace::default() }
}
