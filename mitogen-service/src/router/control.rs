//! The router's own handles: routes, ids, the end. Runs on the thread that reads.

use std::sync::Arc;

use super::core::{Core, Delivery};
use super::death::Death;
use super::handles::Listener;
use super::names::sane_name;
use super::table::Table;
use crate::io::{Patience, Stream, StreamId};
use crate::wire::control::decode_shutdown;
use crate::wire::{AddRoute, ContextId, DeadReason, DelRoute, Encoding, ForwardLog, Handle, IdBlock, Message};

/// Why a subtree gets no more ids.
const TOO_MANY: &str = "this subtree has as many ids as one may have";

/// Tells the contexts above of a new one below.
pub(super) fn announce(core: &Arc<Core>, id: ContextId, name: &str) {
    if let Some((parent, _)) = core.identity().parents.first() {
        core.report(*parent, Handle::ADD_ROUTE, AddRoute { id, name }.encode());
    }
}

/// Takes a message for one of the router's own handles; `false` if it is for another handle.
pub(super) fn handle(core: &Arc<Core>, message: &Message, ingress: &Arc<Stream>) -> Result<bool, DeadReason> {
    let (header, stream) = (&message.header, ingress.id());
    if ingress.is_for_bulk() && header.handle < Handle::FIRST_DYNAMIC && header.handle != Handle::DEL_ROUTE {
        // It would have no order beside what it is about.
        return Err(DeadReason::refused());
    }
    let act: fn(&Arc<Core>, &Message, StreamId) = match header.handle {
        Handle::ADD_ROUTE => add_route,
        Handle::DEL_ROUTE => del_route,
        Handle::ALLOCATE_ID => allocate,
        Handle::SHUTDOWN => shut_down,
        Handle::FORWARD_LOG => forward_log,
        Handle::PING => ping,
        Handle::PONG => pong,
        _ => return Ok(false),
    };
    let allowed = match header.handle {
        Handle::SHUTDOWN => core.has_parent_authority(header.auth_id),
        // Whoever is below may have something to tell, over any number of hops.
        Handle::FORWARD_LOG => core.is_or_was_below(header.src_id),
        _ => core.remote(stream) == Some(header.src_id),
    };
    if !allowed {
        return Err(DeadReason::refused());
    }
    if message.is_dead() || header.encoding != Encoding::MessagePack {
        malformed(core, message, stream);
    } else if header.handle == Handle::DEL_ROUTE {
        told_of_end(core, message, ingress);
    } else {
        act(core, message, stream);
    }
    Ok(true)
}

fn add_route(core: &Arc<Core>, message: &Message, stream: StreamId) {
    let Ok(AddRoute { id, name }) = AddRoute::decode(&message.payload) else {
        return malformed(core, message, stream);
    };
    match core.with_table(|table| table.add_route(stream, id)) {
        Ok(()) => {
            let name = sane_name(name);
            core.remember_name(id, &name);
            announce(core, id, &name);
        }
        Err(why) => core.log_offence(stream, &why),
    }
}

/// An end that is told over both links holds when it has come over both.
fn told_of_end(core: &Arc<Core>, message: &Message, ingress: &Arc<Stream>) {
    let stream = ingress.id();
    let Ok(DelRoute { id, twice, .. }) = DelRoute::decode(&message.payload) else {
        return malformed(core, message, stream);
    };
    match core.told_by(ingress, (id, twice), message) {
        Ok(Some(news)) => del_route(core, &news, stream),
        Ok(None) => {}
        Err(why) => core.log_offence(stream, &why),
    }
}

fn del_route(core: &Arc<Core>, message: &Message, stream: StreamId) {
    let Ok(DelRoute { id, death, .. }) = DelRoute::decode(&message.payload) else {
        return malformed(core, message, stream);
    };
    match core.with_table(|table| table.del_route(stream, id)) {
        Ok(gone) => {
            let death = Arc::new(Death::decode(death, &core.name_of(id)));
            core.gone(&gone, &death, stream);
        }
        Err(why) => core.log_offence(stream, &why),
    }
}

