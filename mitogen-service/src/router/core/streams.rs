//! Neighbours join, and their streams are heard.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::Level;

use super::half_told::HalfTold;
use super::{Core, Link, Process};
use crate::error::{Error, Result};
use crate::io::{Broker, BrokerHandle, Closed, Limits, ReadEnd, Ready, Sink, Stream, StreamId, WriteEnd};
use crate::router::context::Context;
use crate::router::control;
use crate::router::death::Death;
use crate::router::forward::Rate;
use crate::router::offences::Offences;
use crate::router::table::Table;
use crate::wire::{ContextId, Decoder, Encoding, FEATURE_BULK, FEATURE_PING, Handle, Header, Message};

/// What the socket of a link for bulk takes before whoever sends has to wait: what may be on its way to one
/// receiver, so that credit is all that a sender waits for. With half of it each message of 512 KiB stopped in its
/// middle, and both processes were switched to and fro half as often again.
const BULK_BUFFER: usize = 1024 * 1024;

impl Core {
    /// The broker, started now if this is the first stream.
    pub(crate) fn broker(self: &Arc<Self>) -> Result<BrokerHandle> {
        let mut broker = self.broker.lock();
        if !self.lifecycle.is_open() {
            return Err(Error::Closed);
        }
        if let Some(broker) = &*broker {
            return Ok(broker.handle().clone());
        }
        let core = Arc::downgrade(self);
        let crashed = move || core.upgrade().iter().for_each(Self::broker_crashed);
        let started = Broker::start(&self.ledger, &self.ready()?, crashed)
            .map_err(|error| Error::io("start the I/O thread", error))?;
        let handle = started.handle().clone();
        *broker = Some(Arc::new(started));
        Ok(handle)
    }

    /// The broker, if there is one and the router is open.
    pub(crate) fn broker_if_started(&self) -> Option<BrokerHandle> {
        self.broker.lock().as_ref().filter(|_| self.lifecycle.is_open()).map(|broker| broker.handle().clone())
    }

    /// Where threads wait for streams that can be read, made at its first use.
    pub(crate) fn ready(&self) -> Result<Arc<Ready>> {
        let mut ready = self.ready.lock();
        if !self.lifecycle.is_open() {
            return Err(Error::Closed);
        }
        if let Some(ready) = &*ready {
            return Ok(ready.clone());
        }
        let made = Ready::new(&self.ledger).map_err(|error| Error::io("make a poller", error))?;
        Ok(ready.insert(Arc::new(made)).clone())
    }

    /// How often to look for a sign of life of a neighbour with these features; one that does not know
    /// PING could not give any.
    pub(crate) fn keep_alive(&self, features: u32) -> Option<Duration> {
        self.identity.keep_alive.filter(|_| features & FEATURE_PING != 0)
    }

