//! The way back to the caller: each call is answered once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;

use super::in_flight::{CallFlag, CallId, InFlight};
use super::load::{Limit, Weight};
use crate::error::{CallError, Executed, Trace};
use crate::io::{Patience, cork};
use crate::router::Core;
use crate::wire::envelope::{reply_err_prefix, reply_ok_prefix};
use crate::wire::{DeadCode, Encoding, Handle, Message, msgpack, value};

/// Answers one call. Whoever answers first is heard.
pub(crate) struct Responder {
    core: Arc<Core>,
    /// Where the answer goes; the handle is 0 if nobody waits.
    id: CallId,
    flag: Arc<CallFlag>,
    /// What is counted of the call until it is answered; nothing if it was not taken in.
    counted: Option<(Arc<InFlight>, Weight)>,
    answered: AtomicBool,
}

/// What there may be of calls that have arrived and are not answered.
fn limit(core: &Core) -> Limit {
    let bounds = core.bounds();
    Limit { calls: bounds.queued_calls, bytes: bounds.queued_bytes }
}

impl Responder {
    /// The router that the answer goes through.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The way back for a call that has arrived. One that is beyond a bound is answered at once, and
    /// `None` given.
    pub(crate) fn admit(
        core: &Arc<Core>,
        id: CallId,
        in_flight: &Arc<InFlight>,
        weight: Weight,
        deadline: Option<Instant>,
    ) -> Option<Arc<Self>> {
        let flag = Arc::new(CallFlag::new(deadline));
        let limit = limit(core);
        let entered = in_flight.enter(id, &flag, (weight, limit));
        let counted = entered.is_ok().then(|| (in_flight.clone(), weight));
        let responder = Self { core: core.clone(), id, flag, counted, answered: AtomicBool::new(false) };
        match entered {
            Ok(()) => Some(Arc::new(responder)),
            Err(full) => {
                responder.refuse(&CallError::Overloaded { what: full.text(limit), trace: Trace::default() });
                None
            }
        }
    }

    /// What caller and callee agree on.
    pub(crate) fn flag(&self) -> &Arc<CallFlag> {
        &self.flag
    }

    /// Answers with a payload that [`encode_reply`](super::dispatch::encode_reply) has made.
    pub(crate) fn answer(&self, payload: impl Into<Bytes>) {
        let Some(_answering) = self.claim() else { return };
        let payload = payload.into();
        let size = payload.len();
        if let Err(error) = self.send(payload, Patience::Exceed) {
            let max = self.core.identity().max_message_size as u64;
            if error == DeadCode::TooLarge {
                let error = CallError::TooLarge { got: size as u64, max, trace: Trace::default() };
                self.send_error(error, Patience::Exceed);
            }
        }
    }

    /// Answers that the method has no result.
    pub(crate) fn done(&self) {
        let mut payload = Vec::with_capacity(3);
        reply_ok_prefix(&mut payload);
        msgpack::write_nil(&mut payload);
        self.answer(payload);
    }

    /// Answers with an error; where nobody waits, it is logged.
    pub(crate) fn fail(&self, error: &CallError) {
        self.fail_with(error, Patience::Exceed);
    }

    /// The same for a call that was not even begun. As many of them as somebody sends, they use no
    /// more than the reserve of the stream.
    pub(crate) fn refuse(&self, error: &CallError) {
        self.fail_with(error, Patience::Reserve);
    }

    fn fail_with(&self, error: &CallError, patience: Patience) {
        let Some(_answering) = self.claim() else { return };
        if self.id.1 == Handle::NONE {
            let (method, service) = self.flag.running();
            let what = match service.as_str() {
                // The names in the error are the caller's own words.
                "" => format!("a call without reply from {} failed: {}", self.core.name_of(self.id.0), error.refusal()),
                _ => format!("While calling no-reply method {service}.{method}: {}", error.without_arguments()),
            };
            return self.core.log_caused_by(self.id.0, &what);
        }
        self.send_error(error.clone(), patience);
    }

    /// Forgets the call: its caller does not wait any more.
    pub(crate) fn forget(&self) {
        self.claim();
    }

    /// Tells whether the call is to be answered by whoever asks; it is being answered until what is given
    /// is dropped.
    fn claim(&self) -> Option<Answering<'_>> {
        if self.answered.swap(true, Ordering::AcqRel) {
            return None;
        }
        let in_flight = self.counted.as_ref().map(|(in_flight, weight)| {
            in_flight.leave(self.id, &self.flag, (*weight, limit(&self.core)));
            &**in_flight
        });
        Some(Answering(in_flight))
    }

    fn send_error(&self, error: CallError, patience: Patience) {
        if let Some(payload) = encode_error(error, self.flag.is_entered()) {
            // If it cannot be sent, the caller is gone or learns it from a hop.
            let _ = self.send(payload.into(), patience);
        }
    }

    fn send(&self, payload: Bytes, patience: Patience) -> Result<(), DeadCode> {
        let (context, handle) = self.id;
        if handle == Handle::NONE {
            return Ok(());
        }
        let message = Message::new(Encoding::MessagePack, context, handle, Handle::NONE, payload);
        self.core.send_as(message, None, (patience, cork::for_answer())).map(drop).map_err(|reason| reason.code)
    }
}

/// The answer of a call is on its way into the output.
struct Answering<'a>(Option<&'a InFlight>);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if let Some(in_flight) = self.0 {
            in_flight.answered();
        }
    }
}

/// The payload of a reply that is an error.
pub(crate) fn encode_error(error: CallError, entered: bool) -> Option<Vec<u8>> {
    // Known here for certain, whatever the error says of calls that the method has made itself.
    let error = error.with_executed(if entered { Executed::Yes } else { Executed::No });
    let mut payload = Vec::with_capacity(256);
    reply_err_prefix(&mut payload);
    // Call errors are strings and numbers, which have an encoding.
    value::encode(&error, &mut payload).ok()?;
    Some(payload)
}

/// A call that was dropped on the way is answered all the same.
impl Drop for Responder {
    fn drop(&mut self) {
        if !*self.answered.get_mut() {
            let reason = "it was dropped without an answer".to_owned();
            self.fail(&CallError::Cancelled { reason, trace: Trace::default() });
        }
    }
}
