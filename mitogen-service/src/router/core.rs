//! What all handles of one router share: the shell around the state machines.
//!
//! Each lock guards few fields and is let go before anything is sent, delivered or woken.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracing::Level;

use super::context::{Context, Inner as ContextInner};
use super::death::Death;
use super::gate::Gate;
use super::handles::{Access, Handles, Listener, RouterHandles};
use super::lifecycle::{Ending, Lifecycle};
use super::table::{Gone, Table, Verdict};
use super::{control, handles};
use crate::error::{Error, Result};
use crate::io::{
    Broker, BrokerHandle, Closed, Courier, Patience, ReadEnd, SendError, Sink, Stream, StreamId, WriteEnd,
};
use crate::ledger::Ledger;
use crate::sync::Mutex;
use crate::wire::{ContextId, DeadReason, Decoder, DelRoute, Encoding, Handle, Message};

/// How many calls of one router may wait for their answers.
const MAX_PENDING_CALLS: usize = 65_536;

/// How many bytes may wait to be written to one stream.
const OUTPUT_LIMIT: usize = 4 * 1024 * 1024;

/// How many log lines may wait for the subscriber.
const LOG_CAPACITY: usize = 4096;

/// How many callbacks may wait; beyond that many contexts have ended at once and are not told of.
const CALLBACK_CAPACITY: usize = 65_536;

/// How long an ordinary end waits for children that were told to end, before it kills them.
const PROMPT_BOUND: Duration = Duration::from_secs(1);

/// How long killed children may take until they are reaped.
const REAP_BOUND: Duration = Duration::from_secs(2);

/// How long callbacks and log lines may take at the end.
const COURIER_BOUND: Duration = Duration::from_secs(1);

/// How long what is still queued for the parent may take to leave.
const DRAIN_BOUND: Duration = Duration::from_millis(300);

/// The status of a context whose I/O thread has crashed. "Internal software error" in `sysexits.h`.
const CRASHED: i32 = 70;

/// Who a context is, as it was told by its parent.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: ContextId,
    pub(crate) name: String,
    /// Nearest first; empty at the root.
    pub(crate) parents: Vec<(ContextId, String)>,
    pub(crate) max_message_size: usize,
    pub(crate) unidirectional: bool,
}

/// A message on its way to a listener.
pub(crate) struct Delivery<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) message: Message,
    /// The stream it came over, `None` if this process has sent it to itself.
    pub(crate) ingress: Option<StreamId>,
}

/// The process behind a stream, as the `connect` layer knows it.
pub(crate) trait Process: Send + Sync {
    /// The stream has ended: sees to it that the process ends, reaps it, and then calls
    /// [`Core::lost`]. On the broker's thread.
    fn stream_closed(self: Arc<Self>, core: &Arc<Core>, stream: StreamId);

    /// Kills the process, whatever it is doing.
    fn kill(&self);
}

/// The threads that run services, as the `service` layer knows them.
pub(crate) trait Workers: Send + Sync {
    /// Takes no new work and answers what is queued. Returns at once.
    fn stop(&self);

    /// Waits until nothing runs any more, until `deadline` at most.
    fn join(&self, deadline: Instant);

    /// A context is gone, and waits for none of its calls.
    fn caller_gone(&self, caller: ContextId);

    /// Itself, for those who know its type.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// How a router ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// Running methods, here and below, may come to their end within this time.
    Within(Duration),
    /// Nobody waits for them.
    Promptly,
}

/// The state of one router.
pub(crate) struct Core {
    identity: Identity,
    ending: Ending,
    table: Mutex<Table>,
    handles: Mutex<RouterHandles>,
    /// Bounds the calls that wait for an answer.
    calls: Gate,
    links: Mutex<HashMap<StreamId, Link>>,
    contexts: Mutex<Contexts>,
    workers: Mutex<Option<Arc<dyn Workers>>>,
    broker: Mutex<Option<Arc<Broker>>>,
    next_stream: AtomicU64,
    /// The processes that were started and have not joined yet.
    connecting: Mutex<Vec<Arc<dyn Process>>>,
    lifecycle: Lifecycle,
    ledger: Ledger,
    logs: Courier,
    lost_logs: AtomicUsize,
    callbacks: Courier,
}

/// A neighbour: its stream, and its process if we have started it.
struct Link {
    stream: Arc<Stream>,
    process: Option<Arc<dyn Process>>,
    name: String,
}

