//! From a queued call to a running one.

use std::any::Any;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracing::Level;

use super::activation::Activation;
use super::crew::Run;
use super::job::{Job, MAX_DEFERRED, QueuedCall, too_many_deferred};
use super::queue::{Aftermath, Hands, NotQueued, NotReserved, Queue, Taken};
use super::threads::{Running, Threads, What};
use super::turns::{Arrival, Place, Settled, Turn};
use crate::channel::{Event, EventKind, Helper, helping};
use crate::error::{CallError, DeadlineBy, Error, Result, Trace};
use crate::io::{Ready, Seat, StreamId, cork};
use crate::latch::Latch;
use crate::panics;
use crate::router::{Core, Workers};
use crate::service::activator::{self, Activator};
use crate::service::caller::{Caller, CallerParts};
use crate::service::hosted::Hosted;
use crate::service::in_flight::InFlight;
use crate::service::invoker::{Authorized, panicked};
use crate::service::nesting;
use crate::service::scope::ServiceScope;
use crate::wire::{CallEnvelope, ContextId, Handle, MAX_CHAIN};

/// How long services may take to say farewell, beyond what their methods may.
const FAREWELL: Duration = Duration::from_millis(300);

thread_local! {
    /// How many calls this thread runs, each while the one before waits.
    static DEPTH: Cell<usize> = const { Cell::new(0) };

    /// The pool for which this thread looks for jobs as soon as it has read what there is. What it reads
    /// may be for the pool after that one, whose threads have to be told.
    static COMING: Cell<*const Shared> = const { Cell::new(std::ptr::null()) };
}

/// How long a thread is trusted to come back from a method that is known to be fast.
const TICK: Duration = Duration::from_millis(5);

/// What all handles of a pool share.
pub(super) struct Shared {
    me: Weak<Self>,
    core: Arc<Core>,
    /// Gone when the router has ended, though the pool is still held.
    ready: Weak<Ready>,
    size: usize,
    queue: Queue<Job, Hosted>,
    /// How many threads were started.
    numbers: AtomicUsize,
    late: AtomicU64,
    /// The functions that wait for a thread.
    deferred: AtomicUsize,
    in_flight: Arc<InFlight>,
    activation: Activation,
    threads: Arc<Threads>,
    stopped: AtomicBool,
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

