//! The pool: a fixed number of threads that run the calls of all services of a context.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tracing::Level;

use super::activator::{self, Activator, RegistryActivator};
use super::caller::{Caller, CallerParts};
use super::descriptor::{MethodDescriptor, Service, ServiceDescriptor};
use super::hosted::Hosted;
use super::in_flight::{CallFlag, InFlight};
use super::invoker::{Authorized, panicked};
use super::responder::Responder;
use super::scope::ServiceScope;
use crate::error::{CallError, ContextPath, Error, Result};
use crate::router::{Access, Core, Death, Delivery, Listener, Router, Workers};
use crate::sync::{Condvar, Mutex};
use crate::wire::{CallEnvelope, ContextId, Handle, Message, control};

/// How many calls may wait for a thread.
const QUEUE_CALLS: usize = 65_536;

/// How many bytes the waiting calls may have together; one call is admitted whatever its size.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The threads of a pool that a child makes by itself.
const AUTOMATIC_SIZE: usize = 2;

/// The threads of a pool unless told otherwise.
const DEFAULT_SIZE: usize = 4;

/// The most threads that a pool may have.
const MAX_SIZE: usize = 4096;

/// The threads that run services, and the services that they run.
///
/// The root makes its pool by hand; a child makes one by itself when a parent first calls a service
/// there. A router has one pool at most. A clone is another handle to the same pool, and dropping
/// the handles ends nothing: [`close`](Self::close) does, or the end of the router.
///
/// ```
/// use mitogen_service::{AllowAny, Pool, Router, service};
///
/// struct Echo;
///
/// #[service]
/// impl Echo {
///     #[expose(policy = AllowAny)]
///     fn echo(&self, text: String) -> String {
///         text
///     }
/// }
///
/// # fn main() -> mitogen_service::Result<()> {
/// let router = Router::builder().build()?;
/// let pool = Pool::builder(&router).size(2).service(Echo).start()?;
/// assert_eq!(Echo::stub(&router.myself()).echo("hello".into()).wait()?, "hello");
/// pool.close(std::time::Duration::from_secs(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// Sets up a pool; see [`Pool::builder`].
#[must_use = "call `start` to get the pool"]
pub struct PoolBuilder {
    router: Router,
    size: usize,
    services: Vec<Hosted>,
    activator: Arc<dyn Activator>,
}

/// A method that still runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Running {
    /// The canonical name of the service.
    pub service: &'static str,
    /// The name of the method.
    pub method: &'static str,
    /// How long it has been running.
    pub elapsed: Duration,
}

struct Shared {
    core: Arc<Core>,
    size: usize,
    activator: Arc<dyn Activator>,
    /// Where calls come in; `None` once the pool is stopped.
    intake: Mutex<Option<Sender<Job>>>,
    queue: Receiver<Job>,
    queued_bytes: AtomicUsize,
    in_flight: Arc<InFlight>,
    services: Mutex<HashMap<String, Slot>>,
    stopped: AtomicBool,
    threads: Mutex<Threads>,
    /// Signalled when a thread leaves.
    left: Condvar,
}

/// Work for a thread.
enum Job {
    Call(QueuedCall),
    Deferred(Box<dyn FnOnce() + Send>),
}

/// A call that waits for a thread.
struct QueuedCall {
    message: Message,
    /// It came over no stream.
    is_local: bool,
    responder: Arc<Responder>,
}

/// What stands under a service's name.
enum Slot {
    Ready(Hosted),
    /// A thread makes it; these calls came meanwhile.
    Activating(Vec<QueuedCall>),
}

#[derive(Default)]
struct Threads {
    alive: HashSet<ThreadId>,
    /// What each thread runs.
    running: HashMap<ThreadId, (&'static ServiceDescriptor, &'static MethodDescriptor, Instant)>,
}

impl Pool {
    /// Sets up the pool of a router.
    pub fn builder(router: &Router) -> PoolBuilder {
        PoolBuilder {
            router: router.clone(),
            size: DEFAULT_SIZE,
            services: Vec::new(),
            activator: Arc::new(RegistryActivator),
        }
    }

    /// Adds a service.
    ///
    /// # Errors
    /// [`Error::ServiceExists`] if one of the same name is there, [`Error::Closed`] after a stop.
    pub fn add<S: Service>(&self, service: S) -> Result<()> {
        self.shared.add(Hosted::new(service))
    }

    /// Runs a function on a thread of the pool, after the calls that are queued.
    ///
    /// # Errors
    /// [`CallError::Overloaded`] when the queue is full, [`Error::Closed`] after a stop.
    pub fn defer(&self, f: impl FnOnce() + Send + 'static) -> Result<()> {
        match self.shared.enqueue(Job::Deferred(Box::new(f))) {
            Ok(()) => Ok(()),
            Err(Rejected::Full(_)) => Err(overloaded().into()),
            Err(Rejected::Stopped(_)) => Err(Error::Closed),
        }
    }

