//! A context: a process that takes part in the tree, as others see it.

use std::cell::RefCell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::core::{Core, KILL_MARGIN};
use super::death::Death;
use crate::deadline;
use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::wire::{ContextId, Handle, control};

/// How long a killed process may take until it is gone.
const KILL_BOUND: Duration = Duration::from_secs(2);

/// A process of the tree: a child, a parent, a sibling, or this process itself.
///
/// A `Context` is a name to call by, cheap to clone; dropping it ends nothing. It may be an
/// argument or a result of a service method, and means the same process there.
///
/// ```no_run
/// # fn main() -> mitogen_service::Result<()> {
/// # let router = mitogen_service::Router::builder().build()?;
/// let child = router.local().name("worker").connect()?;
/// assert_eq!(child.to_string(), "worker");
/// assert!(child.is_connected());
/// child.shutdown(std::time::Duration::from_secs(1))?;
/// assert!(!child.is_connected());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    core: Arc<Core>,
    id: ContextId,
    name: String,
    state: Mutex<State>,
}

type Callback = Box<dyn FnOnce() + Send>;

struct State {
    connected: bool,
    /// How it ended, if it did so while somebody here knew it.
    death: Option<Arc<Death>>,
    listeners: Vec<(u64, Callback)>,
    next: u64,
}

impl Context {
    pub(super) fn new(core: &Arc<Core>, id: ContextId, name: String, connected: bool) -> Self {
        let state = Mutex::new(State { connected, death: None, listeners: Vec::new(), next: 0 });
        Self { inner: Arc::new(Inner { core: core.clone(), id, name, state }) }
    }

    /// The number of the context, unique in its tree.
    pub fn id(&self) -> ContextId {
        self.inner.id
    }

    /// The name that the context was given when it was started.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether the context can be reached, as far as this process knows.
    pub fn is_connected(&self) -> bool {
        self.inner.state.lock().connected
    }

    /// Calls `f` once, when the context has ended or can no longer be reached; at once if that is so.
    ///
    /// A context elsewhere in the tree is heard of only if something was sent there, or came from
    /// there. `f` runs on a thread of the router's that exists for such callbacks, one after the other. It
    /// is forgotten when the subscription is dropped.
    pub fn on_disconnect(&self, f: impl FnOnce() + Send + 'static) -> Subscription {
        // Kept first: an end that comes between the two finds the object, and releases it.
        self.inner.core.keep(self, true);
        let mut state = self.inner.state.lock();
        let number = state.next;
        state.next += 1;
        if state.connected {
            state.listeners.push((number, Box::new(f)));
            drop(state);
        } else {
            drop(state);
            self.inner.core.keep(self, false);
            self.inner.core.call_back_now(f);
        }
        Subscription { context: Arc::downgrade(&self.inner), number }
    }

    /// Ends the context and everything below it: gracefully within `bound`, hard after that.
    ///
    /// The context answers what is queued with `Stopped`, and lets the methods that run, and answers that
    /// are held as [`Reply`](crate::Reply), come to their end. Returns when it is gone; at once if it was gone before.
    ///
    /// # Errors
    /// [`Error::NotBelow`] for a context that this one has not started, directly or through others,
    /// and [`Error::Io`] if the process is still there two seconds after it was killed.
    pub fn shutdown(&self, bound: Duration) -> Result<()> {
        if !self.must_end()? {
            return Ok(());
        }
        let Inner { core, id, .. } = &*self.inner;
        core.post(*id, Handle::SHUTDOWN, control::encode_shutdown(bound));
        if self.wait_disconnected(bound.saturating_add(KILL_MARGIN)) { Ok(()) } else { self.kill() }
    }

