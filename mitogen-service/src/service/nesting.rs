//! Calls that methods make: they inherit what is left of the caller's time, and carry the chain of
//! calls that wait for them.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caller::{Caller, CallerParts};
use super::descriptor::{MethodDescriptor, ServiceDescriptor};
use super::in_flight::{CallFlag, CallId};
use crate::error::{CallError, DeadlineBy, Trace};
use crate::router::{Core, Death, Delivery, Listener};
use crate::wire::{Handle, Link, MAX_CHAIN, Meta};

/// How the start of a service is called in a chain.
static ON_START: MethodDescriptor = MethodDescriptor {
    name: "on_start",
    docs: "",
    args: &[],
    policies: &[],
    invoker: None,
    result: "()",
    no_reply: false,
};

thread_local! {
    /// The call that this thread runs, if it runs one.
    static RUNNING: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// Runs `f` as a part of a call: what it calls carries the call's chain and deadline.
pub(super) fn within<R>(caller: &Caller, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Caller>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let outer = self.0.take();
            let inner = RUNNING.replace(outer);
            drop(inner);
        }
    }
    let _restore = Restore(RUNNING.replace(Some(caller.clone())));
    f()
}

/// Runs `f`, which lets a service start that no call has asked for, and tells it for which calls: those
/// that wait for this thread, or else one that stands for the start itself. So a start that calls the very
/// service is noticed, where both would wait for each other for ever.
pub(super) fn starting<R>(core: &Arc<Core>, service: &'static ServiceDescriptor, f: impl FnOnce(&[CallId]) -> R) -> R {
    let waiting = waited_for(core);
    if !waiting.is_empty() {
        return f(&waiting);
    }
    let me = core.identity().id;
    // Nobody else has the handle meanwhile. At a closed router there is none, and nothing is called.
    let Some(handle) = core.await_uncounted(me, Arc::new(NoAnswer)) else { return f(&[]) };
    let id = (me, handle);
    let flag = CallFlag::default();
    flag.run(service, &ON_START);
    let parts =
        CallerParts { core: core.clone(), src_id: me, auth_id: me, is_local: true, credentials: None, id, chain: None };
    let result = within(&Caller::new(parts, Arc::new(flag)), || f(&[id]));
    core.give_up(handle);
    result
}

/// Nobody answers the start of a service.
struct NoAnswer;

impl Listener for NoAnswer {
    fn deliver(&self, _delivery: Delivery<'_>) {}

    fn end(&self, _death: &Arc<Death>) {}
}

/// The calls of this router that wait for what this thread does, outermost first: the one that it runs
/// is the last. None if nobody waits for that one.
pub(super) fn waited_for(core: &Arc<Core>) -> Vec<CallId> {
    let chain = running(core).as_ref().map_or_else(Vec::new, chain_below);
    chain.into_iter().map(|link| (link.context, link.handle)).collect()
}

/// The call of this router that this thread runs. Calls through another router of this process are
/// another tree's business.
fn running(core: &Arc<Core>) -> Option<Caller> {
    RUNNING.with_borrow(|running| running.clone().filter(|caller| Arc::ptr_eq(caller.core(), core)))
}

/// Until when a call that begins now is worth anything: by its own time, and by what is left of the
/// time of the call that it is a part of.
fn until(running: Option<&Caller>, timeout: Option<Duration>) -> Option<Instant> {
    // A time too far away to be counted is no bound at all.
    let own = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    own.into_iter().chain(running.and_then(Caller::deadline)).min()
}

/// Until when a call that nobody waits for may wait to be sent.
pub(super) fn deadline(core: &Arc<Core>, timeout: Option<Duration>) -> Option<Instant> {
    until(running(core).as_ref(), timeout)
}

/// What a call that begins now carries, and until when its caller waits.
pub(super) fn outgoing(core: &Arc<Core>, timeout: Option<Duration>) -> Result<(Meta, Option<Instant>), CallError> {
    let running = running(core);
    let deadline = until(running.as_ref(), timeout);
    let time = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if time.is_some_and(|time| time.is_zero()) {
        return Err(CallError::DeadlineExceeded { by: DeadlineBy::Queue, trace: Trace::default() });
    }
    let chain = running.map_or_else(Vec::new, |caller| chain_below(&caller));
    if chain.len() > MAX_CHAIN {
        return Err(too_deep(&chain));
    }
    Ok((Meta { time, chain }, deadline))
}

/// The chain of what a running call calls. Nobody waits for a call without reply, nor for what it calls.
fn chain_below(caller: &Caller) -> Vec<Link> {
    let (context, handle) = caller.id();
    if handle == Handle::NONE {
        return Vec::new();
    }
    let mut chain = caller.chain().to_vec();
    let (method, service) = caller.running();
    let here = &caller.core().identity().name;
    let name = match service.as_str() {
        // It has not come to its method yet.
        "" => format!("the making of a service in {here}"),
        _ => format!("{service}.{method} in {here}"),
    };
    chain.push(Link { context, handle, name });
    chain
}

/// The answer to a call whose chain is too long to be anything but a circle.
pub(super) fn too_deep(chain: &[Link]) -> CallError {
    let mut names = names(chain);
    names.push(format!("... (more than {MAX_CHAIN} calls deep)"));
    CallError::Deadlock { chain: names, trace: Trace::default() }
}

/// The answer to a call that would wait for itself.
pub(super) fn deadlock(chain: &[Link], what: String) -> CallError {
    let mut names = names(chain);
    names.push(what);
    CallError::Deadlock { chain: names, trace: Trace::default() }
}

fn names(chain: &[Link]) -> Vec<String> {
    chain.iter().map(|link| link.name.clone()).collect()
}
