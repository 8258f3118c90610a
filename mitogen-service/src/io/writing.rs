//! Writing to a stream: by whoever has a message, directly and without blocking.
//!
//! Who writes what the kernel does not take at once is decided by the [`Writer`](super::writer), and how it
//! goes round stands in [`shared_writer`](super::shared_writer); here is what is done to the descriptor.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::broker::{BrokerHandle, Source, Token};
use super::cork::{self, Haste};
use super::output::Patience;
use super::pipe_room::{LARGE, PipeRoom};
use super::poller::Interest;
use super::shared_writer::{SendError, Writes};
use super::stream::{Stream, StreamId, WriteEnd};
use crate::ledger::Entry;
use crate::wire::Message;

/// From which length on a payload is aligned on a link for bulk. What that takes is the same for smaller ones, and
/// what it saves is less.
const ALIGNED_FROM: usize = 16 * 1024;

/// The side of a stream that is written to.
#[derive(Clone)]
pub(super) struct WriteSide {
    /// Shared with whoever waits until more is taken.
    end: Arc<End>,
    /// Under which the poller of the broker knows it.
    token: Option<Token>,
}

impl WriteSide {
    pub(super) fn new(end: WriteEnd, entry: Entry) -> Self {
        Self { end: Arc::new(End { fd: end.0, room: PipeRoom::new(), _entry: entry }), token: None }
    }
}

struct End {
    fd: OwnedFd,
    room: PipeRoom,
    /// Counts the descriptor.
    _entry: Entry,
}

/// The write end as a source of its own, since it is a descriptor of its own.
struct Flusher(Arc<Stream>);

impl Source for Flusher {
    fn ready(self: Arc<Self>, _broker: &BrokerHandle, _token: Token) {
        self.0.writer.writable(&self.0);
    }
}

impl Stream {
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
        manner: (Patience, Haste),
        origin: Option<StreamId>,
    ) -> Result<(), SendError> {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Release);
        }
        self.writer.pass_on(self, message, manner, origin)
    }

    /// Sends a message that is nothing but a sign of life, unless others wait to leave, whose bytes are
    /// one as well. So one such message waits at most, however many are asked for.
    pub(crate) fn send_sign(self: &Arc<Self>, message: Message) {
        self.writer.send_if_idle(self, message);
    }

    /// Whether anything was ever sent.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Whether so much waits to leave that nobody should cause more to be sent. Once that has become
    /// `false` again the sink hears of it.
    pub(crate) fn is_over(&self) -> bool {
        self.writer.is_over()
    }

    /// Lets go of what is held.
    pub(crate) fn let_go(self: &Arc<Self>) {
        self.writer.let_go(self);
    }

    /// The broker lets go of what is held by a thread that has not done so for some time.
    pub(super) fn let_go_at_last(self: &Arc<Self>) {
        self.writer.let_go_at_last(self);
    }

    /// Waits until everything queued has left, until `deadline` at most. For a process that ends.
    pub(crate) fn drain(self: &Arc<Self>, deadline: Instant) {
        self.writer.drain(self, deadline);
    }
}

impl Writes for Arc<Stream> {
    type End = WriteSide;

    fn write(&self, side: &WriteSide, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
        if slices.iter().any(|slice| slice.len() >= LARGE) {
            side.end.room.widen(&side.end.fd);
        }
        loop {
            match rustix::io::writev(&side.end.fd, slices) {
                Ok(sent) => return Ok(sent),
                Err(Errno::AGAIN) => return Ok(0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ask_poller(&self, side: &mut WriteSide) -> std::io::Result<()> {
        let end = side.end.fd.as_fd();
        match side.token {
            Some(token) => self.broker.rearm(end, token, Interest::WriteOnce),
            None => {
                let source = Arc::new(Flusher(self.clone()));
                side.token = Some(self.broker.register(end, Interest::WriteOnce, source)?);
            }
        }
        Ok(())
    }

    fn leave_poller(&self, side: &WriteSide) {
        if let Some(token) = side.token {
            self.broker.deregister(side.end.fd.as_fd(), token);
        }
    }

    fn lets_senders_wait(&self) -> bool {
        self.is_for_bulk()
    }

    fn aligns(&self, payload: usize) -> bool {
        payload >= ALIGNED_FROM && self.is_for_bulk()
    }

    fn wait_writable(&self, side: &WriteSide, bound: Option<Duration>) {
        let bound =
            bound.map(|bound| Timespec { tv_sec: bound.as_secs() as i64, tv_nsec: bound.subsec_nanos().into() });
        let mut fds = [PollFd::new(&side.end.fd, PollFlags::OUT)];
        // Whatever it says, the caller tries to write and looks at its own clock.
        let _ = rustix::event::poll(&mut fds, bound.as_ref());
    }

    fn end_wait(&self, side: &WriteSide) {
        // Only sockets are waited for, and the other end has closed or is about to be told.
        let _ = rustix::net::shutdown(&side.end.fd, rustix::net::Shutdown::Both);
    }

    fn holds_call(&self) -> bool {
        cork::holds_call(self)
    }

    fn hold(&self) {
        cork::holds(self);
    }

    fn let_go_soon(&self) {
        self.broker.let_go_soon(self);
    }

    fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    fn look_after(&self, delay: Duration) {
        Stream::look_after(self, delay, |stream| stream.writer.look());
    }

    fn relieved(&self) {
        self.sink.clone().relieved(self);
    }

    fn broken(&self, error: std::io::Error) {
        Stream::broken(self, &error);
    }
}
