//! What a thread of a pool does: it reads what comes, or waits, and runs what has its turn.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tracing::Level;

use super::crew::Run;
use super::job::Job;
use super::queue::{Aftermath, Hands, Queue, Taken};
use super::serving::no_service;
use super::shared::Shared;
use super::threads::What;
use super::turns::{Place, Settled, Turn};
use crate::channel::{Helper, helping};
use crate::io::{Ready, Seat, cork};
use crate::panics;
use crate::router::Core;
use crate::service::hosted::Hosted;
use crate::service::nesting;
use crate::wire::{Handle, MAX_CHAIN};

thread_local! {
    /// How many calls this thread runs, each while the one before waits.
    static DEPTH: Cell<usize> = const { Cell::new(0) };

    /// The pool for which this thread looks for jobs as soon as it has read what there is. What it reads
    /// may be for the pool after that one, whose threads have to be told.
    static COMING: Cell<*const Shared> = const { Cell::new(std::ptr::null()) };
}

/// How long a thread is trusted to come back from a method that is known to be fast.
const TICK: Duration = Duration::from_millis(5);

impl Shared {
    /// Whether the calling thread will look for jobs here as soon as it has read what there is.
    pub(super) fn is_coming(&self) -> bool {
        std::ptr::eq(COMING.get(), self)
    }

    pub(super) fn work(self: Arc<Self>) {
        let mut seat = Seat::of_pool();
        helping(self.clone(), || {
            let mut taken = self.queue.take();
            loop {
                match taken {
                    Taken::Turn(turn) => {
                        self.run_turn(turn);
                        taken = self.queue.take();
                    }
                    Taken::Read => {
                        cork::let_go();
                        taken = self.queue.comes(self.wait(&mut seat));
                    }
                    Taken::Park => {
                        cork::let_go();
                        taken = self.queue.park();
                    }
                    Taken::Leave => return cork::let_go(),
                }
            }
        });
    }

    /// Reads what comes for this router, until there is something to look for in the queue. Tells whether
    /// help was wanted.
    fn wait(&self, seat: &mut Seat) -> bool {
        COMING.set(std::ptr::from_ref(self));
        let ready = self.ready.upgrade().ok_or_else(|| std::io::Error::other("the router has ended"));
        let waited = ready.and_then(|ready| {
            let helped = ready.wait(seat)?;
            if helped {
                ready.let_leave(|| self.stopped.load(Ordering::SeqCst));
            }
            Ok(helped)
        });
        COMING.set(std::ptr::null());
        waited.unwrap_or_else(|error| {
            // A poller that does not work any more would be asked again and again.
            self.core.log(Level::ERROR, format!("cannot wait for streams: {error}"));
            self.stop();
            true
        })
    }

    /// Calls [`Queue::tick`] after a while, and again as long as that is wanted.
    fn tick_later(&self) -> bool {
        let pool = self.me.clone();
        let Some(broker) = self.core.broker_if_started() else { return false };
        let timer = broker.call_after(TICK, move |_| {
            let Some(pool) = pool.upgrade() else { return };
            let goes_on = pool.queue.tick();
            // One that is trusted may have blocked, with answers held behind it, while others go on.
            pool.core.let_go();
            if goes_on && !pool.tick_later() {
                pool.queue.ticks_end();
            }
        });
        timer.is_some()
    }

    /// Runs something that may take long, unless it is known to be fast.
    pub(super) fn run_as<R>(&self, fast: bool, run: impl FnOnce() -> R) -> R {
        // A thread that waits, and helps meanwhile, is slow already.
        if DEPTH.get() > 0 {
            return run();
        }
        let (number, has_more) = self.queue.runs(fast);
        let guard = RunGuard { queue: &self.queue, run: number };
        cork::expect_answers(has_more);
        if let Run::Slow = number {
            // No answer waits behind something that may take long.
            cork::let_go();
        }
        let result = run();
        cork::expect_answers(false);
        if !has_more {
            cork::let_go();
        }
        drop(guard);
        result
    }

