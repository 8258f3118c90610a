//! Reading a stream: by a thread that waits for whatever comes, or by a caller that waits for an answer.
//!
//! Who may do so is decided by the [`Role`](super::role::Role), and how it goes round stands in
//! [`shared_role`](super::shared_role); here is what is done to the descriptors. Messages are handed to
//! the sink by the one who has read them, with the role, so that they arrive in their order. Nothing is
//! executed meanwhile.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::ends::{Closed, Ending};
use super::interrupt::Interrupt;
use super::laziness::A_WINDOW;
use super::pipe_room::{LARGE, PipeRoom};
use super::poller::Interest;
use super::role::{Join, Leave};
use super::shared_role::{Post, Promoted, Reads, Until};
use super::stall::{Look, Stall};
use super::stream::{ReadEnd, Stream};
use crate::ledger::Entry;
use crate::wire::{Decoder, Header, Message};

/// How many reads one turn makes, so that one stream does not keep the others waiting.
const MAX_READS: usize = 16;

/// After how many messages a turn ends, for the same reason: small ones take longer than their bytes.
const MAX_MESSAGES: usize = 128;

/// After how many bytes a caller that reads for itself looks at what has come: what it takes at once is
/// still in the caches, and the other end may go on meanwhile.
const CALLER_TURN: u64 = 256 * 1024;

/// How many messages a thread keeps room for between its turns.
const KEPT_ROOM: usize = 1024;

thread_local! {
    /// This thread hands over what it has read.
    static READING: Cell<bool> = const { Cell::new(false) };

    /// Room for the messages of one turn.
    static MESSAGES: Cell<Vec<Message>> = const { Cell::new(Vec::new()) };
}

/// Whether this thread is just handing over what it has read from a stream, and so must wait for
/// nothing that a stream brings.
pub(crate) fn is_reading() -> bool {
    READING.get()
}

/// The side of a stream that is read.
pub(super) struct Reader {
    end: Option<Arc<(ReadEnd, Entry)>>,
    room: PipeRoom,
    /// Under which the poller of the streams knows it.
    token: Option<u64>,
    pub(super) decoder: Decoder,
    /// A message has begun to arrive.
    stall: Stall,
    /// What the unfinished message holds.
    held: usize,
    /// A read that brings less than there was room for has brought all there was.
    short_is_dry: bool,
}

/// A caller that may be given the read role.
pub(crate) trait Waits: Send + Sync {
    /// Ends the wait: the role is the caller's own, or there is none any more.
    fn promote(&self);

    /// Whether the caller has what it waits for. Asked under the lock of the role.
    fn is_done(&self) -> bool;
}

/// A caller in the queue for the read role.
pub(super) struct Waiter(Arc<dyn Waits>);

impl Promoted for Waiter {
    fn promote(&self) {
        self.0.promote();
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }
}

/// What a caller gets that wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It reads, with [`Stream::read_until`].
    Own,
    /// Somebody else does; the caller waits to be [promoted](Waits::promote).
    Others,
    /// Nobody does any more; the news of the end is on its way.
    Nobody,
}

/// A thread waits for what a stream brings, and does not read it: whoever reads sees to it that it is read on.
pub(crate) struct LeftToOthers(Arc<Stream>);

impl LeftToOthers {
    pub(crate) fn new(stream: Arc<Stream>) -> Self {
        stream.waiters.fetch_add(1, Ordering::SeqCst);
        // Whoever has read may have left it to itself for the next time.
        stream.role.arm_if_free(&stream);
        Self(stream)
    }
}

impl Drop for LeftToOthers {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What came of reading.
pub(super) struct Turn {
    bytes: u64,
    /// There may be more at this moment.
    more: bool,
    /// Why no more can come, if so.
    end: Option<Closed>,
    /// A message that was given up.
    refused: Option<Header>,
}

impl Reads<Ending> for Arc<Stream> {
    fn pump(&self, until: Until) -> bool {
        self.read_what_is_there(until, (MAX_READS, u64::MAX))
    }

    fn pump_for_caller(&self) -> bool {
        self.read_what_is_there(Until::Short, (MAX_READS, CALLER_TURN))
    }

    fn ask_poller(&self, interest: Interest) {
        let reader = self.reader.lock();
        if let (Some(end), Some(token)) = (&reader.end, reader.token) {
            self.broker.ready().modify(end.0.0.as_fd(), token, interest);
        }
    }

    fn arm_soon(&self) {
        self.broker.arm_soon(self);
    }

    fn end_with_role(&self, ending: Ending) {
        Stream::end_with_role(self, ending);
    }
}

/// What a caller waits for who reads.
struct Descriptors<'a> {
    end: BorrowedFd<'a>,
    interrupt: &'a Interrupt,
}

impl Post for Descriptors<'_> {
    fn waker(&self) -> &Waker {
        self.interrupt.waker()
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<bool> {
        let [readable, interrupted] = poll([self.end, self.interrupt.as_fd()], deadline)?;
        if interrupted {
            self.interrupt.clear();
        }
        Some(readable)
    }
}

