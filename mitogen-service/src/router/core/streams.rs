//! Neighbours join, and their streams are heard.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::Level;

use super::{Core, Link, Process};
use crate::error::{Error, Result};
use crate::io::{Broker, BrokerHandle, Closed, Limits, ReadEnd, Ready, Sink, Stream, StreamId, WriteEnd};
use crate::router::context::Context;
use crate::router::control;
use crate::router::death::Death;
use crate::router::forward::Rate;
use crate::router::offences::Offences;
use crate::router::table::Table;
use crate::wire::{ContextId, Decoder, Encoding, FEATURE_PING, Handle, Header, Message};

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
        let limits = Limits {
            output: self.bounds.output,
            stall: self.bounds.stall,
            keep_alive,
            reassembly: self.reassembly.clone(),
        };
        Stream::new(id, ends, (&broker, &self.ledger), decoder, limits, self.clone())
            .map_err(|error| Error::io("set up a stream", error))
    }

    /// Joins this context to its parent.
    pub(crate) fn join_parent(&self, stream: &Arc<Stream>, features: u32) -> Result<()> {
        let name = self.identity.parents.first().map_or_else(String::new, |(_, name)| name.clone());
        self.add_link(
            stream,
            Link {
                stream: stream.clone(),
                process: None,
                name,
                features,
                offences: Offences::default(),
                log_rate: Rate::default(),
            },
        );
        self.table.lock().add_parent(stream.id());
        self.start(stream)
    }

    /// Joins a child to this context, and tells the contexts above. One that is kept `apart` talks to no
    /// others.
    pub(crate) fn join_child(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        (id, name): (ContextId, &str),
        features: u32,
        process: Option<Arc<dyn Process>>,
        apart: bool,
    ) -> Result<Context> {
        // The link comes first: whatever the stream brings, its end included, finds it.
        let link = Link {
            stream: stream.clone(),
            process,
            name: name.to_owned(),
            features,
            offences: Offences::default(),
            log_rate: Rate::default(),
        };
        self.add_link(stream, link);
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
        self.start(stream)?;
        Ok(context)
    }

    fn add_link(&self, stream: &Arc<Stream>, link: Link) {
        self.links.lock().insert(stream.id(), link);
    }

    fn start(&self, stream: &Arc<Stream>) -> Result<()> {
        stream.start().map_err(|error| Error::io("watch a stream", error))?;
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
    #[cfg(feature = "testing")]
    pub(crate) fn take_id(&self) -> Option<ContextId> {
        self.table.lock().ids().take()
    }

    pub(super) fn parent_stream(&self) -> Option<Arc<Stream>> {
        let parent = self.table.lock().parent()?;
        self.stream(parent)
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

    pub(super) fn stream(&self, id: StreamId) -> Option<Arc<Stream>> {
        self.links.lock().get(&id).map(|link| link.stream.clone())
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
        let link = self.links.lock().get(&id).map(|link| (link.process.clone(), link.name.clone()));
        let Some((process, name)) = link else { return };
        if matches!(why, Closed::Broken(_) | Closed::Silent(_)) {
            self.log(Level::ERROR, format!("stream to `{name}`: {why}"));
        }
        if self.table.lock().parent() == Some(id) {
            return self.parent_lost(id);
        }
        match process {
            Some(process) => process.stream_closed(&self, id, Death::reason_of(&why)),
            None => self.lost(id, Death::because(&name, Death::reason_of(&why))),
        }
    }
}