    /// Makes a stream of two descriptors; it does not read yet. How often a sign of life is looked for
    /// is [that of the router](Self::keep_alive), unless the way to the neighbour asks for another.
    pub(crate) fn new_stream(
        self: &Arc<Self>,
        ends: (ReadEnd, WriteEnd),
        keep_alive: Option<Duration>,
    ) -> Result<Arc<Stream>> {
        let broker = self.broker()?;
        let id = StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed));
        let decoder = Decoder::new(self.identity.max_message_size);
        Stream::new(id, ends, (&broker, &self.ledger), decoder, self.limits(keep_alive), self.clone())
            .map_err(|error| Error::io("set up a stream", error))
    }

    /// Makes a link for bulk of a socket, beside the stream to the same neighbour.
    pub(crate) fn new_bulk(&self, stream: &Arc<Stream>, socket: OwnedFd) -> Result<Arc<Stream>> {
        // Where the system has a lower bound that holds; it is a matter of speed alone.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, BULK_BUFFER);
        let decoder = Decoder::with_buffers(self.identity.max_message_size, self.spare.clone());
        let ends = socket.try_clone().map(|write| (ReadEnd(socket), WriteEnd(write)));
        ends.and_then(|ends| Stream::beside(stream, ends, decoder, self.limits(None)))
            .map_err(|error| Error::io("set up a link for bulk", error))
    }

    fn limits(&self, keep_alive: Option<Duration>) -> Limits {
        Limits { output: self.bounds.output, stall: self.bounds.stall, keep_alive, reassembly: self.reassembly.clone() }
    }

    /// Joins this context to its parent.
    pub(crate) fn join_parent(
        &self,
        (stream, bulk): (&Arc<Stream>, Option<&Arc<Stream>>),
        features: u32,
    ) -> Result<()> {
        let name = self.identity.parents.first().map_or_else(String::new, |(_, name)| name.clone());
        self.add_link(Link::new((stream, bulk), name, features, None));
        self.table.lock().add_parent(stream.id());
        self.start(stream, bulk)
    }

    /// Joins a child to this context, and tells the contexts above. One that is kept `apart` talks to no
    /// others.
    pub(crate) fn join_child(
        self: &Arc<Self>,
        (stream, bulk): (&Arc<Stream>, Option<&Arc<Stream>>),
        (id, name): (ContextId, &str),
        features: u32,
        process: Option<Arc<dyn Process>>,
        apart: bool,
    ) -> Result<Context> {
        // The link comes first: whatever the stream brings, its end included, finds it.
        self.add_link(Link::new((stream, bulk), name.to_owned(), features, process));
        self.contexts.lock().names.insert(id, name.to_owned());
        {
            let mut table = self.table.lock();
            table.add_child(stream.id(), id);
            if apart {
                table.keep_apart(stream.id());
            }
        }
        let context = self.context(id);
        // Before the child's first message can pass, so that every hop knows the way back.
        control::announce(self, id, name);
        self.start(stream, bulk)?;
        Ok(context)
    }

    fn add_link(&self, link: Link) {
        self.links.lock().insert(link.stream.id(), link);
    }

    fn start(&self, stream: &Arc<Stream>, bulk: Option<&Arc<Stream>>) -> Result<()> {
        stream.start().map_err(|error| Error::io("watch a stream", error))?;
        bulk.map_or(Ok(()), Stream::start).map_err(|error| Error::io("watch a link for bulk", error))?;
        // One that comes while the router closes may be overlooked there.
        if self.lifecycle.is_open() { Ok(()) } else { Err(Error::Closed) }
    }

    /// A process was started and is about to join. The end of the router kills it meanwhile.
    pub(crate) fn begin_connecting(&self, process: Arc<dyn Process>) {
        self.connecting.lock().push(process.clone());
        // Looked at after it can be seen: an end that began before this kills it, or we do.
        if !self.lifecycle.is_open() {
            process.kill();
        }
    }

    /// It has joined, or is gone.
    pub(crate) fn end_connecting(&self, process: &Arc<dyn Process>) {
        self.connecting.lock().retain(|other| !Arc::ptr_eq(other, process));
        self.lifecycle.news();
    }

    /// What has come from a stream of the logs of others; `None` if that has ended.
    pub(in crate::router) fn with_log_rate<R>(&self, stream: StreamId, take: impl FnOnce(&mut Rate) -> R) -> Option<R> {
        self.links.lock().get_mut(&stream).map(|link| take(&mut link.log_rate))
    }

    /// Kills a direct child's process; `false` if there is none of ours.
    pub(crate) fn kill_child(&self, id: ContextId) -> bool {
        let stream = self.table.lock().route_below(id);
        let direct = |stream: &StreamId| self.table.lock().remote(*stream) == Some(id);
        let Some(stream) = stream.filter(direct) else { return false };
        let process = self.links.lock().get(&stream).and_then(|link| link.process.clone());
        if let Some(process) = &process {
            process.kill();
        }
        process.is_some()
    }

    /// Takes the next id for a context that is joined without a connector.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn take_id(&self) -> Option<ContextId> {
        self.table.lock().ids().take()
    }

    /// Adds ids that this context was given for its own use.
    #[cfg(test)]
    pub(crate) fn add_ids(&self, block: std::ops::Range<u32>) {
        self.table.lock().add_own_block(block);
    }

    /// The streams to the parent.
    pub(super) fn parent_streams(&self) -> Vec<Arc<Stream>> {
        let parent = self.table.lock().parent();
        let links = self.links.lock();
        let link = parent.and_then(|parent| links.get(&parent));
        link.map_or_else(Vec::new, |link| link.bulk.iter().chain([&link.stream]).cloned().collect())
    }

    /// Whether the neighbour toward a context understands a feature of ours.
    pub(crate) fn neighbour_has(&self, toward: ContextId, feature: u32) -> bool {
        if toward == self.identity.id {
            return true;
        }
        let stream = self.table.lock().toward(toward);
        let links = self.links.lock();
        stream.is_none_or(|stream| links.get(&stream).is_none_or(|link| link.features & feature != 0))
    }

    /// The stream on the way to a context, unless it is this one.
    pub(crate) fn stream_toward(&self, id: ContextId) -> Option<Arc<Stream>> {
        let stream = self.table.lock().toward(id).filter(|_| id != self.identity.id)?;
        self.stream(stream)
    }

    /// Whether the way to a context begins with a link for bulk.
    pub(crate) fn has_bulk(&self, toward: ContextId) -> bool {
        let stream = self.table.lock().toward(toward).filter(|_| toward != self.identity.id);
        let links = self.links.lock();
        stream.and_then(|stream| links.get(&stream)).is_some_and(|link| link.bulk.is_some())
    }

    /// Whether a neighbour has said that it knows what a link for bulk is.
    pub(super) fn knows_bulk(&self, id: StreamId) -> bool {
        self.links.lock().get(&id).is_some_and(|link| link.features & FEATURE_BULK != 0)
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<Arc<Stream>> {
        self.links.lock().get(&id).map(|link| link.stream.clone())
    }

    /// The stream for bulk to a neighbour, or the only one.
    pub(super) fn stream_for_bulk(&self, id: StreamId) -> Option<Arc<Stream>> {
        self.links.lock().get(&id).map(|link| link.bulk.as_ref().unwrap_or(&link.stream).clone())
    }

    /// The stream for bulk to a neighbour, if anything has travelled there.
    pub(super) fn used_bulk(&self, id: StreamId) -> Option<Arc<Stream>> {
        let links = self.links.lock();
        links.get(&id).and_then(|link| link.bulk.as_ref()).filter(|bulk| bulk.is_used()).cloned()
    }

    /// Gives the neighbour behind a stream a sign of life, or asks for one, if it understands either.
    pub(in crate::router) fn send_sign(&self, stream: StreamId, handle: Handle) {
        let Some(remote) = self.remote(stream) else { return };
        let out = {
            let links = self.links.lock();
            links.get(&stream).filter(|link| link.features & FEATURE_PING != 0).map(|link| link.stream.clone())
        };
        let Some(out) = out else { return };
        let mut message = Message::new(Encoding::MessagePack, remote, handle, Handle::NONE, bytes::Bytes::new());
        message.header.src_id = self.identity.id;
        message.header.auth_id = self.identity.id;
        out.send_sign(message);
    }

    /// The neighbour behind a stream.
    pub(crate) fn remote(&self, stream: StreamId) -> Option<ContextId> {
        self.table.lock().remote(stream)
    }

    /// The routing table, for decisions about routes and ids.
    pub(in crate::router) fn with_table<R>(&self, decide: impl FnOnce(&mut Table) -> R) -> R {
        decide(&mut self.table.lock())
    }
}

