//! Messages are routed, delivered and refused; listeners come and go.

use std::sync::Arc;

use super::{Core, Delivery, Workers};
use crate::io::cork::{self, Haste};
use crate::io::{Patience, SendError, Stream, StreamId};
use crate::router::control;
use crate::router::gate::Shut;
use crate::router::handles::{Access, Admitted, Listener};
use crate::router::table::Verdict;
use crate::wire::{ContextId, DeadCode, DeadReason, Encoding, Handle, Header, Message};

/// Why a message is not sent that the next hop would drop without a word.
const NOT_BELIEVED: &str = "the contexts above would not believe that this one speaks for the caller";

/// Why a hop does not pass a message on.
const OUTPUT_FULL: &str = "the output queue of a stream on the way is full";

/// Why a sender has to stay on the link that it is on.
const NO_BULK: &str = "a neighbour on the way has no link for bulk";

/// Why a child is disconnected that lets the reserve fill up.
const DOES_NOT_READ: &str = "it does not read, and more waits for it than can be kept";

/// As many calls of this router are pending as may be.
#[derive(Debug)]
pub(crate) struct TooMany;

/// A message that was not taken, and what its sender is to be told.
struct Unrouted {
    message: Message,
    reason: DeadReason,
}

/// Which of a neighbour's links a message takes, where there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Main,
    Bulk,
}

/// What has become of a message that was taken.
enum Routed {
    /// It went to a neighbour, unless that stream has just ended.
    Sent(Option<Arc<Stream>>),
    /// It was the answer to a call of this context.
    Answer,
    /// It was for somebody else in this context, or nobody.
    Delivered,
}

/// Whether a handle is one of the routers' own, whose messages are small.
fn is_control(handle: Handle) -> bool {
    handle < Handle::FIRST_DYNAMIC && handle != Handle::CALL_SERVICE
}

/// What a message of somebody else may use of the next stream's queue.
fn transit(message: &Message) -> Patience {
    let Header { handle, reply_to, .. } = message.header;
    if message.is_dead() || is_control(handle) {
        return Patience::Pass;
    }
    // An answer, or data of a channel: nobody would send it again.
    let asks_nothing = reply_to == Handle::NONE && handle >= Handle::FIRST_DYNAMIC;
    if asks_nothing { Patience::Transit } else { Patience::Refuse }
}

impl Core {
    /// Sends a message of this context itself, with its own authority.
    pub(crate) fn send(self: &Arc<Self>, message: Message, patience: Patience) -> Result<(), DeadReason> {
        self.send_as(message, None, (patience, Haste::Now)).map(drop)
    }

    /// Sends a message of this context itself, with the authority of another one that it speaks for.
    ///
    /// That can only lower the authority: below this context nobody has more than its own, and above
    /// it only those are believed that are below it.
    ///
    /// Gives the stream that the answer will come over, `None` if that is not known.
    pub(crate) fn send_as(
        self: &Arc<Self>,
        mut message: Message,
        auth_id: Option<ContextId>,
        manner: (Patience, Haste),
    ) -> Result<Option<Arc<Stream>>, DeadReason> {
        let me = self.identity.id;
        message.header.src_id = me;
        message.header.auth_id = auth_id.unwrap_or(me);
        let believed = |auth| self.table.lock().may_speak_for(auth, message.header.dst_id);
        if !auth_id.is_none_or(believed) {
            return Err(DeadReason::new(DeadCode::Refused, NOT_BELIEVED));
        }
        match self.route(message, None, manner) {
            Ok(Routed::Sent(stream)) => Ok(stream),
            Ok(Routed::Answer | Routed::Delivered) => Ok(None),
            Err(unrouted) => Err(unrouted.reason),
        }
    }

    /// Sends a message of this context itself over the links for bulk that there are on the way.
    ///
    /// All messages for its handle have to go this way: those of one link have no order beside those of
    /// the other one.
    pub(crate) fn send_bulk(self: &Arc<Self>, mut message: Message, patience: Patience) -> Result<(), DeadReason> {
        let me = self.identity.id;
        message.header.src_id = me;
        message.header.auth_id = me;
        self.route_over(Lane::Bulk, message, None, (patience, Haste::Now)).map(drop).map_err(|unrouted| unrouted.reason)
    }

    /// Sends a control message; nobody learns if it does not arrive.
    pub(crate) fn post(self: &Arc<Self>, dst: ContextId, handle: Handle, payload: Vec<u8>) {
        let message = Message::new(Encoding::MessagePack, dst, handle, Handle::NONE, payload.into());
        // Control messages are news for somebody who may be gone, which other news tells.
        let _ = self.send(message, Patience::Reserve);
    }

