//! A stream: the link to a neighbouring context, made of a read end and a write end.
//!
//! Whoever has a message writes it, directly and without blocking; what the kernel does not take
//! at once waits in a bounded queue that the broker flushes. Who reads is told in `reading`.

use std::cell::RefCell;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::alive::{Alive, Beat};
use super::broker::{BrokerHandle, Source, Token};
use super::cork::{self, HOLD_MAX, Haste};
use super::interrupt::Interrupt;
use super::output::{Output, Patience};
use super::poller::Interest;
use super::reading::{Reader, Waiter};
use super::reassembly::Reassembly;
use super::shared_role::{Promoted, SharedRole};
use super::stall::{Look, Stall};
use crate::ledger::{Entry, Ledger};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::{Decoder, Header, Message};

thread_local! {
    /// Where small messages are put together that leave together.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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

/// Why a stream has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The other end has closed it.
    Eof,
    /// This end has closed it.
    Local,
    /// The system or the other end's bytes made it unusable.
    Broken(String),
    /// The other end has given no sign of life for so long.
    Silent(Duration),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => write!(f, "the other end has closed it"),
            Self::Local => write!(f, "this end has closed it"),
            Self::Broken(what) => write!(f, "{what}"),
            Self::Silent(time) => write!(f, "no sign of life for {time:?} (keep-alive)"),
        }
    }
}

/// Why a message was not taken.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The stream has ended.
    Closed,
    /// The bound is reached, and the sender would not wait. The message is given back.
    Full(Message),
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
    writer: Mutex<Writer>,
    /// Signalled when the output queue shrinks or the stream ends.
    drained: Condvar,
    /// The broker will let go of what is held.
    listed: AtomicBool,
    /// More waits to leave than the bound admits; from then on until half of the bound is free.
    over: AtomicBool,
    /// Somebody was refused, and may want to try again when there is room.
    refused: AtomicBool,
    /// How often a sign of life is looked for, if that is done.
    keep_alive: Option<Duration>,
    /// There was a sign of life since somebody looked for one. Those of one neighbour share it.
    pub(super) heard: Arc<AtomicBool>,
    /// Something was sent.
    used: AtomicBool,
    /// How many messages have come.
    pub(super) received: AtomicU64,
    /// How many threads wait for what comes, and leave it to others to read.
    pub(super) waiters: AtomicUsize,
    /// Set by the first of those who notice the end.
    ended: AtomicBool,
}

/// How a stream is to end.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// What has arrived is read before.
    Finish,
    /// At once.
    Close(Closed),
}

struct Writer {
    /// Shared with a sender that waits until more is taken.
    end: Option<Arc<(WriteEnd, Entry)>>,
    /// A sender waits for that, and writes what is queued.
    polled: bool,
    /// How many bytes of what was queued have left.
    written: u64,
    token: Option<Token>,
    output: Output,
    /// The kernel takes no more, and will say when it does; until then what is queued is not held.
    blocked: bool,
    /// The kernel takes nothing any more, and the stream is about to end.
    broken: bool,
    /// Something waits to leave.
    stall: Stall,
}

