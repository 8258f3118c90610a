//! What a stub is made of. The typed methods around it are written by `#[service]`.

use std::fmt;
use std::sync::Arc;

use super::caller::Caller;
use super::descriptor::ServiceDescriptor;
use crate::channel::{Call, Held, Request, collecting, post, start};
use crate::error::{CallError, Trace};
use crate::router::Context;
use crate::wire::value::{DecodeError, EncodeError};
use crate::wire::{ContextId, EnvelopeWriter, Handle};

/// Where a stub's calls go: a context, or a double of the service in this process.
#[doc(hidden)]
pub struct Target<A: ?Sized> {
    kind: Kind<A>,
    /// Whose authority the calls have, if not this context's own.
    auth_id: Option<ContextId>,
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
        Self { kind: Kind::Context(context.clone()), auth_id: None }
    }

    /// A stub over a double.
    pub fn double(double: Arc<A>) -> Self {
        Self { kind: Kind::Double(double), auth_id: None }
    }

    /// The same target, called with the authority of somebody who has called us.
    pub fn on_behalf_of(&self, caller: &Caller) -> Self {
        Self { auth_id: Some(caller.auth_id()), ..self.clone() }
    }

    /// Where a call goes.
    pub fn resolve(&self) -> Resolved<'_, A> {
        match &self.kind {
            Kind::Context(context) => Resolved::Context(Remote { context, auth_id: self.auth_id }),
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
        Self { kind, auth_id: self.auth_id }
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
    auth_id: Option<ContextId>,
}

impl Remote<'_> {
    /// Begins a call of a method.
    pub fn request(&self, service: &'static ServiceDescriptor, method: usize) -> StubRequest {
        let described = &service.methods[method];
        StubRequest {
            context: self.context.clone(),
            auth_id: self.auth_id,
            service,
            method,
            writer: EnvelopeWriter::new(service.name, described.name, described.args.len()),
            held: Vec::new(),
            error: None,
        }
    }
}

/// A call whose arguments are being written.
#[doc(hidden)]
#[derive(Debug)]
pub struct StubRequest {
    context: Context,
    auth_id: Option<ContextId>,
    service: &'static ServiceDescriptor,
    method: usize,
    writer: EnvelopeWriter,
    /// The senders of channels among the arguments.
    held: Vec<Held>,
    /// The first argument that has no encoding.
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
                held: self.held,
            }),
        }
    }

    #[cold]
    fn refused(&self, name: &str, reason: String) -> CallError {
        let method = self.service.methods[self.method].name;
        CallError::Encode {
            what: format!("the argument '{name}' of '{method}' of service '{}'", self.service.name),
            reason,
            trace: Trace::default(),
        }
    }
}

/// What a double answers to a method that it does not implement.
#[doc(hidden)]
pub fn not_faked(service: &'static ServiceDescriptor, method: usize) -> CallError {
    CallError::NoSuchMethod {
        service: service.name.to_owned(),
        method: service.methods[method].name.to_owned(),
        trace: Trace::default(),
    }
}