impl Stream {
    pub(super) fn start_reading(self: &Arc<Self>) -> std::io::Result<()> {
        let mut reader = self.reader.lock();
        let Some(end) = reader.end.clone() else { return Ok(()) };
        if !self.role.start() {
            return Ok(());
        }
        let added = self.broker.ready().add(end.0.0.as_fd(), self);
        reader.token = added.as_ref().ok().copied();
        drop(reader);
        self.role.leave(self, Leave::Lazily);
        added.map(drop)
    }

    /// The poller tells that there is something to read.
    pub(super) fn edge(self: &Arc<Self>, closed: bool) {
        self.role.edge(self, closed);
    }

    /// A tick looks at the stream; see [`SharedRole::stays_lazy`].
    pub(super) fn stays_lazy(self: &Arc<Self>) -> bool {
        self.role.stays_lazy(self)
    }

    /// Somebody waits for what this stream brings and does not read: sees to it that another one does.
    pub(crate) fn attend(self: &Arc<Self>) {
        self.role.attend(self);
    }

    /// A caller wants to wait for its answer.
    pub(crate) fn join<W: Waits + 'static>(&self, waiter: &Arc<W>) -> Reading {
        match self.role.join(|| Waiter(waiter.clone())) {
            Join::Read { .. } => Reading::Own,
            Join::Wait => Reading::Others,
            Join::Ended => Reading::Nobody,
        }
    }

    /// The same for one who waits for something else than the role if somebody else has it. It is given
    /// back with [`Stream::leave_bulk`].
    pub(crate) fn try_join(&self) -> bool {
        self.role.try_join()
    }

    /// How many messages have come.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Gives the role back that came by [`Stream::try_join`]. Whoever has found nothing but its own
    /// messages for a while may leave the stream disarmed for the next time, unless others wait.
    pub(crate) fn leave_bulk(self: &Arc<Self>, only_own: bool) {
        if !only_own {
            self.role.not_only_answers();
        }
        self.leave_reading();
    }

    /// A caller that waits for the role wants it no more. `false` if it is its own already, or there is
    /// none any more; it then reads and [leaves](Self::leave_reading), or leaves at once.
    pub(crate) fn quit<W: Waits + 'static>(&self, waiter: &Arc<W>) -> bool {
        self.role.quit(&Waiter(waiter.clone()))
    }

    /// Whether the role can be nobody's any more.
    pub(crate) fn is_ended(&self) -> bool {
        self.role.is_ended()
    }

    /// Reads, as the caller who holds the role; see [`SharedRole::read_until`]. `false` if nothing can be
    /// read here by a caller any more.
    pub(crate) fn read_until(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        is_done: impl FnMut(Option<&Waker>) -> bool,
    ) -> bool {
        let end = self.reader.lock().end.clone();
        let (Some(end), Some(interrupt)) = (end, self.interrupt_for_caller()) else { return false };
        let post = Descriptors { end: end.0.0.as_fd(), interrupt };
        self.role.read_until((self, &post), deadline, is_done)
    }

    /// A caller gives the read role back that it was given.
    pub(crate) fn leave_reading(self: &Arc<Self>) {
        self.leave_after(1);
    }

    /// The same for a sender that has waited for credit.
    pub(crate) fn leave_with_credit(self: &Arc<Self>) {
        self.leave_after(A_WINDOW);
    }

    fn leave_after(self: &Arc<Self>, calls: u32) {
        let is_alone = || self.waiters.load(Ordering::SeqCst) == 0;
        if !is_alone() {
            return self.role.leave(self, Leave::Armed);
        }
        self.role.leave_reading(self, calls);
        // Whoever has begun to wait since then has found the role held, or this sees it.
        if !is_alone() {
            self.role.arm_if_free(self);
        }
    }

    /// Reads what there is, within one turn's bound, and hands it to the sink. Tells whether there may be
    /// more. If the stream has ended that is seen to when the role is given back.
    fn read_what_is_there(self: &Arc<Self>, until: Until, most: (usize, u64)) -> bool {
        let mut messages = MESSAGES.take();
        let turn = self.read(&mut messages, until, most);
        let more = turn.more;
        if let Some(why) = self.hand_over(&mut messages, turn) {
            // This thread has the role, so it is seen to when that is left.
            self.role.end(Ending::Close(why));
        }
        if messages.capacity() <= KEPT_ROOM {
            MESSAGES.set(messages);
        }
        more
    }

    /// Reads what the other end has written until now, with the role, before the stream ends; tells why it
    /// ends.
    pub(super) fn read_rest(self: &Arc<Self>) -> Closed {
        let mut left = self.readable();
        let mut messages = Vec::new();
        while left > 0 {
            let turn = self.read(&mut messages, Until::Short, (1, u64::MAX));
            left = left.saturating_sub(turn.bytes.max(1));
            if let Some(why) = self.hand_over(&mut messages, turn) {
                return why;
            }
        }
        Closed::Eof
    }

    /// How many bytes can be read at this moment.
    pub(super) fn readable(&self) -> u64 {
        let reader = self.reader.lock();
        reader.end.as_ref().and_then(|end| rustix::io::ioctl_fionread(&end.0.0).ok()).unwrap_or(0)
    }

    /// Hands over what was read; gives the reason if no more can come.
    fn hand_over(self: &Arc<Self>, messages: &mut Vec<Message>, turn: Turn) -> Option<Closed> {
        let outer = READING.replace(true);
        self.received.fetch_add(messages.len() as u64, Ordering::Relaxed);
        let only_answers = messages.is_empty() || self.sink.clone().receive(self, messages);
        if !only_answers && !self.is_for_bulk() {
            self.role.not_only_answers();
        }
        if let Some(header) = turn.refused {
            self.sink.clone().given_up(self, header);
        }
        READING.set(outer);
        turn.end
    }

    /// Reads and decodes, with so many system calls at most, and no more of them after so many bytes.
    fn read(self: &Arc<Self>, messages: &mut Vec<Message>, until: Until, most: (usize, u64)) -> Turn {
        let mut reader = self.reader.lock();
        let mut turn = reader.read(messages, until, most);
        if turn.bytes > 0 {
            self.heard.store(true, Ordering::Relaxed);
            self.watch_input(&mut reader);
            turn.refused = self.bound_reassembly(&mut reader);
        }
        turn
    }

    /// Sees to it that a message that does not go on is noticed.
    fn watch_input(self: &Arc<Self>, reader: &mut Reader) {
        if !reader.decoder.is_mid_frame() {
            reader.stall.done();
        } else if reader.stall.moved(Instant::now()) {
            self.look_after(reader.stall.bound(), |stream| stream.look_at_input());
        }
    }

    fn look_at_input(&self) -> Look {
        self.reader.lock().stall.check(Instant::now())
    }

    /// Gives up an unfinished message if all of them together hold too much; the rest of it will
    /// be read and thrown away.
    fn bound_reassembly(&self, reader: &mut Reader) -> Option<Header> {
        let Reader { decoder, held, .. } = reader;
        let partial = decoder.partial().copied();
        let now = if partial.is_some() { decoder.buffered() } else { 0 };
        if now == *held {
            return None;
        }
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

    /// Lets go of the descriptor, with the role; it is closed when the last one who polls it is gone.
    pub(super) fn release_read_end(&self) -> impl Sized {
        let mut reader = self.reader.lock();
        if let (Some(end), Some(token)) = (&reader.end, reader.token) {
            self.broker.ready().remove(end.0.0.as_fd(), token);
        }
        self.reassembly.update(std::mem::take(&mut reader.held), 0);
        reader.stall.done();
        reader.end.take()
    }
}

