//! The queue of a stream as threads share it: filled, carried, waited for and ended.
//!
//! [`Writer`] decides, and what it decides is done here, in an order that loses nothing. What it means
//! to write, and to ask the poller, stands elsewhere ([`Writes`]).
//!
//! The lock is held while the kernel is given bytes, which does not block, and while the poller is
//! asked; both must happen in the order in which the queue goes. Nobody is woken or told of anything
//! before it is let go.

use std::cell::RefCell;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use super::cork::{HOLD_MAX, Haste};
use super::output::Patience;
use super::stall::{Look, Stall};
use super::stream::StreamId;
use super::writer::{Admission, BULK_TURN, Next, Queued, Stop, TURN, Who, Writer};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, thread_local};
use crate::wire::{FILLER, Message};

thread_local! {
    /// Where small messages are put together that leave together.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Why a message was not taken.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The stream has ended.
    Closed,
    /// The bound is reached, and the sender would not wait. The message is given back.
    Full(Message),
}

/// The queue of one stream. `E` is its write end, with what the poller knows it by.
pub(super) struct SharedWriter<E> {
    state: Mutex<State<E>>,
    /// Signalled when the queue shrinks or the stream ends.
    drained: Condvar,
    /// [`Writer::is_over`], for those who do not want the lock.
    over: AtomicBool,
    /// The I/O thread will let go of what is held.
    listed: AtomicBool,
}

struct State<E> {
    writer: Writer,
    /// Until the stream ends.
    end: Option<E>,
    /// Something waits to leave.
    stall: Stall,
}

/// What is done to the stream.
pub(super) trait Writes {
    /// The write end.
    type End: Clone;