/// The contexts that somebody has a name of.
#[derive(Default)]
struct Contexts {
    /// One object for each, as long as anybody holds it, so that a disconnect reaches all.
    known: HashMap<ContextId, Weak<ContextInner>>,
    /// The names that contexts below this one, and above it, were given.
    names: HashMap<ContextId, String>,
}

impl Core {
    /// A router without streams.
    pub(crate) fn new(identity: Identity, ending: Ending) -> Arc<Self> {
        let parents: Vec<_> = identity.parents.iter().map(|(id, _)| *id).collect();
        let mut names: HashMap<_, _> = identity.parents.iter().cloned().collect();
        names.insert(identity.id, identity.name.clone());
        let ledger = Ledger::default();
        Arc::new(Self {
            table: Mutex::new(Table::new(identity.id, parents, identity.unidirectional)),
            handles: Mutex::new(Handles::new(random_handle())),
            calls: Gate::new(MAX_PENDING_CALLS),
            links: Mutex::default(),
            contexts: Mutex::new(Contexts { known: HashMap::new(), names }),
            workers: Mutex::new(None),
            broker: Mutex::new(None),
            next_stream: AtomicU64::new(1),
            connecting: Mutex::default(),
            lifecycle: Lifecycle::new(),
            logs: Courier::new("mitogen-log", LOG_CAPACITY, &ledger),
            lost_logs: AtomicUsize::new(0),
            callbacks: Courier::new("mitogen-notify", CALLBACK_CAPACITY, &ledger),
            ledger,
            identity,
            ending,
        })
    }

    // ---- who and where ----

    /// Who this context is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What counts this router's threads, descriptors and children.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How far the router's life has come.
    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Whether a message with this `auth_id` acts with the authority of a parent, or my own.
    pub(crate) fn has_parent_authority(&self, auth: ContextId) -> bool {
        auth == self.identity.id || self.identity.parents.iter().any(|(id, _)| *id == auth)
    }

    /// Whether a context was started by this one, directly or through others.
    pub(crate) fn is_below(&self, id: ContextId) -> bool {
        self.table.lock().route_below(id).is_some()
    }

    /// The contexts directly below this one.
    pub(crate) fn children(self: &Arc<Self>) -> Vec<Context> {
        let ids = self.table.lock().children();
        ids.into_iter().map(|id| self.context(id)).collect()
    }

    /// The one object for a context.
    pub(crate) fn context(self: &Arc<Self>, id: ContextId) -> Context {
        self.context_named(id, || id.to_string())
    }

    /// The one object for a context; `name` is asked only if nobody here knows a name.
    pub(crate) fn context_named(self: &Arc<Self>, id: ContextId, name: impl FnOnce() -> String) -> Context {
        let mut contexts = self.contexts.lock();
        if let Some(inner) = contexts.known.get(&id).and_then(Weak::upgrade) {
            return Context::from_inner(inner);
        }
        let name = contexts.names.get(&id).cloned().unwrap_or_else(name);
        // Asked under the lock: an end of the context comes before this, or finds the object.
        let connected = self.is_reachable(id);
        let context = Context::new(self, id, name, connected);
        contexts.remember(id, context.downgrade());
        context
    }

    /// The name of a context, its number if it has none here.
    pub(crate) fn name_of(&self, id: ContextId) -> String {
        self.contexts.lock().names.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    fn is_reachable(&self, id: ContextId) -> bool {
        let table = self.table.lock();
        id == self.identity.id || table.route_below(id).is_some() || table.parent().is_some()
    }

    // ---- streams ----

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
        let started = Broker::start(&self.ledger, crashed).map_err(|error| Error::io("start the I/O thread", error))?;
        let handle = started.handle().clone();
        *broker = Some(Arc::new(started));
        Ok(handle)
    }

