//! Messages are routed, delivered and refused; listeners come and go.

use std::sync::Arc;

use tracing::Level;

use super::{Core, Delivery};
use crate::io::{Patience, SendError, StreamId};
use crate::router::control;
use crate::router::handles::{Access, Admitted, Listener};
use crate::router::table::Verdict;
use crate::wire::{ContextId, DeadReason, Encoding, Handle, Message};

impl Core {
    /// Sends a message of this context itself, with its own authority.
    pub(crate) fn send(self: &Arc<Self>, mut message: Message, patience: Patience) -> Result<(), DeadReason> {
        message.header.src_id = self.identity.id;
        message.header.auth_id = self.identity.id;
        self.route(message, None, patience)
    }

    /// Sends a control message; nobody learns if it does not arrive.
    pub(crate) fn post(self: &Arc<Self>, dst: ContextId, handle: Handle, payload: Vec<u8>) {
        let message = Message::new(Encoding::MessagePack, dst, handle, Handle::NONE, payload.into());
        // Control messages are news for somebody who may be gone, which other news tells.
        let _ = self.send(message, Patience::Exceed);
    }

    /// Delivers a message or passes it on; the error is what its sender is to be told.
    pub(super) fn route(
        self: &Arc<Self>,
        message: Message,
        ingress: Option<StreamId>,
        patience: Patience,
    ) -> Result<(), DeadReason> {
        if message.payload.len() > self.identity.max_message_size {
            return Err(DeadReason::too_large(self.identity.max_message_size));
        }
        let verdict = self.table.lock().judge(&message.header, ingress);
        match verdict {
            Verdict::Local => self.deliver(message, ingress),
            Verdict::Forward(out) => match self.stream(out).map(|out| out.send(message, patience)) {
                // A stream that ends takes along what was on its way; the news of its end is what
                // wakes those who wait for an answer.
                Some(Ok(()) | Err(SendError::Closed)) | None => Ok(()),
                Some(Err(SendError::Full)) => Err(DeadReason::overloaded("the stream's output queue is full")),
            },
            Verdict::Refuse(reason) => Err(reason),
            Verdict::Forged(what) => {
                // A dead message may come from a hop behind which the route is already gone.
                if !message.is_dead() {
                    self.log(Level::ERROR, what);
                }
                Ok(())
            }
        }
    }

    fn deliver(self: &Arc<Self>, message: Message, ingress: Option<StreamId>) -> Result<(), DeadReason> {
        if let Some(stream) = ingress
            && control::handle(self, &message, stream)?
        {
            return Ok(());
        }
        let authority = self.has_parent_authority(message.header.auth_id);
        let Admitted { listener, counted } = self.handles.lock().admit(&message.header, authority)?;
        self.calls.leave(usize::from(counted));
        listener.deliver(Delivery { core: self, message, ingress });
        Ok(())
    }

    /// Tells the sender of a message that it was not taken, as if `source` said so.
    pub(crate) fn refuse(self: &Arc<Self>, message: &Message, source: ContextId, reason: &DeadReason) {
        let header = &message.header;
        if message.is_dead() || header.reply_to == Handle::NONE {
            return;
        }
        let mut dead = Message::dead(header.src_id, header.reply_to, reason);
        // A hop that cannot pass a message on answers in the name of the context that cannot be
        // reached: only the respondent ends a call, and reverse-path checks allow it.
        dead.header.src_id = source;
        dead.header.auth_id = source;
        let _ = self.route(dead, None, Patience::Exceed);
    }

    /// Listens on a reserved handle; `false` if somebody does so already.
    pub(crate) fn listen(&self, handle: Handle, access: Access, listener: Arc<dyn Listener>) -> bool {
        self.handles.lock().listen(handle, access, listener).is_ok()
    }

    /// Puts another listener in the place of one.
    pub(crate) fn relisten(&self, handle: Handle, access: Access, listener: Arc<dyn Listener>) {
        self.handles.lock().replace(handle, access, listener);
    }

    /// A handle for the one answer of `respondent`. Waits while too many calls are pending;
    /// `None` when the router is closed.
    pub(crate) fn await_one(&self, respondent: ContextId, listener: Arc<dyn Listener>) -> Option<Handle> {
        if !self.calls.enter() {
            return None;
        }
        let handle = self.handles.lock().await_one(respondent, true, listener);
        self.calls.leave(usize::from(handle.is_none()));
        handle
    }

    /// The same for the router itself, which must not wait and asks little.
    pub(in crate::router) fn await_uncounted(
        &self,
        respondent: ContextId,
        listener: Arc<dyn Listener>,
    ) -> Option<Handle> {
        self.handles.lock().await_one(respondent, false, listener)
    }

    /// Gives a handle of [`await_one`](Self::await_one) up; `false` if its answer came before.
    pub(crate) fn give_up(&self, handle: Handle) -> bool {
        let removed = self.handles.lock().remove(handle);
        self.calls.leave(usize::from(removed.as_ref().is_some_and(|removed| removed.counted)));
        removed.is_some()
    }
}
