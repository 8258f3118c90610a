//! A service in a pool: the type behind it is known only to generated code.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use tracing::Level;

use super::caller::Caller;
use super::descriptor::{Service, ServiceDescriptor};
use super::dispatch::{Invocation, KeyOf, Outcome};
use super::invoker::{Invoker, Order, default_invoker, panicked};
use super::life::{Life, NotStarted};
use super::meter::Meter;
use super::scope::ServiceScope;
use super::travels::Shared;
use crate::channel::{Event, Select};
use crate::error::{CallError, Trace};
use crate::panics;
use crate::router::Core;

/// A service that is ready to be called, with its invokers.
///
/// An [`Activator`](crate::Activator) makes one with [`Hosted::new`].
#[derive(Clone)]
pub struct Hosted {
    inner: Arc<Inner>,
}

/// A service that may be gone, known to its scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct WeakHosted(Weak<Inner>);

/// Numbers the services of the process.
static NEXT: AtomicU64 = AtomicU64::new(0);

struct Inner {
    number: u64,
    target: Arc<dyn Dispatch>,
    /// The service itself, for those who know its type.
    service: Arc<dyn Any + Send + Sync>,
    meters: Box<[Meter]>,
    life: Life,
    /// Its surroundings, once it has started.
    scope: OnceLock<ServiceScope>,
    /// A thread is to look at its select, or does. Shared with those who tell of events and must not own
    /// the service.
    is_scheduled: Arc<AtomicBool>,
    invoker: Box<dyn Invoker>,
    /// The invokers of single methods, in the order of the descriptor.
    of_methods: Vec<Option<Box<dyn Invoker>>>,
    /// Where the calls of each method wait, as the invokers have said once: they are a user's code.
    strands: Box<[Option<usize>]>,
    /// Any of them wants its calls one at a time.
    has_strands: bool,
}

/// Which methods of a service run by themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HasHooks {
    pub(crate) message: bool,
    pub(crate) shutdown: bool,
}

/// A service without its type.
pub(crate) trait Dispatch: Send + Sync {
    /// What the service says of itself.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    /// Whether every policy of a method agrees.
    fn authorize(&self, method: usize, caller: &Caller) -> bool;

    /// Runs a method.
    fn invoke(&self, method: usize, invocation: &Invocation<'_>) -> Outcome;

    /// What makes the keys of the calls of a method, if they have any.
    fn key(&self, method: usize) -> Option<KeyOf> {
        let _ = method;
        None
    }

    /// Which methods run by themselves.
    fn hooks(&self) -> HasHooks {
        HasHooks::default()
    }

    /// Runs before the first call.
    fn on_start(&self, scope: &ServiceScope) -> Result<(), CallError> {
        let _ = scope;
        Ok(())
    }

    /// Whether a message of this caller is taken.
    fn allows_message(&self, caller: &Caller) -> bool {
        let _ = caller;
        false
    }

    /// Takes what has arrived at the service's select.
    fn on_message(&self, event: Event) {
        let _ = event;
    }

    /// Runs when the pool ends.
    fn on_shutdown(&self) {}
}

impl Hosted {
    /// Makes a service ready to be called.
    pub fn new<S: Service>(service: S) -> Self {
        let of_methods: Vec<_> = S::METHODS.iter().map(|method| method.invoker.map(|make| make())).collect();
        let invoker = S::invoker();
        let of_service = is_ordered(&*invoker).then_some(0);
        let strand = |(method, own): (usize, &Option<Box<dyn Invoker>>)| match own {
            Some(invoker) => is_ordered(&**invoker).then_some(method + 1),
            None => of_service,
        };
        let strands: Box<[_]> = of_methods.iter().enumerate().map(strand).collect();
        let has_strands = strands.iter().any(Option::is_some);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let Erased { target, service } = (S::HOSTING.erase)(service);
        let meters = S::METHODS.iter().map(|_| Meter::default()).collect();
        Self {
            inner: Arc::new(Inner {
                number,
                target,
                service,
                meters,
                life: Life::default(),
                scope: OnceLock::new(),
                is_scheduled: Arc::default(),
                invoker,
                of_methods,
                strands,
                has_strands,
            }),
        }
    }

