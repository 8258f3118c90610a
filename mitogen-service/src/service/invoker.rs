//! How the calls of a service are run.

use std::fmt;
use std::sync::Arc;

use super::caller::Caller;
use super::descriptor::{MethodDescriptor, ServiceDescriptor};
use super::dispatch::{Answer, AnswerKind, Invocation};
use super::hosted::Hosted;
use super::nesting;
use super::responder::Responder;
use crate::error::{CallError, Trace};
use crate::panics;
use crate::router::{Core, Router, decoding_for};
use crate::wire::{CallEnvelope, payload};

/// How a service's calls are run: when, in which order, on which thread.
///
/// `#[service(invoker = ..)]` sets the invoker of a service, `#[expose(invoker = ..)]` that of one
/// method. Each service in a pool has an invoker of its own.
///
/// ```
/// use mitogen_service::{AllowAny, Authorized, Invoker, service};
///
/// /// Says what it runs.
/// #[derive(Default)]
/// struct Talkative;
///
/// impl Invoker for Talkative {
///     fn invoke(&self, call: Authorized) {
///         println!("{}.{}", call.service().name, call.method().name);
///         call.run();
///     }
/// }
///
/// struct Echo;
///
/// #[service(invoker = Talkative)]
/// impl Echo {
///     #[expose(policy = AllowAny)]
///     fn echo(&self, text: String) -> String {
///         text
///     }
/// }
/// ```
pub trait Invoker: Send + Sync + 'static {
    /// Takes a call that every policy has agreed to, on a thread of the pool.
    ///
    /// It may run the call now, or keep it and run it later; dropping it answers `Cancelled`.
    fn invoke(&self, call: Authorized);

    /// Whether calls are given to [`invoke`](Self::invoke) while another one has not come back from
    /// there. They are, unless this says otherwise.
    fn order(&self) -> Order {
        Order::Any
    }
}

/// In which order a pool gives calls to an invoker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Each as soon as a thread is free, in turns between callers.
    Any,
    /// One at a time, in the order in which they came to this context.
    Arrival,
}

/// Runs each call at once, on the pool's threads. The default; Mitogen's `Invoker`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConcurrentInvoker;

impl Invoker for ConcurrentInvoker {
    fn invoke(&self, call: Authorized) {
        call.run();
    }
}

/// Runs one call at a time, in the order in which they came to this context, whoever made them.
///
/// A call that fails or panics answers its caller, and the next one runs. A thread is taken from the
/// pool only while a call runs. A call that could only run after one that waits for it is refused as
/// [`CallError::Deadlock`].
///
/// ```
/// use mitogen_service::{AllowAny, SerializedInvoker, service};
///
/// struct Journal;
///
/// #[service(invoker = SerializedInvoker)]
/// impl Journal {
///     #[expose(policy = AllowAny)]
///     fn append(&self, line: String) {
///         // No other call of this journal runs meanwhile.
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SerializedInvoker;

impl Invoker for SerializedInvoker {
    fn invoke(&self, call: Authorized) {
        call.run();
    }

    fn order(&self) -> Order {
        Order::Arrival
    }
}

/// The invoker of a service that names none.
#[doc(hidden)]
pub fn default_invoker() -> Box<dyn Invoker> {
    Box::new(ConcurrentInvoker)
}

/// A call that every policy of its method has agreed to.
///
/// Only the check itself makes one, and nothing runs without one.
pub struct Authorized {
    core: Arc<Core>,
    hosted: Hosted,
    method: usize,
    caller: Caller,
    payload: bytes::Bytes,
    responder: Arc<Responder>,
}

impl Authorized {
    /// Asks every policy of the method; this is the one place where an `Authorized` is made.
    pub(crate) fn check(
        hosted: &Hosted,
        method: usize,
        caller: Caller,
        (core, payload): (&Arc<Core>, bytes::Bytes),
        responder: Arc<Responder>,
    ) -> Result<Self, CallError> {
        if !hosted.target().authorize(method, &caller) {
            let descriptor = hosted.descriptor();
            return Err(CallError::Unauthorized {
                method: descriptor.methods[method].name.to_owned(),
                service: descriptor.name.to_owned(),
                trace: Trace::default(),
            });
        }
        Ok(Self { core: core.clone(), hosted: hosted.clone(), method, caller, payload, responder })
    }

    /// The service that is called.
    pub fn service(&self) -> &'static ServiceDescriptor {
        self.hosted.descriptor()
    }

    /// The method that is called.
    pub fn method(&self) -> &'static MethodDescriptor {
        &self.service().methods[self.method]
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Runs the method on this thread and answers the caller, also if it panics.
    pub fn run(self) {
        let (service, method) = (self.service(), self.method());
        self.responder.flag().run(service, method);
        let outcome = panics::guard(|| self.invoke());
        match outcome {
            Ok(Ok(Answer(AnswerKind::Value(payload)))) => self.responder.answer(payload),
            Ok(Ok(Answer(AnswerKind::Nothing))) => self.responder.done(),
            Ok(Ok(Answer(AnswerKind::Deferred))) => {}
            Ok(Err(error)) => self.responder.fail(&error),
            Err(panic) => self.responder.fail(&panicked(panic)),
        }
    }

    fn invoke(&self) -> Result<Answer, CallError> {
        // It was validated when the call was taken from the queue.
        let envelope = CallEnvelope::trusted(&self.payload);
        let envelope =
            envelope.map_err(|error| CallError::Malformed { reason: error.to_string(), trace: Trace::default() })?;
        let invocation = Invocation {
            service: self.service(),
            method: self.method(),
            args: envelope.args,
            caller: &self.caller,
            router: &Router::borrowed(&self.core),
            responder: &self.responder,
        };
        nesting::within(&self.caller, || {
            decoding_for(&self.core, || {
                payload::with(self.payload.clone(), || self.hosted.target().invoke(self.method, &invocation))
            })
        })
    }
}

impl fmt::Debug for Authorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorized({}.{}, {:?})", self.service().name, self.method().name, self.caller)
    }
}

/// What the caller learns of a panic.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> CallError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "a value that is not a text".to_owned());
    panics::discard(panic);
    CallError::Panicked { message, trace: Trace::default() }
}
