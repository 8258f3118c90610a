//! What all handles of one router share: the shell around the state machines.
//!
//! Each lock guards few fields and is let go before anything is sent, delivered or woken. Where two
//! are held at once, the one that stands first in [`Core`] is taken first.
//!
//! | file | what it does |
//! | --- | --- |
//! | `streams` | joins neighbours, and hears from their streams |
//! | `messages` | routes, delivers, refuses; listens on handles |
//! | `disconnects` | tells everybody of the end of a context |
//! | `half_told` | what a neighbour tells over both of its links |
//! | `ending` | ends the router, or its whole process |
//! | `logs` | log events and callbacks, on threads of their own |

mod disconnects;
mod ending;
mod half_told;
mod logs;
mod messages;
mod streams;

pub(in crate::router) use ending::KILL_MARGIN;
pub(crate) use messages::TooMany;

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use super::bounds::Bounds;
use super::context::{Context, Inner as ContextInner};
use super::forward::Rate;
use super::gate::Gate;
use super::handles::{Handles, RouterHandles};
use super::lifecycle::{Ending, Lifecycle};
use super::names::sane_name;
use super::offences::Offences;
use super::permits::Permits;
use super::table::Table;
use crate::error::{Error, Result};
use crate::hash::SmallMap;
use crate::io::{Broker, Closed, Courier, Ready, Reassembly, Spare, Stream, StreamId};
use crate::latch::Latch;
use crate::ledger::Ledger;
use crate::sync::Mutex;
use crate::wire::{ChannelBounds, ContextId, Handle, Message};
use half_told::HalfTold;

/// How many log lines may wait for the subscriber.
const LOG_CAPACITY: usize = 4096;

/// How many callbacks may wait; beyond that many contexts have ended at once and are not told of.
const CALLBACK_CAPACITY: usize = 65_536;

/// Who a context is, as it was told by its parent.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: ContextId,
    pub(crate) name: String,
    /// Nearest first; empty at the root.
    pub(crate) parents: Vec<(ContextId, String)>,
    pub(crate) max_message_size: usize,
    pub(crate) unidirectional: bool,
    /// How often the other end of each stream has to give a sign of life, if it has to.
    pub(crate) keep_alive: Option<Duration>,
    /// What its channels take.
    pub(crate) channels: ChannelBounds,
}

/// A message on its way to a listener.
pub(crate) struct Delivery<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) message: Message,
    /// The stream it came over, `None` if this process has sent it to itself.
    pub(crate) ingress: Option<&'a Arc<Stream>>,
    /// The one for bulk beside that, if it came over that one.
    pub(crate) bulk: Option<&'a Arc<Stream>>,
    /// Whose share of what is bounded it uses: the child that it came through, or else its sender.
    pub(crate) origin: ContextId,
}

/// The process behind a stream, as the `connect` layer knows it.
pub(crate) trait Process: Send + Sync {
    /// The stream has ended, for a reason to be told: sees to it that the process ends, reaps it, and
    /// then calls [`Core::lost`]. On the broker's thread.
    fn stream_closed(self: Arc<Self>, core: &Arc<Core>, stream: StreamId, reason: String);

    /// Kills the process, whatever it is doing.
    fn kill(&self);

    /// Lets a process go on that somebody has stopped, so that it sees its parent's end.
    fn resume(&self);
}

/// The threads that run services, as the `service` layer knows them.
pub(crate) trait Workers: Send + Sync {
    /// Takes no new work and answers what is queued. Returns at once.
    fn stop(&self);

    /// Waits until nothing runs any more, until `deadline` at most.
    fn join(&self, deadline: Instant);

    /// Whether somebody wants to be told of the end, and has not been. Lets go of nothing that belongs to a
    /// user.
    fn waits_for_farewell(&self) -> bool;

    /// Tells those of the end who have not been told, on this thread, which may never come back. Where it
    /// waits for somebody else who tells them, it does so until `deadline`. To follow on [`stop`](Self::stop).
    fn farewell(&self, deadline: Instant);

    /// Begins to do so on another thread; gives what is filled when they have been,
    /// or nothing if there is nobody to tell.
    fn begin_farewell(&self, deadline: Instant) -> Option<Arc<Latch<()>>>;

    /// Waits until they have been told, until `deadline` at most, and lets go of what nobody uses any more.
    fn end_farewell(&self, told: Option<Arc<Latch<()>>>, deadline: Instant);

    /// Waits until the calls have been answered whose answers are in other hands, until `deadline` at most.
    fn settle(&self, deadline: Instant);

    /// Whether [`stop`](Self::stop) has been called.
    fn is_stopped(&self) -> bool;

    /// Whether nothing is left of it that the end of the router is of any interest to.
    fn is_idle(&self) -> bool;

    /// A stream takes answers again that was full of them, or has ended.
    fn relieved(&self, stream: StreamId);