    /// The same for news to the parent, who has to know about all that is below it: what it does not
    /// take now waits beyond all bounds, as long as this context has a parent.
    pub(in crate::router) fn report(self: &Arc<Self>, parent: ContextId, handle: Handle, payload: Vec<u8>) {
        let message = Message::new(Encoding::MessagePack, parent, handle, Handle::NONE, payload.into());
        let _ = self.send(message, Patience::Exceed);
    }

    /// Lets go of what threads hold back in the streams to leave together.
    pub(crate) fn let_go(&self) {
        let streams: Vec<_> = self.links.lock().values().map(|link| link.stream.clone()).collect();
        for stream in streams {
            stream.let_go();
        }
    }

    /// Takes a message that has arrived on a stream.
    ///
    /// Tells whether it was what a caller or a sender of this context waits for by itself: an answer or credit.
    pub(super) fn receive_one(self: &Arc<Self>, message: Message, ingress: &Arc<Stream>) -> bool {
        if message.is_dead() && message.header.auth_id != message.header.src_id {
            self.refused_by_hop(&message, ingress);
        }
        let patience = transit(&message);
        match self.route(message, Some(ingress), (patience, Haste::Now)) {
            Ok(routed) => matches!(routed, Routed::Answer),
            Err(Unrouted { message, reason }) => {
                let unreachable = message.header.dst_id;
                self.refuse(&message, unreachable, &reason);
                false
            }
        }
    }

    /// A hop has refused a message of somebody below.
    fn refused_by_hop(&self, message: &Message, ingress: &Arc<Stream>) {
        if message.dead_reason().is_some_and(|reason| reason.code == DeadCode::NoRoute) {
            self.table.lock().is_nowhere(&message.header, ingress.id());
        }
    }

    /// A message was given up before it had arrived as a whole: its sender is told, as if the
    /// destination said so.
    pub(super) fn give_up_on(self: &Arc<Self>, header: Header, ingress: StreamId) {
        let forged = matches!(self.table.lock().judge(&header, Some(ingress)), Verdict::Forged(_));
        if !forged {
            let message = Message { header, payload: bytes::Bytes::new() };
            let reason = DeadReason::overloaded("too many large messages are arriving at once");
            self.refuse(&message, header.dst_id, &reason);
        }
    }

    /// Delivers a message or passes it on; the error is what its sender is to be told. One that has come
    /// over a link for bulk goes on over the next one.
    fn route(
        self: &Arc<Self>,
        message: Message,
        ingress: Option<&Arc<Stream>>,
        manner: (Patience, Haste),
    ) -> Result<Routed, Unrouted> {
        let lane = if ingress.is_some_and(|stream| stream.is_for_bulk()) { Lane::Bulk } else { Lane::Main };
        self.route_over(lane, message, ingress, manner)
    }

    fn route_over(
        self: &Arc<Self>,
        lane: Lane,
        message: Message,
        ingress: Option<&Arc<Stream>>,
        (patience, haste): (Patience, Haste),
    ) -> Result<Routed, Unrouted> {
        if message.payload.len() > self.identity.max_message_size {
            return Err(Unrouted { message, reason: DeadReason::too_large(self.identity.max_message_size) });
        }
        let verdict = self.table.lock().judge(&message.header, ingress.map(|stream| stream.id()));
        match verdict {
            Verdict::Local { origin } => self.deliver(message, ingress, origin),
            Verdict::Forward(out) => {
                let unknown = message.header.handle == Handle::BULK && !self.knows_bulk(out);
                if unknown && !message.is_dead() {
                    // Those behind it may not answer what they do not know.
                    let reason = DeadReason::new(DeadCode::InvalidHandle, NO_BULK);
                    return Err(Unrouted { message, reason });
                }
                let stream = match lane {
                    Lane::Main => self.stream(out),
                    Lane::Bulk => self.stream_for_bulk(out),
                };
                let Some(stream) = stream else { return Ok(Routed::Sent(None)) };
                match stream.pass_on(message, (patience, haste), self.sharer(ingress)) {
                    // A stream that ends takes along what was on its way; the news of its end is what
                    // wakes those who wait for an answer.
                    Ok(()) | Err(SendError::Closed) => Ok(Routed::Sent(Some(stream))),
                    Err(SendError::Full(message)) => {
                        if patience == Patience::Reserve {
                            // A context above waits for this word, and there is no stream to cut. They have only
                            // so many calls pending.
                            let is_for_parent =
                                self.identity.parents.iter().any(|(id, _)| *id == message.header.dst_id);
                            if is_for_parent {
                                let sent = stream.pass_on(message, (Patience::Exceed, haste), None);
                                return Ok(Routed::Sent(sent.is_ok().then_some(stream)));
                            }
                            self.cut(out);
                        }
                        Err(Unrouted { message, reason: DeadReason::overloaded(OUTPUT_FULL) })
                    }
                }
            }
            Verdict::Refuse(reason) => Err(Unrouted { message, reason }),
            Verdict::Forged(what) => {
                // A dead message may come from a hop behind which the route is already gone.
                if let Some(stream) = ingress.filter(|_| !message.is_dead()) {
                    self.log_offence(stream.id(), &what);
                }
                Ok(Routed::Delivered)
            }
        }
    }

