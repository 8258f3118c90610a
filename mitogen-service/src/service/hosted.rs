//! A service in a pool: the type behind it is known only to generated code.

use std::fmt;
use std::sync::Arc;

use super::caller::Caller;
use super::descriptor::{Service, ServiceDescriptor};
use super::dispatch::{Invocation, Outcome};
use super::invoker::{Invoker, Order, default_invoker};
use crate::error::CallError;

/// A service that is ready to be called, with its invokers.
///
/// An [`Activator`](crate::Activator) makes one with [`Hosted::new`].
#[derive(Clone)]
pub struct Hosted {
    inner: Arc<Inner>,
}

struct Inner {
    target: Arc<dyn Dispatch>,
    invoker: Box<dyn Invoker>,
    /// The invokers of single methods, in the order of the descriptor.
    of_methods: Vec<Option<Box<dyn Invoker>>>,
    /// Any of them wants its calls one at a time.
    has_strands: bool,
}

/// A service without its type.
pub(crate) trait Dispatch: Send + Sync {
    /// What the service says of itself.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    /// Whether every policy of a method agrees.
    fn authorize(&self, method: usize, caller: &Caller) -> bool;

    /// Runs a method.
    fn invoke(&self, method: usize, invocation: &Invocation<'_>) -> Outcome;
}

impl Hosted {
    /// Makes a service ready to be called.
    pub fn new<S: Service>(service: S) -> Self {
        let of_methods: Vec<_> = S::METHODS.iter().map(|method| method.invoker.map(|make| make())).collect();
        let invoker = S::invoker();
        let has_strands = is_ordered(&*invoker) || of_methods.iter().flatten().any(|invoker| is_ordered(&**invoker));
        Self { inner: Arc::new(Inner { target: Arc::new(Typed(service)), invoker, of_methods, has_strands }) }
    }

    /// Makes a service without a type ready to be called; its calls run at once.
    pub(crate) fn concurrent(target: impl Dispatch + 'static) -> Self {
        let inner =
            Inner { target: Arc::new(target), invoker: default_invoker(), of_methods: Vec::new(), has_strands: false };
        Self { inner: Arc::new(inner) }
    }

    /// What the service says of itself.
    pub fn descriptor(&self) -> &'static ServiceDescriptor {
        self.inner.target.descriptor()
    }

    pub(crate) fn target(&self) -> &Arc<dyn Dispatch> {
        &self.inner.target
    }

    /// The invoker that runs a method.
    pub(crate) fn invoker(&self, method: usize) -> &dyn Invoker {
        let of_method = self.inner.of_methods.get(method).and_then(Option::as_ref);
        of_method.unwrap_or(&self.inner.invoker).as_ref()
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
        match self.inner.of_methods.get(method).and_then(Option::as_ref) {
            Some(invoker) => is_ordered(&**invoker).then_some(method + 1),
            None => is_ordered(&*self.inner.invoker).then_some(0),
        }
    }
}

fn is_ordered(invoker: &dyn Invoker) -> bool {
    invoker.order() == Order::Arrival
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hosted({})", self.descriptor().name)
    }
}

struct Typed<S>(S);

impl<S: Service> Dispatch for Typed<S> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        S::DESCRIPTOR
    }

    fn authorize(&self, method: usize, caller: &Caller) -> bool {
        S::METHODS.get(method).is_some_and(|method| (method.authorize)(&self.0, caller))
    }

    fn invoke(&self, method: usize, invocation: &Invocation<'_>) -> Outcome {
        (S::METHODS[method].invoke)(&self.0, invocation)
    }
}

/// What a registration makes.
#[doc(hidden)]
pub fn host<S: Service>(made: Result<S, CallError>) -> Result<Hosted, CallError> {
    made.map(Hosted::new)
}
