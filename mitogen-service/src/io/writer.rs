//! Who writes to a stream: a plain state machine without locks, threads or I/O.
//!
//! A message that no other waits in front of is written by its sender, directly. What the kernel does
//! not take of it waits in the queue ([`Output`]), in the order in which it was sent. From then on
//! somebody *carries* the queue, and whoever sends meanwhile only adds to it:
//!
//! * A *sender* carries until its own message has left: what was held in front of it, and the message.
//!   Where the kernel takes no more it leaves the rest to the I/O thread. The sender of bulk that would
//!   wait for room anyway waits for the kernel instead, so that no other thread is woken for each piece.
//! * The *I/O thread* carries once the poller has been asked to say when the kernel takes more, and
//!   until the queue is empty. It asks anew after each turn that leaves something.
//! * *Nobody* carries an empty queue, nor one of which all is [held](super::cork): there are less than
//!   [`HOLD_MAX`] bytes in it, and whoever holds them lets go of them.
//!
//! Whoever writes does so in turns of about [`TURN`] bytes, and lets go of the lock of the stream after
//! each. So nobody waits long for that lock, the I/O thread looks after its other streams between two
//! turns, and a thread writes little that is not its own: what is held, and one turn of what others have
//! queued while it was writing. Whatever a turn leaves has a carrier.
//!
//! A turn does no harm out of turn: to write the queue in its order is right for anybody who has the
//! lock, such as one who waits until all has left. It leaves the carrier as it is.

use std::io::IoSlice;

use super::cork::HOLD_MAX;
use super::output::{Output, Patience};
use super::stream::StreamId;
use crate::wire::Message;

/// How much one turn writes, roughly. What a pipe holds, so a longer one would seldom write more.
pub(super) const TURN: usize = 64 * 1024;

/// The same for a sender that waits for the kernel. All of this is its own, or is in front of that, and
/// large messages leave in large pieces.
pub(super) const BULK_TURN: usize = 1024 * 1024;

/// The queue of one stream, and who carries it.
pub(super) struct Writer {
    output: Output,
    carrier: Carrier,
    /// How many bytes of what was queued have left.
    written: u64,
    /// More waits to leave than the bound admits; from then on until half of the bound is free.
    over: bool,
    /// Somebody was refused, and may want to try again when there is room.
    refused: bool,
    /// Nothing can leave any more: the stream has ended, or the kernel has said that it is about to.
    closed: bool,
}

/// Who sees to it that what is queued leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Nobody,
    /// A thread that sends.
    Sender {
        /// It waits for the kernel at this moment.
        waits: bool,
    },
    /// The I/O thread. The poller was asked, or the thread is on its way here.
    IoThread,
}

/// Whether a message may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may.
    Now,
    /// Not before somebody has taken a turn, which nobody else will.
    AfterTurn,
    /// Not before there is room; somebody is about to make some.
    Later,
    /// Never.
    Closed,
}

/// What is to be done for a message that was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// Nothing; somebody carries it.
    Carried,
    /// It is held; the sender sees to it that it is let go.
    Held,
    /// The sender carries it, with turns.
    Carry(Own),
}

/// How far a sender carries: until so many bytes have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own(u64);

/// Who takes a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The sender that carries the queue.
    Sender {
        /// How far.
        own: Own,
        /// It waits for the kernel.
        waits: bool,
    },
    /// The same sender, whose message has left.
    Leaving,
    /// The I/O thread, because the poller says that the kernel takes more.
    IoThread,
    /// Anybody else.
    Passing,
}

/// Why a turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing is left.
    Empty,
    /// The turn was long enough.
    Enough,
    /// The kernel takes no more at present.
    Full,
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Done,
    /// The poller is to be asked to say when the kernel takes more, before anybody else has the lock.
    Ask,
    /// Another turn, after others had the lock.
    Again,
    /// The last turn, after others had the lock.
    Leave,
    /// Another turn, when the kernel takes more.
    Wait,
}

/// What is to be done at the end of a stream, before its write end is let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// A sender waits for the kernel, which is to be ended.
    pub(super) ends_wait: bool,
    /// The stream was over its bound.
    pub(super) was_over: bool,
}