    /// Makes a service without a type ready to be called; its calls run at once.
    pub(crate) fn concurrent(target: impl Dispatch + 'static) -> Self {
        let target = Arc::new(target);
        let meters = target.descriptor().methods.iter().map(|_| Meter::default()).collect();
        let inner = Inner {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            target,
            service: Arc::new(()),
            meters,
            life: Life::default(),
            scope: OnceLock::new(),
            is_scheduled: Arc::default(),
            invoker: default_invoker(),
            of_methods: Vec::new(),
            strands: Box::default(),
            has_strands: false,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What the service says of itself.
    pub fn descriptor(&self) -> &'static ServiceDescriptor {
        self.inner.target.descriptor()
    }

    /// The service itself, if it is an `S`.
    pub fn get<S: Service>(&self) -> Option<Arc<S>> {
        (S::HOSTING.find)(self.inner.service.clone())
    }

    /// Lets the service start in its surroundings, before its first call. It starts once, also if it is
    /// there under several names, or in a second pool: its surroundings are those of the first.
    pub(crate) fn start(&self, scope: &ServiceScope) -> Result<(), CallError> {
        let started = self.inner.life.start(|| {
            scope.bind(self);
            let scope = self.inner.scope.get_or_init(|| scope.clone());
            panics::guard(|| self.inner.target.on_start(scope)).unwrap_or_else(|panic| Err(panicked(panic)))
        });
        started.map_err(|why| match why {
            NotStarted::Failed(error) => error,
            NotStarted::TooLate => CallError::NoSuchService {
                service: self.descriptor().name.to_owned(),
                reason:
                    "it has been told of the end of the pool that it was in, and does not start again; make another one"
                        .to_owned(),
                trace: Trace::default(),
            },
        })
    }

    /// Where messages to the service arrive, if it takes any.
    pub(crate) fn select(&self) -> Option<&Select> {
        let scope = self.inner.scope.get()?;
        self.inner.target.hooks().message.then(|| scope.select())
    }

    /// Tells it of the end of its pool, once. If another thread is about that, waits for it until
    /// `deadline`; gives whether it has been told.
    pub(crate) fn farewell(&self, deadline: Instant) -> bool {
        self.inner.life.end(deadline, || panics::contain(|| self.inner.target.on_shutdown()))
    }

    /// Whether it wants to be told of the end, has not been, and is not being told by this very thread.
    pub(crate) fn waits_for_farewell(&self) -> bool {
        self.inner.target.hooks().shutdown && !self.inner.life.needs_no_farewell()
    }

    /// Whether it has been told of the end, or is being told, and nothing may begin in it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.inner.life.is_over()
    }

    /// Whether a thread is to look at the select, or does.
    pub(crate) fn is_scheduled(&self) -> &Arc<AtomicBool> {
        &self.inner.is_scheduled
    }

    /// What counts the calls of a method.
    pub(crate) fn meter(&self, method: usize) -> &Meter {
        &self.inner.meters[method]
    }

    /// How many results its invokers keep, and their bytes.
    pub(crate) fn cached(&self) -> (usize, usize) {
        let invokers = self.inner.of_methods.iter().flatten().chain([&self.inner.invoker]);
        invokers.map(|invoker| invoker.cached()).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    pub(crate) fn target(&self) -> &Arc<dyn Dispatch> {
        &self.inner.target
    }

    /// A number that no other service of the process has.
    pub(crate) fn number(&self) -> u64 {
        self.inner.number
    }

    pub(crate) fn downgrade(&self) -> WeakHosted {
        WeakHosted(Arc::downgrade(&self.inner))
    }

    /// The invoker that runs a method.
    pub(crate) fn invoker(&self, method: usize) -> &dyn Invoker {
        let of_method = self.inner.of_methods.get(method).and_then(Option::as_ref);
        of_method.unwrap_or(&self.inner.invoker).as_ref()
    }
}

impl Hosted {
    /// Tells the invoker of a method that results are not valid any more, or the log that there is no
    /// such method.
    pub(crate) fn invalidate_or_log(&self, method: &str, core: &Core) {
        let ServiceDescriptor { name, .. } = self.descriptor();
        match self.descriptor().method(method) {
            Some(index) => self.invoker(index).invalidate(Some(method)),
            None => core.log(Level::WARN, format!("invalidate: service '{name}' exposes no method '{method}'")),
        }
    }

