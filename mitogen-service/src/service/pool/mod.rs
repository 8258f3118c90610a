//! The pool: a fixed number of threads that run the calls of all services of a context.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `turns` | whose turn it is, of the calls that wait and the services that they name |
//! | `queue` | the jobs that wait for a thread, and the threads that wait for a job |
//! | `job` | what waits: a call as it came over the wire, or a function |
//! | `activation` | services made when they are first asked for |
//! | `threads` | the threads, and what each runs |
//! | `stats` | what a pool tells of itself |
//! | `shared` | what the handles of a pool and its threads share |
//! | `working` | what a thread does: it reads, waits, and runs what has its turn |
//! | `serving` | from a queued call to a running one |
//! | `messages` | what arrives at the selects of services |
//! | `ending` | the end: answers for what is queued, and the farewell |
//! | `listeners` | the handles on which calls and cancels arrive |

mod activation;
mod crew;
mod ending;
mod job;
mod listeners;
mod messages;
mod queue;
mod serving;
mod shared;
mod stats;
mod threads;
mod turns;
mod working;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::activator::{self, Activator, RegistryActivator};
use super::built_in;
use super::descriptor::Service;
use super::function;
use super::hosted::Hosted;
use super::introspection;
use crate::deadline;
use crate::error::{Error, Result};
use crate::router::{Router, Workers};
pub(crate) use listeners::listen_for_first_call;
use shared::Shared;
pub use stats::{MethodStats, PoolStats};
pub use threads::Running;

/// The threads of a pool unless told otherwise.
const DEFAULT_SIZE: usize = 4;

/// The most threads that a pool may have.
const MAX_SIZE: usize = 4096;