impl Sink for Core {
    fn receive(self: Arc<Self>, stream: &Arc<Stream>, messages: &mut Vec<Message>) -> bool {
        let mut only_answers = true;
        for message in messages.drain(..) {
            only_answers &= self.receive_one(message, stream);
        }
        only_answers
    }

    fn relieved(self: Arc<Self>, stream: &Arc<Stream>) {
        self.tell_untold(stream.id());
        if let Some(workers) = self.workers() {
            workers.relieved(stream.id());
        }
    }

    fn given_up(self: Arc<Self>, stream: &Arc<Stream>, header: Header) {
        self.give_up_on(header, stream.id());
    }

    fn ask(self: Arc<Self>, stream: &Arc<Stream>) {
        self.send_sign(stream.id(), Handle::PING);
    }

    fn closed(self: Arc<Self>, stream: &Arc<Stream>, why: Closed) {
        let id = stream.id();
        let next = match self.links.lock().get_mut(&id) {
            Some(link) => link.closed(stream, why),
            None => return,
        };
        match next {
            NextEnd::Finish(other) => other.finish(),
            NextEnd::Cut(other, why) => other.cut(&why),
            NextEnd::Close(other) => other.close(),
            NextEnd::All(why) => self.link_closed(id, &why),
            NextEnd::Nothing => {}
        }
    }
}