    /// Tells all invokers that results are not valid any more.
    pub(crate) fn invalidate_all(&self) {
        let invokers = self.inner.of_methods.iter().flatten().chain([&self.inner.invoker]);
        invokers.for_each(|invoker| invoker.invalidate(None));
    }
}

impl WeakHosted {
    pub(crate) fn upgrade(&self) -> Option<Hosted> {
        self.0.upgrade().map(|inner| Hosted { inner })
    }
}

impl Hosted {
    /// Where the calls of a method wait that run one at a time: 0 for those of the service's own
    /// invoker, another number for each method that has one.
    pub(crate) fn strand_of(&self, method: impl FnOnce() -> Option<usize>) -> Option<usize> {
        if !self.inner.has_strands {
            return None;
        }
        let method = method()?;
        self.inner.strands.get(method).copied().flatten()
    }
}

fn is_ordered(invoker: &dyn Invoker) -> bool {
    invoker.order() == Order::Arrival
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("number", &self.number).finish_non_exhaustive()
    }
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hosted({})", self.descriptor().name)
    }
}

/// How the type of a service is left behind and found again.
#[doc(hidden)]
#[derive(Debug)]
pub struct Hosting<S> {
    erase: fn(S) -> Erased,
    find: fn(Arc<dyn Any + Send + Sync>) -> Option<Arc<S>>,
}

/// A service without its type.
struct Erased {
    target: Arc<dyn Dispatch>,
    service: Arc<dyn Any + Send + Sync>,
}

/// What `#[service]` takes for a type that threads may share.
#[doc(hidden)]
pub const fn hosting<S: Service + Shared>() -> Hosting<S> {
    Hosting {
        erase: |service| {
            let service = Arc::new(service);
            Erased { target: Arc::new(Typed(service.clone())), service }
        },
        find: |service| service.downcast().ok(),
    }
}

/// The same for a service whose macro failed, which is never hosted.
#[doc(hidden)]
pub const fn unhosted<S>() -> Hosting<S> {
    Hosting { erase: |_| unreachable!("a service whose macro failed does not compile"), find: |_| None }
}

struct Typed<S>(Arc<S>);

impl<S: Service + Shared> Dispatch for Typed<S> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        S::DESCRIPTOR
    }

    fn authorize(&self, method: usize, caller: &Caller) -> bool {
        S::METHODS.get(method).is_some_and(|method| (method.authorize)(&self.0, caller))
    }

    fn invoke(&self, method: usize, invocation: &Invocation<'_>) -> Outcome {
        (S::METHODS[method].invoke)(&self.0, invocation)
    }

    fn key(&self, method: usize) -> Option<KeyOf> {
        S::METHODS[method].key
    }

    fn hooks(&self) -> HasHooks {
        HasHooks { message: S::HOOKS.on_message.is_some(), shutdown: S::HOOKS.on_shutdown.is_some() }
    }

    fn on_start(&self, scope: &ServiceScope) -> Result<(), CallError> {
        S::HOOKS.on_start.map_or(Ok(()), |start| start(&self.0, scope))
    }

    fn allows_message(&self, caller: &Caller) -> bool {
        S::HOOKS.on_message.is_some_and(|(allows, _)| allows(&self.0, caller))
    }

    fn on_message(&self, event: Event) {
        if let Some((_, message)) = S::HOOKS.on_message {
            message(&self.0, event);
        }
    }

    fn on_shutdown(&self) {
        if let Some(shutdown) = S::HOOKS.on_shutdown {
            shutdown(&self.0);
        }
    }
}

/// A type that a registration makes.
#[doc(hidden)]
#[derive(Debug)]
pub struct Host<S>(PhantomData<S>);

impl<S: Service> Host<S> {
    /// Makes it ready to be called.
    pub fn host(made: Result<S, CallError>) -> Result<Hosted, CallError> {
        made.map(Hosted::new)
    }
}

/// A type that is no service, which [`Registration::new`](super::Registration::new) reports.
#[doc(hidden)]
pub trait NotHosted: Sized {
    /// The type.
    type Of;

    /// In place of [`Host::host`].
    fn host(_: Result<Self::Of, CallError>) -> Result<Hosted, CallError> {
        unreachable!("a registration of what is no service does not compile")
    }
}

impl<S> NotHosted for Host<S> {
    type Of = S;
}
