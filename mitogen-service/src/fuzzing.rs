//! What the fuzz targets of `tests/fuzz`, and the bench that counts instructions, reach that nobody else
//! may: exists only under `--cfg fuzzing`, which `cargo fuzz` and `.ci/instructions` pass.
//!
//! Plain functions over bytes and numbers, so that no internal type becomes public. What must hold
//! is judged by the targets; only what cannot be said in bytes and numbers is asserted here.

#![allow(missing_docs, missing_debug_implementations, reason = "not a part of the crate that anybody is given")]

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::io::StreamId;
use crate::service::{ArgSpec, Args};
use crate::wire::control::{decode_cancel, decode_shutdown, encode_cancel, encode_shutdown};
use crate::wire::envelope::{reply_err_prefix, reply_ok_prefix};
use crate::wire::{self, ContextId, Encoding, Handle, Header, Message};
use crate::{CallError, Router};

/// How deep an accepted value may be.
pub const MAX_DEPTH: usize = wire::msgpack::MAX_DEPTH;

// ---- frames ----

/// What [`frames`] asks and tells.
pub trait Frames {
    /// How many bytes the next read may bring; at least one.
    fn piece(&mut self) -> usize;

    /// Whether a large message, of which a part has arrived, is to be thrown away.
    fn discards(&mut self, head: &[u8]) -> bool;

    /// A message has come.
    fn message(&mut self, head: &[u8], payload: &[u8]);
}

/// What is left at the end of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Rest {
    /// Bytes that have arrived and are not part of a message.
    pub buffered: usize,
    /// Whether the stream has ended inside of a frame.
    pub mid_frame: bool,
    /// Why the stream was given up, if it was.
    pub failed: Option<String>,
}

/// Takes a stream apart as the router does: a read into the decoder's space, then all messages out.
pub fn frames(max_message_size: usize, mut stream: &[u8], frames: &mut dyn Frames) -> Rest {
    let mut decoder = wire::Decoder::new(max_message_size);
    let mut failed = None;
    while !stream.is_empty() {
        let space = decoder.space();
        let spare = space.capacity() - space.len();
        assert!(spare > 0, "a read into nothing looks like the end of the stream");
        let (now, later) = stream.split_at(spare.min(frames.piece().max(1)).min(stream.len()));
        space.extend_from_slice(now);
        stream = later;
        loop {
            match decoder.next() {
                Ok(Some(message)) => {
                    assert!(failed.is_none(), "a message came after {failed:?}");
                    assert_eq!(message.header.length as usize, message.payload.len());
                    frames.message(&message.header.encode(), &message.payload);
                }
                Ok(None) => break,
                Err(error) => {
                    let earlier = failed.get_or_insert(error);
                    assert_eq!(*earlier, error, "a stream fails for one reason");
                    assert_eq!(decoder.buffered(), 0, "what comes after an error piles up");
                    break;
                }
            }
        }
        let partial = decoder.partial().map(Header::encode);
        if partial.is_some_and(|head| frames.discards(&head)) {
            decoder.discard_partial();
            assert_eq!((decoder.partial(), decoder.buffered()), (None, 0));
        }
    }
    let failed = failed.map(|error| error.to_string());
    Rest { buffered: decoder.buffered(), mid_frame: decoder.is_mid_frame(), failed }
}

// ---- hello ----

/// What came of a hello: its own encoding and how many bytes of the stream it took, or an error's
/// text, or nothing yet.
pub type Greeting = Result<Option<(Vec<u8>, usize)>, String>;

/// Feeds a hello in pieces.
pub fn hello(mut stream: &[u8], piece: &mut dyn FnMut() -> usize) -> Greeting {
    let mut decoder = wire::HelloDecoder::new();
    let mut before = 0;
    while !stream.is_empty() {
        let (now, later) = stream.split_at(piece().clamp(1, stream.len()));
        stream = later;
        if let Some((hello, taken)) = decoder.feed(now).map_err(|error| error.to_string())? {
            assert!(taken <= now.len());
            return Ok(Some((hello.encode(), before + taken)));
        }
        before += now.len();
    }
    Ok(None)
}

