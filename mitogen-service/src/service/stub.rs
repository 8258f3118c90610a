//! What a stub is made of. The typed methods around it are written by `#[service]`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::descriptor::{MethodDescriptor, ServiceDescriptor};
use super::nesting;
use crate::channel::{Call, Held, Request, collecting, post, start};
use crate::error::{CallError, Trace};
use crate::router::Context;
use crate::wire::value::{DecodeError, EncodeError};
use crate::wire::{ContextId, EnvelopeWriter, Handle, Meta};

/// Where a stub's calls go: a context, or a double of the service in this process.
#[doc(hidden)]
pub struct Target<A: ?Sized> {
    kind: Kind<A>,
    manner: Manner,
}

/// How calls are made.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Whose authority the calls have, if not this context's own.
    auth_id: Option<ContextId>,
    /// How long the caller waits.
    timeout: Option<Duration>,
    /// Whether to wait while this process's own bounds are full.
    wait: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { auth_id: None, timeout: None, wait: true }
    }
}

enum Kind<A: ?Sized> {
    Context(Context),
    Double(Arc<A>),
}

/// A target as a stub's method sees it.
#[doc(hidden)]
pub enum Resolved<'a, A: ?Sized> {
    /// Send the call there.
    Context(Remote<'a>),
    /// Call this instead.
    Double(&'a A),
}

impl<A: ?Sized> Target<A> {
    /// A stub that calls a context.
    pub fn context(context: &Context) -> Self {
        Self { kind: Kind::Context(context.clone()), manner: Manner::default() }
    }

    /// A stub over a double.
    pub fn double(double: Arc<A>) -> Self {
        Self { kind: Kind::Double(double), manner: Manner::default() }
    }

    /// The same target, called with the authority of somebody who has called us.
    pub fn on_behalf_of(&self, caller: &Caller) -> Self {
        self.in_manner(Manner { auth_id: Some(caller.auth_id()), ..self.manner })
    }

    /// The same target, whose calls are given up after this time. It begins when the call does, so it
    /// covers waiting for room in this process as well.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        self.in_manner(Manner { timeout: Some(timeout), ..self.manner })
    }

    /// The same target, whose calls fail at once while this process's own bounds are full.
    pub fn no_wait(&self) -> Self {
        self.in_manner(Manner { wait: false, ..self.manner })
    }

    fn in_manner(&self, manner: Manner) -> Self {
        Self { manner, ..self.clone() }
    }

    /// Where a call goes.
    pub fn resolve(&self) -> Resolved<'_, A> {
        match &self.kind {
            Kind::Context(context) => Resolved::Context(Remote { context, manner: self.manner }),
            Kind::Double(double) => Resolved::Double(double),
        }
    }
}

impl<A: ?Sized> Clone for Target<A> {
    fn clone(&self) -> Self {
        let kind = match &self.kind {
            Kind::Context(context) => Kind::Context(context.clone()),
            Kind::Double(double) => Kind::Double(double.clone()),
        };
        Self { kind, manner: self.manner }
    }
}

impl<A: ?Sized> fmt::Debug for Target<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Context(context) => fmt::Debug::fmt(context, f),
            Kind::Double(_) => f.write_str("a double"),
        }
    }
}

/// A context that is about to be called.
#[doc(hidden)]
#[derive(Debug)]
pub struct Remote<'a> {
    context: &'a Context,
    manner: Manner,
}

impl<'a> Remote<'a> {
    /// A context that is called with this context's own authority.
    pub(crate) fn plain(context: &'a Context) -> Self {
        Self { context, manner: Manner::default() }
    }

    /// Begins a call of a method.
    pub fn request(&self, service: &'static ServiceDescriptor, method: usize) -> StubRequest {
        self.begin(service.name, &service.methods[method])
    }

    /// Begins a call of a method of the service with this name.
    pub(crate) fn begin(&self, service: &'static str, method: &'static MethodDescriptor) -> StubRequest {
        let Manner { auth_id, timeout, wait } = self.manner;
        let (outgoing, error) = match method.no_reply {
            // Nobody waits for it, so no time travels with it and it is nobody's link.
            true => ((Meta::default(), nesting::deadline(self.context.core(), timeout)), None),
            false => match nesting::outgoing(self.context.core(), timeout) {
                Ok(outgoing) => (outgoing, None),
                Err(error) => (Default::default(), Some(error)),
            },
        };
        let (meta, deadline) = outgoing;
        StubRequest {
            context: self.context.clone(),
            auth_id,
            deadline,
            wait,
            service,
            method,
            writer: EnvelopeWriter::new(service, method.name, &meta, method.args.len()),
            held: Vec::new(),
            error,
        }
    }
}

/// A call whose arguments are being written.
#[doc(hidden)]
#[derive(Debug)]
pub struct StubRequest {
    context: Context,
    auth_id: Option<ContextId>,
    deadline: Option<Instant>,
    wait: bool,
    service: &'static str,
    method: &'static MethodDescriptor,
    writer: EnvelopeWriter,
    /// The senders of channels among the arguments.
    held: Vec<Held>,
    /// Why the call cannot be made: its first argument that has no encoding, for example.
    error: Option<CallError>,
}

impl StubRequest {
    /// Writes an argument.
    pub fn arg<T: ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
        encode: impl FnOnce(&T, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) {
        self.writer.arg_name(name);
        let (encoded, held) = collecting(|| encode(value, self.writer.buffer()));
        self.held.extend(held);
        if let Err(EncodeError(reason)) = encoded {
            let error = self.refused(name, reason);
            self.error.get_or_insert(error);
        }
    }

    /// Sends the call.
    pub fn call<T>(self, decode: fn(&[u8]) -> Result<T, DecodeError>) -> Call<T> {
        match self.into_request() {
            Ok(request) => start(request, decode),
            Err(error) => Call::ready(Err(error)),
        }
    }

    /// Sends the call and wants no answer.
    pub fn post(self) -> Result<(), CallError> {
        post(self.into_request()?)
    }

    fn into_request(self) -> Result<Request, CallError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(Request {
                context: self.context,
                auth_id: self.auth_id,
                handle: Handle::CALL_SERVICE,
                payload: self.writer.finish(),
                deadline: self.deadline,
                wait: self.wait,
                held: self.held,
            }),
        }
    }

    #[cold]
    fn refused(&self, name: &str, reason: String) -> CallError {
        CallError::Encode {
            what: format!("the argument '{name}' of '{}' of service '{}'", self.method.name, self.service),
            reason,
            trace: Trace::default(),
        }
    }
}

/// What a double answers to a method that it does not implement.
#[doc(hidden)]
#[cold]
pub fn not_faked<T>(service: &'static ServiceDescriptor, method: usize) -> Result<T, CallError> {
    Err(CallError::NoSuchMethod {
        service: service.name.to_owned(),
        method: service.methods[method].name.to_owned(),
        trace: Trace::default(),
    })
}