    /// Makes a stream of two descriptors; it does not read yet.
    pub(crate) fn new_stream(self: &Arc<Self>, ends: (ReadEnd, WriteEnd)) -> Result<Arc<Stream>> {
        let broker = self.broker()?;
        let id = StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed));
        let decoder = Decoder::new(self.identity.max_message_size);
        Stream::new(id, ends, (&broker, &self.ledger), decoder, OUTPUT_LIMIT, self.clone())
            .map_err(|error| Error::io("set up a stream", error))
    }

    /// Joins this context to its parent.
    pub(crate) fn join_parent(&self, stream: Arc<Stream>) -> Result<()> {
        self.table.lock().add_parent(stream.id());
        let name = self.identity.parents.first().map_or_else(String::new, |(_, name)| name.clone());
        self.add_link(stream, None, name)
    }

    /// Joins a child to this context, and tells the contexts above.
    pub(crate) fn join_child(
        self: &Arc<Self>,
        stream: Arc<Stream>,
        id: ContextId,
        name: String,
        process: Option<Arc<dyn Process>>,
    ) -> Result<Context> {
        self.table.lock().add_child(stream.id(), id);
        self.contexts.lock().names.insert(id, name.clone());
        let context = self.context(id);
        // Before the child's first message can pass, so that every hop knows the way back.
        control::announce(self, id, &name);
        self.add_link(stream, process, name)?;
        Ok(context)
    }

    fn add_link(&self, stream: Arc<Stream>, process: Option<Arc<dyn Process>>, name: String) -> Result<()> {
        self.links.lock().insert(stream.id(), Link { stream: stream.clone(), process, name });
        stream.start().map_err(|error| Error::io("watch a stream", error))?;
        if self.lifecycle.is_open() {
            return Ok(());
        }
        // It came while the router was closing and may have been overlooked.
        stream.close();
        Err(Error::Closed)
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

    fn parent_stream(&self) -> Option<Arc<Stream>> {
        let parent = self.table.lock().parent()?;
        self.stream(parent)
    }

    fn stream(&self, id: StreamId) -> Option<Arc<Stream>> {
        self.links.lock().get(&id).map(|link| link.stream.clone())
    }

    /// The neighbour behind a stream.
    pub(crate) fn remote(&self, stream: StreamId) -> Option<ContextId> {
        self.table.lock().remote(stream)
    }

    /// The routing table, for decisions about routes and ids.
    pub(super) fn with_table<R>(&self, decide: impl FnOnce(&mut Table) -> R) -> R {
        decide(&mut self.table.lock())
    }

    // ---- messages ----

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
    fn route(
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
        let handles::Admitted { listener, counted } = self.handles.lock().admit(&message.header, authority)?;
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

    // ---- handles ----

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
    pub(super) fn await_uncounted(&self, respondent: ContextId, listener: Arc<dyn Listener>) -> Option<Handle> {
        self.handles.lock().await_one(respondent, false, listener)
    }

    /// Gives a handle of [`await_one`](Self::await_one) up; `false` if its answer came before.
    pub(crate) fn give_up(&self, handle: Handle) -> bool {
        let removed = self.handles.lock().remove(handle);
        self.calls.leave(usize::from(removed.as_ref().is_some_and(|removed| removed.counted)));
        removed.is_some()
    }

    // ---- disconnects ----

    /// A child's stream and process are gone: ends what waited for the contexts behind it.
    pub(crate) fn lost(self: &Arc<Self>, stream: StreamId, death: Death) {
        let death = &Arc::new(death);
        let gone = self.table.lock().lose(stream);
        for gone in &gone {
            self.gone(gone, death);
        }
        // Last, since an end of the router waits for its links.
        let link = self.links.lock().remove(&stream);
        drop(link);
        self.lifecycle.news();
    }

    /// A context has ended: tells everybody here, and the neighbours who asked for it.
    pub(super) fn gone(self: &Arc<Self>, gone: &Gone, death: &Arc<Death>) {
        let tell = |stream: &StreamId, death: Vec<u8>| {
            let Some(remote) = self.remote(*stream) else { return };
            self.post(remote, Handle::DEL_ROUTE, DelRoute { id: gone.id, death: Some(&death) }.encode());
        };
        let parent = self.table.lock().parent();
        if let Some(parent) = parent.filter(|_| gone.tell_parent) {
            tell(&parent, death.for_parent());
        }
        for stream in &gone.tell {
            tell(stream, death.for_strangers());
        }
        let waiting = self.handles.lock().forsake(gone.id);
        self.calls.leave(waiting.iter().filter(|waiting| waiting.counted).count());
        let context = {
            let mut contexts = self.contexts.lock();
            contexts.names.remove(&gone.id);
            contexts.known.remove(&gone.id).and_then(|inner| inner.upgrade())
        };
        if let Some(inner) = context {
            Context::from_inner(inner).disconnected(death);
        }
        for waiting in waiting {
            waiting.listener.end(death);
        }
        if let Some(workers) = self.workers() {
            workers.caller_gone(gone.id);
        }
        self.lifecycle.news();
    }

    /// A context below has been announced.
    pub(super) fn remember_name(&self, id: ContextId, name: &str) {
        self.contexts.lock().names.insert(id, name.to_owned());
    }

    fn parent_lost(self: &Arc<Self>, stream: StreamId) {
        match self.ending {
            Ending::Process => self.end_process(),
            Ending::Router => {
                // It may have been closed from this end.
                self.table.lock().lose(stream);
                self.links.lock().remove(&stream);
                if self.lifecycle.is_open() {
                    self.close_later(Close::Promptly, || {});
                }
            }
        }
    }

    // ---- the end ----

    /// Ends this process from the broker's thread, methods that never return included.
    ///
    /// The children are not waited for: each sees the end of its stream and does the same, so that
    /// a whole tree ends in parallel. Nothing here runs or drops what belongs to a user.
    pub(crate) fn end_process(&self) -> ! {
        crate::sys::exit_now(0)
    }

    /// The parent has asked this context to end: within `grace`, or on the spot if that is zero.
    pub(super) fn shut_down(self: &Arc<Self>, grace: Duration) {
        match self.ending {
            Ending::Process if grace.is_zero() => self.end_process(),
            Ending::Process => {
                let core = self.clone();
                self.close_later(Close::Within(grace), move || core.end_process());
            }
            Ending::Router => self.close_later(Close::Within(grace), || {}),
        }
    }

    /// Closes on a thread of its own, since closing waits.
    fn close_later(self: &Arc<Self>, how: Close, after: impl FnOnce() + Send + 'static) {
        let core = self.clone();
        let thread = self.ledger.spawn("mitogen-shutdown", move || {
            core.close(how);
            after();
        });
        if let Err(error) = thread {
            self.log(Level::ERROR, format!("cannot start a thread to shut down: {error}"));
            if self.ending == Ending::Process {
                self.end_process();
            }
        }
    }

    /// Ends the router and everything below it, and waits for that. Later calls wait as well.
    pub(crate) fn close(self: &Arc<Self>, how: Close) {
        if !self.lifecycle.begin_closing() {
            return self.lifecycle.wait_closed();
        }
        let bound = match how {
            Close::Within(bound) => bound,
            Close::Promptly => PROMPT_BOUND,
        };
        let deadline = Instant::now() + bound;
        let workers = self.workers();
        if let Some(workers) = &workers {
            workers.stop();
        }
        self.end_connecting_processes();
        self.end_children(how, deadline);
        if let Some(workers) = &workers {
            workers.join(deadline);
        }
        self.close_handles();
        self.clear_workers();
        drop(workers);
        self.close_streams();
        let broker = self.broker.lock().take();
        if let Some(broker) = broker {
            broker.stop();
        }
        self.callbacks.stop(COURIER_BOUND);
        self.logs.stop(COURIER_BOUND);
        self.lifecycle.closed();
    }

    fn end_connecting_processes(&self) {
        for process in &*self.connecting.lock() {
            process.kill();
        }
        let deadline = Instant::now() + REAP_BOUND;
        self.lifecycle.wait_until(deadline, || self.connecting.lock().is_empty());
    }

    fn end_children(self: &Arc<Self>, how: Close, deadline: Instant) {
        let children = self.table.lock().children();
        for id in &children {
            match how {
                Close::Within(bound) => self.post(*id, Handle::SHUTDOWN, control_grace(bound)),
                Close::Promptly => self.close_child(*id),
            }
        }
        if self.lifecycle.wait_until(deadline, || self.table.lock().children().is_empty()) {
            return;
        }
        let children = self.table.lock().children();
        for id in children {
            if !self.kill_child(id) {
                self.close_child(id);
            }
        }
        let deadline = Instant::now() + REAP_BOUND;
        if !self.lifecycle.wait_until(deadline, || self.table.lock().children().is_empty()) {
            self.log(Level::WARN, "child will not exit, giving up".to_owned());
        }
    }

    fn close_child(&self, id: ContextId) {
        let stream = self.table.lock().route_below(id);
        if let Some(stream) = stream.and_then(|stream| self.stream(stream)) {
            stream.close();
        }
    }

    /// Nothing that waits here will get an answer any more.
    fn close_handles(self: &Arc<Self>) {
        self.calls.close();
        let listeners = self.handles.lock().close();
        let death = Arc::new(Death::router_closed(&self.identity.name));
        for listener in listeners {
            listener.end(&death);
        }
    }

    /// Lets the last answers leave, and closes.
    fn close_streams(&self) {
        if let Some(parent) = self.parent_stream() {
            parent.drain(Instant::now() + DRAIN_BOUND);
        }
        // A context that is a process of its own keeps this stream until it exits: what the
        // parent sees as the end shall be the process's end.
        let keep_parent = self.ending == Ending::Process;
        let parent = self.table.lock().parent();
        let streams: Vec<_> = {
            let links = self.links.lock();
            let closing = links.iter().filter(|(id, _)| !(keep_parent && Some(**id) == parent));
            closing.map(|(_, link)| link.stream.clone()).collect()
        };
        for stream in streams {
            stream.close();
        }
    }

    /// The I/O thread is gone by a defect of ours: nothing can come any more, and nobody shall wait.
    fn broker_crashed(self: &Arc<Self>) {
        if self.ending == Ending::Process {
            crate::sys::exit_now(CRASHED);
        }
        self.log(Level::ERROR, "broker crashed; the router can only be closed".to_owned());
        self.close_handles();
    }

    // ---- workers, callbacks, logs ----

    /// The pool, if there is one.
    pub(crate) fn workers(&self) -> Option<Arc<dyn Workers>> {
        self.workers.lock().clone()
    }

    /// Makes this the router's pool. Fails if it has one, or is closed.
    pub(crate) fn set_workers(&self, workers: Arc<dyn Workers>) -> Result<()> {
        let mut place = self.workers.lock();
        if !self.lifecycle.is_open() {
            return Err(Error::Closed);
        }
        if place.is_some() {
            return Err(Error::PoolExists);
        }
        *place = Some(workers);
        Ok(())
    }

    /// Forgets a pool that could not be started.
    pub(crate) fn clear_workers(&self) {
        let workers = self.workers.lock().take();
        drop(workers);
    }

    /// Runs a user's callback on the thread for such.
    pub(super) fn call_back(&self, callback: impl FnOnce() + Send + 'static) {
        if !self.callbacks.post(callback) && self.lifecycle.is_open() {
            self.log(Level::WARN, "too many callbacks are waiting, one was dropped".to_owned());
        }
    }

    /// Writes a log event about this router, on the thread for such.
    pub(crate) fn log(&self, level: Level, text: String) {
        let name = self.identity.name.clone();
        self.log_line(move || crate::log::event(level, &name, &text));
    }

    /// Writes a line that a context has printed.
    pub(crate) fn log_output(&self, context: &str, source: &'static str, line: &str) {
        let (context, line) = (context.to_owned(), line.to_owned());
        self.log_line(move || crate::log::output(&context, source, &line));
    }

    fn log_line(&self, write: impl FnOnce() + Send + 'static) {
        let lost = self.lost_logs.swap(0, Ordering::Relaxed);
        let name = self.identity.name.clone();
        let posted = self.logs.post(move || {
            if lost > 0 {
                crate::log::event(Level::WARN, &name, &format!("{lost} log lines were dropped"));
            }
            write();
        });
        if !posted {
            self.lost_logs.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

fn control_grace(bound: Duration) -> Vec<u8> {
    crate::wire::control::encode_shutdown(bound)
}

impl Contexts {
    /// Remembers an object; now and then forgets those that nobody holds any more.
    fn remember(&mut self, id: ContextId, inner: Weak<ContextInner>) {
        if self.known.len() == self.known.capacity() {
            self.known.retain(|_, inner| inner.strong_count() > 0);
        }
        self.known.insert(id, inner);
    }
}

impl Sink for Core {
    fn receive(self: Arc<Self>, stream: &Arc<Stream>, messages: Vec<Message>) {
        for message in messages {
            // The payload is shared, so keeping the message for a refusal costs no copy.
            let kept = message.clone();
            if let Err(reason) = self.route(message, Some(stream.id()), Patience::Refuse) {
                self.refuse(&kept, kept.header.dst_id, &reason);
            }
        }
    }

    fn closed(self: Arc<Self>, stream: &Arc<Stream>, why: Closed) {
        let id = stream.id();
        let link = self.links.lock().get(&id).map(|link| (link.process.clone(), link.name.clone()));
        let Some((process, name)) = link else { return };
        if let Closed::Broken(what) = &why {
            self.log(Level::ERROR, format!("stream to `{name}`: {what}"));
        }
        if self.table.lock().parent() == Some(id) {
            return self.parent_lost(id);
        }
        match process {
            Some(process) => process.stream_closed(&self, id),
            None => self.lost(id, Death::disconnected(&name)),
        }
    }
}

/// Where the handles of this router begin: nobody shall guess the handles of pending calls.
fn random_handle() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the kernel is not up yet, which no process of ours outlives.
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let start = if got.is_ok() { u32::from_ne_bytes(bytes) } else { std::process::id() };
    start.max(Handle::FIRST_DYNAMIC.get())
}