fn forward_log(core: &Arc<Core>, message: &Message, stream: StreamId) {
    match ForwardLog::decode(&message.payload) {
        Ok(event) => core.forwarded(message.header.src_id, stream, &event),
        Err(_) => malformed(core, message, stream),
    }
}

fn shut_down(core: &Arc<Core>, message: &Message, stream: StreamId) {
    match decode_shutdown(&message.payload) {
        Ok(grace) => core.shut_down(grace),
        Err(_) => malformed(core, message, stream),
    }
}

/// The neighbour wants a sign of life.
fn ping(core: &Arc<Core>, _message: &Message, stream: StreamId) {
    core.send_sign(stream, Handle::PONG);
}

/// The neighbour has given one, as each of its bytes is.
fn pong(_core: &Arc<Core>, _message: &Message, _stream: StreamId) {}

/// Names the offender and the handle, never what was in the message.
fn malformed(core: &Arc<Core>, message: &Message, stream: StreamId) {
    core.log_offence(stream, &format!("malformed message for handle {}", message.header.handle));
}

/// A child wants ids: the root makes a block of them, any other context asks its own parent.
///
/// So every hop sees which ids are given to which of its subtrees.
fn allocate(core: &Arc<Core>, message: &Message, stream: StreamId) {
    let request = Request { stream, from: message.header.src_id, reply_to: message.header.reply_to };
    if request.reply_to < Handle::FIRST_DYNAMIC {
        return malformed(core, message, stream);
    }
    let (block, may_ask) = core.with_table(|table| {
        let block = table.take_block_for(stream);
        (block, !table.ids().is_root() && table.may_allocate(stream))
    });
    match block {
        Some(block) => request.grant(core, &IdBlock { start: block.start, end: block.end }),
        None if may_ask => ask_for_block(core, Arc::new(request)),
        None => request.refuse(core, TOO_MANY),
    }
}

/// Asks the parent for a block of ids; the listener gets the answer.
pub(super) fn ask_for_block(core: &Arc<Core>, listener: Arc<dyn Listener>) {
    let answer = core.identity().parents.first().and_then(|(parent, _)| {
        let handle = core.await_uncounted(*parent, listener.clone())?;
        Some((*parent, handle))
    });
    let Some((parent, handle)) = answer else {
        return listener.end(&Arc::new(Death::because(&core.identity().name, "no context ids are left")));
    };
    let empty = bytes::Bytes::new();
    let message = Message::new(Encoding::MessagePack, parent, Handle::ALLOCATE_ID, handle, empty);
    if core.send(message, Patience::Reserve).is_err() && core.give_up(handle) {
        listener.end(&Arc::new(Death::disconnected(&core.name_of(parent))));
    }
}

/// A child that waits for a block.
struct Request {
    stream: StreamId,
    from: ContextId,
    reply_to: Handle,
}

impl Request {
    fn grant(&self, core: &Arc<Core>, block: &IdBlock) {
        let payload = block.encode().into();
        let message = Message::new(Encoding::MessagePack, self.from, self.reply_to, Handle::NONE, payload);
        // If the child is gone, so is its need.
        let _ = core.send(message, Patience::Reserve);
    }

    fn refuse(&self, core: &Arc<Core>, why: &str) {
        let dead = Message::dead(self.from, self.reply_to, &DeadReason::overloaded(why));
        let _ = core.send(dead, Patience::Reserve);
    }
}

impl Listener for Request {
    fn deliver(&self, delivery: Delivery<'_>) {
        match IdBlock::decode(&delivery.message.payload) {
            Ok(block) if !delivery.message.is_dead() => {
                let granted = |table: &mut Table| table.allocate(self.stream, block.start..block.end);
                match delivery.core.with_table(granted) {
                    true => self.grant(delivery.core, &block),
                    false => self.refuse(delivery.core, TOO_MANY),
                }
            }
            _ => self.refuse(delivery.core, "no context ids are left"),
        }
    }

    fn end(&self, _death: &Arc<Death>) {
        // The parent is gone, and this context is about to follow.
    }
}