/// Reads a hello as a connection does: never more than certainly belongs to it.
pub fn hello_by_need(stream: &[u8], most: usize) -> Greeting {
    let mut decoder = wire::HelloDecoder::new();
    let mut at = 0;
    while at < stream.len() {
        let now = &stream[at..][..decoder.needed().min(most.max(1)).min(stream.len() - at)];
        at += now.len();
        if let Some((hello, taken)) = decoder.feed(now).map_err(|error| error.to_string())? {
            assert_eq!(taken, now.len(), "a byte of the first message was taken");
            return Ok(Some((hello.encode(), at)));
        }
    }
    Ok(None)
}

// ---- payloads ----

/// The check in front of everything.
pub fn validate(payload: &[u8], max_depth: usize) -> bool {
    match wire::msgpack::validate(payload, max_depth) {
        Ok(()) => true,
        Err(error) => {
            assert!(error.at <= payload.len(), "{error}, of {} bytes", payload.len());
            false
        }
    }
}

/// The value at the beginning of a payload, as it is written.
pub fn skip(payload: &[u8]) -> Option<&[u8]> {
    wire::Cursor::new(payload).skip().ok()
}

/// Service, method, meta, arguments.
pub fn call(payload: &[u8]) -> Option<(&str, &str, &[u8], &[u8])> {
    let call = wire::CallEnvelope::decode(payload).ok()?;
    let head = wire::CallEnvelope::head(payload).unwrap_or_else(|error| panic!("{error}, but it is a call"));
    assert_eq!((head.service, head.method, head.meta), (call.service, call.method, call.meta));
    if let Ok(meta) = wire::Meta::decode(call.meta) {
        let mut again = Vec::new();
        meta.encode(&mut again);
        assert_eq!(wire::Meta::decode(&again).as_ref(), Ok(&meta));
    }
    Some((call.service, call.method, call.meta, call.args))
}

/// Service, method, arguments: once, as a context does that is called, and not judged.
pub fn call_alone(payload: &[u8]) -> Option<(&str, &str, &[u8])> {
    let call = wire::CallEnvelope::decode(payload).ok()?;
    Some((call.service, call.method, call.args))
}

/// The payload of a call with these arguments, one whole map.
pub fn write_call(service: &str, method: &str, args: &[u8]) -> Vec<u8> {
    wire::EnvelopeWriter::with_args(service, method, &wire::Meta::default(), args)
}

/// The result of a call, or its error.
pub fn reply(payload: &[u8]) -> Option<Result<&[u8], &[u8]>> {
    Some(match wire::Reply::decode(payload).ok()? {
        wire::Reply::Ok(value) => Ok(value),
        wire::Reply::Err(error) => Err(error),
    })
}

