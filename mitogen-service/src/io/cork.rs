//! Holding messages back for a moment, so that many leave with one system call.
//!
//! Only the sender knows that it has more in hand: a thread that starts one call after the other without
//! waiting, and one that runs a batch of methods which are over at once. Both *hold* what they send in
//! the queue of the stream, and let it go
//!
//! * when the thread begins to wait for something, or has no more in hand;
//! * when [`HOLD_MAX`] bytes are held;
//! * when anybody else sends over the same stream;
//! * at the latest after [`HOLD_TIME`], by the I/O thread, for a thread that starts calls and then does
//!   something else. An answer is held only while methods run that are known to be fast; if one of them
//!   blocks all the same, the next tick of the pool lets the answers go.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::stream::Stream;
use crate::sync::thread_local;

/// How many bytes are held at most.
pub(super) const HOLD_MAX: usize = 16 * 1024;

/// How long a call is held at most.
pub(super) const HOLD_TIME: Duration = Duration::from_millis(1);

/// The calls that a thread starts over one stream before it is believed to start more of them.
const ROW: u32 = 1;

/// How many streams a thread holds something in at most.
const STREAMS_MAX: usize = 16;

/// Whether a message may wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haste {
    /// It leaves at once.
    Now,
    /// It may be held: an answer, while its thread has others to give.
    Answer,
    /// It may be held: a call, while its thread starts others.
    Call,
}

thread_local! {
    /// The streams in which this thread holds something.
    static HELD: RefCell<Vec<Weak<Stream>>> = const { RefCell::new(Vec::new()) };

    /// The stream that this thread has sent its last call over, by its address, and how many since it last
    /// waited.
    static ROW_OF: Cell<(usize, u32)> = const { Cell::new((0, 0)) };

    /// This thread has more answers to give.
    static MORE_ANSWERS: Cell<bool> = const { Cell::new(false) };
}

/// Whether a call is to be held that this thread starts over this stream.
pub(super) fn holds_call(stream: &Stream) -> bool {
    let address = std::ptr::from_ref(stream).addr();
    ROW_OF.with(|row_of| {
        let (last, row) = row_of.get();
        let row = if last == address { row.saturating_add(1) } else { 1 };
        row_of.set((address, row));
        row > ROW
    })
}

/// How soon an answer is to leave that this thread gives.
pub(crate) fn for_answer() -> Haste {
    if MORE_ANSWERS.with(Cell::get) { Haste::Answer } else { Haste::Now }
}

/// Says whether this thread will give more answers in no time.
pub(crate) fn expect_answers(more: bool) {
    MORE_ANSWERS.with(|answers| answers.set(more));
}

/// Lets go of what this thread holds: it has no more in hand, or is about to wait.
pub(crate) fn let_go() {
    ROW_OF.with(|row_of| row_of.set((0, 0)));
    // One after the other, since the last handle of a stream may go with it.
    while let Some(stream) = HELD.with(|held| held.borrow_mut().pop()) {
        if let Some(stream) = stream.upgrade() {
            stream.let_go();
        }
    }
}

/// Takes note that this thread holds something in a stream.
pub(super) fn holds(stream: &Arc<Stream>) {
    let is_full = HELD.with(|held| {
        let mut held = held.borrow_mut();
        let is_known = held.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(stream)));
        if !is_known {
            held.push(Arc::downgrade(stream));
        }
        held.len() >= STREAMS_MAX
    });
    if is_full {
        let_go();
    }
}
