//! The end of a router, or of the whole process that it lives in.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::Level;

use super::{Close, Core, Workers};
use crate::deadline;
use crate::io::is_reading;
use crate::panics;
use crate::router::death::Death;
use crate::router::lifecycle::Ending;
use crate::wire::control::encode_shutdown;
use crate::wire::{ContextId, Handle};

/// How long an ordinary end waits for children that were told to end, before it kills them.
const PROMPT_BOUND: Duration = Duration::from_secs(1);

/// How much earlier than a context those directly below it shall have ended.
const GRACE_MARGIN: Duration = Duration::from_millis(100);

/// How long a context that was asked to end may take beyond its bound, for what it has to do when
/// its methods have not come to their end by then.
pub(in crate::router) const KILL_MARGIN: Duration = Duration::from_millis(300);

/// How long killed children may take until they are reaped.
const REAP_BOUND: Duration = Duration::from_secs(2);

/// How long callbacks and log lines may take at the end.
const COURIER_BOUND: Duration = Duration::from_secs(1);

/// How long what is still queued for the parent may take to leave.
const DRAIN_BOUND: Duration = Duration::from_millis(300);

/// How long services may take to hear of the end, beyond what their methods may.
const FAREWELL_BOUND: Duration = Duration::from_millis(300);

/// The status of a context whose I/O thread has crashed. "Internal software error" in `sysexits.h`.
const CRASHED: i32 = 70;

impl Core {
    /// Ends this process from the broker's thread, methods that never return included.
    ///
    /// The children are not waited for: each sees the end of its stream and does the same, so that
    /// a whole tree ends in parallel. Nothing here runs or drops what belongs to a user.
    pub(crate) fn end_process(&self) -> ! {
        for link in self.links.lock().values() {
            if let Some(process) = &link.process {
                process.resume();
            }
        }
        crate::sys::exit_now(0)
    }

    /// The parent of this process is gone. Services that want to be told have a short time for it; then,
    /// or at once if there are none, the process ends. On the broker's thread.
    pub(crate) fn orphaned(self: &Arc<Self>) {
        let pools = self.all_workers();
        if !pools.iter().any(|workers| workers.waits_for_farewell()) {
            self.end_process();
        }
        if self.orphaned.swap(true, Ordering::SeqCst) {
            return;
        }
        // Those below see it at once, so that the whole tree ends in parallel.
        self.close_streams();
        let core = self.clone();
        let told = self.ledger.spawn("mitogen-farewell", move || {
            pools.iter().for_each(|workers| workers.stop());
            let deadline = deadline::after(FAREWELL_BOUND);
            // There is little time, so the pool, of which there is one as a rule, does not wait for one thread more.
            let Some((pool, before)) = pools.split_first() else { core.end_process() };
            let told: Vec<_> = before.iter().map(|workers| workers.begin_farewell(deadline)).collect();
            pool.farewell(deadline);
            before.iter().zip(told).for_each(|(workers, told)| workers.end_farewell(told, deadline));
            core.end_process();
        });
        let core = self.clone();
        // Also while the router closes already.
        let broker = self.broker.lock().as_ref().map(|broker| broker.handle().clone());
        let timer = broker.and_then(|broker| broker.call_after(FAREWELL_BOUND, move |_| core.end_process()));
        if told.is_err() || timer.is_none() {
            self.end_process();
        }
    }

    /// The parent has asked this context to end: within `grace`, or on the spot if that is zero.
    pub(in crate::router) fn shut_down(self: &Arc<Self>, grace: Duration) {
        if self.ending == Ending::Process && grace.is_zero() {
            self.end_process();
        }
        self.close_later(Close::Within(grace));
    }

    /// Closes on a thread of its own, since closing waits.
    pub(super) fn close_later(self: &Arc<Self>, how: Close) {
        let core = self.clone();
        let thread = self.ledger.spawn("mitogen-shutdown", move || core.close(how));
        if let Err(error) = thread {
            self.log(Level::ERROR, format!("cannot start a thread to shut down: {error}"));
            if self.ending == Ending::Process {
                self.end_process();
            }
        }
    }

    /// Ends the router and everything below it, and waits for that; later calls wait as well. A
    /// context that is a process of its own does not come back from here.
    pub(crate) fn close(self: &Arc<Self>, how: Close) {
        if self.is_broker() || is_reading() {
            // A thread that must not wait; it is here if a user's value has held the last
            // handle of a router, and was dropped by a wake-up.
            return self.close_later(how);
        }
        if !self.lifecycle.begin_closing() {
            return self.lifecycle.wait_closed();
        }
        let bound = match how {
            Close::Within(bound) => bound,
            Close::Promptly => PROMPT_BOUND,
        };
        let deadline = deadline::after(bound);
        let children_deadline = match self.ending {
            Ending::Router => deadline::after(bound.saturating_add(KILL_MARGIN)),
            Ending::Process => deadline,
        };
        let pools = self.all_workers();
        pools.iter().for_each(|workers| workers.stop());
        self.permits.close();
        self.end_connecting_processes();
        self.end_children(how, children_deadline);
        pools.iter().for_each(|workers| workers.join(deadline));
        say_farewell(&pools, deadline + FAREWELL_BOUND);
        // Services that were told, or are gone, have given up the answers that were theirs to give. What is
        // left is in the hands of other threads, which may still come to it.
        pools.iter().for_each(|workers| workers.settle(deadline));
        // The last answers leave, and what was sent before.
        let drained_by = deadline::after(DRAIN_BOUND);
        for parent in self.parent_streams() {
            parent.drain(drained_by);
        }
        if self.ending == Ending::Process {
            // The last lines of the contexts below leave as well.
            self.logs.stop(DRAIN_BOUND);
            // What the parent sees as the end shall be the process's end.
            self.end_process();
        }
        self.forsake_everything();
        self.forget_workers();
        drop(pools);
        self.close_streams();
        // It stays known until its thread has left, for those who must not do on it what others may.
        let broker = self.broker.lock().clone();
        if let Some(broker) = broker {
            broker.stop();
        }
        let broker = self.broker.lock().take();
        drop(broker);
        let ready = self.ready.lock().take();
        drop(ready);
        self.callbacks.stop(COURIER_BOUND);
        self.logs.stop(COURIER_BOUND);
        self.lifecycle.closed();
    }