impl Writer {
    /// One whose queue admits `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            output: Output::new(limit),
            carrier: Carrier::Nobody,
            written: 0,
            over: false,
            refused: false,
            closed: false,
        }
    }

    /// Whether what is queued can still leave.
    pub(super) fn is_open(&self) -> bool {
        !self.closed
    }

    /// Whether nothing waits to leave.
    pub(super) fn is_empty(&self) -> bool {
        self.output.is_empty()
    }

    /// Whether more waits than the bound admits, or has done so and there is still not much room.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether something waits that nobody carries.
    pub(super) fn holds(&self) -> bool {
        self.is_open() && self.carrier == Carrier::Nobody && !self.is_empty()
    }

    /// Somebody wants to send so many bytes.
    pub(super) fn admit(&self, origin: Option<StreamId>, size: usize, patience: Patience) -> Admission {
        if self.closed {
            Admission::Closed
        } else if self.output.admits(origin, size, patience) {
            Admission::Now
        } else if self.holds() {
            Admission::AfterTurn
        } else {
            Admission::Later
        }
    }

    /// Who was to be admitted later does not wait, and will be told when there is room.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }

    /// Queues a message that was admitted, of which `sent` bytes have left already.
    pub(super) fn queue(
        &mut self,
        message: Message,
        sent: usize,
        (origin, patience): (Option<StreamId>, Patience),
        may_be_held: bool,
    ) -> Queued {
        self.output.push(message, sent, origin, patience);
        self.over |= self.output.is_over();
        if self.carrier != Carrier::Nobody {
            Queued::Carried
        } else if may_be_held && self.output.waiting() < HOLD_MAX {
            Queued::Held
        } else {
            self.carrier = Carrier::Sender { waits: false };
            Queued::Carry(Own(self.written.saturating_add(self.output.bytes() as u64)))
        }
    }

    /// Queues the rest of something that belongs in front of the message that is queued next; nothing else waits.
    pub(super) fn queue_in_front(&mut self, message: Message, sent: usize) {
        self.output.push(message, sent, None, Patience::Reserve);
    }

    /// The next bytes to leave, `most` of them roughly; see [`Output::next`].
    pub(super) fn next<'a>(&'a self, room: &'a mut Vec<u8>, most: usize) -> Vec<IoSlice<'a>> {
        self.output.next(room, most)
    }

    /// The kernel has taken so many of them.
    pub(super) fn taken(&mut self, sent: usize) {
        self.output.advance(sent);
        self.written = self.written.saturating_add(sent as u64);
    }

    /// A turn is over.
    pub(super) fn turn_ends(&mut self, who: Who, why: Stop) -> Next {
        let is_sender = matches!(who, Who::Sender { .. } | Who::Leaving);
        let is_passing = matches!(self.carrier, Carrier::Sender { .. }) && !is_sender;
        if is_passing {
            // The sender comes back, and finds what is left or nothing.
            return Next::Done;
        }
        if self.output.is_empty() {
            self.carrier = Carrier::Nobody;
            return Next::Done;
        }
        match (who, why) {
            (Who::Sender { own, .. }, Stop::Enough) if self.written < own.0 => Next::Again,
            (Who::Sender { own, waits: true }, Stop::Full) if self.written < own.0 => {
                self.carrier = Carrier::Sender { waits: true };
                Next::Wait
            }
            (Who::Sender { .. }, Stop::Enough) => Next::Leave,
            (Who::Passing, _) if self.carrier == Carrier::IoThread => Next::Done,
            _ => {
                self.carrier = Carrier::IoThread;
                Next::Ask
            }
        }
    }

    /// The kernel takes nothing any more. Nobody shall try again, or wait for room, until the I/O thread has
    /// ended the stream.
    pub(super) fn breaks(&mut self) {
        self.closed = true;
    }

    /// The sender that carries waits no more for the kernel.
    pub(super) fn wait_ends(&mut self) {
        self.carrier = match self.carrier {
            Carrier::Sender { .. } => Carrier::Sender { waits: false },
            other => other,
        };
    }

    /// Whether there is room again after it was lacking. Tells it once.
    pub(super) fn is_relieved(&mut self) -> bool {
        self.output.has_room() && std::mem::take(&mut self.over) | std::mem::take(&mut self.refused)
    }

    /// The stream ends. What is queued is lost.
    pub(super) fn end(&mut self) -> End {
        let ends_wait = self.carrier == Carrier::Sender { waits: true };
        self.closed = true;
        self.carrier = Carrier::Nobody;
        self.output.clear();
        End { ends_wait, was_over: std::mem::take(&mut self.over) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{ContextId, Encoding, Handle, Header};

    const LIMIT: usize = 4 * 1024 * 1024;

    fn message(number: u8, size: usize) -> Message {
        let payload = vec![number; size - Header::LEN].into();
        Message::new(Encoding::Binary, ContextId::ROOT, Handle::new(1), Handle::NONE, payload)
    }

    /// A kernel that takes so much before it is full.
    struct Kernel {
        room: usize,
        taken: Vec<u8>,
    }

    impl Kernel {
        fn turn(&mut self, writer: &mut Writer, who: Who) -> Next {
            let mut taken = 0;
            let why = loop {
                if writer.is_empty() {
                    break Stop::Empty;
                }
                if taken >= TURN {
                    break Stop::Enough;
                }
                if self.room == 0 {
                    break Stop::Full;
                }
                let before = self.taken.len();
                for slice in writer.next(&mut Vec::new(), TURN - taken) {
                    let piece = slice.len().min(self.room);
                    self.room -= piece;
                    self.taken.extend_from_slice(&slice[..piece]);
                }
                let sent = self.taken.len() - before;
                writer.taken(sent);
                taken += sent;
            };
            writer.turn_ends(who, why)
        }
    }

    fn queue(writer: &mut Writer, message: Message) -> Queued {
        writer.queue(message, 0, (None, Patience::Exceed), false)
    }

    #[test]
    fn a_sender_writes_its_own_and_one_turn_of_what_others_queue_meanwhile() {
        let (mut writer, mut kernel) = (Writer::new(LIMIT), Kernel { room: usize::MAX, taken: Vec::new() });
        assert_eq!(writer.queue(message(0, 1000), 0, (None, Patience::Wait), true), Queued::Held);
        let Queued::Carry(own) = queue(&mut writer, message(1, 5 * TURN)) else { panic!("nobody else carries") };
        let who = Who::Sender { own, waits: false };
        for _ in 0..5 {
            assert_eq!(kernel.turn(&mut writer, who), Next::Again);
            assert_eq!(queue(&mut writer, message(2, 2 * TURN)), Queued::Carried);
        }
        assert_eq!(kernel.turn(&mut writer, who), Next::Leave);
        assert_eq!(kernel.turn(&mut writer, Who::Leaving), Next::Ask);
        assert_eq!(kernel.taken.len(), 7 * TURN);
        // The I/O thread looks after others between its turns.
        assert_eq!(kernel.turn(&mut writer, Who::IoThread), Next::Ask);
        assert_eq!(kernel.taken.len(), 8 * TURN);
        assert_eq!(queue(&mut writer, message(3, 100)), Queued::Carried);
        while kernel.turn(&mut writer, Who::IoThread) == Next::Ask {}
        assert!(writer.is_empty() && kernel.taken.len() == 1000 + 15 * TURN + 100);
    }

    #[test]
    fn a_sender_leaves_to_the_io_thread_what_the_kernel_does_not_take() {
        let (mut writer, mut kernel) = (Writer::new(LIMIT), Kernel { room: 1000, taken: Vec::new() });
        let Queued::Carry(own) = queue(&mut writer, message(1, 3000)) else { panic!("nobody else carries") };
        assert_eq!(kernel.turn(&mut writer, Who::Sender { own, waits: false }), Next::Ask);
        assert!(!writer.holds());
        // It was asked once, and is asked anew by the one who is told.
        kernel.room = 1000;
        assert_eq!(kernel.turn(&mut writer, Who::Passing), Next::Done);
        assert_eq!(kernel.turn(&mut writer, Who::IoThread), Next::Ask);
        kernel.room = 1000;
        assert_eq!(kernel.turn(&mut writer, Who::IoThread), Next::Done);
        assert!(matches!(queue(&mut writer, message(2, 100)), Queued::Carry(_)));
    }

    #[test]
    fn a_sender_that_waits_for_the_kernel_does_so_until_its_own_has_left() {
        let (mut writer, mut kernel) = (Writer::new(LIMIT), Kernel { room: 1000, taken: Vec::new() });
        let Queued::Carry(own) = queue(&mut writer, message(1, 3000)) else { panic!("nobody else carries") };
        let who = Who::Sender { own, waits: true };
        assert_eq!(kernel.turn(&mut writer, who), Next::Wait);
        assert_eq!(queue(&mut writer, message(2, 3000)), Queued::Carried);
        // An event that was on its way changes nothing.
        assert_eq!(kernel.turn(&mut writer, Who::IoThread), Next::Done);
        kernel.room = 1999;
        writer.wait_ends();
        assert_eq!(kernel.turn(&mut writer, who), Next::Wait);
        kernel.room = 1;
        writer.wait_ends();
        assert_eq!(kernel.turn(&mut writer, who), Next::Ask);
    }

    #[test]
    fn the_end_takes_all_and_tells_whom_it_concerns() {
        let mut writer = Writer::new(1000);
        assert_eq!(writer.end(), End { ends_wait: false, was_over: false });
        assert_eq!(writer.admit(None, 1, Patience::Exceed), Admission::Closed);

        let (mut writer, mut kernel) = (Writer::new(1000), Kernel { room: 0, taken: Vec::new() });
        let Queued::Carry(own) = queue(&mut writer, message(1, 3000)) else { panic!("nobody else carries") };
        assert_eq!(writer.admit(None, 1, Patience::Wait), Admission::Later);
        assert_eq!(kernel.turn(&mut writer, Who::Sender { own, waits: true }), Next::Wait);
        assert_eq!(writer.end(), End { ends_wait: true, was_over: true });
        assert!(writer.is_empty() && !writer.is_over() && !writer.holds());
    }

    proptest! {
        /// Whatever is done in whatever order: all that is sent leaves once and in its order, and while
        /// something waits there is somebody who writes it, is about to, or lets go of it.
        #[test]
        fn what_waits_has_a_carrier(steps in proptest::collection::vec((0..8u8, 0..200_000usize), 1..100)) {
            let (mut writer, mut kernel) = (Writer::new(100_000), Kernel { room: 0, taken: Vec::new() });
            let mut sent: Vec<u8> = Vec::new();
            // The sender that carries, and whether the poller was asked.
            let (mut sender, mut asked, mut number) = (None, false, 0u8);
            let mut steps = steps.into_iter();
            loop {
                // In the end the kernel takes all, and whoever has something to do does it.
                let (step, size) = steps.next().unwrap_or((7, usize::MAX));
                let mut turn = None;
                match step {
                    0..=2 => {
                        let may_be_held = step < 2 && size < HOLD_MAX;
                        let message = message(number, Header::LEN + size / (1 + 9 * usize::from(step)));
                        match writer.admit(None, message.size(), Patience::Wait) {
                            Admission::Now => {
                                number = number.wrapping_add(1);
                                sent.extend_from_slice(&message.header.encode());
                                sent.extend_from_slice(&message.payload);
                                match writer.queue(message, 0, (None, Patience::Wait), may_be_held) {
                                    Queued::Carried => prop_assert!(sender.is_some() || asked),
                                    Queued::Held => prop_assert!(may_be_held && writer.holds()),
                                    Queued::Carry(own) => {
                                        prop_assert!(sender.is_none() && !asked);
                                        sender = Some(Who::Sender { own, waits: size % 2 == 0 });
                                    }
                                }
                            }
                            Admission::AfterTurn => {
                                prop_assert!(sender.is_none() && !asked);
                                turn = Some(Who::Passing);
                            }
                            Admission::Later => prop_assert!(sender.is_some() || asked),
                            Admission::Closed => prop_assert!(false),
                        }
                    }
                    3 => kernel.room += size,
                    4 => turn = sender,
                    5 if asked && kernel.room > 0 => turn = Some(Who::IoThread),
                    6 if writer.holds() => turn = Some(Who::Passing),
                    7 => {
                        kernel.room = usize::max(kernel.room, size);
                        turn = sender.or(Some(if asked { Who::IoThread } else { Who::Passing }));
                    }
                    _ => {}
                }
                if let Some(who) = turn {
                    writer.wait_ends();
                    asked &= who != Who::IoThread;
                    let next = kernel.turn(&mut writer, who);
                    let is_sender = sender == Some(who);
                    match next {
                        Next::Ask => {
                            prop_assert!(is_sender || sender.is_none());
                            (asked, sender) = (true, None);
                        }
                        Next::Done if is_sender => sender = None,
                        Next::Done => {}
                        Next::Again | Next::Wait => prop_assert!(is_sender),
                        Next::Leave => {
                            prop_assert!(is_sender);
                            sender = Some(Who::Leaving);
                        }
                    }
                    // An event that finds nothing left does no harm.
                    asked &= !writer.is_empty();
                }
                prop_assert!(writer.is_empty() || sender.is_some() || asked || writer.holds(), "nobody carries");
                if step == 7 && size == usize::MAX && writer.is_empty() && sender.is_none() {
                    break;
                }
            }
            prop_assert!(kernel.taken == sent);
            prop_assert!(!writer.is_over() || writer.is_relieved());
        }
    }
}
