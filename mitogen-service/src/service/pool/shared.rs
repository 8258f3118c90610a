//! From a queued call to a running one.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use tracing::Level;

use super::activation::Activation;
use super::job::{Job, MAX_DEFERRED, QueuedCall, too_many_deferred};
use super::queue::{NotQueued, Queue};
use super::threads::{Running, Threads, What};
use super::turns::{Arrival, Place, Settled, Turn};
use crate::channel::{Helper, helping};
use crate::error::{CallError, DeadlineBy, Error, Result, Trace};
use crate::io::StreamId;
use crate::panics;
use crate::router::{Core, Workers};
use crate::service::activator::Activator;
use crate::service::hosted::Hosted;
use crate::service::in_flight::InFlight;
use crate::service::invoker::{Authorized, panicked};
use crate::service::nesting;
use crate::service::scope::ServiceScope;
use crate::wire::{CallEnvelope, ContextId, Handle};

/// What all handles of a pool share.
pub(super) struct Shared {
    core: Arc<Core>,
    size: usize,
    queue: Queue<Job, Hosted>,
    late: AtomicU64,
    /// The functions that wait for a thread.
    deferred: AtomicUsize,
    in_flight: Arc<InFlight>,
    activation: Activation,
    threads: Arc<Threads>,
    stopped: AtomicBool,
}

impl Shared {
    pub(super) fn new(core: &Arc<Core>, size: usize, activator: Arc<dyn Activator>) -> Arc<Self> {
        Arc::new(Self {
            core: core.clone(),
            size,
            queue: Queue::new(core.identity().id),
            late: AtomicU64::new(0),
            deferred: AtomicUsize::new(0),
            in_flight: Arc::default(),
            activation: Activation::new(activator),
            threads: Arc::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// The number of threads.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The calls that have arrived and are not answered.
    pub(super) fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// Starts the threads.
    pub(super) fn spawn(self: &Arc<Self>) -> Result<()> {
        for number in 0..self.size {
            let shared = self.clone();
            let name = format!("mitogen-pool-{number}");
            self.threads.spawn(self.core.ledger(), &name, move || shared.work())?;
        }
        Ok(())
    }

    /// Adds a service.
    pub(super) fn add(&self, service: Hosted) -> Result<()> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Error::PoolStopped);
        }
        let name = service.descriptor().name;
        if self.queue.add(name, service) { Ok(()) } else { Err(Error::ServiceExists { name: name.to_owned() }) }
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
        self.queue.push(arrival).map_err(|_| {
            self.deferred.fetch_sub(1, Ordering::Relaxed);
            Error::PoolStopped
        })
    }

    /// Queues a call, or answers why not.
    pub(super) fn accept(&self, call: QueuedCall) {
        let waiters = call.waiters(self.core.identity().id);
        let (payload, chain) = (call.message.payload.clone(), call.chain_ids());
        match self.queue.push(call.arrival(&payload, &chain)) {
            Ok(()) => self.nudge(waiters),
            Err(NotQueued::Closed(Job::Call(call))) => call.responder.refuse(&stopped()),
            Err(NotQueued::Circle(Job::Call(call))) => call.responder.refuse(&self.circle(&call)),
            Err(NotQueued::Closed(Job::Deferred(_)) | NotQueued::Circle(Job::Deferred(_))) => {}
        }
    }

    /// Those who wait for these answers may be needed for them.
    fn nudge(&self, handles: Vec<Handle>) {
        for handle in handles {
            self.core.nudge(handle);
        }
    }

    fn circle(&self, call: &QueuedCall) -> CallError {
        let head = CallEnvelope::head(&call.message.payload);
        let what = head.map_or_else(|_| String::new(), |head| format!("{}.{}", head.service, head.method));
        nesting::deadlock(call.chain(), format!("{what} in {}", self.core.identity().name))
    }

    fn work(self: Arc<Self>) {
        helping(self.clone(), || {
            while let Some(turn) = self.queue.take() {
                self.run_turn(turn);
            }
        });
    }

    fn run_turn(&self, turn: Turn<Job, Hosted>) {
        let _working = self.threads.begin(What::Job);
        match turn {
            Turn::Ready(Job::Call(call), hosted, place) => {
                self.serve(&call, |envelope| self.run(&call, envelope, &hosted));
                if let Some(place) = place {
                    self.nudge(self.queue.done(place));
                }
            }
            Turn::Vacant(Job::Call(call), place) => self.serve_vacant(call, place),
            Turn::Nowhere(Job::Call(call)) => self.serve(&call, |_| Err(no_service())),
            Turn::Ready(Job::Deferred(f), ..) | Turn::Vacant(Job::Deferred(f), _) | Turn::Nowhere(Job::Deferred(f)) => {
                self.deferred.fetch_sub(1, Ordering::Relaxed);
                panics::contain(f);
            }
        }
    }

