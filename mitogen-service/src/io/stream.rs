//! A stream: the link to a neighbouring context, made of a read end and a write end.
//!
//! What it is made of stands here. How it is written to is told in [`writer`](super::writer), who reads it in
//! [`reading`](super::reading), and how it ends in [`ends`](super::ends).

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::alive::Alive;
use super::broker::BrokerHandle;
use super::ends::{Closed, Ending};
use super::interrupt::Interrupt;
use super::laziness;
use super::reading::{Reader, Waiter};
use super::reassembly::Reassembly;
use super::shared_role::SharedRole;
use super::shared_writer::SharedWriter;
use super::stall::Stall;
use super::writing::WriteSide;
use crate::ledger::Ledger;
use crate::sync::Mutex;
use crate::wire::{Decoder, Header, Message};

/// Names a stream within its router. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(crate) u64);

/// The descriptor that messages come from.
pub(crate) struct ReadEnd(pub(crate) OwnedFd);

/// The descriptor that messages go to.
pub(crate) struct WriteEnd(pub(crate) OwnedFd);

/// Where a stream's messages go, and the news of its end. Called on the thread that reads.
pub(crate) trait Sink: Send + Sync {
    /// Takes messages in the order of their arrival, and leaves none; must not block. Tells whether all
    /// of them were answers to calls, so that nobody else is waiting for what this stream brings.
    fn receive(self: Arc<Self>, stream: &Arc<Stream>, messages: &mut Vec<Message>) -> bool;

    /// A message was not taken, since the unfinished ones hold too much memory together.
    fn given_up(self: Arc<Self>, stream: &Arc<Stream>, header: Header);

    /// There is room again where somebody was refused, or what made the stream [over its
    /// bound](Stream::is_over) has left, or such a stream ends.
    fn relieved(self: Arc<Self>, stream: &Arc<Stream>);

    /// Nothing has come for a while: asks the other end for a sign of life. Any byte is one.
    fn ask(self: Arc<Self>, stream: &Arc<Stream>);

    /// The stream has ended. Called once, on the broker's thread, after all its messages were taken.
    fn closed(self: Arc<Self>, stream: &Arc<Stream>, why: Closed);
}

/// The link to a neighbour, or one of two.
pub(crate) struct Stream {
    id: StreamId,
    /// The one that this one is for bulk beside.
    beside: Option<Weak<Self>>,
    pub(super) broker: BrokerHandle,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) reassembly: Arc<Reassembly>,
    /// Whose turn it is to read.
    pub(super) role: SharedRole<Waiter, Ending>,
    pub(super) reader: Mutex<Reader>,
    /// Ends the wait of a caller that reads; made at the first one.
    pub(super) interrupt: OnceLock<Option<Interrupt>>,
    ledger: Ledger,
    /// What waits to leave, and whose turn it is to write.
    pub(super) writer: SharedWriter<WriteSide>,
    /// How often a sign of life is looked for, if that is done.
    keep_alive: Option<Duration>,
    /// There was a sign of life since somebody looked for one. Those of one neighbour share it.
    pub(super) heard: Arc<AtomicBool>,
    /// Something was sent.
    pub(super) used: AtomicBool,
    /// How many messages have come.
    pub(super) received: AtomicU64,
    /// How many threads wait for what comes, and leave it to others to read.
    pub(super) waiters: AtomicUsize,
    /// Set by the first of those who notice the end.
    pub(super) ended: AtomicBool,
}

/// What a stream may take.
#[derive(Clone)]
pub(crate) struct Limits {
    /// The bytes that wait to leave.
    pub(crate) output: usize,
    /// How long a message under way may make no progress in either direction.
    pub(crate) stall: Duration,
    /// How often the other end has to give a sign of life, if it has to.
    pub(crate) keep_alive: Option<Duration>,
    /// The bytes of unfinished messages, together with all other streams.
    pub(crate) reassembly: Arc<Reassembly>,
}

impl Stream {
    /// A stream that does not read yet; see [`Stream::start`].
    pub(crate) fn new(
        id: StreamId,
        (read, write): (ReadEnd, WriteEnd),
        (broker, ledger): (&BrokerHandle, &Ledger),
        decoder: Decoder,
        limits: Limits,
        sink: Arc<dyn Sink>,
    ) -> std::io::Result<Arc<Self>> {
        let heard = Arc::default();
        Self::make((id, None, heard), (read, write), (broker, ledger), decoder, limits, sink)
    }

    /// One for bulk to the same neighbour. Both have one name, and a byte of either is a sign of life of
    /// both; who looks for one looks at the other.
    pub(crate) fn beside(
        main: &Arc<Self>,
        ends: (ReadEnd, WriteEnd),
        decoder: Decoder,
        limits: Limits,
    ) -> std::io::Result<Arc<Self>> {
        let who = (main.id, Some(Arc::downgrade(main)), main.heard.clone());
        Self::make(who, ends, (&main.broker, &main.ledger), decoder, limits, main.sink.clone())
    }

    fn make(
        (id, beside, heard): (StreamId, Option<Weak<Self>>, Arc<AtomicBool>),
        (read, write): (ReadEnd, WriteEnd),
        (broker, ledger): (&BrokerHandle, &Ledger),
        decoder: Decoder,
        limits: Limits,
        sink: Arc<dyn Sink>,
    ) -> std::io::Result<Arc<Self>> {
        rustix::io::ioctl_fionbio(&read.0, true)?;
        rustix::io::ioctl_fionbio(&write.0, true)?;
        let is_for_bulk = beside.is_some();
        Ok(Arc::new(Self {
            id,
            beside,
            broker: broker.clone(),
            sink,
            reassembly: limits.reassembly,
            role: SharedRole::new(if is_for_bulk { laziness::BULK_ROW } else { laziness::ROW }),
            reader: Mutex::new(Reader::new((read, ledger.fds(1)), decoder, Stall::new(limits.stall))),
            interrupt: OnceLock::new(),
            ledger: ledger.clone(),
            writer: SharedWriter::new(WriteSide::new(write, ledger.fds(1)), limits.output, Stall::new(limits.stall)),
            keep_alive: limits.keep_alive,
            heard,
            used: AtomicBool::new(false),
            received: AtomicU64::new(0),
            waiters: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        }))
    }

    /// Starts to read; from now on the sink is called.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        self.start_reading()?;
        if let Some(interval) = self.keep_alive {
            self.watch_life(Alive::new(interval));
        }
        Ok(())
    }

    /// The bytes of unfinished messages, shared with all other streams of the router.
    #[cfg(test)]
    pub(super) fn reassembly(&self) -> &Reassembly {
        &self.reassembly
    }

    /// The name of the stream.
    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    /// Whether it is the one for bulk beside another one.
    pub(crate) fn is_for_bulk(&self) -> bool {
        self.beside.is_some()
    }

    /// The stream to the same neighbour that carries all but bulk: itself, where it carries everything.
    /// `None` if that one is gone.
    pub(crate) fn main(self: &Arc<Self>) -> Option<Arc<Self>> {
        match &self.beside {
            None => Some(self.clone()),
            Some(main) => main.upgrade(),
        }
    }

    /// Ends the wait of a caller that reads.
    pub(super) fn interrupt(&self) {
        if let Some(Some(interrupt)) = self.interrupt.get() {
            interrupt.signal();
        }
    }

    /// What ends the wait of a caller that reads; `None` if there are no descriptors left for it.
    pub(super) fn interrupt_for_caller(&self) -> Option<&Interrupt> {
        self.interrupt.get_or_init(|| Interrupt::new(&self.ledger).ok()).as_ref()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.id.0)
    }
}