    /// Contexts are gone, and wait for none of their calls.
    fn callers_gone(&self, callers: &[ContextId]);

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
    bounds: Bounds,
    table: Mutex<Table>,
    handles: Mutex<RouterHandles>,
    /// Bounds the calls that wait for an answer.
    calls: Gate,
    /// What the layers above keep for each router: channels, and files.
    attached: [OnceLock<Arc<dyn Any + Send + Sync>>; 2],
    links: Mutex<SmallMap<StreamId, Link>>,
    contexts: Mutex<Contexts>,
    workers: Mutex<Pools>,
    ready: Mutex<Option<Arc<Ready>>>,
    broker: Mutex<Option<Arc<Broker>>>,
    next_stream: AtomicU64,
    reassembly: Arc<Reassembly>,
    spare: Arc<Spare>,
    /// The processes that were started and have not joined yet.
    connecting: Mutex<Vec<Arc<dyn Process>>>,
    permits: Permits,
    /// The executables for other machines, each by its target. Set once, by whoever makes the router.
    executables: OnceLock<Vec<(String, PathBuf)>>,
    lifecycle: Lifecycle,
    /// The parent is gone, and services are being told.
    orphaned: AtomicBool,
    ledger: Ledger,
    logs: Courier,
    lost_logs: AtomicUsize,
    callbacks: Courier,
}

/// The pools of a router: the one that it has, and those before it that are not at their end.
#[derive(Default)]
struct Pools {
    current: Option<Arc<dyn Workers>>,
    stopped: Vec<Arc<dyn Workers>>,
}

/// A neighbour: its streams, and its process if we have started it.
struct Link {
    /// What everything travels over, but for bulk if there is a link for that.
    stream: Arc<Stream>,
    /// The one for bulk, until it has ended.
    bulk: Option<Arc<Stream>>,
    /// Why `stream` has ended, which is told when both have.
    ended: Option<Closed>,
    /// The ends of contexts that have been told over one of both links.
    half_told: HalfTold,
    process: Option<Arc<dyn Process>>,
    name: String,
    /// What the neighbour understands beyond the first version of the protocol.
    features: u32,
    offences: Offences,
    /// The log events that come from there.
    log_rate: Rate,
}

/// The contexts that somebody has a name of.
#[derive(Default)]
struct Contexts {
    /// One object for each, as long as anybody holds it, so that a disconnect reaches all.
    known: HashMap<ContextId, Weak<ContextInner>>,
    /// Those that somebody has subscribed to, so that dropping all names of them ends nothing.
    subscribed: HashMap<ContextId, Context>,
    /// The names that contexts below this one, and above it, were given.
    names: HashMap<ContextId, String>,
}

impl Core {
    /// A router without streams.
    pub(crate) fn new(identity: Identity, ending: Ending, bounds: Bounds) -> Arc<Self> {
        let parents: Vec<_> = identity.parents.iter().map(|(id, _)| *id).collect();
        let mut names: HashMap<_, _> = identity.parents.iter().cloned().collect();
        names.insert(identity.id, identity.name.clone());
        let ledger = Ledger::default();
        Arc::new(Self {
            table: Mutex::new(Table::new(identity.id, parents, identity.unidirectional)),
            handles: Mutex::new(Handles::new(random_handle())),
            calls: Gate::new(bounds.pending_calls),
            attached: Default::default(),
            links: Mutex::default(),
            contexts: Mutex::new(Contexts { names, ..Contexts::default() }),
            workers: Mutex::default(),
            ready: Mutex::new(None),
            broker: Mutex::new(None),
            next_stream: AtomicU64::new(1),
            reassembly: Arc::new(Reassembly::new(bounds.reassembly)),
            spare: Arc::default(),
            connecting: Mutex::default(),
            permits: Permits::new(bounds.connecting),
            executables: OnceLock::new(),
            lifecycle: Lifecycle::new(),
            orphaned: AtomicBool::new(false),
            logs: Courier::new("mitogen-log", LOG_CAPACITY, &ledger),
            lost_logs: AtomicUsize::new(0),
            callbacks: Courier::new("mitogen-notify", CALLBACK_CAPACITY, &ledger),
            ledger,
            identity,
            ending,
            bounds,
        })
    }

    /// Who this context is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it takes at most.
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Who may connect, and who has to wait.
    pub(crate) fn connecting_permits(&self) -> &Permits {
        &self.permits
    }

    /// The executables for other machines that the program has handed in.
    pub(crate) fn executables(&self) -> &[(String, PathBuf)] {
        self.executables.get().map_or(&[], Vec::as_slice)
    }

