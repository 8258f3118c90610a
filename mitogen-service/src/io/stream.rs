//! A stream: the link to a neighbouring context, made of a read end and a write end.
//!
//! Whoever has a message writes it, directly and without blocking; what the kernel does not take
//! at once waits in a bounded queue that the broker flushes. At present the broker reads.

use std::fmt;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::alive::{Alive, Beat};
use super::broker::{BrokerHandle, Source, Token};
use super::output::{Output, Patience};
use super::poller::Interest;
use super::reassembly::Reassembly;
use super::stall::{Look, Stall};
use crate::ledger::{Entry, Ledger};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::{Decoder, Header, Message};

/// How many reads one turn makes, so that one stream does not keep the others waiting.
const MAX_READS: usize = 16;

/// After how many messages a turn ends, for the same reason: small ones take longer than their bytes.
const MAX_MESSAGES: usize = 128;

/// Names a stream within its router. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(crate) u64);

/// The descriptor that messages come from.
pub(crate) struct ReadEnd(pub(crate) OwnedFd);

/// The descriptor that messages go to.
pub(crate) struct WriteEnd(pub(crate) OwnedFd);

/// Where a stream's messages go, and the news of its end. Called on the thread that reads.
pub(crate) trait Sink: Send + Sync {
    /// Takes messages in the order of their arrival; must not block.
    fn receive(self: Arc<Self>, stream: &Arc<Stream>, messages: Vec<Message>);

    /// A message was not taken, since the unfinished ones hold too much memory together.
    fn given_up(self: Arc<Self>, stream: &Arc<Stream>, header: Header);

    /// There is room again where somebody was refused, or what made the stream [over its
    /// bound](Stream::is_over) has left, or such a stream ends.
    fn relieved(self: Arc<Self>, stream: &Arc<Stream>);

    /// Nothing has come for a while: asks the other end for a sign of life. Any byte is one.
    fn ask(self: Arc<Self>, stream: &Arc<Stream>);

    /// The stream has ended. Called once, on the broker's thread, after all its messages.
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

/// The link to a neighbour.
pub(crate) struct Stream {
    id: StreamId,
    broker: BrokerHandle,
    sink: Arc<dyn Sink>,
    reassembly: Arc<Reassembly>,
    reader: Mutex<Reader>,
    writer: Mutex<Writer>,
    /// Signalled when the output queue shrinks or the stream ends.
    drained: Condvar,
    /// More waits to leave than the bound admits; from then on until half of the bound is free.
    over: AtomicBool,
    /// Somebody was refused, and may want to try again when there is room.
    refused: AtomicBool,
    /// How often a sign of life is looked for, if that is done.
    keep_alive: Option<Duration>,
    /// There was a sign of life since somebody looked for one.
    heard: AtomicBool,
    /// Set by the first of those who notice the end.
    ended: AtomicBool,
}

struct Reader {
    end: Option<(ReadEnd, Entry)>,
    token: Option<Token>,
    decoder: Decoder,
    /// A message has begun to arrive.
    stall: Stall,
    /// What the unfinished message holds.
    held: usize,
}

struct Writer {
    end: Option<(WriteEnd, Entry)>,
    token: Option<Token>,
    output: Output,
    /// Something waits to leave.
    stall: Stall,
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
        rustix::io::ioctl_fionbio(&read.0, true)?;
        rustix::io::ioctl_fionbio(&write.0, true)?;
        Ok(Arc::new(Self {
            id,
            broker: broker.clone(),
            sink,
            reassembly: limits.reassembly,
            reader: Mutex::new(Reader {
                end: Some((read, ledger.fds(1))),
                token: None,
                decoder,
                stall: Stall::new(limits.stall),
                held: 0,
            }),
            writer: Mutex::new(Writer {
                end: Some((write, ledger.fds(1))),
                token: None,
                output: Output::new(limits.output),
                stall: Stall::new(limits.stall),
            }),
            drained: Condvar::new(),
            over: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            keep_alive: limits.keep_alive,
            heard: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }))
    }

    /// Starts to read; from now on the sink is called.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let mut reader = self.reader.lock();
        if let Some((end, _)) = &reader.end {
            let token = self.broker.register(end.0.as_fd(), Interest::Read, self.clone())?;
            reader.token = Some(token);
        }
        drop(reader);
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

    /// Sends a message of this context.
    #[cfg(test)]
    pub(crate) fn send(self: &Arc<Self>, message: Message, patience: Patience) -> Result<(), SendError> {
        self.pass_on(message, patience, None)
    }