impl Reader {
    pub(super) fn new((end, entry): (ReadEnd, Entry), decoder: Decoder, stall: Stall) -> Self {
        let short_is_dry = rustix::fs::fstat(&end.0).is_ok_and(|stat| {
            // A terminal gives one piece after the other.
            matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket)
        });
        let end = Some(Arc::new((end, entry)));
        Self { end, room: PipeRoom::new(), token: None, decoder, stall, held: 0, short_is_dry }
    }

    fn read(&mut self, messages: &mut Vec<Message>, until: Until, (reads, bytes): (usize, u64)) -> Turn {
        let Self { end, room: pipe, decoder, short_is_dry, .. } = self;
        let mut turn = Turn { bytes: 0, more: false, end: None, refused: None };
        let Some(end) = end else { return turn };
        if decoder.partial().is_some_and(|header| header.length as usize >= LARGE) {
            pipe.widen(&end.0.0);
        }
        for _ in 0..reads {
            let buffer = decoder.space();
            let room = buffer.capacity() - buffer.len();
            let got = match rustix::io::read(&end.0.0, rustix::buffer::spare_capacity(buffer)) {
                Ok(0) => return turn.ended(Closed::Eof),
                Ok(got) => got,
                Err(Errno::AGAIN) => return turn,
                Err(Errno::INTR) => continue,
                // A socket whose other end has closed before it has read everything.
                Err(Errno::CONNRESET) => return turn.ended(Closed::Eof),
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
            if got < room && *short_is_dry && until == Until::Short {
                return turn;
            }
            if messages.len() >= MAX_MESSAGES || turn.bytes >= bytes {
                break;
            }
        }
        turn.more = true;
        turn
    }
}

impl Turn {
    fn ended(self, why: Closed) -> Self {
        Self { end: Some(why), more: false, ..self }
    }
}

/// Waits until one of the descriptors can be read, and tells which; `None` when the time is over.
fn poll<const N: usize>(fds: [BorrowedFd<'_>; N], deadline: Option<Instant>) -> Option<[bool; N]> {
    let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match rustix::event::poll(&mut polled, timeout.as_ref()) {
        Ok(0) => None,
        Ok(_) => Some(polled.map(|fd| !fd.revents().is_empty())),
        // Interrupted, or out of memory in the kernel: looking again is right for both.
        Err(_) => Some([false; N]),
    }
}

fn timespec(bound: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(bound.as_secs()).unwrap_or(i64::MAX), tv_nsec: bound.subsec_nanos().into() }
}