    /// Hands in executables for other machines, once.
    pub(in crate::router) fn set_executables(&self, executables: Vec<(String, PathBuf)>) {
        let _ = self.executables.set(executables);
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

    /// Whether a context is or was below this one.
    pub(in crate::router) fn is_or_was_below(&self, id: ContextId) -> bool {
        let table = self.table.lock();
        table.route_below(id).is_some() || table.has_given(id)
    }

    /// The contexts directly below this one.
    pub(crate) fn children(self: &Arc<Self>) -> Vec<Context> {
        let ids = self.table.lock().children();
        ids.into_iter().map(|id| self.context(id)).collect()
    }

    /// The contexts below this one, near and far.
    pub(crate) fn below(self: &Arc<Self>) -> Vec<Context> {
        let ids = self.table.lock().below();
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
        let name = contexts.names.get(&id).cloned().unwrap_or_else(|| sane_name(&name()));
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

    /// Keeps the object of a context while somebody is subscribed to its end.
    pub(in crate::router) fn keep(&self, context: &Context, subscribed: bool) {
        let released = {
            let mut contexts = self.contexts.lock();
            match subscribed {
                true => contexts.subscribed.insert(context.id(), context.clone()),
                false => contexts.subscribed.remove(&context.id()),
            }
        };
        drop(released);
    }

    fn is_reachable(&self, id: ContextId) -> bool {
        id == self.identity.id || self.table.lock().toward(id).is_some()
    }

    /// What a higher layer keeps for this router, made at the first use. There is room for two types, each in
    /// the first place that was free when it came.
    pub(crate) fn attached<T: Any + Send + Sync>(&self, make: impl Fn() -> Arc<T>) -> Arc<T> {
        let mut attached = self.attached.iter().map(|place| place.get_or_init(|| make()).clone());
        attached.find_map(|attached| attached.downcast().ok()).unwrap_or_else(make)
    }

    /// The pool, if there is one.
    pub(crate) fn workers(&self) -> Option<Arc<dyn Workers>> {
        self.workers.lock().current.clone()
    }

    /// The pool, and those before it that have been stopped and are not at their end.
    pub(crate) fn all_workers(&self) -> Vec<Arc<dyn Workers>> {
        let pools = self.workers.lock();
        pools.current.iter().chain(&pools.stopped).cloned().collect()
    }

    /// Makes this the router's pool. Fails if it has one, or is closed.
    pub(crate) fn set_workers(&self, workers: Arc<dyn Workers>) -> Result<()> {
        let mut place = self.workers.lock();
        if !self.lifecycle.is_open() {
            return Err(Error::Closed);
        }
        if place.current.as_ref().is_some_and(|workers| !workers.is_stopped()) {
            return Err(Error::PoolExists);
        }
        let before = place.current.replace(workers);
        let idle = place.retire(before);
        drop(place);
        drop(idle);
        Ok(())
    }

    /// The router has no pool any more, if it still is this one, which could not be started. Like any
    /// other that was stopped it is told of the router's end while anything is left of it.
    pub(crate) fn clear_workers(&self, workers: &Arc<dyn Workers>) {
        let mut place = self.workers.lock();
        if !place.is_current(workers) {
            return;
        }
        let before = place.current.take();
        let idle = place.retire(before);
        drop(place);
        drop(idle);
    }

    /// Forgets all pools: the router has ended.
    fn forget_workers(&self) {
        let pools = std::mem::take(&mut *self.workers.lock());
        drop(pools);
    }
}

impl Pools {
    fn is_current(&self, workers: &Arc<dyn Workers>) -> bool {
        // By the address alone: one type may have several tables of functions.
        self.current.as_ref().is_some_and(|current| std::ptr::addr_eq(Arc::as_ptr(current), Arc::as_ptr(workers)))
    }

    /// Remembers a pool that was stopped; gives those that need not be remembered any more, to be dropped
    /// without the lock.
    fn retire(&mut self, workers: Option<Arc<dyn Workers>>) -> Vec<Arc<dyn Workers>> {
        self.stopped.extend(workers);
        self.stopped.extract_if(.., |workers| workers.is_idle()).collect()
    }
}

impl Contexts {
    /// Remembers an object; now and then forgets those that nobody holds any more.
    fn remember(&mut self, id: ContextId, inner: Weak<ContextInner>) {
        if self.known.len() == self.known.capacity() {
            self.known.retain(|_, inner| inner.strong_count() > 0);
        }
        self.known.insert(id, inner);
    }

    /// Forgets a context that has ended; gives its object, if anybody holds it.
    fn take(&mut self, id: ContextId) -> Option<Context> {
        let subscribed = self.subscribed.remove(&id);
        let known = self.known.remove(&id).and_then(|inner| inner.upgrade()).map(Context::from_inner);
        known.or(subscribed)
    }

    /// Forgets all contexts; gives the objects that somebody holds.
    fn take_all(&mut self) -> Vec<Context> {
        let ids: Vec<_> = self.known.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.take(id)).collect()
    }
}

/// Where the handles of this router begin: nobody shall guess the handles of pending calls.
fn random_handle() -> u32 {
    let [a, b, c, d, ..] = random_number().to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d]).max(Handle::FIRST_DYNAMIC.get())
}

/// A number that nobody can guess.
pub(crate) fn random_number() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => u64::from_ne_bytes(bytes),
        // The kernel is not up yet, which no process of ours outlives; the library has its own way.
        Err(_) => RandomState::new().build_hasher().finish(),
    }
}