    /// The stream that a message has come from, if what passes through from there shares the room of
    /// the next one: that of a child. The parent speaks for all the rest of the tree.
    fn sharer(&self, ingress: Option<&Arc<Stream>>) -> Option<StreamId> {
        let ingress = ingress?.id();
        (self.table.lock().parent() != Some(ingress)).then_some(ingress)
    }

    /// Ends the stream to a child that lets even the reserve fill up: what it is owed cannot be kept
    /// for it, and nothing is lost without a word. The parent is not judged.
    fn cut(&self, stream: StreamId) {
        if self.table.lock().parent() == Some(stream) {
            return;
        }
        if let Some(stream) = self.stream(stream) {
            stream.cut(DOES_NOT_READ);
        }
    }

    fn deliver(
        self: &Arc<Self>,
        message: Message,
        ingress: Option<&Arc<Stream>>,
        origin: ContextId,
    ) -> Result<Routed, Unrouted> {
        if let Some(stream) = ingress {
            match control::handle(self, &message, stream) {
                Ok(true) => return Ok(Routed::Delivered),
                Ok(false) => {}
                Err(reason) => return Err(Unrouted { message, reason }),
            }
        }
        let authority = self.has_parent_authority(message.header.auth_id);
        let admitted = self.handles.lock().admit(&message.header, authority);
        match admitted {
            Ok(Admitted { listener, counted }) => {
                self.calls.leave(usize::from(counted));
                // Whoever answers, or asks whether that is possible, looks at the one for answers. Without it
                // the neighbour is gone.
                let main = ingress.and_then(Stream::main);
                if main.is_none() && ingress.is_some() {
                    return Ok(Routed::Delivered);
                }
                let bulk = ingress.filter(|stream| stream.is_for_bulk());
                let is_credit = message.header.handle == Handle::CREDIT;
                listener.deliver(Delivery { core: self, message, ingress: main.as_ref(), bulk, origin });
                Ok(if counted || is_credit { Routed::Answer } else { Routed::Delivered })
            }
            Err(reason) => Err(Unrouted { message, reason }),
        }
    }

    /// Tells the sender of a message that it was not taken, as if `source` said so. An answer has
    /// nobody behind it who waits; the one who waits for *it* is told.
    pub(crate) fn refuse(self: &Arc<Self>, message: &Message, source: ContextId, reason: &DeadReason) {
        let header = &message.header;
        if message.is_dead() {
            return;
        }
        let mut patience = Patience::Reserve;
        let dead = if header.reply_to != Handle::NONE {
            // A hop that cannot pass a message on answers in the name of the context that cannot
            // be reached: only the respondent ends a call, and reverse-path checks allow it.
            let mut dead = Message::dead(header.src_id, header.reply_to, reason);
            dead.header.src_id = source;
            // With its own authority: who trusts this hop knows that it is not `source` who says so.
            dead.header.auth_id = self.identity.id;
            dead
        } else if reason.code == DeadCode::Overloaded && header.handle >= Handle::FIRST_DYNAMIC {
            let mut dead = Message::dead(header.dst_id, header.handle, &DeadReason::answer_lost(OUTPUT_FULL));
            dead.header.src_id = header.src_id;
            dead.header.auth_id = header.src_id;
            // On account of the one who has sent the answer, and not of the one who waits for it.
            patience = Patience::Pass;
            dead
        } else {
            return;
        };
        // What the reserve does not take ends the stream of a child that does not read.
        let _ = self.route(dead, None, (patience, Haste::Now));
    }

    /// Listens on a reserved handle; `false` if somebody does so already.
    pub(crate) fn listen(&self, handle: Handle, access: Access, listener: Arc<dyn Listener>) -> bool {
        self.handles.lock().listen(handle, access, listener).is_ok()
    }

    /// Puts the listeners of a pool in the place of others, if it still is the router's. What they replace
    /// is let go of without a lock: it may be all that is left of an earlier pool.
    pub(crate) fn relisten<const N: usize>(
        &self,
        workers: &Arc<dyn Workers>,
        listeners: [(Handle, Access, Arc<dyn Listener>); N],
    ) {
        let mut handles = self.handles.lock();
        // One pool comes after the other: they are not taken apart while these are put there.
        let pools = self.workers.lock();
        let is_current = pools.is_current(workers);
        let replaced = is_current.then(|| {
            listeners.each_ref().map(|(handle, access, listener)| handles.replace(*handle, *access, listener.clone()))
        });
        drop(pools);
        drop(handles);
        drop((replaced, listeners));
    }