/// The payload of a reply.
pub fn write_reply(reply: Result<&[u8], &[u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    let rest = match reply {
        Ok(value) => {
            reply_ok_prefix(&mut payload);
            value
        }
        Err(error) => {
            reply_err_prefix(&mut payload);
            error
        }
    };
    payload.extend_from_slice(rest);
    payload
}

/// Reads the payload as that of every handle of the router's own; what can be read can be written
/// again and means the same. Returns how many could read it.
pub fn control(payload: &[u8]) -> usize {
    let mut read = 0;
    if let Ok(route) = wire::AddRoute::decode(payload) {
        assert_eq!(wire::AddRoute::decode(&route.encode()), Ok(route));
        read += 1;
    }
    if let Ok(route) = wire::DelRoute::decode(payload) {
        assert_eq!(wire::DelRoute::decode(&route.encode()), Ok(route));
        read += 1;
    }
    if let Ok(block) = wire::IdBlock::decode(payload) {
        assert!(0 < block.start && block.start < block.end);
        assert_eq!(wire::IdBlock::decode(&block.encode()), Ok(block));
        read += 1;
    }
    if let Ok(handle) = decode_cancel(payload) {
        assert_eq!(decode_cancel(&encode_cancel(handle)), Ok(handle));
        read += 1;
    }
    if let Ok(grace) = decode_shutdown(payload) {
        assert!(grace <= Duration::from_millis(u64::MAX));
        assert_eq!(decode_shutdown(&encode_shutdown(grace)), Ok(grace));
        read += 1;
    }
    read
}

/// Why a dead message with this payload is dead: a number and a text; `None` for an encoding that
/// does not exist.
pub fn dead_reason(magic: u16, payload: &[u8]) -> Option<(u8, String)> {
    let (dst, handle) = (ContextId::ROOT, Handle::FIRST_DYNAMIC);
    let payload = Bytes::copy_from_slice(payload);
    let message = Message::new(Encoding::from_magic(magic)?, dst, handle, Handle::DEAD, payload);
    let reason = message.dead_reason().expect("it is dead");
    let again = Message::dead(dst, handle, &reason).dead_reason();
    assert_eq!(again.as_ref(), Some(&reason));
    Some((reason.code as u8, reason.text))
}

/// How a context died, by what a neighbour says: the texts as they are kept, or `None` if this is
/// no message about an end.
pub fn death(payload: &[u8]) -> Option<[String; 3]> {
    let route = wire::DelRoute::decode(payload).ok()?;
    let death = crate::router::Death::decode(route.death, "name");
    let encoded = death.for_parent();
    assert!(validate(&encoded, MAX_DEPTH));
    let again = crate::router::Death::decode(Some(&encoded), "other");
    let texts = [death.context, death.reason, death.stderr_tail];
    assert_eq!(texts, [again.context, again.reason, again.stderr_tail]);
    Some(texts)
}

/// The name that a context gets which is announced by this.
pub fn name(router: &Router, payload: &[u8]) -> Option<String> {
    let name = wire::AddRoute::decode(payload).ok()?.name;
    // What makes it sane is known to the router alone, which does so for every context it meets.
    let context = router.core().context_named(ContextId::new(u32::MAX), || name.to_owned());
    Some(context.name().to_owned())
}

// ---- arguments ----

/// The arguments of a call, as generated code gets them.
///
/// # Errors
/// Those of a call with wrong arguments.
pub fn arguments<'a>(specs: &'static [ArgSpec], map: &'a [u8]) -> Result<Args<'a>, CallError> {
    Args::new(specs, map)
}

/// Runs a decoder over a payload, whose memory blobs may share.
pub fn sharing<R>(payload: &Bytes, decode: impl FnOnce(&[u8]) -> R) -> R {
    wire::payload::with(payload.clone(), || decode(payload))
}

/// Runs a decoder in which contexts are those of this router.
pub fn in_router<R>(router: &Router, decode: impl FnOnce() -> R) -> R {
    crate::router::decoding_for(router.core(), decode)
}

// ---- routing ----

// The state machines are private to the layer that they make up, and must stay so. Here they are
// compiled once more, from the same files.
#[allow(dead_code, reason = "some of it is for the router alone")]
#[path = "router/handles.rs"]
mod handles;
#[allow(dead_code, reason = "some of it is for the router alone")]
#[path = "router/ids.rs"]
mod ids;
#[allow(dead_code, reason = "some of it is for the router alone")]
#[path = "router/table.rs"]
mod table;

/// What `handles` calls `super::core`.
mod core {
    pub(super) use crate::router::Delivery;
}

/// What `handles` calls `super::death`.
mod death {
    pub(super) use crate::router::Death;
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Local,
    Forward(u64),
    Refused(u8),
    Forged,
}

/// The end of a context: who it was, which streams are told, and whether the parent is.
pub type Gone = (u32, Vec<u64>, bool);

/// A routing table.
pub struct Routes(table::Table);

impl Routes {
    pub fn new(me: u32, parents: &[u32], unidirectional: bool) -> Self {
        let parents = parents.iter().copied().map(ContextId::new).collect();
        Self(table::Table::new(ContextId::new(me), parents, unidirectional))
    }

    pub fn take_id(&mut self) -> Option<u32> {
        self.0.ids().take().map(ContextId::get)
    }

    pub fn add_parent(&mut self, stream: u64) {
        self.0.add_parent(StreamId(stream));
    }

    pub fn add_child(&mut self, stream: u64, id: u32) {
        self.0.add_child(StreamId(stream), ContextId::new(id));
    }

    pub fn parent(&self) -> Option<u64> {
        self.0.parent().map(|stream| stream.0)
    }

    pub fn remote(&self, stream: u64) -> Option<u32> {
        self.0.remote(StreamId(stream)).map(ContextId::get)
    }

    pub fn route_below(&self, id: u32) -> Option<u64> {
        self.0.route_below(ContextId::new(id)).map(|stream| stream.0)
    }

    pub fn children(&self) -> Vec<u32> {
        self.0.children().into_iter().map(ContextId::get).collect()
    }

    /// All neighbours who are to be told take the news at once.
    fn tell(&mut self, gone: table::Gone) -> Gone {
        gone.tell.iter().for_each(|stream| self.0.told(*stream, gone.id));
        (gone.id.get(), gone.tell.into_iter().map(|stream| stream.0).collect(), gone.tell_parent)
    }

    /// `asks`: somebody waits for an answer.
    pub fn judge(&mut self, dst: u32, [src, auth]: [u32; 2], asks: bool, ingress: Option<u64>) -> Verdict {
        let reply_to = if asks { Handle::FIRST_DYNAMIC } else { Handle::NONE };
        let header = Header { reply_to, ..header(dst, [src, auth], Handle::FIRST_DYNAMIC) };
        match self.0.judge(&header, ingress.map(StreamId)) {
            table::Verdict::Local { .. } => Verdict::Local,
            table::Verdict::Forward(out) => Verdict::Forward(out.0),
            table::Verdict::Refuse(reason) => Verdict::Refused(reason.code as u8),
            table::Verdict::Forged(_) => Verdict::Forged,
        }
    }

    pub fn take_block_for(&mut self, stream: u64) -> Option<Range<u32>> {
        self.0.take_block_for(StreamId(stream))
    }

    pub fn may_allocate(&self, stream: u64) -> bool {
        self.0.may_allocate(StreamId(stream))
    }

    pub fn allocate(&mut self, stream: u64, block: Range<u32>) -> bool {
        self.0.allocate(StreamId(stream), block)
    }

    pub fn add_own_block(&mut self, block: Range<u32>) {
        self.0.add_own_block(block);
    }

    pub fn add_route(&mut self, stream: u64, id: u32) -> bool {
        self.0.add_route(StreamId(stream), ContextId::new(id)).is_ok()
    }

    pub fn del_route(&mut self, stream: u64, id: u32) -> Option<Gone> {
        self.0.del_route(StreamId(stream), ContextId::new(id)).ok().map(|gone| self.tell(gone))
    }

    pub fn lose(&mut self, stream: u64) -> Vec<Gone> {
        let gone = self.0.lose(StreamId(stream));
        gone.into_iter().map(|gone| self.tell(gone)).collect()
    }
}

/// A table of handles whose listeners are numbers.
pub struct Endpoints(handles::Handles<u32>);

impl Endpoints {
    pub fn new(start: u32) -> Self {
        Self(handles::Handles::new(start))
    }

    pub fn listen(&mut self, handle: u32, parents_only: bool, listener: u32) -> bool {
        self.0.listen(Handle::new(handle), access(parents_only), listener).is_ok()
    }

    pub fn replace(&mut self, handle: u32, parents_only: bool, listener: u32) {
        self.0.replace(Handle::new(handle), access(parents_only), listener);
    }

    pub fn await_one(&mut self, respondent: u32, counted: bool, listener: u32) -> Option<u32> {
        self.0.await_one(ContextId::new(respondent), counted, listener).map(Handle::get)
    }

    pub fn remove(&mut self, handle: u32) -> Option<(u32, bool)> {
        self.0.remove(Handle::new(handle)).map(admitted)
    }

    /// The listener and whether its place is free again, or the number of a reason.
    ///
    /// # Errors
    /// The number of the reason.
    pub fn admit(&mut self, handle: u32, src: u32, parent_authority: bool) -> Result<(u32, bool), u8> {
        let header = header(0, [src, src], Handle::new(handle));
        self.0.admit(&header, parent_authority).map(admitted).map_err(|reason| reason.code as u8)
    }

    pub fn forsake(&mut self, respondent: u32) -> Vec<(u32, bool)> {
        self.0.forsake(ContextId::new(respondent)).into_iter().map(admitted).collect()
    }

    pub fn close(&mut self) -> Vec<u32> {
        self.0.close()
    }
}

fn header(dst: u32, [src, auth]: [u32; 2], handle: Handle) -> Header {
    let [dst_id, src_id, auth_id] = [dst, src, auth].map(ContextId::new);
    Header { encoding: Encoding::MessagePack, dst_id, src_id, auth_id, handle, reply_to: Handle::NONE, length: 0 }
}

fn access(parents_only: bool) -> handles::Access {
    if parents_only { handles::Access::Parents } else { handles::Access::Any }
}

fn admitted(admitted: handles::Admitted<u32>) -> (u32, bool) {
    (admitted.listener, admitted.counted)
}

// ---- channels ----

#[allow(dead_code, reason = "some of it is for the receiver alone")]
#[path = "channel/inbox.rs"]
mod inbox;
#[allow(dead_code, reason = "some of it is for the receiver alone")]
#[path = "channel/window.rs"]
mod window;

/// What a message of a channel costs.
pub fn channel_cost(length: usize) -> u64 {
    window::cost(length)
}

/// Why a claim or a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read, or is for another receiver.
    Malformed,
    WrongToken,
    Stranger,
    Twice,
    TooMany,
    Ended,
    /// It was sent before its context has heard of the end of its claim.
    Late,
    /// It has no claim, or none any more.
    Unclaimed,
    BeyondWindow,
}