    fn run_turn(&self, turn: Turn<Job, Hosted>) {
        // A call takes note of its method when it runs it.
        let _working = (!matches!(turn, Turn::Ready(Job::Call(_), ..))).then(|| self.threads.begin(What::Job));
        match turn {
            Turn::Ready(Job::Call(call), hosted, place) => {
                self.serve(&call, |envelope| self.run(&call, envelope, &hosted));
                self.done(place);
            }
            Turn::Ready(Job::Message(name), hosted, place) => {
                self.run_as(false, || self.take_message(&name, &hosted));
                self.done(place);
            }
            // A service is asked for messages only once it is there.
            Turn::Vacant(Job::Message(_), place) => {
                let Aftermath { nested, .. } = self.queue.settle(place, Settled::Refused);
                self.nudge(nested);
            }
            Turn::Nowhere(Job::Message(_)) => {}
            Turn::Vacant(Job::Call(call), place) => self.run_as(false, || self.serve_vacant(call, place)),
            Turn::Nowhere(Job::Call(call)) => self.serve(&call, |_| Err(no_service())),
            Turn::Ready(Job::Deferred(f), ..) | Turn::Vacant(Job::Deferred(f), _) | Turn::Nowhere(Job::Deferred(f)) => {
                self.deferred.fetch_sub(1, Ordering::Relaxed);
                self.run_as(false, || panics::contain(f));
            }
        }
    }

    /// A job that was given out with a place has run.
    fn done(&self, place: Option<Place>) {
        if let Some(place) = place {
            self.nudge(self.queue.done(place, DEPTH.get() == 0));
        }
    }

    /// Refuses a call that would be nested too deeply.
    fn refuse_turn(&self, turn: Turn<Job, Hosted>) {
        let refuse = |job| {
            if let Job::Call(call) = job {
                call.responder.refuse(&nesting::too_deep(call.chain()));
            }
        };
        match turn {
            Turn::Ready(job, _, place) => {
                refuse(job);
                self.done(place);
            }
            Turn::Vacant(job, place) => {
                refuse(job);
                let Aftermath { nested, .. } = self.queue.settle(place, Settled::Refused);
                self.nudge(nested);
            }
            Turn::Nowhere(job) => refuse(job),
        }
    }
}

impl Helper for Shared {
    fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn run_one(&self, handle: Handle) -> bool {
        let Some(turn) = self.queue.take_nested(handle) else { return false };
        let depth = DEPTH.get();
        // The thread waits again after this.
        cork::expect_answers(false);
        if depth < MAX_CHAIN {
            DEPTH.set(depth + 1);
            self.run_turn(turn);
            DEPTH.set(depth);
        } else {
            // The chain is what the caller says; how deep this thread is in, it knows itself.
            self.refuse_turn(turn);
        }
        true
    }
}

/// Takes note that something has run, also if it panicked.
struct RunGuard<'a> {
    queue: &'a Queue<Job, Hosted>,
    run: Run,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.queue.ran(self.run);
    }
}

/// What the queue of a pool has done.
pub(super) struct PoolHands {
    pub(super) pool: Weak<Shared>,
    pub(super) ready: Weak<Ready>,
}

impl Hands for PoolHands {
    fn help(&self) {
        if let Some(ready) = self.ready.upgrade() {
            ready.help();
        }
    }

    fn dismiss(&self) {
        if let Some(ready) = self.ready.upgrade() {
            ready.dismiss();
        }
    }

    fn dismissed(&self) {
        if let Some(ready) = self.ready.upgrade() {
            ready.dismissed();
        }
    }

    fn watch(&self, wanted: bool) {
        if let Some(ready) = self.ready.upgrade() {
            ready.watch(wanted);
        }
    }

    fn start(&self) -> bool {
        let Some(pool) = self.pool.upgrade() else { return false };
        let started = pool.spawn_one();
        if let Err(error) = &started {
            pool.core.log(Level::ERROR, format!("{error}; the pool goes on with those it has"));
        }
        started.is_ok()
    }

    fn tick_later(&self) -> bool {
        self.pool.upgrade().is_some_and(|pool| pool.tick_later())
    }
}