    /// Ends the context and everything below it at once, whatever it is doing.
    ///
    /// A direct child gets SIGKILL. A context further down is told by a message to exit on the
    /// spot, which its I/O thread obeys even if no method ever returns.
    ///
    /// # Errors
    /// As for [`shutdown`](Self::shutdown).
    pub fn kill(&self) -> Result<()> {
        if !self.must_end()? {
            return Ok(());
        }
        let Inner { core, id, .. } = &*self.inner;
        if !core.kill_child(*id) {
            core.post(*id, Handle::SHUTDOWN, control::encode_shutdown(Duration::ZERO));
        }
        if self.wait_disconnected(KILL_BOUND) {
            return Ok(());
        }
        Err(Error::io("end the process", std::io::Error::from(std::io::ErrorKind::TimedOut)))
    }

    /// Whether there is anything to end.
    fn must_end(&self) -> Result<bool> {
        if !self.is_connected() {
            return Ok(false);
        }
        // One that was below and is not any more has ended, and is about to be told so.
        if self.inner.core.is_or_was_below(self.inner.id) {
            return Ok(true);
        }
        Err(Error::NotBelow { context: self.inner.name.clone() })
    }

    fn wait_disconnected(&self, bound: Duration) -> bool {
        let deadline = deadline::after(bound);
        self.inner.core.lifecycle().wait_until(deadline, || !self.is_connected())
    }

    /// How the context ended, as far as it is known here.
    pub(crate) fn death(&self) -> Option<Arc<Death>> {
        self.inner.state.lock().death.clone()
    }

    /// The router that the context was met through.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    pub(super) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(super) fn from_inner(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The context is gone: tells those who asked, once.
    pub(super) fn disconnected(&self, death: &Arc<Death>) {
        let listeners = {
            let mut state = self.inner.state.lock();
            state.connected = false;
            state.death = Some(death.clone());
            std::mem::take(&mut state.listeners)
        };
        self.inner.core.call_back(listeners.into_iter().map(|(_, listener)| listener).collect());
    }
}

/// Keeps a callback of [`Context::on_disconnect`] subscribed; dropping it takes the callback back.
#[must_use = "dropping a subscription takes its callback back; use `detach` to keep it"]
#[derive(Debug)]
pub struct Subscription {
    context: Weak<Inner>,
    number: u64,
}

impl Subscription {
    /// Lets the callback run whenever its time comes.
    pub fn detach(mut self) {
        self.context = Weak::new();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(inner) = self.context.upgrade() else { return };
        let (taken, last) = {
            let mut state = inner.state.lock();
            let at = state.listeners.iter().position(|(number, _)| *number == self.number);
            (at.map(|at| state.listeners.swap_remove(at)), state.listeners.is_empty())
        };
        if taken.is_some() && last {
            let context = Context::from_inner(inner);
            context.core().keep(&context, false);
        }
        drop(taken);
    }
}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.inner.id == other.inner.id && Arc::ptr_eq(&self.inner.core, &other.inner.core)
    }
}

impl Eq for Context {}

impl Hash for Context {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.id.hash(state);
    }
}

/// The name of the context.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.inner.name)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}, {:?})", self.inner.id, self.inner.name)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inner({}, {:?})", self.id, self.name)
    }
}

/// As `[id, name]`.
impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (self.inner.id, &self.inner.name).serialize(serializer)
    }
}

/// Only inside a dispatcher or a call, which know the router that the context is met through.
impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (id, name) = <(ContextId, String)>::deserialize(deserializer)?;
        let core = decoding_core().ok_or_else(|| {
            serde::de::Error::custom("a `Context` can be decoded only as an argument or a result of a service call")
        })?;
        Ok(core.context_named(id, || name))
    }
}

thread_local! {
    /// The router for which this thread decodes a message.
    static DECODING: RefCell<Option<Arc<Core>>> = const { RefCell::new(None) };
}

/// The router for which this thread decodes a message, if it does.
pub(crate) fn decoding_core() -> Option<Arc<Core>> {
    DECODING.with_borrow(Clone::clone)
}

/// Runs a decoder in which contexts are those of a router.
pub(crate) fn decoding_for<R>(core: &Arc<Core>, decode: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<Core>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let previous = self.0.take();
            DECODING.with_borrow_mut(|current| *current = previous);
        }
    }
    let _restore = Restore(DECODING.replace(Some(core.clone())));
    decode()
}