    /// Sends a message: written at once if the kernel takes it, queued otherwise. One that has come
    /// from a stream may have to share the room here with others.
    pub(crate) fn pass_on(
        self: &Arc<Self>,
        message: Message,
        patience: Patience,
        origin: Option<StreamId>,
    ) -> Result<(), SendError> {
        let mut writer = self.writer.lock();
        let size = message.size();
        while !writer.output.admits(origin, size, patience) && writer.end.is_some() {
            let waited = match patience {
                Patience::Wait => {
                    self.drained.wait(&mut writer);
                    true
                }
                Patience::Until(deadline) => !self.drained.wait_until(&mut writer, deadline).timed_out(),
                _ => false,
            };
            if !waited && !writer.output.admits(origin, size, patience) && writer.end.is_some() {
                self.refused.store(true, Ordering::Release);
                return Err(SendError::Full(message));
            }
        }
        if !writer.output.is_empty() && writer.end.is_some() {
            self.queue(&mut writer, message, 0, (origin, patience));
            return Ok(());
        }
        self.write_first(writer, message, (origin, patience))
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
        let Some((end, _)) = &writer.end else { return Err(SendError::Closed) };
        let header = message.header.encode();
        let slices = [IoSlice::new(&header), IoSlice::new(&message.payload)];
        let sent = match write(end, &slices) {
            Ok(sent) => sent,
            Err(error) => {
                drop(writer);
                self.broken(&error);
                return Err(SendError::Closed);
            }
        };
        if sent < message.size() {
            self.queue(&mut writer, message, sent, manner);
            self.flush(writer);
        }
        Ok(())
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
        let Writer { end, output, .. } = &mut *writer;
        let Some((end, _)) = end else { return };
        let mut shrunk = false;
        let error = loop {
            if output.is_empty() {
                break None;
            }
            match write(end, &output.slices()) {
                Ok(0) => break self.arm(&mut writer).err(),
                Ok(sent) => {
                    output.advance(sent);
                    shrunk = true;
                }
                Err(error) => break Some(error),
            }
        };
        if shrunk {
            // What has waited was taken, so the other end reads.
            self.heard.store(true, Ordering::Relaxed);
        }
        self.watch_output(&mut writer, shrunk);
        let was_full = || self.over.swap(false, Ordering::AcqRel) | self.refused.swap(false, Ordering::AcqRel);
        let relieved = writer.output.has_room() && was_full();
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

    /// Sees to it that a message that does not go on is noticed.
    fn watch_input(self: &Arc<Self>, reader: &mut Reader) {
        if !reader.decoder.is_mid_frame() {
            reader.stall.done();
        } else if reader.stall.moved(Instant::now()) {
            self.look_after(reader.stall.bound(), |stream| stream.reader.lock().stall.check(Instant::now()));
        }
    }

    /// Looks after a while, and ends the stream if nothing has moved.
    fn look_after(self: &Arc<Self>, delay: Duration, look: fn(&Self) -> Look) {
        let stream = Arc::downgrade(self);
        self.broker.call_after(delay, move |_| {
            let Some(stream) = stream.upgrade() else { return };
            match look(&stream) {
                Look::Idle => {}
                Look::Again(left) => stream.look_after(left, look),
                Look::Stalled => stream.end(Closed::Broken("nothing has moved for too long".to_owned())),
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
                Beat::Lost => return stream.end(Closed::Silent(alive.patience())),
            }
            stream.watch_life(alive);
        });
    }

    /// Asks the broker to say when the kernel takes more.
    fn arm(self: &Arc<Self>, writer: &mut Writer) -> std::io::Result<()> {
        let Some((end, _)) = &writer.end else { return Ok(()) };
        match writer.token {
            Some(token) => self.broker.rearm(end.0.as_fd(), token, Interest::WriteOnce),
            None => {
                let source = Arc::new(Flusher(self.clone()));
                writer.token = Some(self.broker.register(end.0.as_fd(), Interest::WriteOnce, source)?);
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
            let Ok(fd) = self.write_end() else { return };
            wait_writable(&fd, left);
        }
    }

    fn write_end(&self) -> std::io::Result<OwnedFd> {
        match &self.writer.lock().end {
            Some((end, _)) => Ok(rustix::io::fcntl_dupfd_cloexec(&end.0, 0)?),
            None => Err(Errno::PIPE.into()),
        }
    }

    /// Reads what there is, within one turn's bound, and hands it to the sink.
    fn pump(self: &Arc<Self>) {
        let mut messages = Vec::new();
        let turn = self.read(&mut messages, MAX_READS);
        self.hand_over(messages, turn);
    }

    /// Reads what the other end had written before it ended, and closes. On the broker's thread.
    ///
    /// What is written from now on, by somebody who has inherited the other end, is not waited for.
    pub(crate) fn finish(self: &Arc<Self>) {
        let mut left = self.readable();
        let mut end = None;
        while left > 0 && end.is_none() {
            let mut messages = Vec::new();
            let turn = self.read(&mut messages, 1);
            left = left.saturating_sub(turn.bytes.max(1));
            end = turn.end.clone();
            self.hand_over(messages, Turn { end: None, ..turn });
        }
        self.end(end.unwrap_or(Closed::Eof));
    }

    /// How many bytes can be read at this moment.
    fn readable(&self) -> u64 {
        let reader = self.reader.lock();
        reader.end.as_ref().and_then(|(end, _)| rustix::io::ioctl_fionread(&end.0).ok()).unwrap_or(0)
    }

    fn hand_over(self: &Arc<Self>, messages: Vec<Message>, turn: Turn) {
        if !messages.is_empty() {
            self.sink.clone().receive(self, messages);
        }
        if let Some(header) = turn.refused {
            self.sink.clone().given_up(self, header);
        }
        if let Some(why) = turn.end {
            self.end(why);
        }
    }

    /// Reads and decodes, with so many system calls at most.
    fn read(self: &Arc<Self>, messages: &mut Vec<Message>, reads: usize) -> Turn {
        let mut reader = self.reader.lock();
        let mut turn = reader.read(messages, reads);
        if turn.bytes > 0 {
            self.heard.store(true, Ordering::Relaxed);
            self.watch_input(&mut reader);
            turn.refused = self.bound_reassembly(&mut reader);
        }
        turn
    }

    /// Gives up an unfinished message if all of them together hold too much; the rest of it will
    /// be read and thrown away.
    fn bound_reassembly(&self, reader: &mut Reader) -> Option<Header> {
        let Reader { decoder, held, .. } = reader;
        let partial = decoder.partial().copied();
        let now = if partial.is_some() { decoder.buffered() } else { 0 };
        let within = self.reassembly.update(*held, now);
        *held = now;
        if within {
            return None;
        }
        decoder.discard_partial();
        self.reassembly.update(*held, 0);
        *held = 0;
        partial
    }

    /// Closes the stream from this end; what is queued is lost.
    pub(crate) fn close(self: &Arc<Self>) {
        self.end_soon(Closed::Local);
    }

    /// Closes the stream because of what the other end does.
    pub(crate) fn cut(self: &Arc<Self>, why: &str) {
        self.end_soon(Closed::Broken(why.to_owned()));
    }

    /// The write end is of no use any more. What has arrived is read before the stream ends: the
    /// answers of a process that has ended since are still good.
    fn broken(self: &Arc<Self>, error: &std::io::Error) {
        let stream = self.clone();
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            self.broker.defer(move |_| stream.finish());
        } else {
            self.end_soon(Closed::Broken(error.to_string()));
        }
    }

    fn end_soon(self: &Arc<Self>, why: Closed) {
        let stream = self.clone();
        self.broker.defer(move |_| stream.end(why));
    }

    /// Ends the stream, on the broker's thread.
    fn end(self: &Arc<Self>, why: Closed) {
        if self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        self.release();
        if self.over.swap(false, Ordering::AcqRel) {
            self.sink.clone().relieved(self);
        }
        self.sink.clone().closed(self, why);
    }

    /// Gives the descriptors back and wakes whoever waits for room.
    fn release(&self) {
        let mut reader = self.reader.lock();
        if let (Some((end, _)), Some(token)) = (&reader.end, reader.token) {
            self.broker.deregister(end.0.as_fd(), token);
        }
        let read_end = reader.end.take();
        self.reassembly.update(std::mem::take(&mut reader.held), 0);
        reader.stall.done();
        drop(reader);
        let mut writer = self.writer.lock();
        if let (Some((end, _)), Some(token)) = (&writer.end, writer.token) {
            self.broker.deregister(end.0.as_fd(), token);
        }
        let write_end = writer.end.take();
        writer.output.clear();
        writer.stall.done();
        drop(writer);
        self.drained.notify_all();
        drop((read_end, write_end));
    }
}

/// What came of reading.
struct Turn {
    bytes: u64,
    /// Why no more can come, if so.
    end: Option<Closed>,
    /// A message that was given up.
    refused: Option<Header>,
}

impl Reader {
    fn read(&mut self, messages: &mut Vec<Message>, reads: usize) -> Turn {
        let Self { end, decoder, .. } = self;
        let mut turn = Turn { bytes: 0, end: None, refused: None };
        let Some((end, _)) = end else { return turn };
        for _ in 0..reads {
            let buffer = decoder.space();
            let room = buffer.capacity() - buffer.len();
            let got = match rustix::io::read(&end.0, rustix::buffer::spare_capacity(buffer)) {
                Ok(0) => return turn.ended(Closed::Eof),
                Ok(got) => got,
                Err(Errno::AGAIN) => return turn,
                Err(Errno::INTR) => continue,
                Err(error) => return turn.ended(Closed::Broken(error.to_string())),
            };
            turn.bytes += got as u64;
            loop {
                match decoder.next() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return turn.ended(Closed::Broken(error.to_string())),
                }
            }
            if got < room || messages.len() >= MAX_MESSAGES {
                break;
            }
        }
        turn
    }
}

impl Turn {
    fn ended(self, why: Closed) -> Self {
        Self { end: Some(why), ..self }
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

fn wait_writable(fd: &OwnedFd, bound: Duration) {
    let bound = Timespec { tv_sec: bound.as_secs() as i64, tv_nsec: bound.subsec_nanos().into() };
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    // Whatever it says, the caller tries to write and looks at its own clock.
    let _ = rustix::event::poll(&mut fds, Some(&bound));
}

impl Source for Stream {
    fn ready(self: Arc<Self>, _broker: &BrokerHandle, _token: Token) {
        self.pump();
    }
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
