//! What a service is given when it is made.

use std::sync::{Arc, OnceLock};

use super::hosted::{Hosted, WeakHosted};
use crate::channel::Select;
use crate::router::{Core, Router};

/// The surroundings of a service: `activate = Self::create` passes it to `create`.
///
/// ```
/// use mitogen_service::{AllowParents, ServiceScope, service};
///
/// struct Agent {
///     name: String,
/// }
///
/// #[service(activate = Self::create)]
/// impl Agent {
///     fn create(scope: &ServiceScope) -> Result<Self, std::convert::Infallible> {
///         Ok(Self { name: scope.router().myself().name().to_owned() })
///     }
///
///     #[expose(policy = AllowParents)]
///     fn name(&self) -> String {
///         self.name.clone()
///     }
/// }
/// ```
///
/// A service keeps a clone of it to say that results are not valid any more, which a
/// [`DeduplicatingInvoker`](crate::DeduplicatingInvoker) keeps for it:
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use mitogen_service::{AllowAny, ConcurrentInvoker, DeduplicatingInvoker, ServiceScope, service};
///
/// struct Settings {
///     values: Mutex<HashMap<String, String>>,
///     scope: ServiceScope,
/// }
///
/// #[service(activate = Self::create, invoker = DeduplicatingInvoker)]
/// impl Settings {
///     fn create(scope: &ServiceScope) -> Result<Self, std::convert::Infallible> {
///         Ok(Self { values: Mutex::default(), scope: scope.clone() })
///     }
///
///     #[expose(policy = AllowAny)]
///     fn get(&self, name: String) -> Option<String> {
///         self.values.lock().unwrap().get(&name).cloned()
///     }
///
///     #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
///     fn set(&self, name: String, value: String) {
///         self.values.lock().unwrap().insert(name, value);
///         self.scope.invalidate("get");
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ServiceScope {
    router: Router,
    /// The service, once it is made. It may own clones of this, and is not kept by them.
    service: Arc<OnceLock<WeakHosted>>,
    select: Arc<Select>,
}

impl ServiceScope {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { router: Router::borrowed(core), service: Arc::default(), select: Arc::default() }
    }

    /// The service has been made.
    pub(super) fn bind(&self, service: &Hosted) {
        // Each has a scope of its own, so it is empty.
        let _ = self.service.set(service.downgrade());
    }

    /// The router of the context that the service runs in. Keeping a clone does not keep it open.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The service's own select: what is added here arrives at its `#[on_message]` method, on a thread
    /// of the pool, one event after the other. Receivers may be added and removed at any time.
    ///
    /// ```
    /// use mitogen_service::{AllowAny, Event, Sender, ServiceScope, service};
    ///
    /// struct Collector {
    ///     scope: ServiceScope,
    ///     lines: std::sync::Mutex<Vec<String>>,
    /// }
    ///
    /// #[service(activate = Self::create)]
    /// impl Collector {
    ///     fn create(scope: &ServiceScope) -> Result<Self, std::convert::Infallible> {
    ///         Ok(Self { scope: scope.clone(), lines: Default::default() })
    ///     }
    ///
    ///     /// Whoever calls this may send lines from now on.
    ///     #[expose(policy = AllowAny)]
    ///     fn subscribe(&self, name: String) -> Result<Sender<String>, mitogen_service::Error> {
    ///         let receiver = self.scope.router().receiver::<String>();
    ///         let sender = receiver.sender();
    ///         self.scope.select().add(receiver, name)?;
    ///         Ok(sender)
    ///     }
    ///
    ///     #[on_message(policy = AllowAny)]
    ///     fn take(&self, event: Event) {
    ///         // An error is the end of this sender.
    ///         if let Ok(line) = event.decode::<String>() {
    ///             self.lines.lock().unwrap().push(line);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn select(&self) -> &Select {
        &self.select
    }

    /// Drops the results of a method that its invoker keeps. Who waits for an execution that has begun
    /// before gets its result; it is not kept, and calls that come from now on do not join it.
    ///
    /// While the service is being made there is nothing to drop. A method that the service does not
    /// expose is told to the log.
    pub fn invalidate(&self, method: &str) {
        if let Some(service) = self.hosted() {
            service.invalidate_or_log(method, self.router.core());
        }
    }

    /// Drops the results of all methods, as [`invalidate`](Self::invalidate) does those of one.
    pub fn invalidate_all(&self) {
        if let Some(service) = self.hosted() {
            service.invalidate_all();
        }
    }

    fn hosted(&self) -> Option<Hosted> {
        self.service.get().and_then(WeakHosted::upgrade)
    }
}