    /// The number of threads.
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// Takes no more calls, and answers what is queued with `Stopped`. Returns at once; methods
    /// that run come to their end.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Waits until the threads of a stopped pool have ended, for `bound` at most, and tells which
    /// methods still run after that. A thread of the pool does not wait for itself.
    pub fn join(&self, bound: Duration) -> Vec<Running> {
        self.shared.join(Instant::now() + bound)
    }

    /// [`stop`](Self::stop) and [`join`](Self::join).
    pub fn close(&self, bound: Duration) -> Vec<Running> {
        self.stop();
        self.join(bound)
    }
}

impl PoolBuilder {
    /// The number of threads, 4 by default.
    pub fn size(mut self, threads: usize) -> Self {
        self.size = threads;
        self
    }

    /// Adds a service.
    pub fn service<S: Service>(mut self, service: S) -> Self {
        self.services.push(Hosted::new(service));
        self
    }

    /// How services are made that are asked for and not there; [`RegistryActivator`] by default.
    pub fn activator(mut self, activator: impl Activator) -> Self {
        self.activator = Arc::new(activator);
        self
    }

    /// Starts the threads; from now on the services can be called.
    ///
    /// # Errors
    /// [`Error::PoolExists`] if the router has a pool, [`Error::ServiceExists`] if two services have
    /// the same name, [`Error::Invalid`] for a size of zero or beyond 4096, [`Error::Closed`] if
    /// the router is closed, [`Error::Io`] if threads cannot be started.
    pub fn start(self) -> Result<Pool> {
        if !(1..=MAX_SIZE).contains(&self.size) {
            let what = format!("the pool's size is {}, and must be between 1 and {MAX_SIZE} threads", self.size);
            return Err(Error::Invalid { what });
        }
        let core = self.router.core().clone();
        let shared = Shared::new(&core, self.size, self.activator);
        for service in self.services {
            shared.add(service)?;
        }
        core.set_workers(shared.clone())?;
        if let Err(error) = shared.spawn() {
            shared.stop();
            core.clear_workers();
            return Err(error);
        }
        shared.listen();
        Ok(Pool { shared })
    }
}

impl Router {
    /// The pool of this router, if there is one: made by hand at the root, by itself in a child.
    pub fn pool(&self) -> Option<Pool> {
        let shared = self.core().workers()?.as_any().downcast::<Shared>().ok()?;
        Some(Pool { shared })
    }
}

/// What the queue did not take.
///
/// The job is in it so that it is dropped without the lock: it may own a user's values.
#[expect(dead_code, reason = "the jobs are only there to be dropped")]
enum Rejected {
    Full(Job),
    Stopped(Job),
}

impl Shared {
    fn new(core: &Arc<Core>, size: usize, activator: Arc<dyn Activator>) -> Arc<Self> {
        let (intake, queue) = bounded(QUEUE_CALLS);
        Arc::new(Self {
            core: core.clone(),
            size,
            activator,
            intake: Mutex::new(Some(intake)),
            queue,
            queued_bytes: AtomicUsize::new(0),
            in_flight: Arc::default(),
            services: Mutex::default(),
            stopped: AtomicBool::new(false),
            threads: Mutex::default(),
            left: Condvar::new(),
        })
    }

    fn spawn(self: &Arc<Self>) -> Result<()> {
        for number in 0..self.size {
            let shared = self.clone();
            // The lock keeps the thread from leaving before it is counted.
            let mut threads = self.threads.lock();
            let spawned = self.core.ledger().spawn(&format!("mitogen-pool-{number}"), move || shared.work());
            let spawned = spawned.map_err(|error| Error::io("start a thread of the pool", error))?;
            threads.alive.insert(spawned.thread().id());
        }
        Ok(())
    }

    fn listen(self: &Arc<Self>) {
        self.core.relisten(Handle::CALL_SERVICE, Access::Any, Arc::new(Calls(self.clone())));
        self.core.relisten(Handle::CANCEL, Access::Any, Arc::new(Cancels(self.in_flight.clone())));
    }

