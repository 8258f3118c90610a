//! Files on their way to those who have asked for them: the threads around [`Lanes`].
//!
//! Sending waits for the receiver, and so is done on threads of its own: a stream on which files are under way
//! has one, and the pool none. No lock is held while anything is read or sent.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::FileError;
use super::lanes::{Aside, Enqueued, Lanes};
use super::metadata::FileMetadata;
use super::registered::Place;
use super::source::{CHUNK, Source};
use super::transfer::{self, Known};
use crate::channel::Sender;
use crate::error::{CallError, Trace};
use crate::io::StreamId;
use crate::router::{Context, Router, Subscription};
use crate::service::Reply;
use crate::sync::Mutex;
use crate::wire::{Blob, ContextId};

/// How long a receiver may take nothing before those who wait behind it go on.
const STALL: Duration = Duration::from_secs(2);

/// All transfers of a service.
#[derive(Default)]
pub(super) struct Sending {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lanes: Lanes<Lane, Box<Job>>,
    /// Those that have begun.
    active: HashMap<u64, Arc<Active>>,
    stopped: bool,
}

/// The stream that a file goes over; `None` for a receiver in this process.
type Lane = Option<StreamId>;

/// A file that somebody has asked for.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) path: PathBuf,
    pub(super) place: Where,
    pub(super) known: Option<Known>,
    pub(super) hashed: bool,
    pub(super) sender: Sender<Blob>,
    pub(super) requester: Context,
    pub(super) reply: Reply<FileMetadata>,
    /// Takes it out when the requester is gone.
    pub(super) watch: Option<Subscription>,
}

/// Where a file may be.
pub(super) enum Where {
    /// For one who may have any.
    Anywhere,
    /// The same one wants no file but one beneath this directory.
    Beneath(PathBuf),
    /// For all others.
    Registered(Vec<Place>),
}

/// A file of which the first bytes may have been sent.
struct Active {
    sender: Sender<Blob>,
    requester: ContextId,
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// A job under way on its thread.
struct Turn {
    sending: Arc<Sending>,
    router: Router,
    lane: Lane,
    aside: bool,
}

impl Sending {
    /// Takes a job; its turn may come later.
    pub(super) fn add(self: &Arc<Self>, router: &Router, mut job: Job) {
        let lane = router.core().stream_toward(job.requester.id()).map(|stream| stream.id());
        // Who is gone waits for nothing.
        let watch = job.requester.on_disconnect({
            let (sending, id) = (Arc::downgrade(self), job.id);
            move || {
                if let Some(sending) = sending.upgrade() {
                    sending.forget(id);
                }
            }
        });
        job.watch = Some(watch);
        let mut state = self.state.lock();
        if state.stopped {
            drop(state);
            return job.reply.send(Err(stopped()));
        }
        let enqueued = state.lanes.enqueue(lane, Box::new(job));
        drop(state);
        match enqueued {
            Enqueued::Go(job) => self.start(router, lane, job),
            Enqueued::Waits => {}
            Enqueued::Full(job) => job.reply.send(Err(overloaded("as many transfers wait as may"))),
        }
    }

    /// A requester is gone.
    fn forget(&self, id: u64) {
        let unwanted = self.state.lock().lanes.remove(|job| job.id == id);
        drop(unwanted);
    }

    /// Gives a job a thread, which goes on with those that come after it.
    fn start(self: &Arc<Self>, router: &Router, lane: Lane, job: Box<Job>) {
        let mut next = Some(job);
        while let Some(job) = next {
            let mut turn = Turn { sending: self.clone(), router: router.clone(), lane, aside: false };
            // Should there be no thread, the job is dropped with its closure, and its reply says so.
            let spawned = router.core().ledger().spawn("mitogen-files", move || turn.run(job));
            if spawned.is_ok() {
                return;
            }
            next = self.state.lock().lanes.finished(&lane);
        }
    }