    fn spawn_one(self: &Arc<Self>) -> Result<()> {
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

    /// Lets the threads take what arrives at the select of a service, which calls have asked for by this
    /// name. Who tells of an event may be the I/O thread, and never comes to own the service.
    fn listen(&self, name: &str, service: &Hosted) {
        let Some(select) = service.select() else { return };
        let (shared, is_scheduled, name) = (self.me.clone(), service.is_scheduled().clone(), Arc::<str>::from(name));
        let schedule = move || {
            let Some(shared) = shared.upgrade() else { return };
            if !is_scheduled.swap(true, Ordering::SeqCst) {
                shared.push_message(&name);
            }
        };
        let schedule = Arc::new(schedule);
        if select.set_notify(Some(schedule.clone())) > 0 {
            schedule();
        }
    }

    /// Sees to it that a thread looks at the select of a service.
    fn push_message(&self, name: &Arc<str>) {
        let caller = self.core.identity().id;
        let job = Job::Message(name.clone());
        // A queue that is closed has nobody who could look.
        let arrival = Arrival { service: Some(name), caller, id: None, chain: &[], job };
        let _ = self.queue.push(arrival, self.is_coming());
    }

    /// Whether the calling thread will look for jobs here as soon as it has read what there is.
    fn is_coming(&self) -> bool {
        std::ptr::eq(COMING.get(), self)
    }

    /// Gives a service what has arrived at its select, and sees to it that the rest is taken as well.
    fn take_message(&self, name: &Arc<str>, service: &Hosted) {
        let Some(select) = service.select() else { return };
        let next = || match select.try_get() {
            Some(Ok(event)) => Some(event),
            Some(Err(_)) | None => None,
        };
        let mut event = next();
        let mut is_queued = false;
        if event.is_none() {
            // What arrives from now on schedules anew; what has arrived before is seen here.
            service.is_scheduled().store(false, Ordering::SeqCst);
            event = next();
            is_queued = event.is_some() && service.is_scheduled().swap(true, Ordering::SeqCst);
        }
        let Some(event) = event else { return };
        if !service.is_over() && self.is_welcome(service, &event) {
            panics::contain(|| service.target().on_message(event));
        }
        if !is_queued {
            self.push_message(name);
        }
    }

    /// Asks the policy whether a message is taken. Ends and answers come of what the service itself has
    /// added, and always are.
    fn is_welcome(&self, service: &Hosted, event: &Event) -> bool {
        let (EventKind::Message, Some(context)) = (&event.kind, &event.caller) else { return true };
        let is_local = context.id() == self.core.identity().id;
        let parts = CallerParts {
            core: self.core.clone(),
            src_id: context.id(),
            auth_id: context.id(),
            is_local,
            credentials: None,
            id: (context.id(), Handle::NONE),
            chain: None,
        };
        let caller = Caller::new(parts, Arc::default());
        let allowed = panics::guard(|| service.target().allows_message(&caller)).unwrap_or_else(|panic| {
            panics::discard(panic);
            false
        });
        if !allowed {
            let what =
                format!("a message from {context} to service '{}' was refused by policy", service.descriptor().name);
            self.core.log_caused_by(context.id(), &what);
        }
        allowed
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
        let (service, chain) = (call.service.clone(), call.chain_ids());
        match self.queue.push(call.arrival(service.as_deref(), &chain), self.is_coming()) {
            Ok(()) => self.nudge(waiters),
            Err(NotQueued::Closed(Job::Call(call))) => call.responder.refuse(&stopped()),
            Err(NotQueued::Circle(Job::Call(call))) => call.responder.refuse(&self.circle(&call)),
            Err(NotQueued::Closed(_) | NotQueued::Circle(_)) => {}
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
        let mut seat = Seat::of_pool();
        helping(self.clone(), || {
            let mut taken = self.queue.take();
            loop {
                match taken {
                    Taken::Turn(turn) => {
                        self.run_turn(turn);
                        taken = self.queue.take();
                    }
                    Taken::Read => {
                        cork::let_go();
                        taken = self.queue.comes(self.wait(&mut seat));
                    }
                    Taken::Park => {
                        cork::let_go();
                        taken = self.queue.park();
                    }
                    Taken::Leave => return cork::let_go(),
                }
            }
        });
    }

    /// Reads what comes for this router, until there is something to look for in the queue. Tells whether
    /// help was wanted.
    fn wait(&self, seat: &mut Seat) -> bool {
        COMING.set(std::ptr::from_ref(self));
        let ready = self.ready.upgrade().ok_or_else(|| std::io::Error::other("the router has ended"));
        let waited = ready.and_then(|ready| {
            let helped = ready.wait(seat)?;
            if helped {
                ready.let_leave(|| self.stopped.load(Ordering::SeqCst));
            }
            Ok(helped)
        });
        COMING.set(std::ptr::null());
        waited.unwrap_or_else(|error| {
            // A poller that does not work any more would be asked again and again.
            self.core.log(Level::ERROR, format!("cannot wait for streams: {error}"));
            self.stop();
            true
        })
    }

    /// Calls [`Queue::tick`] after a while, and again as long as that is wanted.
    fn tick_later(&self) -> bool {
        let pool = self.me.clone();
        let Some(broker) = self.core.broker_if_started() else { return false };
        let timer = broker.call_after(TICK, move |_| {
            let Some(pool) = pool.upgrade() else { return };
            let goes_on = pool.queue.tick();
            // One that is trusted may have blocked, with answers held behind it, while others go on.
            pool.core.let_go();
            if goes_on && !pool.tick_later() {
                pool.queue.ticks_end();
            }
        });
        timer.is_some()
    }

    /// Runs something that may take long, unless it is known to be fast.
    fn run_as<R>(&self, fast: bool, run: impl FnOnce() -> R) -> R {
        // A thread that waits, and helps meanwhile, is slow already.
        if DEPTH.get() > 0 {
            return run();
        }
        let (number, has_more) = self.queue.runs(fast);
        let guard = RunGuard { queue: &self.queue, run: number };
        cork::expect_answers(has_more);
        if let Run::Slow = number {
            // No answer waits behind something that may take long.
            cork::let_go();
        }
        let result = run();
        cork::expect_answers(false);
        if !has_more {
            cork::let_go();
        }
        drop(guard);
        result
    }

    fn run_turn(&self, turn: Turn<Job, Hosted>) {
        // A call takes note of its method when it runs it.
        let _working = (!matches!(turn, Turn::Ready(Job::Call(_), ..))).then(|| self.threads.begin(What::Job));
        match turn {
            Turn::Ready(Job::Call(call), hosted, place) => {
                self.serve(&call, |envelope| self.run(&call, envelope, &hosted));
                self.done(place);
            }
            Turn::Ready(Job::Message(name), hosted, place) => {
                self.run_as(false, || self.take_message(&name, &hosted));
                self.done(place);
            }
            // A service is asked for messages only once it is there.
            Turn::Vacant(Job::Message(_), place) => {
                let Aftermath { nested, .. } = self.queue.settle(place, Settled::Refused);
                self.nudge(nested);
            }
            Turn::Nowhere(Job::Message(_)) => {}
            Turn::Vacant(Job::Call(call), place) => self.run_as(false, || self.serve_vacant(call, place)),
            Turn::Nowhere(Job::Call(call)) => self.serve(&call, |_| Err(no_service())),
            Turn::Ready(Job::Deferred(f), ..) | Turn::Vacant(Job::Deferred(f), _) | Turn::Nowhere(Job::Deferred(f)) => {
                self.deferred.fetch_sub(1, Ordering::Relaxed);
                self.run_as(false, || panics::contain(f));
            }
        }
    }

    /// A job that was given out with a place has run.
    fn done(&self, place: Option<Place>) {
        if let Some(place) = place {
            self.nudge(self.queue.done(place, DEPTH.get() == 0));
        }
    }

    /// Refuses a call that would be nested too deeply.
    fn refuse_turn(&self, turn: Turn<Job, Hosted>) {
        let refuse = |job| {
            if let Job::Call(call) = job {
                call.responder.refuse(&nesting::too_deep(call.chain()));
            }
        };
        match turn {
            Turn::Ready(job, _, place) => {
                refuse(job);
                self.done(place);
            }
            Turn::Vacant(job, place) => {
                refuse(job);
                let Aftermath { nested, .. } = self.queue.settle(place, Settled::Refused);
                self.nudge(nested);
            }
            Turn::Nowhere(job) => refuse(job),
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
        let descriptor = hosted.descriptor();
        let method = descriptor.method(envelope.method).ok_or_else(|| no_such_method(envelope))?;
        self.run_as(hosted.meter(method).is_fast(), || {
            let caller = call.caller(&self.core);
            let _running = self.threads.begin(What::Method(descriptor, &descriptor.methods[method]));
            let args = call.message.payload.slice_ref(envelope.args);
            let authorized = Authorized::check(hosted, method, caller, (&self.core, args), call.responder.clone())?;
            // A method's panic ends in `Authorized::run`; this one is the invoker's own.
            panics::guard(|| hosted.invoker(method).invoke(authorized)).map_err(panicked)
        })
    }

    /// Makes the service of a call, if that may be, for all calls that ask for it meanwhile. The call
    /// itself then has its turn like those.
    fn serve_vacant(&self, call: QueuedCall, place: Place) {
        let mut made = None;
        self.serve(&call, |envelope| {
            let name = envelope.service;
            self.activation.check(name, &call.caller(&self.core))?;
            let _making = self.threads.begin(What::Activation(name.to_owned()));
            let hosted: Result<Hosted, CallError> = nesting::within(&call.caller(&self.core), || {
                let scope = ServiceScope::new(&self.core);
                let made = self.activation.make(name, &scope)?;
                made.start(&scope).map_err(|error| activator::not_made(name, error))?;
                Ok(made)
            });
            made = Some((name.to_owned(), hosted));
            Ok(())
        });
        let responder = call.responder.clone();
        let settled = match &made {
            Some((_, Ok(hosted))) => Settled::Made(hosted.clone(), Job::Call(call)),
            Some((_, Err(_))) => Settled::Failed,
            None => Settled::Refused,
        };
        let Aftermath { failed, nested, closed } = self.queue.settle(place, settled);
        self.nudge(nested);
        match made {
            // Only now, so that whoever has the error and calls again does not wait for this try.
            Some((name, Err(error))) => {
                responder.fail(&error);
                self.fail_waiting(&name, failed, &error);
            }
            Some((name, Ok(hosted))) => {
                self.answer_stopped(failed);
                if closed {
                    // It has started too late to be among those whom others tell of the end.
                    hosted.farewell(Instant::now());
                } else {
                    self.listen(&name, &hosted);
                }
            }
            None => self.answer_stopped(failed),
        }
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

    /// Begins to tell the services of the end, on a thread of its own, since their code may not come
    /// back. Where somebody else tells one of them, waits for that until `deadline`. Gives what is filled
    /// when all have been told, or nothing if there is nobody to tell.
    fn begin_farewell(&self, deadline: Instant) -> Option<Arc<Latch<()>>> {
        if !self.stopped.load(Ordering::SeqCst) {
            return None;
        }
        let services = self.to_be_told();
        if services.is_empty() {
            return None;
        }
        let done = Arc::new(Latch::new());
        let told = done.clone();
        let thread = self.core.ledger().spawn("mitogen-farewell", move || {
            say_farewell(services, deadline);
            told.put(());
        });
        if let Err(error) = thread {
            self.core.log(Level::ERROR, format!("cannot start a thread to run `on_shutdown`: {error}"));
            return None;
        }
        Some(done)
    }

    /// The services that are there and have not been told of the end.
    fn to_be_told(&self) -> Vec<Hosted> {
        self.queue.services().into_iter().filter(Hosted::waits_for_farewell).collect()
    }

    /// Waits until the services that are told of the end have been.
    fn end_farewell(&self, told: Option<Arc<Latch<()>>>, deadline: Instant) {
        if told.is_some_and(|told| told.wait(Some(deadline)).is_none()) {
            self.core.log(Level::WARN, "an `on_shutdown` still runs, and is left alone".to_owned());
        }
    }

    /// Lets the services go, if no thread is left that could be in one of them. Otherwise they stay until
    /// the pool goes.
    fn release_services(&self) {
        if self.threads.all_left() {
            for service in self.queue.clear() {
                panics::contain(|| drop(service));
            }
        }
    }

    fn answer_stopped(&self, jobs: Vec<Job>) {
        for job in jobs {
            match job {
                // It was admitted, so there are only so many.
                Job::Call(call) => call.responder.fail(&stopped()),
                // What it owns is a user's.
                Job::Deferred(f) => panics::contain(|| drop(f)),
                Job::Message(_) => {}
            }
        }
    }

    /// Waits for the threads, and then until the services have been told of the end and are gone.
    pub(super) fn join(&self, deadline: Instant) -> Vec<Running> {
        let running = self.threads.join(deadline);
        let deadline = deadline + FAREWELL;
        self.end_farewell(self.begin_farewell(deadline), deadline);
        self.release_services();
        running
    }
}

/// Takes note that something has run, also if it panicked.
struct RunGuard<'a> {
    queue: &'a Queue<Job, Hosted>,
    run: Run,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.queue.ran(self.run);
    }
}

/// What the queue of a pool has done.
struct PoolHands {
    pool: Weak<Shared>,
    ready: Weak<Ready>,
}

impl Hands for PoolHands {
    fn help(&self) {
        if let Some(ready) = self.ready.upgrade() {
            ready.help();
        }
    }

    fn dismiss(&self) {
        if let Some(ready) = self.ready.upgrade() {
            ready.dismiss();
        }
    }

    fn dismissed(&self) {
        if let Some(ready) = self.ready.upgrade() {
            ready.dismissed();
        }
    }

    fn watch(&self, wanted: bool) {
        if let Some(ready) = self.ready.upgrade() {
            ready.watch(wanted);
        }
    }

    fn start(&self) -> bool {
        let Some(pool) = self.pool.upgrade() else { return false };
        let started = pool.spawn_one();
        if let Err(error) = &started {
            pool.core.log(Level::ERROR, format!("{error}; the pool goes on with those it has"));
        }
        started.is_ok()
    }

    fn tick_later(&self) -> bool {
        self.pool.upgrade().is_some_and(|pool| pool.tick_later())
    }
}

/// What belongs to users may go with the last who knows the pool, and that may be the I/O thread.
impl Drop for Shared {
    fn drop(&mut self) {
        let (services, jobs) = (self.queue.clear(), self.queue.close());
        let activation = self.activation.take();
        self.core.drop_aside((services, jobs, activation));
    }
}

impl Helper for Shared {
    fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn run_one(&self, handle: Handle) -> bool {
        let Some(turn) = self.queue.take_nested(handle) else { return false };
        let depth = DEPTH.get();
        // The thread waits again after this.
        cork::expect_answers(false);
        if depth < MAX_CHAIN {
            DEPTH.set(depth + 1);
            self.run_turn(turn);
            DEPTH.set(depth);
        } else {
            // The chain is what the caller says; how deep this thread is in, it knows itself.
            self.refuse_turn(turn);
        }
        true
    }
}

impl Workers for Shared {
    fn stop(&self) {
        self.stop();
    }

    fn join(&self, deadline: Instant) {
        for Running { service, method, elapsed } in self.threads.join(deadline) {
            let what = format!("'{method}' of service '{service}' still runs after {elapsed:?}, and is left alone");
            self.core.log(Level::WARN, what);
        }
    }

    fn waits_for_farewell(&self) -> bool {
        self.queue.any_service(Hosted::waits_for_farewell)
    }

    fn farewell(&self, deadline: Instant) {
        say_farewell(self.to_be_told(), deadline);
    }

    fn begin_farewell(&self, deadline: Instant) -> Option<Arc<Latch<()>>> {
        self.begin_farewell(deadline)
    }

    fn end_farewell(&self, told: Option<Arc<Latch<()>>>, deadline: Instant) {
        self.end_farewell(told, deadline);
        self.release_services();
    }

    fn settle(&self, deadline: Instant) {
        self.in_flight.settle(deadline, &nesting::waited_for(&self.core));
    }

    fn is_idle(&self) -> bool {
        self.threads.all_left() && !self.waits_for_farewell() && self.in_flight.total().0 == 0
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

/// Tells services of the end; where somebody else does so, waits for that until `deadline`.
fn say_farewell(services: Vec<Hosted>, deadline: Instant) {
    // Those come first that nobody tells yet: another one may take its time.
    for deadline in [Instant::now(), deadline] {
        for service in &services {
            service.farewell(deadline);
        }
    }
    // Before others go on, who let go of them as well: they are gone then, and not some time later.
    panics::contain(|| drop(services));
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