/// Credit: to whom, and as a payload.
pub type Credit = (u32, Vec<u8>);

/// A message that was taken: its number, and the credit for it.
pub type Taken = (u32, Option<Credit>);

/// The receiving end, whose messages are numbers.
pub struct Receiving {
    inbox: inbox::Inbox<u32>,
    handle: Handle,
}

impl Receiving {
    pub fn new((me, handle, token): (u32, u32, u64), window: u64, senders: u64) -> Self {
        let bounds = wire::ChannelBounds { window, senders };
        Self { inbox: inbox::Inbox::new(ContextId::new(me), token, bounds), handle: Handle::new(handle) }
    }

    pub fn restrict(&mut self, respondent: u32) {
        self.inbox.restrict(ContextId::new(respondent));
    }

    /// A CLAIM; gives the number of the account if it is a new one.
    ///
    /// # Errors
    /// Why it is not granted.
    pub fn claim(&mut self, source: u32, payload: &[u8]) -> Result<Option<u64>, Refusal> {
        let claim = wire::Claim::decode(payload).map_err(|_| Refusal::Malformed)?;
        assert_eq!(wire::Claim::decode(&claim.encode()), Ok(claim));
        if claim.handle != self.handle {
            return Err(Refusal::Malformed);
        }
        self.inbox.claim(ContextId::new(source), claim.token).map_err(|no| match no {
            inbox::NoClaim::WrongToken => Refusal::WrongToken,
            inbox::NoClaim::Stranger => Refusal::Stranger,
            inbox::NoClaim::Twice => Refusal::Twice,
            inbox::NoClaim::TooMany => Refusal::TooMany,
            inbox::NoClaim::Ended(_) => Refusal::Ended,
        })
    }