    /// The receiver of a transfer says how much it has put where it belongs.
    pub(super) fn acknowledge(&self, transfer: u64, size: i64, caller: ContextId) -> Result<(), FileError> {
        let active = self.state.lock().active.get(&transfer).cloned();
        let active = active.filter(|active| active.requester == caller);
        let Some(active) = active else {
            return Err(FileError::invalid(format!("context {caller} has no transfer {transfer:#x} under way")));
        };
        let Ok(size) = u64::try_from(size) else {
            return Err(FileError::invalid(format!("an acknowledgement of {size} bytes makes no sense")));
        };
        let sent = active.sent.load(Ordering::Acquire);
        let count = |acknowledged: u64| acknowledged.checked_add(size).filter(|sum| *sum <= sent);
        match active.acknowledged.fetch_update(Ordering::AcqRel, Ordering::Acquire, count) {
            Ok(_) => Ok(()),
            Err(acknowledged) => Err(FileError::invalid(format!(
                "acknowledge({size}): unacked={} < size {size}",
                sent.saturating_sub(acknowledged)
            ))),
        }
    }

    /// Ends everything; those who wait for a file learn of it.
    pub(super) fn stop(&self) {
        let (waiting, active) = {
            let mut state = self.state.lock();
            state.stopped = true;
            (state.lanes.remove(|_| true), state.active.values().cloned().collect::<Vec<_>>())
        };
        waiting.into_iter().for_each(|job| job.reply.send(Err(stopped())));
        active.iter().for_each(|active| active.sender.close());
    }

    /// A transfer begins; `false` if none may any more.
    fn enter(&self, id: u64, active: &Arc<Active>) -> bool {
        let mut state = self.state.lock();
        if !state.stopped {
            state.active.insert(id, active.clone());
        }
        !state.stopped
    }

    /// How many transfers have begun and not ended.
    pub(super) fn active(&self) -> usize {
        self.state.lock().active.len()
    }
}

impl Turn {
    fn run(&mut self, job: Box<Job>) {
        let mut next = Some(job);
        while let Some(job) = next {
            self.transfer(*job);
            let lanes = &mut self.sending.state.lock().lanes;
            next = if self.aside {
                lanes.aside_finished(&self.lane);
                None
            } else {
                lanes.finished(&self.lane)
            };
        }
    }

    /// Answers with what the file is, and sends it.
    fn transfer(&mut self, job: Job) {
        let Job { id, path, place, known, hashed, sender, requester, reply, watch: _watch } = job;
        if sender.is_closed() || reply.is_cancelled() {
            return;
        }
        let opened = match &place {
            Where::Anywhere => Source::open(&path),
            Where::Beneath(top) => Source::open_in(top, &path),
            Where::Registered(places) => Source::open_beneath(&path, places),
        };
        let begun = opened.and_then(|source| {
            let prefix = transfer::begin(&source, known, hashed)?;
            Ok((source, prefix))
        });
        let (source, prefix) = match begun {
            Ok(begun) => begun,
            Err(error) => return reply.send(Err(error.into())),
        };
        let active = Arc::new(Active {
            sender,
            requester: requester.id(),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        });
        if !self.sending.enter(id, &active) {
            return reply.send(Err(stopped()));
        }
        // First of all, so that whoever has asked listens.
        reply.send(Ok(FileMetadata::of(source.stat(), id)));
        let chunk = CHUNK.min(self.router.core().identity().max_message_size);
        // What it fails with is what the receiver has done, or what has happened to it, and known there.
        let _ = transfer::send(&source, prefix, chunk, &mut |blob, _| self.send(&active, blob));
        active.sender.close();
        self.sending.state.lock().active.remove(&id);
    }

    fn send(&mut self, active: &Active, blob: Blob) -> Result<(), CallError> {
        let length = blob.len() as u64;
        active.sent.fetch_add(length, Ordering::AcqRel);
        if self.aside {
            return active.sender.send(blob);
        }
        loop {
            match active.sender.send_unless_stalled(&blob, STALL) {
                Err(CallError::DeadlineExceeded { .. }) => {}
                result => return result,
            }
            let aside = self.sending.state.lock().lanes.stalled(&self.lane);
            match aside {
                Aside::Stay => {}
                Aside::MakeWay(next) => {
                    self.aside = true;
                    self.sending.start(&self.router, self.lane, next);
                    return active.sender.send(blob);
                }
                Aside::GiveUp => return Err(overloaded("too many receivers of one stream take nothing")),
            }
        }
    }
}

fn stopped() -> CallError {
    CallError::Stopped { trace: Trace::default() }
}

fn overloaded(what: &str) -> CallError {
    CallError::Overloaded { what: what.to_owned(), trace: Trace::default() }
}
