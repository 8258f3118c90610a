//! A call that may run.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::error::{CallError, Trace};
use crate::panics;
use crate::router::{Core, Router, decoding_for};
use crate::service::caller::Caller;
use crate::service::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::service::dispatch::{Answer, AnswerKind, Invocation};
use crate::service::hosted::Hosted;
use crate::service::nesting;
use crate::service::responder::Responder;
use crate::wire::payload;

/// A call that every policy of its method has agreed to.
///
/// Only the check itself makes one, and nothing runs without one.
pub struct Authorized {
    core: Arc<Core>,
    hosted: Hosted,
    method: usize,
    caller: Caller,
    /// The arguments, as they are written; they have been validated.
    args: Bytes,
    responder: Arc<Responder>,
}

impl Authorized {
    /// Asks every policy of the method; this is the one place where an `Authorized` is made.
    pub(crate) fn check(
        hosted: &Hosted,
        method: usize,
        caller: Caller,
        (core, args): (&Arc<Core>, Bytes),
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
        Ok(Self { core: core.clone(), hosted: hosted.clone(), method, caller, args, responder })
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
        match self.execute(&self.caller) {
            Ok(Answer(AnswerKind::Value(payload) | AnswerKind::Uncached(payload))) => self.responder.answer(payload),
            Ok(Answer(AnswerKind::Nothing)) => self.responder.done(),
            Ok(Answer(AnswerKind::Deferred)) => {}
            Err(error) => self.responder.fail(&error),
        }
    }

    /// Runs the method on this thread and answers nobody. What it calls itself is called for `caller`.
    pub(super) fn execute(&self, caller: &Caller) -> Result<Answer, CallError> {
        // An invoker may have kept the call for longer than its pool was there.
        if self.hosted.is_over() {
            return Err(CallError::Stopped { trace: Trace::default() });
        }
        self.responder.flag().run(self.service(), self.method());
        let began = Instant::now();
        let answer = self.with_invocation(caller, |invocation| self.hosted.target().invoke(self.method, invocation));
        self.hosted.meter(self.method).record(began.elapsed(), answer.is_err());
        answer
    }

    /// What a call has to have in common with this one to be the same: its arguments, decoded and
    /// written in one way. `None` if no call of the method is like another one.
    pub(super) fn key(&self) -> Option<Result<Vec<u8>, CallError>> {
        let key = self.hosted.target().key(self.method)?;
        Some(self.with_invocation(&self.caller, key))
    }

    /// The number of the service.
    pub(super) fn service_number(&self) -> u64 {
        self.hosted.number()
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(super) fn responder(&self) -> &Arc<Responder> {
        &self.responder
    }

    fn with_invocation<R>(
        &self,
        caller: &Caller,
        run: impl FnOnce(&Invocation<'_>) -> Result<R, CallError>,
    ) -> Result<R, CallError> {
        let invocation = Invocation {
            service: self.service(),
            method: self.method(),
            args: &self.args,
            caller,
            router: &Router::borrowed(&self.core),
            responder: &self.responder,
        };
        let run = || payload::with(self.args.clone(), || run(&invocation));
        let outcome = panics::guard(|| nesting::within(caller, || decoding_for(&self.core, run)));
        outcome.unwrap_or_else(|panic| Err(panicked(panic)))
    }
}

impl fmt::Debug for Authorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorized({}.{}, {:?})", self.service().name, self.method().name, self.caller)
    }
}

/// What the caller learns of a panic.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> CallError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "a value that is not a text".to_owned());
    panics::discard(panic);
    CallError::Panicked { message, trace: Trace::default() }
}
