//! The calls that wait for a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::error::{CallError, Trace};
use crate::router::{Core, Delivery};
use crate::service::caller::{Caller, CallerParts};
use crate::service::in_flight::{CallFlag, InFlight};
use crate::service::responder::Responder;
use crate::sync::Mutex;
use crate::wire::Message;

/// How many calls may wait for a thread.
pub(super) const MAX_CALLS: usize = 65_536;

/// How many bytes the waiting calls may have together; one call is admitted whatever its size.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Work for a thread.
pub(super) enum Job {
    Call(QueuedCall),
    Deferred(Box<dyn FnOnce() + Send>),
}

/// A call that waits for a thread.
pub(super) struct QueuedCall {
    pub(super) message: Message,
    pub(super) responder: Arc<Responder>,
    /// It came over no stream.
    is_local: bool,
}

/// What the queue did not take.
///
/// The job is in it so that it is dropped without the lock: it may own a user's values.
#[expect(dead_code, reason = "the jobs are only there to be dropped")]
pub(super) enum Rejected {
    Full(Job),
    Stopped(Job),
}

/// A bounded queue that can be closed.
pub(super) struct Queue {
    /// `None` once the queue is closed.
    intake: Mutex<Option<Sender<Job>>>,
    /// Has no bound of its own, since the channel would allocate and touch all places at once.
    jobs: Receiver<Job>,
    bytes: AtomicUsize,
}

impl Queue {
    pub(super) fn new() -> Self {
        let (intake, jobs) = unbounded();
        Self { intake: Mutex::new(Some(intake)), jobs, bytes: AtomicUsize::new(0) }
    }

    /// Queues a job; does not block.
    pub(super) fn push(&self, job: Job) -> Result<(), Rejected> {
        let size = job.size();
        // The lock makes a push and a close follow one another: nothing comes in behind a close.
        let intake = self.intake.lock();
        let Some(intake) = &*intake else { return Err(Rejected::Stopped(job)) };
        let queued = self.bytes.load(Ordering::Relaxed);
        let is_full = self.jobs.len() >= MAX_CALLS || (queued > 0 && queued.saturating_add(size) > MAX_BYTES);
        if is_full {
            return Err(Rejected::Full(job));
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        // The queue holds a receiver itself, so this cannot fail while it lives.
        intake.send(job).map_err(|unsent| Rejected::Stopped(unsent.0))
    }

    /// Waits for a job; `None` when the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<Job> {
        let job = self.jobs.recv().ok()?;
        self.bytes.fetch_sub(job.size(), Ordering::Relaxed);
        Some(job)
    }

    /// Takes no more jobs; the threads leave once it is empty.
    pub(super) fn close(&self) {
        let intake = self.intake.lock().take();
        drop(intake);
    }

    /// Takes out what is queued at this moment.
    pub(super) fn drain(&self) -> impl Iterator<Item = Job> + '_ {
        self.jobs.try_iter().inspect(|job| {
            self.bytes.fetch_sub(job.size(), Ordering::Relaxed);
        })
    }
}

impl Job {
    fn size(&self) -> usize {
        match self {
            Self::Call(call) => call.message.size(),
            Self::Deferred(_) => 0,
        }
    }
}

impl QueuedCall {
    pub(super) fn new(delivery: Delivery<'_>, in_flight: &Arc<InFlight>) -> Self {
        let Delivery { core, message, ingress } = delivery;
        let id = (message.header.src_id, message.header.reply_to);
        let responder = Responder::new(core, id, Arc::<CallFlag>::default(), in_flight);
        Self { message, is_local: ingress.is_none(), responder }
    }

    pub(super) fn caller(&self, core: &Arc<Core>) -> Caller {
        let parts = CallerParts {
            core: core.clone(),
            src_id: self.message.header.src_id,
            auth_id: self.message.header.auth_id,
            is_local: self.is_local,
            credentials: None,
        };
        Caller::new(parts, self.responder.flag().clone())
    }
}

/// The answer to what the full queue did not take.
pub(super) fn overloaded() -> CallError {
    let what = format!("the pool's queue is full ({MAX_CALLS} calls or {MAX_BYTES} bytes); try again later");
    CallError::Overloaded { what, trace: Trace::default() }
}
