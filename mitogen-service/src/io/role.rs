//! Who reads a stream: a plain state machine without locks or threads.
//!
//! A stream has one *read role*, and whoever holds it is the only one who reads. Two kinds of threads
//! take it. A thread that waits for whatever comes (the I/O thread, or an idle one of a pool) gets it
//! with an *edge*: the poller tells once that something has come, and the role is given back as soon as
//! that is in its queue, before anything is executed. And a thread that waits for the answer to a call
//! *joins*: it reads by itself, so that an answer needs no second thread.
//!
//! What follows from edges being told only once:
//!
//! * An edge that comes while the role is held is kept (*pending*), and the holder reads once more
//!   before it lets go.
//! * While a caller reads, the poller shall not wake another thread for the same bytes, so the stream is
//!   *disarmed*. To arm it again makes the poller look anew, so nothing that came between is lost.
//!   Only the holder arms and disarms, so both happen in the order in which the role goes round.
//! * A caller that leaves hands the role to the next caller that waits. One that is handed the role
//!   owns it from that moment, whether it has noticed or not; if it has stopped to wait meanwhile it
//!   has to give it on ([`Role::quit`]).
//! * The end of a stream waits for the role, so that it comes after all messages that were read.
//!
//! Callers that follow each other closely would disarm and arm for each call. So a leaving caller may
//! leave the stream disarmed ([`Leave::Lazily`]); whoever does so sees to it that somebody arms it soon.

use std::collections::VecDeque;

/// The read role of one stream; `W` stands for a caller that waits, `E` for the end of the stream.
#[derive(Debug)]
pub(crate) struct Role<W, E> {
    held: bool,
    /// An edge has come that the holder has not looked after yet.
    pending: bool,
    /// The poller tells of edges.
    armed: bool,
    /// Who wants to read as soon as the role is free; first come, first served.
    waiting: VecDeque<W>,
    /// What is to be done with the stream as soon as nobody reads.
    end: Option<E>,
    /// The role is not given out any more.
    ended: bool,
}

/// What a caller gets that wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It reads now. If the stream is armed, it disarms it first.
    Read {
        /// Whether the poller still tells of edges.
        armed: bool,
    },
    /// Somebody else reads; it is told when the role is its own.
    Wait,
    /// Nobody reads any more.
    Ended,
}

/// How a holder leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The poller shall tell of what comes.
    Armed,
    /// If it is disarmed, it may stay so for a short time.
    Lazily,
}

/// What a holder that leaves has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<W, E> {
    /// Read once more, and leave then.
    Again,
    /// Arm, and leave then.
    Arm,
    /// Tell this caller that the role is its own.
    Promote(W),
    /// See to the end of the stream, with the role.
    End(E),
    /// Nothing; the role is free.
    Free {
        /// Whether the poller tells of edges.
        armed: bool,
    },
}

impl<W: PartialEq, E> Role<W, E> {
    /// A role that nobody holds, of a stream that is not armed.
    pub(crate) fn new() -> Self {
        Self { held: false, pending: false, armed: false, waiting: VecDeque::new(), end: None, ended: false }
    }

    /// The poller has told of an edge. Tells whether the role is the caller's now; it is armed.
    pub(crate) fn edge(&mut self) -> bool {
        if self.held || self.ended {
            self.pending = true;
            return false;
        }
        self.held = true;
        true
    }

    /// Takes the role if it is free and the stream is disarmed, to arm it.
    pub(crate) fn take_disarmed(&mut self) -> bool {
        let taken = !self.held && !self.armed && !self.ended;
        self.held |= taken;
        taken
    }

    /// A caller wants to read; `waiter` is asked for what stands for it only if it has to wait.
    pub(crate) fn join(&mut self, waiter: impl FnOnce() -> W) -> Join {
        if self.ended {
            return Join::Ended;
        }
        if self.held {
            self.waiting.push_back(waiter());
            return Join::Wait;
        }
        self.held = true;
        Join::Read { armed: self.armed }
    }

    /// The same for a caller that does not wait if it cannot read now.
    pub(crate) fn try_join(&mut self) -> bool {
        let free = !self.held && !self.ended;
        self.held |= free;
        free
    }