impl Writer {
    /// Whether what is queued can still leave.
    fn is_open(&self) -> bool {
        self.end.is_some() && !self.broken
    }
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
        Ok(Arc::new(Self {
            id,
            beside,
            broker: broker.clone(),
            sink,
            reassembly: limits.reassembly,
            role: SharedRole::new(),
            reader: Mutex::new(Reader::new((read, ledger.fds(1)), decoder, Stall::new(limits.stall))),
            interrupt: OnceLock::new(),
            ledger: ledger.clone(),
            writer: Mutex::new(Writer {
                end: Some(Arc::new((write, ledger.fds(1)))),
                polled: false,
                written: 0,
                token: None,
                output: Output::new(limits.output),
                blocked: false,
                broken: false,
                stall: Stall::new(limits.stall),
            }),
            drained: Condvar::new(),
            listed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            refused: AtomicBool::new(false),
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

    /// Whether so much waits to leave that nobody should cause more to be sent. Once that has become
    /// `false` again the sink hears of it.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
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

    /// Whether anything was ever sent.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Sends a message of this context.
    #[cfg(test)]
    pub(crate) fn send(self: &Arc<Self>, message: Message, patience: Patience) -> Result<(), SendError> {
        self.pass_on(message, (patience, Haste::Now), None)
    }

    /// Sends a message: written at once if the kernel takes it, queued otherwise, or
    /// [held](super::cork) if it may be. One that has come from a stream may have to share the room here
    /// with others.
    pub(crate) fn pass_on(
        self: &Arc<Self>,
        message: Message,
        (patience, haste): (Patience, Haste),
        origin: Option<StreamId>,
    ) -> Result<(), SendError> {
        let mut writer = self.writer.lock();
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Release);
        }
        let size = message.size();
        while !writer.output.admits(origin, size, patience) && writer.is_open() {
            if !writer.blocked {
                // It is held, and nobody else would make room.
                self.flush(writer);
                writer = self.writer.lock();
                continue;
            }
            let waited = match patience {
                Patience::Wait => {
                    self.drained.wait(&mut writer);
                    true
                }
                Patience::Until(deadline) => !self.drained.wait_until(&mut writer, deadline).timed_out(),
                _ => false,
            };
            if !waited && !writer.output.admits(origin, size, patience) && writer.is_open() {
                self.refused.store(true, Ordering::Release);
                return Err(SendError::Full(message));
            }
        }
        if !writer.is_open() {
            return Err(SendError::Closed);
        }
        let may_be_held = match haste {
            Haste::Now => false,
            Haste::Answer => true,
            Haste::Call => cork::holds_call(self),
        };
        let is_held = may_be_held && size < HOLD_MAX;
        if !is_held && writer.output.is_empty() {
            return self.write_first(writer, message, (origin, patience));
        }
        self.queue(&mut writer, message, 0, (origin, patience));
        if writer.blocked {
            return Ok(());
        }
        if is_held && writer.output.waiting() < HOLD_MAX {
            drop(writer);
            self.hold(haste);
        } else {
            self.flush(writer);
        }
        Ok(())
    }

    /// Sees to it that what this thread holds leaves some time.
    fn hold(self: &Arc<Self>, haste: Haste) {
        if haste == Haste::Call && !self.listed.swap(true, Ordering::AcqRel) {
            self.broker.let_go_soon(self);
        }
        cork::holds(self);
    }

    /// Lets go of what is held.
    pub(crate) fn let_go(self: &Arc<Self>) {
        let writer = self.writer.lock();
        if !writer.output.is_empty() && !writer.blocked && !writer.broken {
            self.flush(writer);
        }
    }

    /// The broker lets go of what is held by a thread that has not done so for some time.
    pub(super) fn let_go_at_last(self: &Arc<Self>) {
        // Before, so that what is held from now on is seen here or asks anew.
        self.listed.store(false, Ordering::Release);
        match self.writer.try_lock() {
            Some(writer) if !writer.output.is_empty() && !writer.blocked => self.flush(writer),
            Some(_) => {}
            // Somebody is just sending, and may hold more; to wait for the lock would hold up the broker.
            None => {
                if !self.listed.swap(true, Ordering::AcqRel) {
                    self.broker.let_go_soon(self);
                }
            }
        }
    }

    /// Sends a message that is nothing but a sign of life, unless others wait to leave, whose bytes are
    /// one as well. So one such message waits at most, however many are asked for.
    pub(crate) fn send_sign(self: &Arc<Self>, message: Message) {
        let writer = self.writer.lock();
        if writer.output.is_empty() {
            // A stream that has ended needs none.
            let _ = self.write_first(writer, message, (None, Patience::Reserve));
        }
    }

    /// Writes a message that no other waits in front of.
    fn write_first(
        self: &Arc<Self>,
        mut writer: MutexGuard<'_, Writer>,
        message: Message,
        manner: (Option<StreamId>, Patience),
    ) -> Result<(), SendError> {
        let Some(end) = &writer.end else { return Err(SendError::Closed) };
        let header = message.header.encode();
        let slices = [IoSlice::new(&header), IoSlice::new(&message.payload)];
        let sent = match write(&end.0, &slices) {
            Ok(sent) => sent,
            Err(error) => {
                writer.broken = true;
                drop(writer);
                self.broken(&error);
                return Err(SendError::Closed);
            }
        };
        if sent < message.size() {
            self.queue(&mut writer, message, sent, manner);
            match manner.1 {
                Patience::Wait if self.is_for_bulk() => self.write_rest(writer),
                _ => self.flush(writer),
            }
        }
        Ok(())
    }

    /// Writes what is queued whenever the kernel takes more, until this is empty or another sender's. The
    /// thread of a sender that may wait does so by itself, where the I/O thread would have to be woken
    /// each time; meanwhile others queue.
    fn write_rest<'a>(self: &'a Arc<Self>, mut writer: MutexGuard<'a, Writer>) {
        let enough = writer.written.saturating_add(writer.output.waiting() as u64);
        writer.polled = true;
        loop {
            self.flush(writer);
            writer = self.writer.lock();
            let Some(end) = writer.end.clone().filter(|_| !writer.broken) else { return };
            if writer.output.is_empty() || writer.written >= enough {
                writer.polled = false;
                return self.flush(writer);
            }
            drop(writer);
            wait_writable(&end.0.0, None);
            writer = self.writer.lock();
        }
    }

