//! Whether callers may leave a stream disarmed.

use std::time::{Duration, Instant};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// After how many calls in a row a stream is left disarmed.
const ROW: u32 = 16;

/// Within which time they have to come: calls that are rarer gain nothing.
const ROW_TIME: Duration = Duration::from_millis(5);

/// Counts the calls of which nothing came between but their answers.
///
/// To disarm and to arm a stream for each call costs two system calls. Where calls follow each other
/// closely and the stream brings nothing but their answers, it may stay disarmed between them; what
/// comes then all the same is found at the next tick of the broker.
#[derive(Default)]
pub(super) struct Laziness {
    row: AtomicU32,
    began: Mutex<Option<Instant>>,
    /// The broker has it on its list.
    listed: AtomicBool,
    /// How often a caller has left it disarmed, so that the ticks end when nobody does any more.
    leaves: AtomicU32,
    seen: AtomicU32,
}

impl Laziness {
    /// A caller leaves who has found nothing but answers. Tells whether it may leave the stream disarmed.
    pub(super) fn may_stay(&self) -> bool {
        let row = self.row.load(Ordering::Relaxed);
        if row > ROW {
            return true;
        }
        // Only the holder of the read role counts.
        self.row.store(row + 1, Ordering::Relaxed);
        let mut began = self.began.lock();
        match row {
            0 => *began = Some(Instant::now()),
            ROW => {
                let is_row = began.is_some_and(|began| began.elapsed() < ROW_TIME);
                if !is_row {
                    self.row.store(0, Ordering::Relaxed);
                }
                return is_row;
            }
            _ => {}
        }
        false
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
        let laziness = Laziness::default();
        for _ in 0..ROW {
            assert!(!laziness.may_stay());
        }
        assert!(laziness.may_stay() && laziness.may_stay());
        laziness.broken();
        assert!(!laziness.may_stay());
    }

    #[test]
    fn calls_that_are_rare_never_do() {
        let laziness = Laziness::default();
        for _ in 0..3 {
            for _ in 0..ROW {
                assert!(!laziness.may_stay());
            }
            *laziness.began.lock() = Instant::now().checked_sub(ROW_TIME);
            assert!(!laziness.may_stay());
        }
    }

    #[test]
    fn the_list_holds_it_once_and_the_ticks_end() {
        let laziness = Laziness::default();
        assert!(laziness.left() && !laziness.left());
        assert!(laziness.ticked());
        assert!(laziness.relist() && !laziness.relist());
        assert!(!laziness.ticked(), "nobody has left it since");
        assert!(laziness.left() && laziness.ticked());
    }
}
