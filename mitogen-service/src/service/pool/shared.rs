//! What the handles of a pool and its threads share: the queue, the services, and who works.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::activation::Activation;
use super::job::{Job, MAX_DEFERRED, QueuedCall, too_many_deferred};
use super::queue::{Aftermath, NotQueued, NotReserved, Queue};
use super::threads::{Threads, What};
use super::turns::{Arrival, Settled};
use super::working::PoolHands;
use crate::error::{CallError, Error, Result, Trace};
use crate::io::Ready;
use crate::router::Core;
use crate::service::activator::{self, Activator};
use crate::service::hosted::Hosted;
use crate::service::in_flight::InFlight;
use crate::service::nesting;
use crate::service::scope::ServiceScope;
use crate::wire::{CallEnvelope, Handle};

/// What all handles of a pool share.
pub(super) struct Shared {
    pub(super) me: Weak<Self>,
    pub(super) core: Arc<Core>,
    /// Gone when the router has ended, though the pool is still held.
    pub(super) ready: Weak<Ready>,
    pub(super) size: usize,
    pub(super) queue: Queue<Job, Hosted>,
    /// How many threads were started.
    pub(super) numbers: AtomicUsize,
    pub(super) late: AtomicU64,
    /// The functions that wait for a thread.
    pub(super) deferred: AtomicUsize,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) activation: Activation,
    pub(super) threads: Arc<Threads>,
    pub(super) stopped: AtomicBool,
}

impl Shared {
    pub(super) fn new(core: &Arc<Core>, size: usize, activator: Arc<dyn Activator>) -> Result<Arc<Self>> {
        let ready = Arc::downgrade(&core.ready()?);
        Ok(Arc::new_cyclic(|me: &Weak<Self>| Self {
            me: me.clone(),
            core: core.clone(),
            size,
            queue: Queue::new(core.identity().id, size, Box::new(PoolHands { pool: me.clone(), ready: ready.clone() })),
            ready,
            numbers: AtomicUsize::new(0),
            late: AtomicU64::new(0),
            deferred: AtomicUsize::new(0),
            in_flight: Arc::default(),
            activation: Activation::new(activator),
            threads: Arc::default(),
            stopped: AtomicBool::new(false),
        }))
    }

    /// The number of threads.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The calls that have arrived and are not answered.
    pub(super) fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// Starts the first thread; the others are started when they are needed.
    pub(super) fn spawn(&self) -> Result<()> {
        if self.queue.start_one() {
            return Ok(());
        }
        Err(Error::io("start a thread of the pool", std::io::Error::other("the system has no more of them")))
    }

    pub(super) fn spawn_one(self: &Arc<Self>) -> Result<()> {
        let shared = self.clone();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.threads.spawn(self.core.ledger(), &format!("mitogen-pool-{number}"), move || shared.work())
    }

    /// Adds a service. Its name is kept for it before it starts, so that of two with one name only one
    /// does; and this thread is one that a join waits for until it has, so that it is told of the end.
    pub(super) fn add(&self, service: Hosted) -> Result<()> {
        let name = service.descriptor().name;
        let _adding = self.threads.begin(What::Activation(name.to_owned()));
        nesting::starting(&self.core, service.descriptor(), |calls| {
            let place = self.queue.reserve(name, calls).map_err(|why| match why {
                NotReserved::Closed => Error::PoolStopped,
                NotReserved::Taken => Error::ServiceExists { name: name.to_owned() },
            })?;
            let started = service.start(&ServiceScope::new(&self.core));
            let settled = if started.is_ok() { Settled::Added(service.clone()) } else { Settled::Failed };
            let Aftermath { failed, nested, closed } = self.queue.settle(place, settled);
            self.nudge(nested);
            if let Err(error) = started {
                self.fail_waiting(name, failed, &activator::not_made(name, error.clone()));
                return Err(error.into());
            }
            if closed {
                service.farewell(Instant::now());
                return Err(Error::PoolStopped);
            }
            self.listen(name, &service);
            Ok(())
        })
    }

    /// The results of a method that are kept are not valid any more.
    pub(super) fn invalidate(&self, service: &str, method: &str) {
        if let Some(hosted) = self.queue.get(service) {
            hosted.invalidate_or_log(method, &self.core);
        }
    }

    /// The service of this name, if it is there.
    pub(super) fn service_named(&self, name: &str) -> Option<Hosted> {
        self.queue.get(name)
    }

    /// All services that are there.
    pub(super) fn services(&self) -> Vec<Hosted> {
        self.queue.services()
    }

    /// The same by the names under which they are called.
    pub(super) fn named(&self) -> Vec<(Arc<str>, Hosted)> {
        self.queue.named()
    }

    /// How many jobs wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// How many calls came to a thread after their time.
    pub(super) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Queues a function.
    pub(super) fn defer(&self, f: Box<dyn FnOnce() + Send>) -> Result<()> {
        let fits = |deferred| (deferred < MAX_DEFERRED).then_some(deferred + 1);
        if self.deferred.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Err(too_many_deferred().into());
        }
        let arrival =
            Arrival { service: None, caller: self.core.identity().id, id: None, chain: &[], job: Job::Deferred(f) };
        self.queue.push(arrival, false).map_err(|_| {
            self.deferred.fetch_sub(1, Ordering::Relaxed);
            Error::PoolStopped
        })
    }

    /// Queues a call, or answers why not.
    pub(super) fn accept(&self, call: QueuedCall) {
        let waiters = call.waiters(self.core.identity().id);
        let (payload, chain) = (call.message.payload.clone(), call.chain_ids());
        match self.queue.push(call.arrival(&payload, &chain), self.is_coming()) {
            Ok(()) => self.nudge(waiters),
            Err(NotQueued::Closed(Job::Call(call))) => call.responder.refuse(&stopped()),
            Err(NotQueued::Circle(Job::Call(call))) => call.responder.refuse(&self.circle(&call)),
            Err(NotQueued::Closed(_) | NotQueued::Circle(_)) => {}
        }
    }

    /// Those who wait for these answers may be needed for them.
    pub(super) fn nudge(&self, handles: Vec<Handle>) {
        for handle in handles {
            self.core.nudge(handle);
        }
    }

    fn circle(&self, call: &QueuedCall) -> CallError {
        let head = CallEnvelope::head(&call.message.payload);
        let what = head.map_or_else(|_| String::new(), |head| format!("{}.{}", head.service, head.method));
        nesting::deadlock(call.chain(), format!("{what} in {}", self.core.identity().name))
    }
}

pub(super) fn stopped() -> CallError {
    CallError::Stopped { trace: Trace::default() }
}