    /// A handle for the one answer of `respondent`. While too many calls are pending it waits, as
    /// `patience` says, or fails; `None` when the router is closed.
    pub(crate) fn await_one(
        &self,
        respondent: ContextId,
        listener: Arc<dyn Listener>,
        patience: Patience,
    ) -> Result<Option<Handle>, TooMany> {
        if self.calls.is_full() {
            // What this thread holds back may be what makes room.
            cork::let_go();
        }
        let entered = match patience {
            Patience::Wait => self.calls.enter_until(None),
            Patience::Until(deadline) => self.calls.enter_until(Some(deadline)),
            _ => self.calls.try_enter(),
        };
        match entered {
            Ok(()) => {}
            Err(Shut::Full) => return Err(TooMany),
            Err(Shut::Closed) => return Ok(None),
        }
        let handle = self.handles.lock().await_one(respondent, true, listener);
        self.calls.leave(usize::from(handle.is_none()));
        Ok(handle)
    }

    /// Whether a call of this process waits for its answer on this handle.
    pub(crate) fn is_pending(&self, handle: Handle) -> bool {
        self.handles.lock().is_pending(handle)
    }

    /// Wakes who waits on a handle, for something else than its answer.
    pub(crate) fn nudge(&self, handle: Handle) {
        let listener = self.handles.lock().listener(handle);
        if let Some(listener) = listener {
            listener.nudge();
        }
    }

    /// A handle for any number of messages, whoever they come from; `make` is told which, under a
    /// lock. `None` when the router is closed.
    pub(crate) fn open<L: Listener + 'static>(&self, make: impl FnOnce(Handle) -> Arc<L>) -> Option<Arc<L>> {
        let mut made = None;
        self.handles.lock().open(|handle| {
            let listener = make(handle);
            made = Some(listener.clone());
            listener
        });
        made
    }

    /// The same as [`await_one`](Self::await_one) for the SDK itself, which must not wait and asks
    /// little; also to hear of the end of a context that nothing is asked of.
    pub(crate) fn await_uncounted(&self, respondent: ContextId, listener: Arc<dyn Listener>) -> Option<Handle> {
        self.handles.lock().await_one(respondent, false, listener)
    }

    /// Gives a handle up; `false` if nobody listens on it, as when its answer came before.
    pub(crate) fn give_up(&self, handle: Handle) -> bool {
        let removed = self.handles.lock().remove(handle);
        self.calls.leave(usize::from(removed.as_ref().is_some_and(|removed| removed.counted)));
        removed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::io::{ReadEnd, WriteEnd};
    use crate::router::core::{Close, Identity};
    use crate::router::{Bounds, Ending};
    use crate::wire::{ChannelBounds, Decoder};

    /// More than the reserve of a stream takes.
    const REFUSALS: u32 = 20_000;

    #[test]
    fn contexts_above_hear_of_every_refusal_however_slowly_they_read() {
        let me = ContextId::new(1);
        let identity = Identity {
            id: me,
            name: "child".to_owned(),
            parents: vec![(ContextId::ROOT, "root".to_owned())],
            max_message_size: 1024 * 1024,
            unidirectional: false,
            keep_alive: None,
            channels: ChannelBounds::default(),
        };
        let core = Core::new(identity, Ending::Router, Bounds { output: 1024, ..Bounds::default() });
        let ((from, _to), (told, tells)) =
            (pipe_with(PipeFlags::CLOEXEC).unwrap(), pipe_with(PipeFlags::CLOEXEC).unwrap());
        let stream = core.new_stream((ReadEnd(from), WriteEnd(tells)), None).unwrap();
        core.join_parent((&stream, None), 0).unwrap();
        for number in 0..REFUSALS {
            let reply_to = Handle::new(Handle::FIRST_DYNAMIC.get() + number);
            let call = Message::new(Encoding::MessagePack, me, Handle::CALL_SERVICE, reply_to, bytes::Bytes::new());
            core.refuse(&call, me, &DeadReason::refused());
        }
        let mut decoder = Decoder::new(1024 * 1024);
        for number in 0..REFUSALS {
            let message = loop {
                if let Some(message) = decoder.next().unwrap() {
                    break message;
                }
                rustix::io::read(&told, rustix::buffer::spare_capacity(decoder.space())).unwrap();
            };
            assert_eq!(message.header.handle.get(), Handle::FIRST_DYNAMIC.get() + number);
            assert!(message.is_dead());
        }
        core.close(Close::Promptly);
    }
}
