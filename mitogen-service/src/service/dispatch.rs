//! One method called: what generated code gets, and what it gives back.

use std::sync::Arc;

use super::args::Args;
use super::caller::Caller;
use super::descriptor::{MethodDescriptor, ServiceDescriptor};
use super::invoker::Invoker;
use super::reply::Reply;
use super::responder::Responder;
use crate::error::{CallError, Trace};
use crate::router::Router;
use crate::wire::canonical;
use crate::wire::envelope::reply_ok_prefix;
use crate::wire::value::EncodeError;

/// How a method of `S` is called. One entry of the table that `#[service]` writes.
#[doc(hidden)]
pub struct Method<S: ?Sized> {
    /// Whether every policy agrees.
    pub authorize: fn(&S, &Caller) -> bool,
    /// Decodes the arguments, calls, and encodes the result.
    pub invoke: fn(&S, &Invocation<'_>) -> Outcome,
    /// The invoker of this method alone, if it has one.
    pub invoker: Option<fn() -> Box<dyn Invoker>>,
    /// Decodes the arguments, and writes them in the one way in which they can be. Not there if the
    /// invoker has no use for it, or if no call is like another one.
    pub key: Option<KeyOf>,
}

/// Makes the key of a call.
#[doc(hidden)]
pub type KeyOf = fn(&Invocation<'_>) -> Result<Vec<u8>, CallError>;

/// What comes of a call: an answer, or the error that the caller gets.
#[doc(hidden)]
pub type Outcome = Result<Answer, CallError>;

/// What a method that came to its end has to say.
#[doc(hidden)]
#[derive(Debug)]
pub struct Answer(pub(crate) AnswerKind);

#[derive(Debug)]
pub(crate) enum AnswerKind {
    /// The payload of the reply.
    Value(Vec<u8>),
    /// The same, not to be used for a later call.
    Uncached(Vec<u8>),
    /// The method has no result.
    Nothing,
    /// A `Reply` answers later.
    Deferred,
}

/// A call that is authorized and about to run.
#[doc(hidden)]
pub struct Invocation<'a> {
    pub(crate) service: &'static ServiceDescriptor,
    pub(crate) method: &'static MethodDescriptor,
    /// The map of arguments as it is written.
    pub(crate) args: &'a [u8],
    pub(crate) caller: &'a Caller,
    pub(crate) router: &'a Router,
    pub(crate) responder: &'a Arc<Responder>,
}

impl<'a> Invocation<'a> {
    /// The arguments; refuses unknown and missing ones.
    pub fn args(&self) -> Result<Args<'a>, CallError> {
        Args::new(self.method.args, self.args)
    }

    /// The method's own code begins to run: from here on nobody may think that nothing was done.
    pub fn enter(&self) {
        self.responder.flag().enter();
    }

    /// The value of a `&Caller` parameter.
    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// The value of a `&Router` parameter.
    pub fn router(&self) -> &'a Router {
        self.router
    }

    /// The value of a `Reply<T>` parameter.
    pub fn deferred<T>(&self, encode: fn(&T, &mut Vec<u8>) -> Result<(), EncodeError>) -> Reply<T> {
        Reply::new(self.responder.clone(), self.service, self.method, encode)
    }

    /// The outcome of a method that has answered or will answer by its `Reply`.
    pub fn deferred_answer(&self) -> Outcome {
        Ok(Answer(AnswerKind::Deferred))
    }

    /// The outcome of a method without a result.
    pub fn nothing(&self) -> Outcome {
        Ok(Answer(AnswerKind::Nothing))
    }

    /// The outcome of a method with this result.
    pub fn reply<T: ?Sized>(
        &self,
        value: &T,
        encode: impl FnOnce(&T, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Outcome {
        let payload = encode_reply(self.service, self.method, |out| encode(value, out))?;
        Ok(Answer(AnswerKind::Value(payload)))
    }

    /// The outcome of a method with a result that holds for the present calls alone.
    pub fn reply_uncached<T: ?Sized>(
        &self,
        value: &T,
        encode: impl FnOnce(&T, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Outcome {
        let payload = encode_reply(self.service, self.method, |out| encode(value, out))?;
        Ok(Answer(AnswerKind::Uncached(payload)))
    }

    /// Begins the key of the call.
    pub fn key(&self) -> KeyWriter {
        KeyWriter { service: self.service, method: self.method, key: Vec::new() }
    }
}

/// Writes the arguments of a call one after the other, in the order of the signature.
#[doc(hidden)]
#[derive(Debug)]
pub struct KeyWriter {
    service: &'static ServiceDescriptor,
    method: &'static MethodDescriptor,
    key: Vec<u8>,
}

impl KeyWriter {
    /// Writes an argument. Each is one whole value, so that none can be taken for another one.
    pub fn arg<T: ?Sized>(
        &mut self,
        index: usize,
        value: &T,
        encode: impl FnOnce(&T, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), CallError> {
        let start = self.key.len();
        let encoded = encode(value, &mut self.key);
        let canonical = encoded.and_then(|()| canonical::sort_maps(&mut self.key[start..]));
        canonical.map_err(|EncodeError(reason)| {
            let name = self.method.args[index].name;
            let what = format!("the argument '{name}' of '{}' of service '{}'", self.method.name, self.service.name);
            CallError::Encode { what, reason, trace: Trace::default() }
        })
    }

    /// The key.
    pub fn finish(self) -> Vec<u8> {
        self.key
    }
}

/// Room for most replies. It is what the [`CallFlag`](super::in_flight::CallFlag) of a call takes with its `Arc`, so
/// that an allocator with classes of sizes finds the memory for one call among what was given back for another: with 64
/// bytes glibc took 400 instructions more for each call.
const USUAL_REPLY: usize = 80;

/// The payload of a reply.
pub(crate) fn encode_reply(
    service: &ServiceDescriptor,
    method: &MethodDescriptor,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, CallError> {
    let mut payload = Vec::with_capacity(USUAL_REPLY);
    reply_ok_prefix(&mut payload);
    encode(&mut payload).map_err(|EncodeError(reason)| CallError::Encode {
        what: format!("the result of '{}' of service '{}'", method.name, service.name),
        reason,
        trace: Trace::default(),
    })?;
    Ok(payload)
}