    fn add(&self, service: Hosted) -> Result<()> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let name = service.descriptor().name;
        let mut services = self.services.lock();
        if services.contains_key(name) {
            return Err(Error::ServiceExists { name: name.to_owned() });
        }
        services.insert(name.to_owned(), Slot::Ready(service));
        Ok(())
    }

    // ---- the queue ----

    fn enqueue(&self, job: Job) -> Result<(), Rejected> {
        let size = job.size();
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        if queued > 0 && queued + size > QUEUE_BYTES {
            return Err(Rejected::Full(job));
        }
        // The lock makes a stop and an enqueue follow one another: nothing comes in behind it.
        let intake = self.intake.lock();
        let Some(intake) = &*intake else { return Err(Rejected::Stopped(job)) };
        self.queued_bytes.fetch_add(size, Ordering::Relaxed);
        intake.try_send(job).map_err(|error| {
            self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
            match error {
                TrySendError::Full(job) => Rejected::Full(job),
                TrySendError::Disconnected(job) => Rejected::Stopped(job),
            }
        })
    }

    fn dequeued(&self, job: &Job) {
        self.queued_bytes.fetch_sub(job.size(), Ordering::Relaxed);
    }

    // ---- the threads ----

    fn work(self: Arc<Self>) {
        while let Ok(job) = self.queue.recv() {
            self.dequeued(&job);
            match job {
                Job::Call(call) => self.serve(call),
                // The panic hook has reported it; the thread goes on.
                Job::Deferred(f) => drop(catch_unwind(AssertUnwindSafe(f))),
            }
        }
        self.threads.lock().alive.remove(&std::thread::current().id());
        self.left.notify_all();
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
        let payload = call.message.payload.clone();
        let envelope = CallEnvelope::decode(&payload)
            .map_err(|error| CallError::Malformed { reason: error.to_string(), path: ContextPath::default() })?;
        let caller = call.caller(&self.core);
        let responder = call.responder.clone();
        let Some(hosted) = self.find(envelope.service, &caller, call)? else { return Ok(()) };
        let descriptor = hosted.descriptor();
        let method = descriptor.method(envelope.method).ok_or_else(|| no_such_method(&envelope))?;
        let authorized = Authorized::check(&hosted, method, caller, (&self.core, payload.clone()), responder)?;
        let _running = self.running(descriptor, &descriptor.methods[method]);
        hosted.invoker(method).invoke(authorized);
        Ok(())
    }

    /// The service of this name. `None` if another thread makes it, which takes the call as well.
    fn find(&self, name: &str, caller: &Caller, call: QueuedCall) -> Result<Option<Hosted>, CallError> {
        if let Some(Slot::Ready(hosted)) = self.services.lock().get(name) {
            return Ok(Some(hosted.clone()));
        }
        if !self.activator.is_authorized(name, caller) {
            let mut service = name.to_owned();
            crate::router::cut(&mut service, 200);
            return Err(CallError::NotActivated { service, path: ContextPath::default() });
        }
        {
            let mut services = self.services.lock();
            match services.get_mut(name) {
                Some(Slot::Ready(hosted)) => return Ok(Some(hosted.clone())),
                Some(Slot::Activating(waiting)) => {
                    waiting.push(call);
                    return Ok(None);
                }
                None => drop(services.insert(name.to_owned(), Slot::Activating(Vec::new()))),
            }
        }
        self.activate(name).map(Some)
    }

    /// Makes a service, outside of any lock, for all calls that ask for it meanwhile.
    fn activate(&self, name: &str) -> Result<Hosted, CallError> {
        let scope = ServiceScope::new(&self.core);
        // A constructor that panics leaves nothing behind that anybody sees.
        let made = catch_unwind(AssertUnwindSafe(|| self.activator.activate(name, &scope)));
        let made = match made {
            Ok(made) => made.unwrap_or_else(|| Err(activator::unknown(name))),
            Err(panic) => Err(panicked(panic)),
        };
        let made = made.map_err(|error| activator::not_made(name, error));
        let waiting = {
            let mut services = self.services.lock();
            let waiting = match services.remove(name) {
                Some(Slot::Activating(waiting)) => waiting,
                Some(Slot::Ready(_)) | None => Vec::new(),
            };
            if let Ok(hosted) = &made {
                services.insert(name.to_owned(), Slot::Ready(hosted.clone()));
            }
            waiting
        };
        for call in waiting {
            match &made {
                Ok(_) => self.accept(call),
                Err(error) => call.responder.fail(error),
            }
        }
        made
    }

    /// Queues a call, or answers why not.
    fn accept(&self, call: QueuedCall) {
        let responder = call.responder.clone();
        match self.enqueue(Job::Call(call)) {
            Ok(()) => {}
            Err(Rejected::Full(_)) => responder.fail(&overloaded()),
            Err(Rejected::Stopped(_)) => responder.fail(&stopped()),
        }
    }

    fn running(&self, service: &'static ServiceDescriptor, method: &'static MethodDescriptor) -> RunningGuard<'_> {
        let thread = std::thread::current().id();
        self.threads.lock().running.insert(thread, (service, method, Instant::now()));
        RunningGuard { pool: self, thread }
    }

    // ---- the end ----

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Without a sender the threads leave once the queue is empty.
        let intake = self.intake.lock().take();
        drop(intake);
        while let Ok(job) = self.queue.try_recv() {
            self.dequeued(&job);
            if let Job::Call(call) = job {
                call.responder.fail(&stopped());
            }
        }
    }

    fn join(&self, deadline: Instant) -> Vec<Running> {
        let me = std::thread::current().id();
        let mut threads = self.threads.lock();
        let own = usize::from(threads.alive.contains(&me));
        while threads.alive.len() > own {
            if self.left.wait_until(&mut threads, deadline).timed_out() {
                break;
            }
        }
        let all_left = threads.alive.is_empty();
        let running = threads.running.iter().filter(|(thread, _)| **thread != me);
        let running = running.map(|(_, (service, method, since))| Running {
            service: service.name,
            method: method.name,
            elapsed: since.elapsed(),
        });
        let running = running.collect();
        drop(threads);
        if all_left {
            let services = std::mem::take(&mut *self.services.lock());
            drop(services);
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
            let what = format!("{service}.{method} still runs after {elapsed:?}, and is left alone");
            self.core.log(Level::WARN, what);
        }
    }

    fn caller_gone(&self, caller: ContextId) {
        self.in_flight.cancel_all_of(caller);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Takes note that a thread runs a method, until it is dropped.
struct RunningGuard<'a> {
    pool: &'a Shared,
    thread: ThreadId,
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        self.pool.threads.lock().running.remove(&self.thread);
    }
}

