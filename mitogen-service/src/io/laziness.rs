//! Whether callers may leave a stream disarmed.

use std::time::{Duration, Instant};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// After how many calls in a row a stream is left disarmed.
pub(super) const ROW: u32 = 16;

/// After how many turns in a row that is so for a link for bulk, which takes more time for each.
pub(super) const BULK_ROW: u32 = 4;

/// For how many calls it counts that a sender waits for credit, which it does after a whole window.
pub(super) const A_WINDOW: u32 = ROW / 2;

/// Within which time they have to come: calls that are rarer gain nothing.
const ROW_TIME: Duration = Duration::from_millis(5);

/// Counts the calls of which nothing came between but their answers.
///
/// To disarm and to arm a stream for each call costs two system calls. Where calls follow each other
/// closely and the stream brings nothing but their answers, it may stay disarmed between them; what
/// comes then all the same is found at the next tick of the broker.
pub(super) struct Laziness {
    /// How many it takes.
    enough: u32,
    row: AtomicU32,
    began: Mutex<Option<Instant>>,
    /// The broker has it on its list.
    listed: AtomicBool,
    /// How often a caller has left it disarmed, so that the ticks end when nobody does any more.
    leaves: AtomicU32,
    seen: AtomicU32,
}

impl Laziness {
    pub(super) fn new(enough: u32) -> Self {
        Self {
            enough,
            row: AtomicU32::new(0),
            began: Mutex::new(None),
            listed: AtomicBool::new(false),
            leaves: AtomicU32::new(0),
            seen: AtomicU32::new(0),
        }
    }

    /// A caller leaves who has found nothing but answers, and counts for so many. Tells whether it may leave
    /// the stream disarmed.
    pub(super) fn may_stay(&self, calls: u32) -> bool {
        let row = self.row.load(Ordering::Relaxed);
        if row > self.enough {
            return true;
        }
        let mut began = self.began.lock();
        if row == 0 {
            *began = Some(Instant::now());
        }
        let is_enough = row + calls > self.enough;
        let is_row = is_enough && began.is_some_and(|began| began.elapsed() < ROW_TIME);
        // Only the holder of the read role counts.
        self.row.store(if is_enough && !is_row { 0 } else { row + calls }, Ordering::Relaxed);
        is_row
    }

    /// The stream has brought something else, or somebody waits for it who does not read.
    pub(super) fn broken(&self) {
        self.row.store(0, Ordering::Relaxed);
    }

    /// A caller has left the stream disarmed. Tells whether it is to be put on the broker's list.
    pub(super) fn left(&self) -> bool {
        self.leaves.fetch_add(1, Ordering::Relaxed);
        // A tick that takes it off the list looks at the role after that, so one of both sees the other.
        !self.listed.swap(true, Ordering::SeqCst)
    }

    /// A tick looks at it, and takes it off the list. Tells whether callers have left it since the last
    /// one.
    pub(super) fn ticked(&self) -> bool {
        self.listed.store(false, Ordering::SeqCst);
        let leaves = self.leaves.load(Ordering::Relaxed);
        self.seen.swap(leaves, Ordering::Relaxed) != leaves
    }

    /// It stays on the list. `false` if somebody has put it there already.
    pub(super) fn relist(&self) -> bool {
        !self.listed.swap(true, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_calls_in_a_row_leave_it_disarmed() {
        let laziness = Laziness::new(ROW);
        for _ in 0..ROW {
            assert!(!laziness.may_stay(1));
        }
        assert!(laziness.may_stay(1) && laziness.may_stay(1));
        laziness.broken();
        assert!(!laziness.may_stay(1));
    }

    #[test]
    fn what_counts_for_many_takes_fewer() {
        let laziness = Laziness::new(BULK_ROW);
        let stays: Vec<_> = (0..=BULK_ROW).map(|_| laziness.may_stay(1)).collect();
        assert_eq!(stays, [false, false, false, false, true]);
        let laziness = Laziness::new(ROW);
        let stays: Vec<_> = (0..3).map(|_| laziness.may_stay(ROW / 2)).collect();
        assert_eq!(stays, [false, false, true]);
    }

    #[test]
    fn calls_that_are_rare_never_do() {
        let laziness = Laziness::new(ROW);
        for _ in 0..3 {
            for _ in 0..ROW {
                assert!(!laziness.may_stay(1));
            }
            *laziness.began.lock() = Instant::now().checked_sub(ROW_TIME);
            assert!(!laziness.may_stay(1));
        }
    }

    #[test]
    fn the_list_holds_it_once_and_the_ticks_end() {
        let laziness = Laziness::new(ROW);
        assert!(laziness.left() && !laziness.left());
        assert!(laziness.ticked());
        assert!(laziness.relist() && !laziness.relist());
        assert!(!laziness.ticked(), "nobody has left it since");
        assert!(laziness.left() && laziness.ticked());
    }
}
