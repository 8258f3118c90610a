//! What a router takes at most; see `docs/security.md`.

use std::time::Duration;

/// The bounds of one router that can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The calls that may wait for an answer; who makes one more waits for another one's answer.
    pub(crate) pending_calls: usize,
    /// The calls that may have arrived here and not be answered.
    pub(crate) queued_calls: usize,
    /// The bytes of these calls.
    pub(crate) queued_bytes: usize,
    /// The bytes that may wait to be written to one stream.
    pub(crate) output: usize,
    /// The bytes that all unfinished messages may hold together.
    pub(crate) reassembly: usize,
    /// How long a neighbour may take nothing of what waits for it, or stop in the middle of a message.
    pub(crate) stall: Duration,
    /// The contexts that may be on their way at once; who wants one more waits.
    pub(crate) connecting: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            pending_calls: 65_536,
            queued_calls: 65_536,
            queued_bytes: 64 * 1024 * 1024,
            output: 4 * 1024 * 1024,
            reassembly: 256 * 1024 * 1024,
            stall: Duration::from_secs(45),
            connecting: 32,
        }
    }
}