/// What is to be done when one of the streams to a neighbour has ended.
enum NextEnd {
    /// The other one as well; what has arrived there is read.
    Finish(Arc<Stream>),
    /// The other one as well, for this reason.
    Cut(Arc<Stream>, String),
    /// The other one as well, by this end.
    Close(Arc<Stream>),
    /// Both have ended, and the first one for this reason.
    All(Closed),
    /// The other one is about to end already.
    Nothing,
}

impl Link {
    fn new(
        (stream, bulk): (&Arc<Stream>, Option<&Arc<Stream>>),
        name: String,
        features: u32,
        process: Option<Arc<dyn Process>>,
    ) -> Self {
        Self {
            stream: stream.clone(),
            bulk: bulk.cloned(),
            ended: None,
            half_told: HalfTold::default(),
            process,
            name,
            features,
            offences: Offences::default(),
            log_rate: Rate::default(),
        }
    }

    /// One of the streams has ended. Neither goes on alone, and the end of the neighbour is that of both,
    /// so that what had come over either was taken before.
    fn closed(&mut self, stream: &Arc<Stream>, why: Closed) -> NextEnd {
        if stream.is_for_bulk() {
            self.bulk = None;
            return match (self.ended.take(), why) {
                (Some(why), _) => NextEnd::All(why),
                (None, Closed::Eof | Closed::Local) => NextEnd::Finish(self.stream.clone()),
                (None, why) => NextEnd::Cut(self.stream.clone(), format!("the link for bulk: {why}")),
            };
        }
        let Some(bulk) = self.bulk.clone() else { return NextEnd::All(why) };
        if self.ended.is_some() {
            return NextEnd::Nothing;
        }
        let local = why == Closed::Local;
        self.ended = Some(why);
        if local { NextEnd::Close(bulk) } else { NextEnd::Finish(bulk) }
    }
}

impl Core {
    /// The streams to a neighbour have ended.
    fn link_closed(self: Arc<Self>, id: StreamId, why: &Closed) {
        let link = self.links.lock().get(&id).map(|link| (link.process.clone(), link.name.clone()));
        let Some((process, name)) = link else { return };
        if matches!(why, Closed::Broken(_) | Closed::Silent(_)) {
            self.log(Level::ERROR, format!("stream to `{name}`: {why}"));
        }
        if self.table.lock().parent() == Some(id) {
            return self.parent_lost(id);
        }
        match process {
            Some(process) => process.stream_closed(&self, id, Death::reason_of(why)),
            None => self.lost(id, Death::because(&name, Death::reason_of(why))),
        }
    }
}
