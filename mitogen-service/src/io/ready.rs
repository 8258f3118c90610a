//! The streams that can be read, and the threads that wait for them.
//!
//! All streams of a router are watched by one poller. A thread of a pool waits in it while it has
//! nothing to do; the kernel wakes it for what comes, it takes the stream's read role
//! ([`Role`](super::role::Role)), puts what it reads into its queues, gives the role back, and only
//! then executes. The router's I/O thread looks after the same poller whenever nobody else does, which
//! those who know tell by [`Ready::watch`]: it watches this poller through its own, so it is not woken
//! for what a pool's thread is woken for.
//!
//! *Help* is a wake-up for one thread that waits here, whichever. It is told once, like the edge of a
//! stream, and is not lost while nobody waits: the next one who does gets it. If it is the I/O thread
//! that finds it, which can be of no help, it leaves it to the next one who comes.
//!
//! When a pool stops, the one of its threads that waits here is to leave, while one of the next pool may
//! wait here already, and the kernel does not know them apart. So who is woken while others are to leave
//! wakes another one and stands back until those are gone, which takes them no time.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::broker::BrokerHandle;
use super::poller::{Events, Happened, Interest, Poller, Wake};
use super::stream::Stream;
use crate::hash::SmallMap;
use crate::ledger::{Entry, Ledger};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};

/// How many streams a thread of a pool takes from the poller in one go: what it does not take wakes
/// another one.
const POOL_TURN: usize = 16;

/// The same for the I/O thread.
const IO_TURN: usize = 64;

/// The poller of the streams.
pub(crate) struct Ready {
    poller: Poller,
    state: Mutex<State>,
    watching: Mutex<Watching>,
    /// How many threads wait, or are about to.
    waiting: AtomicUsize,
    /// The I/O thread has found a wake-up that was meant for somebody who waits.
    left_over: AtomicBool,
    /// How many threads that wait are to leave.
    leaving: Mutex<usize>,
    all_left: Condvar,
    _fds: Entry,
}

struct State {
    streams: SmallMap<u64, Arc<Stream>>,
    next_token: u64,
}

/// Whether the I/O thread looks after the streams.
struct Watching {
    broker: Option<BrokerHandle>,
    wanted: bool,
}

/// What a thread needs to wait.
pub(crate) struct Seat {
    events: Events,
    happened: Vec<Happened>,
}

impl Ready {
    /// Nothing is watched, and the I/O thread looks after what there will be.
    pub(crate) fn new(ledger: &Ledger) -> std::io::Result<Self> {
        Ok(Self {
            poller: Poller::new(Wake::Any)?,
            state: Mutex::new(State { streams: SmallMap::default(), next_token: 0 }),
            watching: Mutex::new(Watching { broker: None, wanted: true }),
            waiting: AtomicUsize::new(0),
            left_over: AtomicBool::new(false),
            leaving: Mutex::new(0),
            all_left: Condvar::new(),
            _fds: ledger.fds(Poller::FDS),
        })
    }

    /// Starts to watch a stream, which is armed by this.
    pub(super) fn add(&self, fd: BorrowedFd<'_>, stream: &Arc<Stream>) -> std::io::Result<u64> {
        let token = {
            let mut state = self.state.lock();
            let token = state.next_token;
            state.next_token += 1;
            state.streams.insert(token, stream.clone());
            token
        };
        if let Err(error) = self.poller.add(fd, token, Interest::Edge) {
            let stream = self.state.lock().streams.remove(&token);
            drop(stream);
            return Err(error.into());
        }
        Ok(token)
    }

