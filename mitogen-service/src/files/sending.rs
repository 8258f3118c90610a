//! Files on their way to those who have asked for them: the threads around [`Lanes`].
//!
//! Sending waits for the receiver, and so is done on threads of its own: a stream on which files are under way
//! has one, and the pool none. No lock is held while anything is read or sent.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::FileError;
use super::lanes::{Aside, Enqueued, Lanes};
use super::metadata::FileMetadata;
use super::source::{CHUNK, Source};
use super::threads::{no_thread, spawn};
use super::transfer::{self, Known};
use crate::channel::Sender;
use crate::error::{CallError, Trace};
use crate::io::StreamId;
use crate::panics;
use crate::router::{Context, Router, Subscription};
use crate::service::{Reply, panicked};
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
    /// Opens it when its turn has come.
    pub(super) open: Open,
    pub(super) known: Option<Known>,
    pub(super) hashed: bool,
    pub(super) sender: Sender<Blob>,
    pub(super) requester: Context,
    pub(super) reply: Reply<FileMetadata>,
    /// Takes it out when the requester is gone.
    pub(super) watch: Option<Subscription>,
}

pub(super) type Open = Box<dyn FnOnce() -> Result<Source, FileError> + Send>;

/// A file of which the first bytes may have been sent.
struct Active {
    sender: Sender<Blob>,
    requester: ContextId,
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// A transfer has begun; dropping this ends it.
struct Begun<'a> {
    sending: &'a Sending,
    id: u64,
    active: Arc<Active>,
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
        let mut enqueued = state.lanes.enqueue(lane, Box::new(job));
        let mut unwanted = Vec::new();
        if let Enqueued::Full(job) = enqueued {
            unwanted = state.lanes.remove(|job| !job.is_wanted());
            enqueued = state.lanes.enqueue(lane, job);
        }
        drop(state);
        drop(unwanted);
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

    /// Gives a job a thread, which goes on with those that come after it. The stream has none.
    fn start(self: &Arc<Self>, router: &Router, lane: Lane, job: Box<Job>) {
        let mut next = Some(job);
        while let Some(job) = next {
            let Err((job, error)) = self.spawn(router, lane, job) else { return };
            job.reply.send(Err(no_thread(&error)));
            next = self.state.lock().lanes.finished(&lane);
        }
    }

    fn spawn(self: &Arc<Self>, router: &Router, lane: Lane, job: Box<Job>) -> Result<(), (Box<Job>, io::Error)> {
        let mut turn = Turn { sending: self.clone(), router: router.clone(), lane, aside: false };
        spawn(router, job, move |job| turn.run(job))
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

    /// A transfer begins; nothing is given if none may any more.
    fn begin(&self, id: u64, active: Active) -> Option<Begun<'_>> {
        let active = Arc::new(active);
        let mut state = self.state.lock();
        if state.stopped {
            return None;
        }
        state.active.insert(id, active.clone());
        Some(Begun { sending: self, id, active })
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
            // Whatever happens, others wait for the turn.
            panics::contain(|| self.transfer(*job));
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
        if !job.is_wanted() {
            return;
        }
        let Job { id, open, known, hashed, sender, requester, reply, watch: _watch } = job;
        let opened = panics::guard(|| {
            let source = open()?;
            let prefix = transfer::begin(&source, known, hashed)?;
            let metadata = FileMetadata::of(source.stat(), id);
            Ok((source, prefix, metadata))
        });
        let opened = opened.unwrap_or_else(|panic| Err(panicked(panic)));
        let (source, prefix, metadata) = match opened {
            Ok(opened) => opened,
            Err(error) => return reply.send(Err(error)),
        };
        let (sent, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
        let sending = self.sending.clone();
        let begun = sending.begin(id, Active { sender, requester: requester.id(), sent, acknowledged });
        let Some(begun) = begun else { return reply.send(Err(stopped())) };
        // First of all, so that whoever has asked listens.
        reply.send(Ok(metadata));
        let chunk = CHUNK.min(self.router.core().identity().max_message_size);
        // What it fails with is what the receiver has done, or what has happened to it, and known there.
        let _ = transfer::send(&source, prefix, chunk, &mut |blob, _| self.send(&begun.active, blob));
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
                Aside::MakeWay(next) => match self.sending.spawn(&self.router, self.lane, next) {
                    Ok(()) => {
                        self.aside = true;
                        return active.sender.send(blob);
                    }
                    Err((next, _)) => self.sending.state.lock().lanes.stays(&self.lane, next),
                },
                Aside::GiveUp => return Err(overloaded("too many receivers take nothing")),
            }
        }
    }
}

impl Job {
    fn is_wanted(&self) -> bool {
        !self.sender.is_closed() && !self.reply.is_cancelled()
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.active.sender.close();
        self.sending.state.lock().active.remove(&self.id);
    }
}

fn stopped() -> CallError {
    CallError::Stopped { trace: Trace::default() }
}

fn overloaded(what: &str) -> CallError {
    CallError::Overloaded { what: what.to_owned(), trace: Trace::default() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::router::random_number;
    use crate::service::{AllowAny, Caller, Pool};

    const LONG: Duration = Duration::from_secs(20);

    /// Sends a file, or panics when it is to be opened.
    #[derive(Default)]
    struct Files(Arc<Sending>);

    #[crate::service(crate = crate)]
    impl Files {
        #[expose(policy = AllowAny)]
        fn fetch(
            &self,
            panics: bool,
            sender: Sender<Blob>,
            caller: &Caller,
            router: &Router,
            reply: Reply<FileMetadata>,
        ) {
            let open: Open = Box::new(move || {
                assert!(!panics, "as it should");
                Source::open(Path::new("/etc/passwd"))
            });
            let (id, requester) = (random_number(), caller.context());
            self.0.add(router, Job { id, open, known: None, hashed: false, sender, requester, reply, watch: None });
        }
    }

    #[test]
    fn a_panic_is_answered_and_keeps_no_turn() {
        let router = Router::builder().build().unwrap();
        let service = Files::default();
        let sending = service.0.clone();
        let _pool = Pool::builder(&router).service(service).start().unwrap();
        let service = Files::stub(&router.myself());
        let asked = [true, true, false].map(|panics| {
            let receiver = router.receiver::<Blob>();
            let call = service.fetch(panics, receiver.sender());
            (receiver, call)
        });
        let [first, second, third] = asked;
        for (receiver, call) in [first, second] {
            let error = call.wait_timeout(LONG).unwrap_err();
            assert!(matches!(&error, CallError::Panicked { message, .. } if message == "as it should"), "{error:?}");
            drop(receiver);
        }
        let (receiver, call) = third;
        let size = call.wait_timeout(LONG).unwrap().size;
        let received: Vec<_> = receiver.iter().collect();
        assert!(received.iter().any(|blob| blob.len() as u64 == size));
        drop(receiver);
        let threads = router.core().ledger().clone();
        drop((service, _pool, router));
        assert_eq!(threads.settle(LONG).threads, 0);
        assert_eq!(sending.active(), 0);
    }
}
