//! An answer that is given later.

use std::fmt;
use std::sync::Arc;

use super::descriptor::{MethodDescriptor, ServiceDescriptor};
use super::dispatch::encode_reply;
use super::in_flight::CallFlag;
use super::responder::Responder;
use crate::error::{CallError, Trace};
use crate::wire::value::EncodeError;

/// The answer of a call, to be given later and from any thread.
///
/// A parameter of the type `Reply<T>` is not an argument of the call: the dispatcher fills it in, the
/// method returns nothing, and the stub returns `Call<T>`. Dropped unanswered, it answers
/// [`CallError::Cancelled`].
///
/// A context or a router that ends gracefully waits for it, within its bound, but for what its services keep
/// for themselves: those are told of the end, and dropped, before.
///
/// ```
/// use mitogen_service::{AllowAny, Reply, service};
///
/// struct Slow;
///
/// #[service]
/// impl Slow {
///     #[expose(policy = AllowAny)]
///     fn add(&self, a: u32, b: u32, reply: Reply<u32>) {
///         std::thread::spawn(move || reply.send(Ok(a + b)));
///     }
/// }
/// ```
pub struct Reply<T> {
    responder: Arc<Responder>,
    service: &'static ServiceDescriptor,
    method: &'static MethodDescriptor,
    encode: fn(&T, &mut Vec<u8>) -> Result<(), EncodeError>,
    sent: bool,
}

impl<T> Reply<T> {
    pub(crate) fn new(
        responder: Arc<Responder>,
        service: &'static ServiceDescriptor,
        method: &'static MethodDescriptor,
        encode: fn(&T, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Self {
        Self { responder, service, method, encode, sent: false }
    }

    /// Answers the call. Returns at once; a caller that is gone is no error.
    pub fn send(mut self, result: Result<T, CallError>) {
        self.sent = true;
        let payload =
            result.and_then(|value| encode_reply(self.service, self.method, |out| (self.encode)(&value, out)));
        match payload {
            Ok(payload) => self.responder.answer(payload),
            Err(error) => self.responder.fail(&error),
        }
    }

    /// What caller and callee agree on.
    pub(crate) fn flag(&self) -> &Arc<CallFlag> {
        self.responder.flag()
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_cancelled(&self) -> bool {
        self.flag().is_cancelled()
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        // A method that panics drops its reply; the panic is the better answer.
        if self.sent || std::thread::panicking() {
            return;
        }
        let reason = "its reply was dropped unanswered".to_owned();
        self.responder.fail(&CallError::Cancelled { reason, trace: Trace::default() });
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}.{})", self.service.name, self.method.name)
    }
}
