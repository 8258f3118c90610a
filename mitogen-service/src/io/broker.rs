//! The broker: a router's one I/O thread.
//!
//! It waits for what is ready, runs the sources' own short reactions, and holds the timers. It
//! never runs a user's code and never waits for anything but its poller, so that whatever a method
//! does, messages go on moving and a context whose parent is gone ends at once. The streams are read by
//! whoever is nearest ([`Ready`]); this thread is the reserve that reads when all others are busy.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use super::cork::HOLD_TIME;
use super::poller::{Events, Interest, Poller, Wake};
use super::ready::{Ready, Seat};
use super::stream::Stream;
use super::timers::{TimerId, Timers};
use crate::ledger::{Entry, Ledger};
use crate::sync::Mutex;

/// The token of the poller of the streams.
const READY: u64 = u64::MAX - 1;

/// How many descriptors are taken from the poller in one go.
const TURN: usize = 64;

/// How often it is looked whether callers still come to the streams that they have left disarmed. What comes
/// behind the last of them and is no answer that somebody waits for is found after two of these times. Meanwhile each
/// is one system call among some hundred.
const TICK: Duration = Duration::from_millis(2);

/// Something with a descriptor whose readiness matters.
pub(crate) trait Source: Send + Sync {
    /// Reacts to readiness, on the broker's thread, without blocking.
    fn ready(self: Arc<Self>, broker: &BrokerHandle, token: Token);
}

/// Names a registration of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(u64);

type Job = Box<dyn FnOnce(&BrokerHandle) + Send>;