impl Job {
    fn size(&self) -> usize {
        match self {
            Self::Call(call) => call.message.size(),
            Self::Deferred(_) => 0,
        }
    }
}

impl QueuedCall {
    fn new(delivery: Delivery<'_>, in_flight: &Arc<InFlight>) -> Self {
        let Delivery { core, message, ingress } = delivery;
        let id = (message.header.src_id, message.header.reply_to);
        let responder = Responder::new(core, id, Arc::<CallFlag>::default(), in_flight);
        Self { message, is_local: ingress.is_none(), responder }
    }

    fn caller(&self, core: &Arc<Core>) -> Caller {
        let parts = CallerParts {
            core: core.clone(),
            src_id: self.message.header.src_id,
            auth_id: self.message.header.auth_id,
            is_local: self.is_local,
            credentials: None,
        };
        Caller::new(parts, self.responder.flag().clone())
    }
}

/// The handle 110 of a context with a pool.
struct Calls(Arc<Shared>);

impl Listener for Calls {
    fn deliver(&self, delivery: Delivery<'_>) {
        // A dead message is no call, and ends nothing here.
        if !delivery.message.is_dead() {
            self.0.accept(QueuedCall::new(delivery, &self.0.in_flight));
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}

/// The handle on which callers say that they do not wait any more.
struct Cancels(Arc<InFlight>);

impl Listener for Cancels {
    fn deliver(&self, delivery: Delivery<'_>) {
        if let Ok(handle) = control::decode_cancel(&delivery.message.payload) {
            self.0.cancel((delivery.message.header.src_id, handle));
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}

/// Lets a context make its pool by itself, at the first service call from a parent.
pub(crate) fn listen_for_first_call(core: &Arc<Core>) {
    core.listen(Handle::CALL_SERVICE, Access::Parents, Arc::new(FirstCall(OnceLock::new())));
}

/// The handle 110 of a context that has no pool yet; refuses all but parents.
struct FirstCall(OnceLock<()>);

impl Listener for FirstCall {
    fn deliver(&self, delivery: Delivery<'_>) {
        let Delivery { core, message, ingress } = delivery;
        self.0.get_or_init(|| {
            let started = Pool::builder(&Router::borrowed(core)).size(AUTOMATIC_SIZE).start();
            // A pool that was made by hand meanwhile is as good.
            if let Err(error) = started.map(drop)
                && !matches!(error, Error::PoolExists)
            {
                core.log(Level::ERROR, format!("cannot start a pool: {error}"));
            }
        });
        match Router::borrowed(core).pool() {
            Some(pool) => Calls(pool.shared).deliver(Delivery { core, message, ingress }),
            None => core.refuse(&message, core.identity().id, &crate::wire::DeadReason::router_closed()),
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}

fn stopped() -> CallError {
    CallError::Stopped { path: ContextPath::default() }
}

fn overloaded() -> CallError {
    let what = format!("the pool's queue is full ({QUEUE_CALLS} calls or {QUEUE_BYTES} bytes); try again later");
    CallError::Overloaded { what, path: ContextPath::default() }
}

fn no_such_method(envelope: &CallEnvelope<'_>) -> CallError {
    let [mut service, mut method] = [envelope.service, envelope.method].map(str::to_owned);
    crate::router::cut(&mut service, 200);
    crate::router::cut(&mut method, 200);
    CallError::NoSuchMethod { service, method, path: ContextPath::default() }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} threads)", self.shared.size)
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, services, .. } = self;
        f.debug_struct("PoolBuilder").field("size", size).field("services", services).finish_non_exhaustive()
    }
}
