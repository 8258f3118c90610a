//! The way back to the caller: each call is answered once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Level;

use super::in_flight::{CallFlag, CallId, InFlight};
use crate::error::{CallError, Executed, Trace};
use crate::io::Patience;
use crate::router::Core;
use crate::wire::envelope::{reply_err_prefix, reply_ok_prefix};
use crate::wire::{DeadCode, Encoding, Handle, Message, msgpack, value};

/// Answers one call. Whoever answers first is heard.
pub(crate) struct Responder {
    core: Arc<Core>,
    /// Where the answer goes; the handle is 0 if nobody waits.
    id: CallId,
    flag: Arc<CallFlag>,
    in_flight: Arc<InFlight>,
    answered: AtomicBool,
}

impl Responder {
    /// The way back for a call that has arrived.
    pub(crate) fn new(core: &Arc<Core>, id: CallId, flag: Arc<CallFlag>, in_flight: &Arc<InFlight>) -> Arc<Self> {
        if id.1 != Handle::NONE {
            in_flight.enter(id, &flag);
        }
        let in_flight = in_flight.clone();
        Arc::new(Self { core: core.clone(), id, flag, in_flight, answered: AtomicBool::new(false) })
    }

    /// What caller and callee agree on.
    pub(crate) fn flag(&self) -> &Arc<CallFlag> {
        &self.flag
    }

    /// Answers with a payload that [`encode_reply`](super::dispatch::encode_reply) has made.
    pub(crate) fn answer(&self, payload: Vec<u8>) {
        if !self.claim() {
            return;
        }
        let size = payload.len();
        if let Err(error) = self.send(payload) {
            let max = self.core.identity().max_message_size as u64;
            if error == DeadCode::TooLarge {
                let error = CallError::TooLarge { got: size as u64, max, trace: Trace::default() };
                self.send_error(error);
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
        if !self.claim() {
            return;
        }
        if self.id.1 == Handle::NONE {
            let (method, service) = self.flag.running();
            let what = match service.as_str() {
                "" => format!("a call without reply from {} failed: {}", self.id.0, error.without_arguments()),
                _ => format!("While calling no-reply method {service}.{method}: {}", error.without_arguments()),
            };
            return self.core.log(Level::WARN, what);
        }
        self.send_error(error.clone());
    }

    /// Forgets the call: its caller does not wait any more.
    pub(crate) fn forget(&self) {
        self.claim();
    }

    fn claim(&self) -> bool {
        let first = !self.answered.swap(true, Ordering::AcqRel);
        if first && self.id.1 != Handle::NONE {
            self.in_flight.leave(self.id, &self.flag);
        }
        first
    }

    fn send_error(&self, error: CallError) {
        // Known here for certain, whatever the error says of calls that the method has made itself.
        let executed = if self.flag.is_entered() { Executed::Yes } else { Executed::No };
        let error = error.with_executed(executed);
        let mut payload = Vec::with_capacity(256);
        reply_err_prefix(&mut payload);
        // Call errors are strings and numbers, which have an encoding.
        if value::encode(&error, &mut payload).is_ok() {
            // If it cannot be sent, the caller is gone or learns it from a hop.
            let _ = self.send(payload);
        }
    }

    fn send(&self, payload: Vec<u8>) -> Result<(), DeadCode> {
        let (context, handle) = self.id;
        if handle == Handle::NONE {
            return Ok(());
        }
        let message = Message::new(Encoding::MessagePack, context, handle, Handle::NONE, payload.into());
        self.core.send(message, Patience::Exceed).map_err(|reason| reason.code)
    }
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