    /// The holder has armed the stream.
    pub(crate) fn armed(&mut self) {
        self.armed = true;
        // What comes now, or is there already, is told anew.
        self.pending = false;
    }

    /// The holder has disarmed the stream. An edge that was told before may still come.
    pub(crate) fn disarmed(&mut self) {
        self.armed = false;
    }

    /// Whether the poller tells of edges.
    pub(crate) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Whether the stream is to end, so that the holder shall leave.
    pub(crate) fn is_to_end(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the stream has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// A caller does not wait any more. `false` if it was not waiting: the role is its own, and it has to
    /// [leave](Self::leave), or there is none any more.
    pub(crate) fn quit(&mut self, waiter: &W) -> bool {
        let at = self.waiting.iter().position(|other| other == waiter);
        at.is_some_and(|at| self.waiting.remove(at).is_some())
    }

    /// The holder wants to leave. The role goes to the first caller that still wants it: one that
    /// `is_done` has its answer, is awake already and about to [quit](Self::quit), and would only pass it on.
    pub(crate) fn leave(&mut self, how: Leave, is_done: impl Fn(&W) -> bool) -> Next<W, E> {
        if let Some(end) = self.end.take() {
            return Next::End(end);
        }
        let next = self.waiting.iter().position(|waiter| !is_done(waiter));
        if let Some(waiter) = next.and_then(|at| self.waiting.remove(at)) {
            return Next::Promote(waiter);
        }
        if self.armed && std::mem::take(&mut self.pending) {
            return Next::Again;
        }
        if !self.armed && how == Leave::Armed {
            return Next::Arm;
        }
        self.held = false;
        Next::Free { armed: self.armed }
    }

    /// The stream is to end. Gives the end back if the role is free, and is the caller's now; otherwise
    /// the holder gets it when it leaves. The first end is the one that counts.
    pub(crate) fn end(&mut self, end: E) -> Option<E> {
        if self.ended {
            return None;
        }
        if !self.held {
            self.held = true;
            return Some(end);
        }
        self.end.get_or_insert(end);
        None
    }

    /// The stream has ended, says the holder. Gives those who still wait for the role.
    pub(crate) fn finish(&mut self) -> VecDeque<W> {
        self.ended = true;
        self.end = None;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type TestRole = Role<u8, &'static str>;

    fn armed() -> TestRole {
        let mut role = Role::new();
        assert!(role.take_disarmed());
        role.armed();
        assert_eq!(role.leave(Leave::Armed, |_| false), Next::Free { armed: true });
        role
    }

    #[test]
    fn an_edge_while_somebody_reads_is_read_before_the_role_is_free() {
        let mut role = armed();
        assert!(role.edge());
        assert!(!role.edge(), "held");
        assert_eq!(role.leave(Leave::Armed, |_| false), Next::Again);
        assert_eq!(role.leave(Leave::Armed, |_| false), Next::Free { armed: true });
        assert!(role.edge());
    }

    #[test]
    fn a_caller_disarms_and_arms_again_or_leaves_that_to_others() {
        let mut role = armed();
        assert_eq!(role.join(|| 1), Join::Read { armed: true });
        role.disarmed();
        assert!(!role.edge(), "told before it was disarmed");
        assert_eq!(role.leave(Leave::Armed, |_| false), Next::Arm);
        role.armed();
        assert_eq!(role.leave(Leave::Armed, |_| false), Next::Free { armed: true });

        assert_eq!(role.join(|| 1), Join::Read { armed: true });
        role.disarmed();
        assert_eq!(role.leave(Leave::Lazily, |_| false), Next::Free { armed: false });
        assert!(role.take_disarmed() && !role.take_disarmed());
        role.armed();
        assert_eq!(role.leave(Leave::Lazily, |_| false), Next::Free { armed: true });
        assert!(!role.take_disarmed());
    }

    #[test]
    fn the_role_goes_from_caller_to_caller_in_the_order_of_their_coming() {
        let mut role = armed();
        assert!(role.edge());
        for waiter in 1..=3 {
            assert_eq!(role.join(|| waiter), Join::Wait);
        }
        assert!(role.quit(&2) && !role.quit(&2));
        assert_eq!(role.leave(Leave::Armed, |_| false), Next::Promote(1));
        assert!(!role.quit(&1), "the role is its own, and it has to leave");
        assert_eq!(role.leave(Leave::Lazily, |_| false), Next::Promote(3));
        assert_eq!(role.leave(Leave::Lazily, |_| false), Next::Free { armed: true });
    }

    #[test]
    fn who_has_its_answer_is_passed_over() {
        let mut role = armed();
        assert!(role.edge());
        for waiter in 1..=3 {
            assert_eq!(role.join(|| waiter), Join::Wait);
        }
        assert_eq!(role.leave(Leave::Armed, |waiter| *waiter != 2), Next::Promote(2));
        assert_eq!(role.leave(Leave::Armed, |_| true), Next::Free { armed: true });
        assert!(role.quit(&1) && role.quit(&3), "the role is not theirs");
    }

    #[test]
    fn the_end_waits_for_whoever_reads() {
        let mut role = armed();
        assert_eq!(role.join(|| 1), Join::Read { armed: true });
        assert_eq!(role.join(|| 2), Join::Wait);
        assert_eq!(role.end("first"), None);
        assert_eq!(role.end("second"), None);
        assert_eq!(role.leave(Leave::Lazily, |_| false), Next::End("first"));
        assert_eq!(role.finish(), [2]);
        assert_eq!(role.join(|| 3), Join::Ended);
        assert!(!role.edge() && !role.take_disarmed());
        assert_eq!(role.end("third"), None);

        assert_eq!(armed().end("free"), Some("free"));
    }

    proptest! {
        /// Whatever is done in whatever order: one holds the role, no edge is forgotten, and nobody waits
        /// while it is free.
        #[test]
        fn nothing_that_has_come_is_left_unread(steps in proptest::collection::vec(0..7u8, 1..200)) {
            let mut role = armed();
            // What a poller and the holders know of it: bytes that are there and not read, whether the
            // poller has been asked to tell, and who holds the role.
            let (mut unread, mut asked, mut holder) = (false, true, None::<u8>);
            let mut waiting = VecDeque::new();
            let mut next = 0;
            for step in steps {
                match (step, holder) {
                    // Something comes; the poller tells if it was asked to.
                    (0 | 1, _) => {
                        unread = true;
                        if asked && role.edge() {
                            prop_assert!(holder.is_none());
                            holder = Some(0);
                            // Who is told of an edge reads before it leaves.
                            unread = false;
                        }
                    }
                    (2, _) => {
                        next = if next == 250 { 1 } else { next + 1 };
                        match role.join(|| next) {
                            Join::Read { armed } => {
                                prop_assert!(holder.is_none() && armed == asked);
                                role.disarmed();
                                asked = false;
                                holder = Some(next);
                            }
                            Join::Wait => waiting.push_back(next),
                            Join::Ended => prop_assert!(false),
                        }
                    }
                    (3, Some(_)) => unread = false,
                    (4, None) if role.take_disarmed() => holder = Some(0),
                    (5, _) => {
                        if let Some(last) = waiting.pop_back() {
                            prop_assert!(role.quit(&last));
                        }
                    }
                    (6, Some(who)) => {
                        let how = if who % 2 == 0 { Leave::Armed } else { Leave::Lazily };
                        loop {
                            match role.leave(how, |_| false) {
                                Next::Again => unread = false,
                                Next::Arm => {
                                    role.armed();
                                    asked = true;
                                    // The poller looks anew.
                                    if unread {
                                        prop_assert!(!role.edge());
                                    }
                                }
                                Next::Promote(waiter) => {
                                    prop_assert_eq!(waiting.pop_front(), Some(waiter));
                                    holder = Some(waiter);
                                    if asked {
                                        role.disarmed();
                                        asked = false;
                                    }
                                    break;
                                }
                                Next::Free { armed } => {
                                    prop_assert_eq!(armed, asked);
                                    holder = None;
                                    break;
                                }
                                Next::End(_) => prop_assert!(false),
                            }
                        }
                    }
                    _ => {}
                }
                if holder.is_none() {
                    prop_assert!(waiting.is_empty(), "somebody waits while nobody reads");
                    prop_assert!(!(asked && unread), "nobody reads what has come");
                }
            }
        }
    }
}