    /// Takes a call apart and lets it be run, unless nobody waits for it any more.
    fn serve(&self, call: &QueuedCall, run: impl FnOnce(&CallEnvelope<'_>) -> Result<(), CallError>) {
        let responder = &call.responder;
        if self.stopped.load(Ordering::SeqCst) {
            return responder.fail(&stopped());
        }
        if responder.flag().is_late() {
            self.late.fetch_add(1, Ordering::Relaxed);
            return responder.fail(&CallError::DeadlineExceeded { by: DeadlineBy::Queue, trace: Trace::default() });
        }
        if responder.flag().is_cancelled() {
            return responder.forget();
        }
        if let Err(error) = call.envelope().and_then(|envelope| run(&envelope)) {
            responder.fail(&error);
        }
    }

    /// Finds the method, asks the policies, and hands the call to its invoker.
    fn run(&self, call: &QueuedCall, envelope: &CallEnvelope<'_>, hosted: &Hosted) -> Result<(), CallError> {
        let caller = call.caller(&self.core);
        let descriptor = hosted.descriptor();
        let method = descriptor.method(envelope.method).ok_or_else(|| no_such_method(envelope))?;
        let payload = call.message.payload.clone();
        let authorized = Authorized::check(hosted, method, caller, (&self.core, payload), call.responder.clone())?;
        let _running = self.threads.begin(What::Method(descriptor, &descriptor.methods[method]));
        // A method's panic ends in `Authorized::run`; this one is the invoker's own.
        panics::guard(|| hosted.invoker(method).invoke(authorized)).map_err(panicked)
    }

    /// Makes the service of a call, if that may be, for all calls that ask for it meanwhile. The call
    /// itself then has its turn like those.
    fn serve_vacant(&self, call: QueuedCall, place: Place) {
        let mut made = None;
        self.serve(&call, |envelope| {
            let name = envelope.service;
            self.activation.check(name, &call.caller(&self.core))?;
            let _making = self.threads.begin(What::Activation(name.to_owned()));
            let hosted = nesting::within(&call.caller(&self.core), || {
                let scope = ServiceScope::new(&self.core);
                self.activation.make(name, &scope).inspect(|hosted| scope.bind(hosted))
            });
            let (result, outcome) = match hosted {
                Ok(hosted) => (Ok(()), Ok(hosted)),
                Err(error) => (Err(error.clone()), Err((name.to_owned(), error))),
            };
            made = Some(outcome);
            result
        });
        let settled = match &made {
            Some(Ok(hosted)) => Settled::Made(hosted.clone(), Job::Call(call)),
            Some(Err(_)) => Settled::Failed,
            None => Settled::Refused,
        };
        let (back, nested) = self.queue.settle(place, settled);
        match made {
            Some(Err((name, error))) => self.fail_waiting(&name, back, &error),
            Some(Ok(_)) | None => self.answer_stopped(back),
        }
        self.nudge(nested);
    }

    /// The calls that have waited for a service get the error of its making, if that is their business.
    fn fail_waiting(&self, name: &str, waiting: Vec<Job>, error: &CallError) {
        for job in waiting {
            let Job::Call(call) = job else { continue };
            match self.activation.check(name, &call.caller(&self.core)) {
                Ok(()) => call.responder.fail(error),
                Err(refused) => call.responder.fail(&refused),
            }
        }
    }

    /// Takes no more calls, and answers those that are queued.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.answer_stopped(self.queue.close());
    }

    fn answer_stopped(&self, jobs: Vec<Job>) {
        for job in jobs {
            match job {
                Job::Call(call) => call.responder.refuse(&stopped()),
                // What it owns is a user's.
                Job::Deferred(f) => panics::contain(|| drop(f)),
            }
        }
    }

    /// Waits for the threads. The services go if none is left; otherwise they stay until the pool goes.
    pub(super) fn join(&self, deadline: Instant) -> Vec<Running> {
        let running = self.threads.join(deadline);
        if self.threads.all_left() {
            for service in self.queue.clear() {
                panics::contain(|| drop(service));
            }
        }
        running
    }
}

impl Helper for Shared {
    fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn run_one(&self, handle: Handle) -> bool {
        let turn = self.queue.take_nested(handle);
        let any = turn.is_some();
        if let Some(turn) = turn {
            self.run_turn(turn);
        }
        any
    }
}

impl Workers for Shared {
    fn stop(&self) {
        self.stop();
    }

    fn join(&self, deadline: Instant) {
        for Running { service, method, elapsed } in self.join(deadline) {
            let what = format!("'{method}' of service '{service}' still runs after {elapsed:?}, and is left alone");
            self.core.log(Level::WARN, what);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn relieved(&self, stream: StreamId) {
        self.queue.release(stream);
    }

    fn callers_gone(&self, callers: &[ContextId]) {
        self.in_flight.cancel_all_of(callers);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

fn stopped() -> CallError {
    CallError::Stopped { trace: Trace::default() }
}

fn no_service() -> CallError {
    CallError::Malformed { reason: "no service is named".to_owned(), trace: Trace::default() }
}

fn no_such_method(envelope: &CallEnvelope<'_>) -> CallError {
    let [mut service, mut method] = [envelope.service, envelope.method].map(str::to_owned);
    crate::router::cut(&mut service, 200);
    crate::router::cut(&mut method, 200);
    CallError::NoSuchMethod { service, method, trace: Trace::default() }
}