    /// A message, over the links for bulk or the main ones. One beyond the window ends the claim, as in the
    /// router.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn arrive(&mut self, source: u32, bulk: bool, length: usize, number: u32) -> Result<(), Refusal> {
        let source = ContextId::new(source);
        self.inbox.arrive((source, way(bulk)), window::cost(length), number).map_err(|refused| match refused {
            inbox::NotTaken::Late => Refusal::Late,
            inbox::NotTaken::Unclaimed => Refusal::Unclaimed,
            inbox::NotTaken::BeyondWindow => {
                assert!(self.inbox.dismiss(source, trouble()).is_some(), "it has a claim");
                Refusal::BeyondWindow
            }
        })
    }

    pub fn take(&mut self) -> Option<Taken> {
        let taken = self.inbox.take()?;
        Some((taken.message, self.credit(taken.grant)))
    }

    fn credit(&self, grant: Option<inbox::Grant>) -> Option<Credit> {
        let grant = grant?;
        let credit = wire::Credit { handle: self.handle, news: wire::CreditNews::Bytes(grant.bytes) };
        Some((grant.source.get(), credit.encode()))
    }

    /// Whether a context is given a handle for bulk.
    pub fn may_send_bulk(&self, source: u32) -> bool {
        self.inbox.is_claimed_by(ContextId::new(source))
    }

    /// BULK: a context sends nothing more but over the links for bulk. As for [`close`](Self::close).
    pub fn last_but_bulk(&mut self, source: u32) -> Option<(bool, Option<Credit>)> {
        let closed = self.inbox.last_but_bulk(ContextId::new(source))?;
        Some((closed.over, self.credit(closed.grant)))
    }

    /// A context closes its claim, over the links for bulk or the main ones. `None` if it goes on, or there is
    /// none; else whether the receiver is over, and what is given back.
    pub fn close(&mut self, source: u32, bulk: bool) -> Option<(bool, Option<Credit>)> {
        let closed = self.inbox.closed_by_sender(ContextId::new(source), way(bulk))?;
        Some((closed.over, self.credit(closed.grant)))
    }

    /// The receiver closes the claim of an account, as when credit for it was lost on its way.
    pub fn dismiss_number(&mut self, number: u64) -> Option<bool> {
        self.inbox.dismiss_number(number, trouble()).map(|closed| closed.over)
    }

    /// The context of an account has ended.
    pub fn close_number(&mut self, number: u64) -> Option<bool> {
        self.inbox.close_number(number, trouble()).map(|closed| closed.over)
    }

    /// A message of a context was nothing that the receiver takes.
    pub fn spoil(&mut self, source: u32) -> Option<bool> {
        self.inbox.spoil(ContextId::new(source), trouble()).map(|closed| closed.over)
    }

    pub fn hold(&mut self) {
        self.inbox.hold();
    }

    pub fn release(&mut self) -> bool {
        self.inbox.release()
    }

    /// Somebody asks for more, or for the end: whether it has ended just now.
    pub fn settle(&mut self) -> bool {
        self.inbox.settle()
    }

    /// Nothing more can come; gives who is told.
    pub fn finish(&mut self) -> Vec<u32> {
        self.inbox.finish(trouble()).into_iter().map(|(source, _)| source.get()).collect()
    }

    pub fn has_ended(&self) -> bool {
        self.inbox.end().is_some()
    }

    pub fn len(&self) -> usize {
        self.inbox.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The sending end.
pub struct Sending {
    spending: window::Spending,
    handle: Handle,
}

impl Sending {
    pub fn new(handle: u32, window: u64) -> Self {
        Self { spending: window::Spending::new(window), handle: Handle::new(handle) }
    }

    /// Takes the credit of a message, if there is enough.
    pub fn spend(&mut self, length: usize) -> bool {
        self.spending.spend(window::cost(length))
    }

    /// A CREDIT: how many bytes it gives back, and whether that many were taken. `None` if it cannot be
    /// read, is for another receiver, or says that the receiver takes no more.
    pub fn credit(&mut self, payload: &[u8]) -> Option<(u64, bool)> {
        let credit = wire::Credit::decode(payload).ok()?;
        assert_eq!(wire::Credit::decode(&credit.encode()), Ok(credit));
        match credit.news {
            wire::CreditNews::Bytes(bytes) if credit.handle == self.handle => {
                Some((bytes, self.spending.give_back(bytes)))
            }
            wire::CreditNews::Bytes(_) | wire::CreditNews::Closed(_) => None,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.spending.is_idle()
    }
}

fn way(bulk: bool) -> inbox::Way {
    if bulk { inbox::Way::Bulk } else { inbox::Way::Main }
}

fn trouble() -> CallError {
    CallError::failed("trouble")
}