    /// Drops what belongs to a user, wherever that happens to be, but not on the I/O thread, nor on one that
    /// reads a stream for it: from there all of it goes on a thread of its own, and is lost if there can be none.
    pub(crate) fn drop_aside(&self, values: impl IntoIterator + Send + 'static) {
        if !self.is_broker() && !is_reading() {
            return drop_each(values);
        }
        // What cannot be started drops what it should have run.
        let values = ManuallyDrop::new(values);
        let thread = self.ledger.spawn("mitogen-drop", move || drop_each(ManuallyDrop::into_inner(values)));
        if let Err(error) = thread {
            self.log(Level::ERROR, format!("cannot start a thread to let go of what is the program's: {error}"));
        }
    }

    fn is_broker(&self) -> bool {
        self.broker.lock().as_ref().is_some_and(|broker| broker.handle().is_current())
    }

    fn end_connecting_processes(&self) {
        for process in &*self.connecting.lock() {
            process.kill();
        }
        let deadline = deadline::after(REAP_BOUND);
        self.lifecycle.wait_until(deadline, || self.connecting.lock().is_empty());
    }

    fn end_children(self: &Arc<Self>, how: Close, deadline: Instant) {
        let children = self.table.lock().children();
        for id in &children {
            match how {
                Close::Within(bound) => {
                    self.post(*id, Handle::SHUTDOWN, encode_shutdown(self.grace_below(bound)));
                }
                Close::Promptly => self.close_child(*id),
            }
        }
        if self.lifecycle.wait_until(deadline, || !self.has_children()) {
            return;
        }
        let children = self.table.lock().children();
        for id in children {
            if !self.kill_child(id) {
                self.close_child(id);
            }
        }
        let deadline = deadline::after(REAP_BOUND);
        if !self.lifecycle.wait_until(deadline, || !self.has_children()) {
            self.log(Level::WARN, "child will not exit, giving up".to_owned());
        }
    }

    /// What the contexts below may take of the time that this one has. Below the one that was asked
    /// at first, each level ends a little earlier than the one above it: what does not end by itself
    /// has to be killed before those who do that are killed themselves.
    fn grace_below(&self, bound: Duration) -> Duration {
        match self.ending {
            Ending::Router => bound,
            Ending::Process => bound - GRACE_MARGIN.min(bound / 5),
        }
    }

    fn close_child(&self, id: ContextId) {
        let stream = self.table.lock().route_below(id);
        if let Some(stream) = stream.and_then(|stream| self.stream(stream)) {
            stream.close();
        }
    }

    /// Whether a child is left whose end has not been told to everybody.
    fn has_children(&self) -> bool {
        let parent = self.table.lock().parent();
        self.links.lock().keys().any(|stream| Some(*stream) != parent)
    }

    /// Nothing that waits here will get an answer any more, and no context can be reached.
    fn forsake_everything(self: &Arc<Self>) {
        self.calls.close();
        let listeners = self.handles.lock().close();
        let death = Arc::new(Death::router_closed(&self.identity.name));
        for listener in listeners {
            listener.end(&death);
        }
        let contexts = self.contexts.lock().take_all();
        for context in contexts {
            context.disconnected(&death);
        }
    }

    fn close_streams(&self) {
        let streams: Vec<_> = self.links.lock().values().map(|link| link.stream.clone()).collect();
        for stream in streams {
            stream.close();
        }
    }

    /// The I/O thread is gone by a defect of ours: nothing can come any more, and nobody shall wait.
    pub(super) fn broker_crashed(self: &Arc<Self>) {
        if self.ending == Ending::Process {
            crate::sys::exit_now(CRASHED);
        }
        self.log(Level::ERROR, "broker crashed; the router can only be closed".to_owned());
        let processes: Vec<_> = self.links.lock().values().filter_map(|link| link.process.clone()).collect();
        for process in processes {
            process.kill();
        }
        self.forsake_everything();
    }
}

/// Whatever one of them does, the next one goes as well.
fn drop_each(values: impl IntoIterator) {
    values.into_iter().for_each(|value| panics::contain(|| drop(value)));
}

/// Tells the services of all pools of the end, none of them later because of another one.
fn say_farewell(pools: &[Arc<dyn Workers>], deadline: Instant) {
    let told: Vec<_> = pools.iter().map(|workers| workers.begin_farewell(deadline)).collect();
    for (workers, told) in pools.iter().zip(told) {
        workers.end_farewell(told, deadline);
    }
}