/// The threads that run services, and the services that they run.
///
/// The root makes its pool by hand; a child makes one by itself when a parent first calls a service
/// there. A router has one pool at a time. A clone is another handle to the same pool, and dropping
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

    /// Adds a service, and returns when its `#[on_start]` has. Calls of it that come meanwhile wait.
    ///
    /// If a call has asked for the name just now, this waits until it is settled whether that has a service made.
    ///
    /// # Errors
    /// [`Error::ServiceExists`] if one of the same name is there or just starts: this one does not start then;
    /// [`Error::PoolStopped`] after a stop, also if that comes while it starts: it has been told of the end then;
    /// [`Error::Call`] if its `#[on_start]` fails, panics, or calls the service itself.
    pub fn add<S: Service>(&self, service: S) -> Result<()> {
        self.shared.add(Hosted::new(service))
    }

    /// Drops the results of a method that the invoker of a service keeps, for services that have no
    /// scope because they were made by hand. See [`ServiceScope::invalidate`](crate::ServiceScope::invalidate).
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// use mitogen_service::{AllowAny, DeduplicatingInvoker, Pool, Router, service};
    ///
    /// #[derive(Default)]
    /// struct Counter(AtomicU32);
    ///
    /// #[service(invoker = DeduplicatingInvoker)]
    /// impl Counter {
    ///     #[expose(policy = AllowAny)]
    ///     fn next(&self) -> u32 {
    ///         self.0.fetch_add(1, Ordering::Relaxed)
    ///     }
    /// }
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().build()?;
    /// let pool = Pool::builder(&router).service(Counter::default()).start()?;
    /// let counter = Counter::stub(&router.myself());
    /// assert_eq!([counter.next().wait()?, counter.next().wait()?], [0, 0]);
    /// pool.invalidate::<Counter>("next");
    /// assert_eq!(counter.next().wait()?, 1);
    /// # pool.close(std::time::Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn invalidate<S: Service>(&self, method: &str) {
        self.shared.invalidate(S::DESCRIPTOR.name, method);
    }

    /// The service of this type, if it runs in the pool.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    /// # use mitogen_service::{AllowAny, Pool, Router, service};
    /// #[derive(Default)]
    /// struct Visits(AtomicU32);
    ///
    /// #[service]
    /// impl Visits {
    ///     #[expose(policy = AllowAny)]
    ///     fn visit(&self) {
    ///         self.0.fetch_add(1, Ordering::Relaxed);
    ///     }
    /// }
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().build()?;
    /// let pool = Pool::builder(&router).service(Visits::default()).start()?;
    /// Visits::stub(&router.myself()).visit().wait()?;
    /// let visits = pool.get_service::<Visits>().expect("it was added");
    /// assert_eq!(visits.0.load(Ordering::Relaxed), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_service<S: Service>(&self) -> Option<Arc<S>> {
        self.service_named(S::DESCRIPTOR.name)?.get()
    }

    /// The service of this name, if it runs in the pool: one that was added, or made because somebody
    /// has asked for it.
    pub fn service_named(&self, name: &str) -> Option<Hosted> {
        self.shared.service_named(name)
    }

    /// Runs a function on a thread of the pool, after the calls that are queued.
    ///
    /// # Errors
    /// [`CallError::Overloaded`](crate::CallError::Overloaded) when the queue is full, [`Error::PoolStopped`] after a stop.
    pub fn defer(&self, f: impl FnOnce() + Send + 'static) -> Result<()> {
        self.shared.defer(Box::new(f))
    }

    /// The number of threads.
    pub fn size(&self) -> usize {
        self.shared.size()
    }

    /// Takes no more calls, and answers what is queued with `Stopped`. Returns at once; methods
    /// that run come to their end.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Waits until the threads of a stopped pool have ended, for `bound` at most, and tells which
    /// methods still run after that. A thread of the pool does not wait for itself.
    ///
    /// Then the services are told of the end, which may take 300 ms beyond the bound; if somebody else does
    /// so already, this waits for that. A service that is just being added is waited for like a method.
    pub fn join(&self, bound: Duration) -> Vec<Running> {
        self.shared.join(deadline::after(bound))
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
    /// the same name, [`Error::Invalid`] for a size of zero or beyond 4096 and if two
    /// [functions](macro@crate::function) have the same path, [`Error::Closed`] if the router is closed,
    /// [`Error::Io`] if threads cannot be started.
    pub fn start(self) -> Result<Pool> {
        if !(1..=MAX_SIZE).contains(&self.size) {
            let what = format!("the pool's size is {}, and must be between 1 and {MAX_SIZE} threads", self.size);
            return Err(Error::Invalid { what });
        }
        let core = self.router.core().clone();
        let shared = Shared::new(&core, self.size, self.activator)?;
        activator::check_registry()?;
        let functions = function::all()?;
        core.set_workers(shared.clone())?;
        let mut services =
            [functions, introspection::hosted()].into_iter().chain(built_in::make()).chain(self.services);
        if let Err(error) = services.try_for_each(|service| shared.add(service)).and_then(|()| shared.spawn()) {
            // Those that have started are told of the end.
            shared.stop();
            shared.join(Instant::now());
            let workers: Arc<dyn Workers> = shared;
            core.clear_workers(&workers);
            let is_closed = matches!(error, Error::PoolStopped) && !core.lifecycle().is_open();
            return Err(if is_closed { Error::Closed } else { error });
        }
        listeners::listen(&core, &shared);
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

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} threads)", self.shared.size())
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, services, .. } = self;
        f.debug_struct("PoolBuilder").field("size", size).field("services", services).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::error::CallError;
    use crate::service::scope::ServiceScope;

    /// Tells on which thread it is dropped.
    struct Owned(mpsc::Sender<Option<String>>);

    impl Activator for Owned {
        fn activate(&self, _name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
            None
        }
    }

    impl Drop for Owned {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().name().map(str::to_owned));
        }
    }

    #[test]
    fn what_belongs_to_a_user_is_not_dropped_on_the_io_thread() {
        let router = Router::builder().build().unwrap();
        let (dropped, on) = mpsc::channel();
        let pool = Pool::builder(&router).size(1).activator(Owned(dropped)).start().unwrap();
        assert!(pool.close(Duration::from_secs(20)).is_empty());
        // Now the router knows another one, and `pool` is the last that knows the first.
        let next = Pool::builder(&router).size(1).start().unwrap();
        router.core().broker().unwrap().defer(move |_| drop(pool));
        let on = on.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(on.as_deref(), Some("mitogen-drop"));
        next.close(Duration::from_secs(20));
    }
}