    /// What the kernel takes of the slices without blocking, 0 when it takes nothing now.
    fn write(&self, end: &Self::End, slices: &[IoSlice<'_>]) -> std::io::Result<usize>;

    /// Asks the poller to tell once that the kernel takes more: the I/O thread then calls
    /// [`SharedWriter::writable`].
    fn ask_poller(&self, end: &mut Self::End) -> std::io::Result<()>;

    /// Whether senders that may wait for room wait for the kernel themselves.
    fn lets_senders_wait(&self) -> bool;

    /// Whether a [filler](FILLER) is to stand in front of a message with so many bytes of payload.
    fn aligns(&self, payload: usize) -> bool;

    /// Waits until the kernel takes more, it takes nothing any more, or the time is over.
    fn wait_writable(&self, end: &Self::End, bound: Option<Duration>);

    /// Ends the wait of a sender.
    fn end_wait(&self, end: &Self::End);

    /// Whether this thread is about to send more calls, so that this one may be held.
    fn holds_call(&self) -> bool;

    /// This thread holds something.
    fn hold(&self);

    /// Sees to it that [`SharedWriter::let_go_at_last`] is called in a short time.
    fn let_go_soon(&self);

    /// What has waited was taken, so the other end reads.
    fn heard(&self);

    /// Takes the write end out of the poller.
    fn leave_poller(&self, end: &Self::End);

    /// Sees to it that [`SharedWriter::look`] is called after this time.
    fn look_after(&self, delay: Duration);

    /// There is room again where somebody was refused or the stream was over its bound.
    fn relieved(&self);

    /// The kernel takes nothing any more.
    fn broken(&self, error: std::io::Error);
}

impl<E: Clone> SharedWriter<E> {
    /// One whose queue admits `limit` bytes.
    pub(super) fn new(end: E, limit: usize, stall: Stall) -> Self {
        Self {
            state: Mutex::new(State { writer: Writer::new(limit), end: Some(end), stall }),
            drained: Condvar::new(),
            over: AtomicBool::new(false),
            listed: AtomicBool::new(false),
        }
    }

    /// Whether so much waits to leave that nobody should cause more to be sent. Once that has become
    /// `false` again the stream [hears](Writes::relieved) of it.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Sends a message: written at once if the kernel takes it, queued otherwise, or held if it may be.
    pub(super) fn pass_on(
        &self,
        stream: &impl Writes<End = E>,
        message: Message,
        (patience, haste): (Patience, Haste),
        origin: Option<StreamId>,
    ) -> Result<(), SendError> {
        let size = message.size();
        let mut state = self.state.lock();
        loop {
            match state.writer.admit(origin, size, patience) {
                Admission::Now => break,
                Admission::Closed => return Err(SendError::Closed),
                Admission::AfterTurn => {
                    self.turn(stream, state, Who::Passing);
                    state = self.state.lock();
                }
                Admission::Later => {
                    let waited = self.wait_for_room(&mut state, patience);
                    if !waited && state.writer.admit(origin, size, patience) == Admission::Later {
                        state.writer.refuse();
                        return Err(SendError::Full(message));
                    }
                }
            }
        }
        let may_be_held = match haste {
            Haste::Now => false,
            Haste::Answer => true,
            Haste::Call => stream.holds_call(),
        };
        let may_be_held = may_be_held && size < HOLD_MAX;
        if !may_be_held && state.writer.is_empty() {
            return self.write_first(stream, state, message, (origin, patience));
        }
        match self.queue(&mut state, message, 0, (origin, patience), may_be_held) {
            Queued::Carried => self.watch_carried(stream, state),
            Queued::Held => {
                drop(state);
                self.hold(stream, haste);
            }
            Queued::Carry(own) => self.take_turns(stream, state, Who::Sender { own, waits: false }),
        }
        Ok(())
    }

    /// Tells whether there may be room now.
    fn wait_for_room(&self, state: &mut MutexGuard<'_, State<E>>, patience: Patience) -> bool {
        match patience {
            Patience::Wait => {
                self.drained.wait(state);
                true
            }
            Patience::Until(deadline) => !self.drained.wait_until(state, deadline).timed_out(),
            _ => false,
        }
    }

    /// Sends a message unless others wait to leave, in whose place it is of no use.
    pub(super) fn send_if_idle(&self, stream: &impl Writes<End = E>, message: Message) {
        let state = self.state.lock();
        if state.writer.is_empty() {
            // A stream that has ended needs none.
            let _ = self.write_first(stream, state, message, (None, Patience::Reserve));
        }
    }

    /// Writes a message that no other waits in front of.
    fn write_first(
        &self,
        stream: &impl Writes<End = E>,
        mut state: MutexGuard<'_, State<E>>,
        message: Message,
        manner: (Option<StreamId>, Patience),
    ) -> Result<(), SendError> {
        let Some(end) = state.end.as_ref().filter(|_| state.writer.is_open()) else { return Err(SendError::Closed) };
        let header = message.header.encode();
        let front = if stream.aligns(message.payload.len()) { &FILLER[..] } else { &[] };
        let slices = [IoSlice::new(front), IoSlice::new(&header), IoSlice::new(&message.payload)];
        let slices = if front.is_empty() { &slices[1..] } else { &slices[..] };
        let sent = match stream.write(end, slices) {
            Ok(sent) if (1..front.len()).contains(&sent) => {
                state.writer.queue_in_front(Message::filler(), sent);
                0
            }
            Ok(sent) => sent.saturating_sub(front.len()),
            Err(error) => {
                state.writer.breaks();
                drop(state);
                // Whoever waits for room waits in vain.
                self.drained.notify_all();
                stream.broken(error);
                return Err(SendError::Closed);
            }
        };
        if sent < message.size() {
            let waits = manner.1 == Patience::Wait && stream.lets_senders_wait();
            match self.queue(&mut state, message, sent, manner, false) {
                Queued::Carry(own) => self.take_turns(stream, state, Who::Sender { own, waits }),
                // A sender that waits for the kernel, and has nothing left of its own.
                Queued::Carried | Queued::Held => self.watch_carried(stream, state),
            }
        }
        Ok(())
    }

    fn queue(
        &self,
        state: &mut State<E>,
        message: Message,
        sent: usize,
        manner: (Option<StreamId>, Patience),
        may_be_held: bool,
    ) -> Queued {
        let queued = state.writer.queue(message, sent, manner, may_be_held);
        if state.writer.is_over() {
            self.over.store(true, Ordering::SeqCst);
        }
        queued
    }

    /// Sees to it that output that does not move is noticed, although its sender takes no turn.
    fn watch_carried(&self, stream: &impl Writes<End = E>, mut state: MutexGuard<'_, State<E>>) {
        let State { writer, stall, .. } = &mut *state;
        let watched = watch(writer, stall, false).then(|| stall.bound());
        drop(state);
        if let Some(delay) = watched {
            stream.look_after(delay);
        }
    }

    /// Sees to it that what this thread holds leaves some time.
    fn hold(&self, stream: &impl Writes<End = E>, haste: Haste) {
        if haste == Haste::Call && !self.listed.swap(true, Ordering::SeqCst) {
            stream.let_go_soon();
        }
        stream.hold();
    }

    /// Lets go of what is held.
    pub(super) fn let_go(&self, stream: &impl Writes<End = E>) {
        let state = self.state.lock();
        if state.writer.holds() {
            self.turn(stream, state, Who::Passing);
        }
    }

    /// The I/O thread lets go of what is held by a thread that has not done so for some time.
    pub(super) fn let_go_at_last(&self, stream: &impl Writes<End = E>) {
        // Before, so that what is held from now on is seen here or asks anew.
        self.listed.store(false, Ordering::SeqCst);
        match self.state.try_lock() {
            Some(state) if state.writer.holds() => {
                self.turn(stream, state, Who::Passing);
            }
            Some(_) => {}
            // Somebody is just sending, and may hold more; to wait for the lock would hold up the I/O thread.
            None => {
                if !self.listed.swap(true, Ordering::SeqCst) {
                    stream.let_go_soon();
                }
            }
        }
    }

    /// The poller tells that the kernel takes more. On the I/O thread.
    pub(super) fn writable(&self, stream: &impl Writes<End = E>) {
        let state = self.state.lock();
        self.turn(stream, state, Who::IoThread);
    }

    /// Takes turns until the queue is empty or somebody else's, or the stream has ended.
    fn take_turns<'a>(&'a self, stream: &impl Writes<End = E>, mut state: MutexGuard<'a, State<E>>, mut who: Who) {
        loop {
            let end = matches!(who, Who::Sender { waits: true, .. }).then(|| state.end.clone()).flatten();
            match self.turn(stream, state, who) {
                Next::Done | Next::Ask => return,
                Next::Again => {}
                Next::Leave => who = Who::Leaving,
                Next::Wait => {
                    if let Some(end) = end {
                        stream.wait_writable(&end, None);
                    }
                }
            }
            state = self.state.lock();
            state.writer.wait_ends();
        }
    }

    /// Writes what the kernel takes, for one turn, and tells everybody of what came of it.
    fn turn(&self, stream: &impl Writes<End = E>, mut state: MutexGuard<'_, State<E>>, who: Who) -> Next {
        let State { writer, end, stall } = &mut *state;
        let Some(end) = end.as_mut().filter(|_| writer.is_open()) else { return Next::Done };
        let (shrunk, why) = write_turn(stream, end, writer, who);
        let next = why.map(|why| writer.turn_ends(who, why)).and_then(|next| match next {
            Next::Ask => stream.ask_poller(end).map(|()| next),
            _ => Ok(next),
        });
        if next.is_err() {
            writer.breaks();
        }
        let watched = watch(writer, stall, shrunk).then(|| stall.bound());
        let is_relieved = writer.is_relieved();
        if is_relieved {
            self.over.store(false, Ordering::SeqCst);
        }
        drop(state);
        if shrunk || next.is_err() {
            self.drained.notify_all();
        }
        if shrunk {
            stream.heard();
        }
        if let Some(delay) = watched {
            stream.look_after(delay);
        }
        if is_relieved {
            stream.relieved();
        }
        next.unwrap_or_else(|error| {
            stream.broken(error);
            Next::Done
        })
    }

    /// Looks whether output has stood still for too long.
    pub(super) fn look(&self) -> Look {
        self.state.lock().stall.check(Instant::now())
    }

    /// Waits until everything queued has left, until `deadline` at most. For a process that ends.
    pub(super) fn drain(&self, stream: &impl Writes<End = E>, deadline: Instant) {
        loop {
            let state = self.state.lock();
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(end) = state.end.clone().filter(|_| state.writer.is_open()) else { return };
            if state.writer.is_empty() || left.is_zero() {
                return;
            }
            self.turn(stream, state, Who::Passing);
            if !self.state.lock().writer.is_empty() {
                // Not at all where the turn was over before the kernel was full.
                stream.wait_writable(&end, Some(left));
            }
        }
    }

    /// The stream ends: whoever waits for room is woken. Gives the write end back, once, and whether the
    /// stream was over its bound.
    pub(super) fn end(&self, stream: &impl Writes<End = E>) -> (Option<E>, bool) {
        let mut state = self.state.lock();
        let State { writer, end, stall } = &mut *state;
        if let (Some(end), true) = (&*end, writer.holds()) {
            // What is held has been sent, as far as its senders know. What the kernel does not take is lost.
            let _ = stream.write(end, &writer.next(&mut Vec::new(), usize::MAX));
        }
        let what = writer.end();
        if let Some(end) = &*end {
            stream.leave_poller(end);
            if what.ends_wait {
                stream.end_wait(end);
            }
        }
        let end = end.take();
        stall.done();
        self.over.store(false, Ordering::SeqCst);
        drop(state);
        self.drained.notify_all();
        (end, what.was_over)
    }
}

/// Gives the kernel what is queued, for one turn. Tells whether it has taken any, and why the turn is
/// over.
fn write_turn<W: Writes>(stream: &W, end: &W::End, writer: &mut Writer, who: Who) -> (bool, std::io::Result<Stop>) {
    let most = match who {
        Who::Sender { waits: true, .. } => BULK_TURN,
        _ => TURN,
    };
    let mut taken = 0;
    let why = loop {
        if writer.is_empty() {
            break Ok(Stop::Empty);
        }
        if taken >= most {
            break Ok(Stop::Enough);
        }
        match ROOM.with(|room| stream.write(end, &writer.next(&mut room.borrow_mut(), most - taken))) {
            Ok(0) => break Ok(Stop::Full),
            Ok(sent) => {
                writer.taken(sent);
                taken += sent;
            }
            Err(error) => break Err(error),
        }
    };
    (taken > 0, why)
}

/// Takes note of whether output moves. Tells whether somebody has to look after a while.
fn watch(writer: &Writer, stall: &mut Stall, shrunk: bool) -> bool {
    if writer.is_empty() {
        stall.done();
        return false;
    }
    (shrunk || stall.is_idle()) && stall.moved(Instant::now())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::wire::{ContextId, Decoder, Encoding, Handle};

    /// A kernel that takes so many bytes the first time, and nothing after that until it is asked to tell.
    struct Kernel {
        room: Cell<usize>,
        taken: RefCell<Vec<u8>>,
    }

    impl Writes for Kernel {
        type End = ();

        fn write(&self, (): &(), slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let count = bytes.len().min(self.room.replace(0));
            self.taken.borrow_mut().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn ask_poller(&self, (): &mut ()) -> std::io::Result<()> {
            self.room.set(usize::MAX);
            Ok(())
        }

        fn aligns(&self, payload: usize) -> bool {
            payload >= 1000
        }

        fn lets_senders_wait(&self) -> bool {
            false
        }
        fn holds_call(&self) -> bool {
            false
        }
        fn wait_writable(&self, (): &(), _bound: Option<Duration>) {}
        fn end_wait(&self, (): &()) {}
        fn hold(&self) {}
        fn let_go_soon(&self) {}
        fn heard(&self) {}
        fn leave_poller(&self, (): &()) {}
        fn look_after(&self, _delay: Duration) {}
        fn relieved(&self) {}
        fn broken(&self, error: std::io::Error) {
            panic!("{error}");
        }
    }

    #[test]
    fn whatever_the_kernel_takes_at_once_of_an_aligned_message_it_arrives() {
        let message = |length| {
            Message::new(Encoding::Binary, ContextId::new(1), Handle::PING, Handle::NONE, vec![7; length].into())
        };
        let messages = [message(1000), message(999), message(2000)];
        for room in (0..1100).chain([usize::MAX]) {
            let kernel = Kernel { room: Cell::new(room), taken: RefCell::default() };
            let writer = SharedWriter::new((), 100_000, Stall::new(Duration::from_secs(60)));
            for message in &messages {
                let manner = (Patience::Refuse, Haste::Now);
                assert!(writer.pass_on(&kernel, message.clone(), manner, None).is_ok());
            }
            while !writer.state.lock().writer.is_empty() {
                kernel.room.set(usize::MAX);
                writer.writable(&kernel);
            }
            let (mut decoder, mut found) = (Decoder::new(10_000), Vec::new());
            decoder.space().extend_from_slice(&kernel.taken.borrow());
            while let Some(message) = decoder.next().unwrap() {
                found.push(message);
            }
            assert_eq!(found, messages, "{room} bytes were taken at once");
            if room > 1100 {
                let fillers = kernel.taken.borrow().windows(FILLER.len()).filter(|bytes| *bytes == FILLER).count();
                assert_eq!(fillers, 1, "in front of the first, behind which nothing is taken at once");
            }
        }
    }
}
