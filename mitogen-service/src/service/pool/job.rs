//! What waits in a pool's queue: calls as they came over the wire, and functions.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::queue::Queued;
use super::turns::{Arrival, Strands, Waiter};
use crate::error::{CallError, Trace};
use crate::io::{Stream, StreamId};
use crate::router::{Core, Delivery};
use crate::service::caller::{Caller, CallerParts};
use crate::service::hosted::Hosted;
use crate::service::in_flight::{CallId, InFlight};
use crate::service::load::Weight;
use crate::service::nesting;
use crate::service::responder::Responder;
use crate::wire::{CallEnvelope, ContextId, Encoding, Handle, Link, MAX_CHAIN, Message, Meta};

/// How many deferred functions may wait for a thread.
pub(super) const MAX_DEFERRED: usize = 65_536;

/// The strand of the messages to a service, which are taken one after the other. Those of calls are
/// numbered by the methods.
const MESSAGES: usize = usize::MAX;

/// Work for a thread.
pub(super) enum Job {
    Call(QueuedCall),
    Deferred(Box<dyn FnOnce() + Send>),
    /// Something may have arrived at the select of the service that is there under this name, which need
    /// not be its own.
    Message(Arc<str>),
}

/// A call that waits for a thread.
pub(super) struct QueuedCall {
    pub(super) message: Message,
    pub(super) responder: Arc<Responder>,
    /// The stream that it came over, `None` if this process has made it itself.
    ingress: Option<Arc<Stream>>,
    /// Whose share of the pool it uses.
    origin: ContextId,
    /// The calls that wait for it.
    chain: Option<Arc<[Link]>>,
    /// Where in the payload the name of the service stands; `None` for what is no call at all. A slice would
    /// make a call too large to be moved from place to place in registers.
    service: Option<Range<u32>>,
}

impl Strands<Job> for Hosted {
    fn strand(&self, job: &Job) -> Option<usize> {
        let call = match job {
            Job::Call(call) => call,
            Job::Deferred(_) => return None,
            Job::Message(_) => return Some(MESSAGES),
        };
        self.strand_of(|| {
            let head = CallEnvelope::head(&call.message.payload).ok()?;
            self.descriptor().method(head.method)
        })
    }
}

impl Queued for Job {
    fn held(&self) -> Option<StreamId> {
        match self {
            Self::Call(call) => call.ingress.as_ref().filter(|stream| stream.is_over()).map(|stream| stream.id()),
            Self::Deferred(_) | Self::Message(_) => None,
        }
    }
}

impl QueuedCall {
    /// The call that has arrived; `None` if it was beyond a bound, and has been answered.
    pub(super) fn admit(delivery: Delivery<'_>, in_flight: &Arc<InFlight>) -> Option<Self> {
        let Delivery { core, message, ingress, origin, .. } = delivery;
        let id = (message.header.src_id, message.header.reply_to);
        let head = CallEnvelope::head(&message.payload);
        // What is no call at all is told so by the thread that takes it.
        let service = in_flight.key(head.as_ref().map_or("", |head| head.service));
        let named = head.as_ref().ok().filter(|_| message.header.encoding == Encoding::MessagePack);
        let named = named.and_then(|head| place_of(head.service, &message.payload));
        let meta = head.map_or_else(|_| Ok(Meta::default()), |head| Meta::decode(head.meta));
        let time = meta.as_ref().map_or(None, |meta| meta.time);
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        let weight = Weight { caller: origin, service, size: message.size() };
        let responder = Responder::admit(core, id, in_flight, weight, deadline)?;
        let meta = match meta {
            Ok(meta) => meta,
            Err(error) => {
                let reason = error.to_string();
                responder.refuse(&CallError::Malformed { reason, trace: Trace::default() });
                return None;
            }
        };
        if meta.chain.len() > MAX_CHAIN {
            responder.refuse(&nesting::too_deep(&meta.chain));
            return None;
        }
        let chain = (!meta.chain.is_empty()).then(|| meta.chain.into());
        Some(Self { message, responder, ingress: ingress.cloned(), origin, chain, service: named })
    }

    /// The calls that wait for it, by their names.
    pub(super) fn chain_ids(&self) -> Vec<Waiter> {
        let (core, me) = (self.responder.core(), self.responder.core().identity().id);
        let waiter = |link: &Link| {
            let is_pending_here = link.context == me && core.is_pending(link.handle);
            Waiter { id: (link.context, link.handle), is_pending_here }
        };
        self.chain().iter().map(waiter).collect()
    }

    /// The call on its way into the queue; `payload` is a copy of its own.
    pub(super) fn arrival<'a>(self, payload: &'a Bytes, chain: &'a [Waiter]) -> Arrival<'a, Job> {
        let name = self.service.as_ref().and_then(|name| payload.get(name.start as usize..name.end as usize));
        // It was a text when it was found.
        let service = name.and_then(|name| std::str::from_utf8(name).ok());
        let id = Some(self.id()).filter(|id| id.1 != Handle::NONE);
        Arrival { service, caller: self.origin, id, chain, job: Job::Call(self) }
    }

    /// The name of the call; its handle is 0 if nobody waits for it.
    pub(super) fn id(&self) -> CallId {
        (self.message.header.src_id, self.message.header.reply_to)
    }

    /// The calls that wait for it.
    pub(super) fn chain(&self) -> &[Link] {
        self.chain.as_deref().unwrap_or_default()
    }

    /// The handles of calls of `me` that wait for it, the call itself included.
    pub(super) fn waiters(&self, me: ContextId) -> Vec<Handle> {
        let chain = self.chain().iter().map(|link| (link.context, link.handle));
        chain.chain([self.id()]).filter(|id| id.0 == me && id.1 != Handle::NONE).map(|id| id.1).collect()
    }

    fn is_message_pack(&self) -> bool {
        self.message.header.encoding == Encoding::MessagePack
    }

    /// The parts of the call, all of which have been checked.
    pub(super) fn envelope(&self) -> Result<CallEnvelope<'_>, CallError> {
        let malformed = |reason| CallError::Malformed { reason, trace: Trace::default() };
        if !self.is_message_pack() {
            return Err(malformed("a service call is MessagePack".to_owned()));
        }
        CallEnvelope::decode(&self.message.payload).map_err(|error| malformed(error.to_string()))
    }

    pub(super) fn caller(&self, core: &Arc<Core>) -> Caller {
        let parts = CallerParts {
            core: core.clone(),
            src_id: self.message.header.src_id,
            auth_id: self.message.header.auth_id,
            is_local: self.ingress.is_none(),
            credentials: None,
            id: self.id(),
            chain: self.chain.clone(),
        };
        Caller::new(parts, self.responder.flag().clone())
    }
}

/// Where a part of a payload stands in it.
fn place_of(part: &str, payload: &Bytes) -> Option<Range<u32>> {
    let start = u32::try_from(part.as_ptr().addr().checked_sub(payload.as_ptr().addr())?).ok()?;
    Some(start..start.checked_add(u32::try_from(part.len()).ok()?)?)
}

/// The answer to a function that the full queue did not take.
pub(super) fn too_many_deferred() -> CallError {
    let what = format!("{MAX_DEFERRED} deferred functions wait for a thread of the pool; try again later");
    CallError::Overloaded { what, trace: Trace::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_call_is_moved_without_a_call_to_memcpy() {
        // Up to here compilers move values by themselves; a call is moved eight times on its way.
        assert!(size_of::<Job>() <= 128, "{}", size_of::<Job>());
    }
}
