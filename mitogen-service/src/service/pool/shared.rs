//! From a queued call to a running one.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tracing::Level;

use super::queue::{Job, Queue, QueuedCall, Rejected, overloaded};
use super::services::{Found, Services};
use super::threads::{Running, Threads, What};
use crate::error::{CallError, Error, Result, Trace};
use crate::panics;
use crate::router::{Core, Workers};
use crate::service::activator::Activator;
use crate::service::hosted::Hosted;
use crate::service::in_flight::InFlight;
use crate::service::invoker::{Authorized, panicked};
use crate::service::scope::ServiceScope;
use crate::wire::{CallEnvelope, ContextId, Encoding};

/// What all handles of a pool share.
pub(super) struct Shared {
    core: Arc<Core>,
    size: usize,
    queue: Queue,
    in_flight: Arc<InFlight>,
    services: Services,
    threads: Arc<Threads>,
    stopped: AtomicBool,
}

impl Shared {
    pub(super) fn new(core: &Arc<Core>, size: usize, activator: Arc<dyn Activator>) -> Arc<Self> {
        Arc::new(Self {
            core: core.clone(),
            size,
            queue: Queue::new(),
            in_flight: Arc::default(),
            services: Services::new(activator),
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
        if self.stopped.load(Ordering::SeqCst) { Err(Error::PoolStopped) } else { self.services.add(service) }
    }

    /// Queues a function.
    pub(super) fn defer(&self, job: Job) -> Result<()> {
        match self.queue.push(job) {
            Ok(()) => Ok(()),
            Err(Rejected::Full(_)) => Err(overloaded().into()),
            Err(Rejected::Stopped(_)) => Err(Error::PoolStopped),
        }
    }

    /// Queues a call, or answers why not.
    pub(super) fn accept(&self, call: QueuedCall) {
        let responder = call.responder.clone();
        match self.queue.push(Job::Call(call)) {
            Ok(()) => {}
            Err(Rejected::Full(_)) => responder.fail(&overloaded()),
            Err(Rejected::Stopped(_)) => responder.fail(&stopped()),
        }
    }

    fn work(self: Arc<Self>) {
        while let Some(job) = self.queue.pop() {
            let _working = self.threads.begin(What::Job);
            match job {
                Job::Call(call) => self.serve(call),
                Job::Deferred(f) => panics::contain(f),
            }
        }
    }

    fn serve(&self, call: QueuedCall) {
        let responder = call.responder.clone();
        if self.stopped.load(Ordering::SeqCst) {
            return responder.fail(&stopped());
        }
        if responder.flag().is_cancelled() {
            return responder.forget();
        }
        if let Err(error) = self.dispatch(call) {
            responder.fail(&error);
        }
    }

    /// Finds the service and the method, asks the policies, and hands the call to its invoker.
    fn dispatch(&self, call: QueuedCall) -> Result<(), CallError> {
        if call.message.header.encoding != Encoding::MessagePack {
            let reason = "a service call is MessagePack".to_owned();
            return Err(CallError::Malformed { reason, trace: Trace::default() });
        }
        let payload = call.message.payload.clone();
        let envelope = CallEnvelope::decode(&payload)
            .map_err(|error| CallError::Malformed { reason: error.to_string(), trace: Trace::default() })?;
        let caller = call.caller(&self.core);
        let responder = call.responder.clone();
        let hosted = match self.services.find(envelope.service, &caller, call)? {
            Found::Ready(hosted) => hosted,
            Found::Taken => return Ok(()),
            Found::Vacant => self.activate(envelope.service)?,
        };
        let descriptor = hosted.descriptor();
        let method = descriptor.method(envelope.method).ok_or_else(|| no_such_method(&envelope))?;
        let authorized = Authorized::check(&hosted, method, caller, (&self.core, payload.clone()), responder)?;
        let _running = self.threads.begin(What::Method(descriptor, &descriptor.methods[method]));
        // A method's panic ends in `Authorized::run`; this one is the invoker's own.
        panics::guard(|| hosted.invoker(method).invoke(authorized)).map_err(panicked)
    }

    /// Makes a service for all calls that ask for it meanwhile.
    fn activate(&self, name: &str) -> Result<Hosted, CallError> {
        let _making = self.threads.begin(What::Activation(name.to_owned()));
        let (made, waiting) = self.services.activate(name, &ServiceScope::new(&self.core));
        for call in waiting {
            match &made {
                Ok(_) => self.accept(call),
                Err(error) => call.responder.fail(error),
            }
        }
        made
    }

    /// Takes no more calls, and answers those that are queued.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.queue.close();
        let queued = self.queue.drain().filter_map(|job| match job {
            Job::Call(call) => Some(call),
            Job::Deferred(_) => None,
        });
        for call in queued.chain(self.services.drain_waiting()) {
            call.responder.fail(&stopped());
        }
    }

    /// Waits for the threads. The services go if none is left; otherwise they stay until the pool goes.
    pub(super) fn join(&self, deadline: Instant) -> Vec<Running> {
        let running = self.threads.join(deadline);
        if self.threads.all_left() {
            self.services.clear();
        }
        running
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

    fn caller_gone(&self, caller: ContextId) {
        self.in_flight.cancel_all_of(caller);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

fn stopped() -> CallError {
    CallError::Stopped { trace: Trace::default() }
}

fn no_such_method(envelope: &CallEnvelope<'_>) -> CallError {
    let [mut service, mut method] = [envelope.service, envelope.method].map(str::to_owned);
    crate::router::cut(&mut service, 200);
    crate::router::cut(&mut method, 200);
    CallError::NoSuchMethod { service, method, trace: Trace::default() }
}