    /// Arms or disarms a stream.
    pub(super) fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) {
        // Fails only for a descriptor that is not watched, as after the end of the stream.
        let _ = self.poller.modify(fd, token, interest);
    }

    /// Stops watching a stream.
    pub(super) fn remove(&self, fd: BorrowedFd<'_>, token: u64) {
        self.poller.delete(fd);
        let stream = self.state.lock().streams.remove(&token);
        drop(stream);
    }

    /// Says whether the I/O thread shall look after the streams. What has come before is not missed.
    pub(crate) fn watch(&self, wanted: bool) {
        let mut watching = self.watching.lock();
        watching.wanted = wanted;
        if let Some(broker) = &watching.broker {
            broker.watch_ready(&self.poller, interest(wanted));
        }
    }

    /// There is an I/O thread from now on; it is to watch the [`poller`](Self::poller).
    pub(super) fn attach(&self, broker: BrokerHandle) -> std::io::Result<()> {
        let mut watching = self.watching.lock();
        broker.add_ready(&self.poller, interest(watching.wanted))?;
        watching.broker = Some(broker);
        Ok(())
    }

    /// There is none any more.
    pub(super) fn detach(&self) {
        let broker = self.watching.lock().broker.take();
        drop(broker);
    }

    /// Wakes one thread that waits here, or the next one that comes to wait.
    pub(crate) fn help(&self) {
        self.poller.wake();
    }

    /// One of the threads that wait is to leave.
    pub(crate) fn dismiss(&self) {
        *self.leaving.lock() += 1;
        // Whoever stands back for others may be the one that is to leave now.
        self.all_left.notify_all();
        self.help();
    }

    /// One of those has ended its wait.
    pub(crate) fn dismissed(&self) {
        let mut leaving = self.leaving.lock();
        *leaving = leaving.saturating_sub(1);
        if *leaving == 0 {
            self.all_left.notify_all();
        }
    }

    /// A thread that was woken stays: lets those end their wait before that are to leave. If it turns out
    /// that it `leaves` itself, it does not wait, or it would wait for itself; that is to hold before it
    /// is [dismissed](Self::dismiss).
    pub(crate) fn let_leave(&self, leaves: impl Fn() -> bool) {
        let mut leaving = self.leaving.lock();
        while *leaving > 0 && !leaves() {
            self.help();
            self.all_left.wait(&mut leaving);
        }
    }

    /// Waits until a stream can be read, and reads it; or until somebody wants [help](Self::help), which
    /// is what it tells.
    ///
    /// # Errors
    /// Those of the system; they do not go away by trying again.
    pub(crate) fn wait(&self, seat: &mut Seat) -> std::io::Result<bool> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // The I/O thread looks at `waiting` after it has left the wake-up, so one of both sees the other.
        let left_over = self.left_over.swap(false, Ordering::SeqCst);
        let timeout = left_over.then_some(Duration::ZERO);
        seat.happened.clear();
        let woken = self.poller.wait(timeout, &mut seat.events, &mut seat.happened);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let woken = woken?;
        self.read(&seat.happened);
        Ok(woken | left_over)
    }

    /// Reads what can be read at this moment, on the I/O thread.
    pub(super) fn serve(&self, seat: &mut Seat) -> std::io::Result<()> {
        seat.happened.clear();
        if self.poller.wait(Some(Duration::ZERO), &mut seat.events, &mut seat.happened)? {
            self.left_over.store(true, Ordering::SeqCst);
            if self.waiting.load(Ordering::SeqCst) > 0 && self.left_over.swap(false, Ordering::SeqCst) {
                self.poller.wake();
            }
        }
        self.read(&seat.happened);
        Ok(())
    }

    fn read(&self, happened: &[Happened]) {
        for &Happened { token, closed } in happened {
            let stream = self.state.lock().streams.get(&token).cloned();
            if let Some(stream) = stream {
                stream.edge(closed);
            }
        }
    }

    /// Lets go of all streams: the router ends.
    pub(super) fn clear(&self) {
        let streams = std::mem::take(&mut self.state.lock().streams);
        drop(streams);
    }
}

impl AsFd for Ready {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

impl Seat {
    /// For a thread of a pool.
    pub(crate) fn of_pool() -> Self {
        Self::with_turn(POOL_TURN)
    }

    /// For the I/O thread.
    pub(super) fn of_broker() -> Self {
        Self::with_turn(IO_TURN)
    }

    fn with_turn(turn: usize) -> Self {
        Self { events: Events::with_capacity(turn), happened: Vec::with_capacity(turn) }
    }
}

fn interest(wanted: bool) -> Interest {
    if wanted { Interest::Read } else { Interest::Nothing }
}
