//! A context on its way: waited for, awaited, or given up.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::command::Failed;
use super::options::Options;
use super::request::{Method, Request, Way};
use super::{command, local, via};
use crate::deadline;
use crate::error::{ConnectKind, Error, Result};
use crate::executable::Executable;
use crate::latch::Latch;
use crate::panics;
use crate::router::{Context, Core, MAX_NAME, Router, cut};
use crate::sync::Mutex;

/// A context that is being connected; made by the connectors' `start`.
///
/// [`wait`](Self::wait) for it, or `.await` it on any executor. Dropping it gives the connection up: the
/// command is killed, and a context that has just joined is ended.
///
/// ```
/// # fn main() -> mitogen_service::Result<()> {
/// # let router = mitogen_service::Router::builder().build()?;
/// let connecting = router.command(["false"]).start();
/// let error = connecting.wait().unwrap_err();
/// println!("{error}"); // the command ended with status 1 and started no shell
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it gives the connection up; `wait` for it or `.await` it"]
pub struct Connecting {
    result: Arc<Latch<Result<Context>>>,
    cancel: Arc<Cancel>,
    name: String,
}

impl Connecting {
    /// Waits until the context has joined.
    ///
    /// # Errors
    /// Those of the connectors' `connect`.
    pub fn wait(self) -> Result<Context> {
        self.result.wait(None).unwrap_or(Err(Error::Closed))
    }

    /// Waits until the context has joined, for `timeout` at most; `None` means not yet, and spoils
    /// nothing.
    ///
    /// # Errors
    /// Those of the connectors' `connect`.
    pub fn try_wait(&mut self, timeout: Duration) -> Option<Result<Context>> {
        self.result.wait(Some(deadline::after(timeout)))
    }
}

impl Future for Connecting {
    type Output = Result<Context>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.result.poll(task)
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.cancel.cancel();
        // Nobody takes it any more: a context that has come too late ends.
        if let Some(Ok(context)) = self.result.wait(Some(deadline::after(Duration::ZERO))) {
            end_unwanted(context);
        }
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether a connection is still wanted.
pub(super) struct Cancel {
    cancelled: AtomicBool,
    /// What stops it at this moment.
    action: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Cancel {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { cancelled: AtomicBool::new(false), action: Mutex::new(None) })
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Says what stops the connection from now on; done at once if it is cancelled already.
    pub(super) fn by(&self, action: impl FnOnce() + Send + 'static) {
        let previous = self.action.lock().replace(Box::new(action));
        drop(previous);
        if self.is_cancelled() {
            self.act();
        }
    }

    /// Nothing is left that has to be stopped.
    pub(super) fn done(&self) {
        let action = self.action.lock().take();
        drop(action);
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.act();
    }

    fn act(&self) {
        let action = self.action.lock().take();
        if let Some(action) = action {
            action();
        }
    }
}

/// Connects on the calling thread.
pub(super) fn connect(router: &Router, options: Options) -> Result<Context> {
    run(router, options, &Cancel::new())
}

/// Connects on a thread of its own.
pub(super) fn start(router: &Router, options: Options) -> Connecting {
    let result = Arc::new(Latch::new());
    let cancel = Cancel::new();
    let name = asked_name(&options.request);
    let connecting = Connecting { result: result.clone(), cancel: cancel.clone(), name };
    // One that does not keep the router open: who drops the router does not want the context.
    let router = Router::borrowed(router.core());
    let core = router.core().clone();
    let on_thread = result.clone();
    let spawned = core.ledger().spawn("mitogen-connect", move || {
        let connected = panics::guard(|| run(&router, options, &cancel));
        let connected = connected.unwrap_or_else(|panic| {
            panics::discard(panic);
            Err(Error::io("connect", std::io::Error::other("the connector has panicked")))
        });
        on_thread.put(connected);
        if cancel.is_cancelled()
            && let Some(Ok(context)) = on_thread.wait(Some(deadline::after(Duration::ZERO)))
        {
            end_unwanted(context);
        }
    });
    if let Err(error) = spawned {
        result.put(Err(Error::io("start a thread", error)));
    }
    connecting
}

/// Ends a context that has joined when nobody waited for it any more.
fn end_unwanted(context: Context) {
    let core = context.core().clone();
    // Not waited for: this may be any thread. A direct child is killed, one further away is told to exit.
    if !core.kill_child(context.id()) {
        let now = crate::wire::control::encode_shutdown(Duration::ZERO);
        core.post(context.id(), crate::wire::Handle::SHUTDOWN, now);
    }
}

fn run(router: &Router, options: Options, cancel: &Arc<Cancel>) -> Result<Context> {
    let Options { request, via } = options;
    let core = router.core();
    request.check().map_err(|what| Error::Invalid { what })?;
    if !core.lifecycle().is_open() {
        return Err(Error::Closed);
    }
    let waiting = core.clone();
    cancel.by(move || waiting.connecting_permits().wake());
    let permit = core.connecting_permits().acquire(|| cancel.is_cancelled());
    cancel.done();
    let Some(_permit) = permit else {
        return Err(match core.lifecycle().is_open() {
            true => cancelled(&asked_name(&request)),
            false => Error::Closed,
        });
    };
    if via.as_ref().is_some_and(|via| !Arc::ptr_eq(via.core(), core)) {
        return Err(Error::Invalid { what: "`via` takes a context of the same router".to_owned() });
    }
    match via.filter(|via| via.id() != core.identity().id) {
        Some(via) => via::connect(core, &via, request, cancel),
        None => here(router, &request, cancel, None).map_err(Failed::into_error),
    }
}

/// Starts a context below this one.
pub(super) fn here(
    router: &Router,
    request: &Request,
    cancel: &Arc<Cancel>,
    supplied: Option<&Arc<Executable>>,
) -> Result<Context, Failed> {
    match &request.way {
        Way::Local => local::connect(router, request, cancel).map_err(Failed::Error),
        Way::Command(method) => command::connect(router, request, method, cancel, supplied),
    }
}

pub(super) fn cancelled(name: &str) -> Error {
    Error::Connect { context: name.to_owned(), kind: ConnectKind::Cancelled, stderr_tail: String::new() }
}

/// What the context is called as long as it has no number.
pub(super) fn asked_name(request: &Request) -> String {
    let default = || match &request.way {
        Way::Local => "local".to_owned(),
        Way::Command(method) => method.default_name.clone(),
    };
    request.name.clone().unwrap_or_else(default)
}

/// The name that shows the way: that of the context that starts it, if that is not the root, in front.
pub(super) fn default_name(core: &Core, method: &Method) -> String {
    let me = core.identity();
    let mut name = match me.parents.is_empty() {
        true => method.default_name.clone(),
        false => format!("{}.{}", me.name, method.default_name),
    };
    if name.len() > MAX_NAME {
        // The end tells more than the beginning, which many have in common.
        let mut from = name.len() - (MAX_NAME - 2);
        while !name.is_char_boundary(from) {
            from += 1;
        }
        name = format!("..{}", &name[from..]);
    }
    cut(&mut name, MAX_NAME);
    name
}
