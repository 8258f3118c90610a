//! How many bytes all unfinished messages of a router may hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes under reassembly, of all streams of a router.
#[derive(Debug)]
pub(crate) struct Reassembly {
    bytes: AtomicUsize,
    limit: usize,
}

impl Reassembly {
    /// Nothing yet, and `limit` bytes at most; one message is admitted whatever its size.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), limit }
    }

    /// A stream that held `before` bytes holds `now`. Tells whether that is within the limit.
    pub(crate) fn update(&self, before: usize, now: usize) -> bool {
        self.bytes.fetch_add(now, Ordering::Relaxed);
        let all = self.bytes.fetch_sub(before, Ordering::Relaxed) - before;
        // Growing alone can be too much; what is there may come to its end.
        now <= before || all <= self.limit || all == now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_unfinished_messages_are_too_much_and_a_single_one_is_not() {
        let reassembly = Reassembly::new(100);
        assert!(reassembly.update(0, 1000), "the only one");
        assert!(!reassembly.update(0, 10), "another one beside it");
        assert!(reassembly.update(10, 0));
        assert!(reassembly.update(1000, 0));
        assert!(reassembly.update(0, 60) && reassembly.update(0, 40));
        assert!(!reassembly.update(40, 41));
    }
}