    fn queue(
        &self,
        writer: &mut Writer,
        message: Message,
        sent: usize,
        (origin, patience): (Option<StreamId>, Patience),
    ) {
        writer.output.push(message, sent, origin, patience);
        if writer.output.is_over() {
            self.over.store(true, Ordering::Release);
        }
    }

    /// Writes what the kernel takes; asks to be told when it takes more.
    fn flush(self: &Arc<Self>, mut writer: MutexGuard<'_, Writer>) {
        let Writer { end, output, written, .. } = &mut *writer;
        let Some(end) = end else { return };
        let (mut shrunk, mut blocked) = (false, false);
        let mut error = loop {
            if output.is_empty() {
                break None;
            }
            let sent = ROOM.with_borrow_mut(|room| write(&end.0, &output.next(room)));
            match sent {
                Ok(0) => {
                    blocked = true;
                    break None;
                }
                Ok(sent) => {
                    output.advance(sent);
                    *written = written.saturating_add(sent as u64);
                    shrunk = true;
                }
                Err(error) => break Some(error),
            }
        };
        // Whoever is told by the poller that more is taken asks anew only if it is not.
        writer.blocked = blocked;
        if blocked && !writer.polled {
            error = self.arm(&mut writer).err();
        }
        if shrunk {
            // What has waited was taken, so the other end reads.
            self.heard.store(true, Ordering::Relaxed);
        }
        self.watch_output(&mut writer, shrunk);
        let was_full = || self.over.swap(false, Ordering::AcqRel) | self.refused.swap(false, Ordering::AcqRel);
        let relieved = writer.output.has_room() && was_full();
        // Nobody shall try again, or wait for room, until the I/O thread has ended the stream.
        writer.broken |= error.is_some();
        drop(writer);
        if shrunk {
            self.drained.notify_all();
        }
        if relieved {
            self.sink.clone().relieved(self);
        }
        if let Some(error) = error {
            self.broken(&error);
        }
    }

    /// Sees to it that output that does not move is noticed.
    fn watch_output(self: &Arc<Self>, writer: &mut Writer, shrunk: bool) {
        let Writer { output, stall, .. } = writer;
        if output.is_empty() {
            stall.done();
        } else if (shrunk || stall.is_idle()) && stall.moved(Instant::now()) {
            self.look_after(stall.bound(), |stream| stream.writer.lock().stall.check(Instant::now()));
        }
    }

    /// Looks after a while, and ends the stream if nothing has moved.
    pub(super) fn look_after(self: &Arc<Self>, delay: Duration, look: fn(&Self) -> Look) {
        let stream = Arc::downgrade(self);
        self.broker.call_after(delay, move |_| {
            let Some(stream) = stream.upgrade() else { return };
            match look(&stream) {
                Look::Idle => {}
                Look::Again(left) => stream.look_after(left, look),
                Look::Stalled => stream.end(Ending::Close(Closed::Broken("nothing has moved for too long".to_owned()))),
            }
        });
    }

    /// Looks for a sign of life after each interval, and ends the stream when there was none for long.
    fn watch_life(self: &Arc<Self>, mut alive: Alive) {
        let stream = Arc::downgrade(self);
        self.broker.call_after(alive.interval(), move |_| {
            let Some(stream) = stream.upgrade() else { return };
            if stream.ended.load(Ordering::Relaxed) {
                return;
            }
            // What has arrived while this process did something else counts, read or not.
            let heard = stream.heard.swap(false, Ordering::Relaxed) || stream.readable() > 0;
            match alive.beat(heard) {
                Beat::Fine => {}
                Beat::Ask => stream.sink.clone().ask(&stream),
                Beat::Lost => return stream.end(Ending::Close(Closed::Silent(alive.patience()))),
            }
            stream.watch_life(alive);
        });
    }

    /// Asks the broker to say when the kernel takes more.
    fn arm(self: &Arc<Self>, writer: &mut Writer) -> std::io::Result<()> {
        let Some(end) = &writer.end else { return Ok(()) };
        match writer.token {
            Some(token) => self.broker.rearm(end.0.0.as_fd(), token, Interest::WriteOnce),
            None => {
                let source = Arc::new(Flusher(self.clone()));
                writer.token = Some(self.broker.register(end.0.0.as_fd(), Interest::WriteOnce, source)?);
            }
        }
        Ok(())
    }

    /// Waits until everything queued has left, until `deadline` at most. For a process that ends.
    pub(crate) fn drain(self: &Arc<Self>, deadline: Instant) {
        loop {
            let writer = self.writer.lock();
            let left = deadline.saturating_duration_since(Instant::now());
            if writer.output.is_empty() || writer.end.is_none() || left.is_zero() {
                return;
            }
            self.flush(writer);
            let Some(end) = self.writer.lock().end.clone() else { return };
            wait_writable(&end.0.0, Some(left));
        }
    }

