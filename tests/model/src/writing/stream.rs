//! A stream that is only written to: its shell is the crate's, its descriptor the [`Kernel`].

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shuttle::thread::{self, JoinHandle};

use super::cork::{self, Haste};
use super::kernel::{Kernel, SIGN, Work};
use super::output::Patience;
use super::shared_writer::{SendError, SharedWriter, Writes};
use super::stall::Stall;
use crate::sync::{Condvar, Mutex};
use crate::wire::Message;

/// Far beyond what a schedule takes.
const LONG: Duration = Duration::from_secs(1000);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(pub(crate) u64);

pub(crate) struct Stream {
    writer: SharedWriter<()>,
    kernel: Kernel,
    is_for_bulk: bool,
    /// What those above have heard.
    heard: Mutex<Heard>,
    /// For those who hear of room alone, of room or the end, and of the end alone.
    has_room: Condvar,
    may_try: Condvar,
    has_ended: Condvar,
}

#[derive(Default)]
struct Heard {
    /// How often there was room again.
    reliefs: usize,
    closed: bool,
}

/// The I/O thread, and the other end that reads.
pub(crate) struct Threads([JoinHandle<()>; 2]);

impl Stream {
    /// One whose queue admits `limit` bytes, over a pipe that holds `capacity`.
    pub(crate) fn start(limit: usize, capacity: usize, is_for_bulk: bool) -> (Arc<Self>, Threads) {
        let stream = Arc::new(Self {
            writer: SharedWriter::new((), limit, Stall::new(LONG)),
            kernel: Kernel::new(capacity),
            is_for_bulk,
            heard: Mutex::default(),
            has_room: Condvar::new(),
            may_try: Condvar::new(),
            has_ended: Condvar::new(),
        });
        let (io, other) = (stream.clone(), stream.clone());
        let io = thread::spawn(move || {
            loop {
                // The others get on as well, however often it comes in vain.
                thread::yield_now();
                match io.kernel.next_work() {
                    Work::Write => io.writer.writable(&io),
                    Work::Job(job) => job(),
                    Work::Stop => return,
                }
            }
        });
        (stream, Threads([io, thread::spawn(move || while other.kernel.read() {})]))
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    pub(crate) fn pass_on(self: &Arc<Self>, message: Message, manner: (Patience, Haste)) -> Result<(), SendError> {
        let origin = Some(StreamId(message.header.sender.into())).filter(|_| manner.0 == Patience::Refuse);
        self.writer.pass_on(self, message, manner, origin)
    }

    pub(crate) fn send_sign(self: &Arc<Self>) {
        self.writer.send_if_idle(self, Message::new(SIGN, 0, 0));
    }

    pub(crate) fn let_go(self: &Arc<Self>) {
        self.writer.let_go(self);
    }

    pub(crate) fn drain(self: &Arc<Self>) {
        self.writer.drain(self, Instant::now() + LONG);
    }

    /// This end closes.
    pub(crate) fn close(self: &Arc<Self>) {
        let stream = self.clone();
        self.kernel.job(Box::new(move || stream.end()));
    }

    fn end(self: &Arc<Self>) {
        let (end, was_over) = self.writer.end(self);
        if was_over {
            self.relieved();
        }
        if end.is_some() {
            self.heard.lock().closed = true;
            self.may_try.notify_all();
            self.has_ended.notify_all();
        }
    }

    /// How often there was room again.
    pub(crate) fn reliefs(&self) -> usize {
        self.heard.lock().reliefs
    }

    /// Waits, as one who was refused, until there was room more often than that.
    pub(crate) fn wait_for_relief(&self, reliefs: usize) {
        let mut heard = self.heard.lock();
        while heard.reliefs == reliefs && !heard.closed {
            self.may_try.wait(&mut heard);
        }
    }

    /// Waits, as calls do that would cause more to be sent, while the stream is over its bound. They hear
    /// that it is so no more, and not of the end.
    pub(crate) fn wait_while_over(&self) {
        let mut heard = self.heard.lock();
        while self.writer.is_over() {
            self.has_room.wait(&mut heard);
        }
    }

    /// Waits for the end.
    pub(crate) fn wait_closed(&self) {
        let mut heard = self.heard.lock();
        while !heard.closed {
            self.has_ended.wait(&mut heard);
        }
    }

    /// The threads leave, after all that is left to be done.
    pub(crate) fn stop(&self, threads: Threads) {
        self.kernel.stop();
        threads.0.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

impl Writes for Arc<Stream> {
    type End = ();

    fn write(&self, (): &(), slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
        self.kernel.write(slices)
    }

    fn ask_poller(&self, (): &mut ()) -> std::io::Result<()> {
        self.kernel.ask(true);
        Ok(())
    }

    fn leave_poller(&self, (): &()) {
        self.kernel.ask(false);
    }

    fn lets_senders_wait(&self) -> bool {
        self.is_for_bulk
    }

    fn aligns(&self, _payload: usize) -> bool {
        false
    }

    fn wait_writable(&self, (): &(), _bound: Option<Duration>) {
        self.kernel.wait_writable();
    }

    fn end_wait(&self, (): &()) {
        self.kernel.shut();
    }

    fn holds_call(&self) -> bool {
        cork::holds_call(self)
    }

    fn hold(&self) {
        cork::holds(self);
    }

    fn let_go_soon(&self) {
        let stream = self.clone();
        self.kernel.job(Box::new(move || stream.writer.let_go_at_last(&stream)));
    }

    fn heard(&self) {}

    fn look_after(&self, _delay: Duration) {}

    fn relieved(&self) {
        self.heard.lock().reliefs += 1;
        self.has_room.notify_all();
        self.may_try.notify_all();
    }

    fn broken(&self, _error: std::io::Error) {
        self.close();
    }
}
