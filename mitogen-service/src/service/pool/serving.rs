//! From a queued call to a running one.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::job::{Job, QueuedCall};
use super::queue::Aftermath;
use super::shared::{Shared, stopped};
use super::threads::What;
use super::turns::{Place, Settled};
use crate::error::{CallError, DeadlineBy, Result, Trace};
use crate::panics;
use crate::service::activator;
use crate::service::hosted::Hosted;
use crate::service::invoker::{Authorized, panicked};
use crate::service::nesting;
use crate::service::scope::ServiceScope;
use crate::wire::CallEnvelope;

impl Shared {
    /// Takes a call apart and lets it be run, unless nobody waits for it any more.
    pub(super) fn serve(&self, call: &QueuedCall, run: impl FnOnce(&CallEnvelope<'_>) -> Result<(), CallError>) {
        let responder = &call.responder;
        if self.stopped.load(Ordering::SeqCst) {
            return responder.fail(&stopped());
        }
        if responder.flag().is_late() {
            self.late.fetch_add(1, Ordering::Relaxed);
            return responder.fail(&CallError::DeadlineExceeded { by: DeadlineBy::Queue, trace: Trace::default() });
        }
        if responder.flag().is_cancelled() {
            return responder.forget();
        }
        if let Err(error) = call.envelope().and_then(|envelope| run(&envelope)) {
            responder.fail(&error);
        }
    }

    /// Finds the method, asks the policies, and hands the call to its invoker.
    pub(super) fn run(&self, call: &QueuedCall, envelope: &CallEnvelope<'_>, hosted: &Hosted) -> Result<(), CallError> {
        let descriptor = hosted.descriptor();
        let method = descriptor.method(envelope.method).ok_or_else(|| no_such_method(envelope))?;
        self.run_as(hosted.meter(method).is_fast(), || {
            let caller = call.caller(&self.core);
            let _running = self.threads.begin(What::Method(descriptor, &descriptor.methods[method]));
            let args = call.message.payload.slice_ref(envelope.args);
            let authorized = Authorized::check(hosted, method, caller, (&self.core, args), call.responder.clone())?;
            // A method's panic ends in `Authorized::run`; this one is the invoker's own.
            panics::guard(|| hosted.invoker(method).invoke(authorized)).map_err(panicked)
        })
    }

    /// Makes the service of a call, if that may be, for all calls that ask for it meanwhile. The call
    /// itself then has its turn like those.
    pub(super) fn serve_vacant(&self, call: QueuedCall, place: Place) {
        let mut made = None;
        self.serve(&call, |envelope| {
            let name = envelope.service;
            self.activation.check(name, &call.caller(&self.core))?;
            let _making = self.threads.begin(What::Activation(name.to_owned()));
            let hosted: Result<Hosted, CallError> = nesting::within(&call.caller(&self.core), || {
                let scope = ServiceScope::new(&self.core);
                let made = self.activation.make(name, &scope)?;
                made.start(&scope).map_err(|error| activator::not_made(name, error))?;
                Ok(made)
            });
            made = Some((name.to_owned(), hosted));
            Ok(())
        });
        let responder = call.responder.clone();
        let settled = match &made {
            Some((_, Ok(hosted))) => Settled::Made(hosted.clone(), Job::Call(call)),
            Some((_, Err(_))) => Settled::Failed,
            None => Settled::Refused,
        };
        let Aftermath { failed, nested, closed } = self.queue.settle(place, settled);
        self.nudge(nested);
        match made {
            // Only now, so that whoever has the error and calls again does not wait for this try.
            Some((name, Err(error))) => {
                responder.fail(&error);
                self.fail_waiting(&name, failed, &error);
            }
            Some((name, Ok(hosted))) => {
                self.answer_stopped(failed);
                if closed {
                    // It has started too late to be among those whom others tell of the end.
                    hosted.farewell(Instant::now());
                } else {
                    self.listen(&name, &hosted);
                }
            }
            None => self.answer_stopped(failed),
        }
    }

    /// The calls that have waited for a service get the error of its making, if that is their business.
    pub(super) fn fail_waiting(&self, name: &str, waiting: Vec<Job>, error: &CallError) {
        for job in waiting {
            let Job::Call(call) = job else { continue };
            match self.activation.check(name, &call.caller(&self.core)) {
                Ok(()) => call.responder.fail(error),
                Err(refused) => call.responder.fail(&refused),
            }
        }
    }
}

pub(super) fn no_service() -> CallError {
    CallError::Malformed { reason: "no service is named".to_owned(), trace: Trace::default() }
}

fn no_such_method(envelope: &CallEnvelope<'_>) -> CallError {
    let [mut service, mut method] = [envelope.service, envelope.method].map(str::to_owned);
    crate::router::cut(&mut service, 200);
    crate::router::cut(&mut method, 200);
    CallError::NoSuchMethod { service, method, trace: Trace::default() }
}