/// The broker as its owner holds it: dropping it does not stop it, [`Broker::stop`] does.
pub(crate) struct Broker {
    handle: BrokerHandle,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The broker as everybody else knows it.
#[derive(Clone)]
pub(crate) struct BrokerHandle {
    shared: Arc<Shared>,
}

struct Shared {
    poller: Poller,
    ready: Arc<Ready>,
    lazy: Mutex<Lazy>,
    /// The broker's thread, once it is there.
    thread: OnceLock<ThreadId>,
    _fds: Entry,
    state: Mutex<State>,
    /// Set once; after that the thread runs what is queued and leaves.
    stopping: AtomicBool,
}

struct State {
    sources: HashMap<u64, Arc<dyn Source>>,
    next_token: u64,
    timers: Timers<Job>,
    /// Jobs for the thread, in order.
    jobs: Vec<Job>,
    /// No job is taken any more.
    exited: bool,
}

/// The streams that were left disarmed, and are to be armed at the next tick.
#[derive(Default)]
struct Lazy {
    streams: Vec<Arc<Stream>>,
    ticking: bool,
}

impl Broker {
    /// Starts the thread.
    ///
    /// `on_crash` is called on it if it ends in any other way than by [`stop`](Self::stop).
    pub(crate) fn start(
        ledger: &Ledger,
        ready: &Arc<Ready>,
        on_crash: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            poller: Poller::new(Wake::One)?,
            ready: ready.clone(),
            lazy: Mutex::default(),
            thread: OnceLock::new(),
            _fds: ledger.fds(Poller::FDS),
            state: Mutex::new(State {
                sources: HashMap::new(),
                next_token: 0,
                timers: Timers::new(),
                jobs: Vec::new(),
                exited: false,
            }),
            stopping: AtomicBool::new(false),
        });
        let handle = BrokerHandle { shared };
        ready.attach(handle.clone())?;
        let on_thread = handle.clone();
        let spawned = ledger.spawn("mitogen-io", move || {
            // Nobody else sets it.
            let _ = on_thread.shared.thread.set(std::thread::current().id());
            // The state machines above keep no half-made decisions across calls of ours, and after
            // a crash they are only taken apart.
            let ended = catch_unwind(AssertUnwindSafe(|| on_thread.run()));
            on_thread.exit();
            if !matches!(ended, Ok(true)) {
                on_crash();
            }
        });
        let thread = spawned.inspect_err(|_| ready.detach())?;
        Ok(Self { handle, thread: Mutex::new(Some(thread)) })
    }

    /// The handle that others use.
    pub(crate) fn handle(&self) -> &BrokerHandle {
        &self.handle
    }

    /// Ends the thread after the jobs that are queued, and waits for that unless it is the caller.
    pub(crate) fn stop(&self) {
        self.handle.shared.stopping.store(true, Ordering::SeqCst);
        self.handle.shared.poller.wake();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|_| !self.handle.is_current()) {
            // The broker runs no user code; a panic in it has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl BrokerHandle {
    /// Whether the calling thread is the broker's.
    pub(crate) fn is_current(&self) -> bool {
        self.shared.thread.get() == Some(&std::thread::current().id())
    }

    /// Starts to watch a descriptor for a source, which keeps it open until it is deregistered.
    pub(crate) fn register(
        &self,
        fd: BorrowedFd<'_>,
        interest: Interest,
        source: Arc<dyn Source>,
    ) -> std::io::Result<Token> {
        let token = {
            let mut state = self.shared.state.lock();
            if state.exited {
                return Err(std::io::Error::other("the broker has exited"));
            }
            let token = state.next_token;
            state.next_token += 1;
            state.sources.insert(token, source);
            token
        };
        if let Err(error) = self.shared.poller.add(fd, token, interest) {
            self.shared.state.lock().sources.remove(&token);
            return Err(error.into());
        }
        Ok(Token(token))
    }

    /// Asks anew after a [`Interest::WriteOnce`] was reported.
    pub(crate) fn rearm(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) {
        // Fails only for a descriptor that was deregistered meanwhile.
        let _ = self.shared.poller.modify(fd, token.0, interest);
    }

    /// Stops watching; a readiness that was seen before may still be reported.
    pub(crate) fn deregister(&self, fd: BorrowedFd<'_>, token: Token) {
        self.shared.poller.delete(fd);
        self.shared.state.lock().sources.remove(&token.0);
    }

    /// Runs a job on the broker's thread, soon. A broker that has ended drops it.
    pub(crate) fn defer(&self, job: impl FnOnce(&BrokerHandle) + Send + 'static) {
        {
            let mut state = self.shared.state.lock();
            if state.exited {
                return;
            }
            state.jobs.push(Box::new(job));
        }
        self.wake();
    }

    /// The thread itself looks at everything before it waits again.
    fn wake(&self) {
        if !self.is_current() {
            self.shared.poller.wake();
        }
    }

    /// Runs a job on the broker's thread after some time.
    pub(crate) fn call_after(
        &self,
        delay: Duration,
        job: impl FnOnce(&BrokerHandle) + Send + 'static,
    ) -> Option<TimerId> {
        let at = Instant::now().checked_add(delay)?;
        let id = {
            let mut state = self.shared.state.lock();
            if state.exited {
                return None;
            }
            state.timers.schedule(at, Box::new(job))
        };
        self.wake();
        Some(id)
    }

    /// Takes a timer back; if its job runs already, nothing happens.
    pub(crate) fn cancel(&self, timer: TimerId) {
        // Dropped after the lock is released: the job may own anything.
        let _job = self.shared.state.lock().timers.cancel(timer);
    }

    /// The poller of the streams.
    pub(crate) fn ready(&self) -> &Arc<Ready> {
        &self.shared.ready
    }

    /// Begins to watch the poller of the streams.
    pub(super) fn add_ready(&self, ready: &Poller, interest: Interest) -> std::io::Result<()> {
        Ok(self.shared.poller.add(ready.as_fd(), READY, interest)?)
    }

    /// Watches the poller of the streams from now on, or not.
    pub(super) fn watch_ready(&self, ready: &Poller, interest: Interest) {
        // It was added when the thread began, and stays.
        let _ = self.shared.poller.modify(ready.as_fd(), READY, interest);
    }

    /// Arms a stream at the next tick, if it is disarmed then. The ticks end when there is none left.
    pub(super) fn arm_soon(&self, stream: &Arc<Stream>) {
        let starts = {
            let mut lazy = self.shared.lazy.lock();
            lazy.streams.push(stream.clone());
            !std::mem::replace(&mut lazy.ticking, true)
        };
        if starts {
            self.next_tick();
        }
    }

    /// Lets go of what is held in a stream, in a short time.
    pub(super) fn let_go_soon(&self, stream: &Arc<Stream>) {
        let stream = Arc::downgrade(stream);
        // A broker that has ended has let go of the streams.
        let _ = self.call_after(HOLD_TIME, move |_| {
            if let Some(stream) = stream.upgrade() {
                stream.let_go_at_last();
            }
        });
    }

    fn next_tick(&self) {
        // A broker that has ended has let go of the streams.
        let _ = self.call_after(TICK, Self::tick);
    }

    fn tick(&self) {
        let streams = std::mem::take(&mut self.shared.lazy.lock().streams);
        let kept: Vec<_> = streams.into_iter().filter(Stream::stays_lazy).collect();
        let goes_on = {
            let mut lazy = self.shared.lazy.lock();
            lazy.streams.extend(kept);
            lazy.ticking = !lazy.streams.is_empty();
            lazy.ticking
        };
        if goes_on {
            self.next_tick();
        }
    }

    /// Tells whether it was asked to end.
    fn run(&self) -> bool {
        let mut ready = Vec::with_capacity(TURN);
        let (mut events, mut seat) = (Events::with_capacity(TURN), Seat::of_broker());
        loop {
            let stopping = self.shared.stopping.load(Ordering::SeqCst);
            let timeout = if stopping { Some(Duration::ZERO) } else { self.timeout() };
            ready.clear();
            if self.shared.poller.wait(timeout, &mut events, &mut ready).is_err() {
                // Whoever learns of the crash tells of it.
                return false;
            }
            for happened in &ready {
                if happened.token != READY {
                    self.dispatch(happened.token);
                } else if self.shared.ready.serve(&mut seat).is_err() {
                    return false;
                }
            }
            self.run_due_timers();
            if !self.run_jobs() && stopping {
                return true;
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let state = self.shared.state.lock();
        if state.jobs.is_empty() { state.timers.timeout(Instant::now()) } else { Some(Duration::ZERO) }
    }

    fn dispatch(&self, token: u64) {
        let source = self.shared.state.lock().sources.get(&token).cloned();
        if let Some(source) = source {
            source.ready(self, Token(token));
        }
    }

    fn run_due_timers(&self) {
        let now = Instant::now();
        loop {
            let Some(job) = self.shared.state.lock().timers.expire(now) else { return };
            job(self);
        }
    }

    /// Runs the queued jobs; tells whether there were any.
    fn run_jobs(&self) -> bool {
        let jobs = std::mem::take(&mut self.shared.state.lock().jobs);
        let any = !jobs.is_empty();
        for job in jobs {
            job(self);
        }
        any
    }

    /// Lets go of everything, outside the lock, since what is dropped may call us.
    fn exit(&self) {
        let (sources, timers, jobs) = {
            let mut state = self.shared.state.lock();
            state.exited = true;
            (
                std::mem::take(&mut state.sources),
                std::mem::replace(&mut state.timers, Timers::new()),
                std::mem::take(&mut state.jobs),
            )
        };
        let lazy = std::mem::take(&mut *self.shared.lazy.lock());
        self.shared.ready.detach();
        self.shared.ready.clear();
        drop((sources, timers, jobs, lazy));
    }
}
