//! The read role as threads share it: taken, held, handed on and left.
//!
//! [`Role`] decides, and what it decides is done here, in an order that loses nothing. What it means to
//! read, and to ask the poller, stands elsewhere ([`Reads`]).

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use super::laziness::Laziness;
use super::poller::Interest;
use super::role::{Join, Leave, Next, Role};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The read role of one stream.
pub(super) struct SharedRole<W, E> {
    role: Mutex<Role<W, E>>,
    laziness: Laziness,
    /// The last turn of a caller has left something. Only the holder looks at it.
    more: AtomicBool,
}

/// A caller in the queue for the read role.
pub(super) trait Promoted: PartialEq {
    /// Ends the wait: the role is the caller's own, or there is none any more.
    fn promote(&self);

    /// Whether the caller has what it waits for. Asked under the lock of the role.
    fn is_done(&self) -> bool;
}

/// What the holder of the role does to the stream.
pub(super) trait Reads<E> {
    /// Reads for one turn. Tells whether there may be more.
    fn pump(&self, until: Until) -> bool;

    /// The same for a caller that wants to look at what has come soon.
    fn pump_for_caller(&self) -> bool {
        self.pump(Until::Short)
    }

    /// Asks the poller to tell of what comes, or not.
    fn ask_poller(&self, interest: Interest);

    /// Sees to it that [`SharedRole::stays_lazy`] is asked in a short time.
    fn arm_soon(&self);

    /// Ends the stream, with the role.
    fn end_with_role(&self, end: E);
}

/// Where a caller waits who reads.
pub(super) trait Post {
    /// What ends the wait when it is woken.
    fn waker(&self) -> &Waker;

    /// Waits; tells whether there is something to read, and `None` when the time is over.
    fn wait(&self, deadline: Option<Instant>) -> Option<bool>;
}

/// How far a turn reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// What is there, if that shows by itself.
    Short,
    /// Until the kernel says that there is no more. The other end may have closed behind what is there.
    Dry,
}

impl<W: Promoted, E> SharedRole<W, E> {
    /// The role of a stream that is not armed, and may be left so after so many turns of callers in a row.
    pub(super) fn new(row: u32) -> Self {
        Self { role: Mutex::new(Role::new()), laziness: Laziness::new(row), more: AtomicBool::new(false) }
    }

    /// Takes the role to add the stream to the poller, which arms it. `false` if that was done, or the
    /// stream has ended.
    pub(super) fn start(&self) -> bool {
        let mut role = self.role.lock();
        let taken = role.take_disarmed();
        if taken {
            role.armed();
        }
        taken
    }

    /// The poller tells that there is something to read, or that the other end has closed.
    pub(super) fn edge(&self, stream: &impl Reads<E>, closed: bool) {
        if self.role.lock().edge() {
            read_turn(stream, if closed { Until::Dry } else { Until::Short });
            self.leave(stream, Leave::Armed);
        }
    }

    /// Gives the role back.
    pub(super) fn leave(&self, stream: &impl Reads<E>, how: Leave) {
        loop {
            let next = self.role.lock().leave(how, W::is_done);
            match next {
                // The edge that was kept does not tell whether the other end has closed as well.
                Next::Again => read_turn(stream, Until::Dry),
                Next::Arm => self.arm_as_holder(stream),
                Next::Promote(waiter) => return waiter.promote(),
                Next::End(end) => return stream.end_with_role(end),
                Next::Free { armed } => {
                    if !armed && self.laziness.left() {
                        stream.arm_soon();
                    }
                    return;
                }
            }
        }
    }

    fn arm_as_holder(&self, stream: &impl Reads<E>) {
        // An edge that comes from now on finds the role held, and is kept.
        self.role.lock().armed();
        stream.ask_poller(Interest::Edge);
    }

    /// Arms the stream if callers have left it disarmed, nobody reads, and none has come and gone since this was
    /// asked last: whoever comes reads what is there. Tells whether it is to be looked at again.
    pub(super) fn stays_lazy(&self, stream: &impl Reads<E>) -> bool {
        let was_left = self.laziness.ticked();
        if !was_left {
            self.arm_if_free(stream);
            return false;
        }
        let is_disarmed = !self.role.lock().is_armed();
        is_disarmed && self.laziness.relist()
    }

    /// Somebody waits for what this stream brings and does not read: sees to it that another one does.
    pub(super) fn attend(&self, stream: &impl Reads<E>) {
        self.laziness.broken();
        self.arm_if_free(stream);
    }

    /// Arms the stream if nobody reads and it is disarmed; tells whether that was so.
    pub(super) fn arm_if_free(&self, stream: &impl Reads<E>) -> bool {
        let taken = self.role.lock().take_disarmed();
        if taken {
            self.arm_as_holder(stream);
            self.leave(stream, Leave::Armed);
        }
        taken
    }

    /// The stream has brought something that is no answer.
    pub(super) fn not_only_answers(&self) {
        self.laziness.broken();
    }

    /// A caller wants to read.
    pub(super) fn join(&self, waiter: impl FnOnce() -> W) -> Join {
        self.role.lock().join(waiter)
    }

    /// The same for one who does not wait for the role.
    pub(super) fn try_join(&self) -> bool {
        self.role.lock().try_join()
    }

    /// A caller that waits for the role wants it no more; see [`Role::quit`].
    pub(super) fn quit(&self, waiter: &W) -> bool {
        self.role.lock().quit(waiter)
    }

    /// Whether the role can be nobody's any more.
    pub(super) fn is_ended(&self) -> bool {
        self.role.lock().is_ended()
    }

    /// Reads, as the caller who holds the role, until `is_done`, which is asked before each wait and given
    /// what ends the wait (and nothing when the wait is over), or until `deadline`. `false` if the stream
    /// is to end.
    pub(super) fn read_until(
        &self,
        (stream, post): (&impl Reads<E>, &impl Post),
        deadline: Option<Instant>,
        mut is_done: impl FnMut(Option<&Waker>) -> bool,
    ) -> bool {
        let is_armed = self.role.lock().is_armed();
        if is_armed {
            stream.ask_poller(Interest::Nothing);
            self.role.lock().disarmed();
        }
        while !is_done(Some(post.waker())) {
            // Whoever ends the stream says so first, and wakes the one who reads after that.
            let is_to_end = self.role.lock().is_to_end();
            let ready = match is_to_end {
                true => None,
                // Known without asking.
                false if self.more.swap(false, Ordering::Relaxed) => Some(true),
                false => post.wait(deadline),
            };
            is_done(None);
            match ready {
                Some(true) => {
                    if stream.pump_for_caller() {
                        self.more.store(true, Ordering::Relaxed);
                    }
                }
                Some(false) => {}
                None => return !is_to_end,
            }
        }
        true
    }

    /// A caller gives the role back that has waited for so many answers, or as if.
    pub(super) fn leave_reading(&self, stream: &impl Reads<E>, calls: u32) {
        let how = if self.laziness.may_stay(calls) { Leave::Lazily } else { Leave::Armed };
        self.leave(stream, how);
    }

    /// The stream is to end; see [`Role::end`].
    pub(super) fn end(&self, end: E) -> Option<E> {
        self.role.lock().end(end)
    }

    /// The stream has ended; see [`Role::finish`].
    pub(super) fn finish(&self) -> VecDeque<W> {
        self.role.lock().finish()
    }
}

/// Reads one turn, with the role. Where there may be more the poller is asked to tell again, so that other
/// streams have their turn.
fn read_turn<E>(stream: &impl Reads<E>, until: Until) {
    if stream.pump(until) {
        stream.ask_poller(Interest::Edge);
    }
}