    /// Closes the stream from this end; what is queued is lost.
    pub(crate) fn close(self: &Arc<Self>) {
        self.end_soon(Ending::Close(Closed::Local));
    }

    /// Closes the stream because of what the other end does.
    pub(crate) fn cut(self: &Arc<Self>, why: &str) {
        self.end_soon(Ending::Close(Closed::Broken(why.to_owned())));
    }

    /// The write end is of no use any more. What has arrived is read before the stream ends: the
    /// answers of a process that has ended since are still good.
    fn broken(self: &Arc<Self>, error: &std::io::Error) {
        // A socket says so if the other end has closed before it has read everything.
        if matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset) {
            self.end_soon(Ending::Finish);
        } else {
            self.end_soon(Ending::Close(Closed::Broken(error.to_string())));
        }
    }

    /// Reads what the other end had written before it ended, and closes. On the broker's thread.
    ///
    /// What is written from now on, by somebody who has inherited the other end, is not waited for.
    pub(crate) fn finish(self: &Arc<Self>) {
        self.end(Ending::Finish);
    }

    fn end_soon(self: &Arc<Self>, ending: Ending) {
        let stream = self.clone();
        self.broker.defer(move |_| stream.end(ending));
    }

    /// Ends the stream as soon as nobody reads it. On the broker's thread.
    fn end(self: &Arc<Self>, ending: Ending) {
        let ending = self.role.end(ending);
        match ending {
            Some(ending) => self.end_as_holder(ending),
            // Whoever reads looks before it waits again.
            None => self.interrupt(),
        }
    }

    /// Ends the stream, whose read role this thread holds; from the broker's thread at once, from another
    /// one soon.
    pub(super) fn end_with_role(self: &Arc<Self>, ending: Ending) {
        if self.broker.is_current() {
            return self.end_as_holder(ending);
        }
        let stream = self.clone();
        self.broker.defer(move |_| stream.end_as_holder(ending));
    }

    fn end_as_holder(self: &Arc<Self>, ending: Ending) {
        let why = match ending {
            Ending::Finish => self.read_rest(),
            Ending::Close(why) => why,
        };
        if self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        self.release();
        let waiting = self.role.finish();
        for waiter in waiting {
            // It finds that there is nobody to read, and waits for the news.
            waiter.promote();
        }
        if self.over.swap(false, Ordering::AcqRel) {
            self.sink.clone().relieved(self);
        }
        self.sink.clone().closed(self, why);
    }

    /// Gives the descriptors back and wakes whoever waits for room.
    fn release(&self) {
        let read_end = self.release_read_end();
        let mut writer = self.writer.lock();
        if let (Some(end), Some(token)) = (&writer.end, writer.token) {
            self.broker.deregister(end.0.0.as_fd(), token);
        }
        if let (Some(end), false) = (&writer.end, writer.blocked || writer.output.is_empty()) {
            // What is held has been sent, as far as its senders know. What the kernel does not take is lost.
            let _ = write(&end.0, &writer.output.next(&mut Vec::new()));
        }
        if let (Some(end), true) = (&writer.end, writer.polled) {
            // Ends the wait of the sender, who finds that there is nothing to write to. Only sockets are
            // waited for, and the other end has closed or is about to be told.
            let _ = rustix::net::shutdown(&end.0.0, rustix::net::Shutdown::Both);
        }
        let write_end = writer.end.take();
        writer.output.clear();
        writer.stall.done();
        drop(writer);
        self.drained.notify_all();
        drop((read_end, write_end));
    }

    /// Ends the wait of a caller that reads.
    fn interrupt(&self) {
        if let Some(Some(interrupt)) = self.interrupt.get() {
            interrupt.signal();
        }
    }

    /// What ends the wait of a caller that reads; `None` if there are no descriptors left for it.
    pub(super) fn interrupt_for_caller(&self) -> Option<&Interrupt> {
        self.interrupt.get_or_init(|| Interrupt::new(&self.ledger).ok()).as_ref()
    }
}

/// What the kernel takes of the slices without blocking, 0 when it takes nothing now.
fn write(end: &WriteEnd, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
    loop {
        match rustix::io::writev(&end.0, slices) {
            Ok(sent) => return Ok(sent),
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn wait_writable(fd: &OwnedFd, bound: Option<Duration>) {
    let bound = bound.map(|bound| Timespec { tv_sec: bound.as_secs() as i64, tv_nsec: bound.subsec_nanos().into() });
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    // Whatever it says, the caller tries to write and looks at its own clock.
    let _ = rustix::event::poll(&mut fds, bound.as_ref());
}

/// The write end as a source of its own, since it is a descriptor of its own.
struct Flusher(Arc<Stream>);

impl Source for Flusher {
    fn ready(self: Arc<Self>, _broker: &BrokerHandle, _token: Token) {
        let writer = self.0.writer.lock();
        self.0.flush(writer);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.id.0)
    }
}
