//! What waits to be written to a stream: a plain queue of frames with a bound.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Instant;

use crate::wire::{Header, Message};

/// How many pieces one `writev` takes at most; the kernel takes 1024.
const MAX_SLICES: usize = 64;

/// What control messages and refusals may take beyond the bound: so many times the bound, which is
/// room for a refusal of each call that one context may have pending.
const RESERVE: usize = 2;

/// What answers and the data of channels may take when they only pass through: so many times the
/// bound. Their senders are bounded by places and windows, so they meet this one only where many of
/// them share a stream that is slow; and what is refused there is lost to somebody who waits.
const TRANSIT: usize = 4;

/// The least that the reserve has.
const MIN_RESERVE: usize = 1024 * 1024;

/// What a sender does when the bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Waits until there is room: a call of this process. Never on the broker's thread.
    Wait,
    /// The same until this moment.
    Until(Instant),
    /// Is refused: a call of somebody else that only passes through, or one who would not wait.
    Refuse,
    /// May use a few times the bound: an answer, or the data of a channel, of somebody else that only
    /// passes through.
    Transit,
    /// May use half of the reserve beyond that: a small frame of somebody else, such as a dead
    /// message, that only passes through. So a neighbour cannot be kept from what this process itself
    /// has to tell it.
    Pass,
    /// May use the whole reserve: control messages and refusals of this process.
    Reserve,
    /// Goes beyond the bound: an answer of this process. A method has run for it, and its thread
    /// must not wait for the one who reads too slowly.
    Exceed,
}

/// Frames in the order in which they leave.
pub(crate) struct Output {
    frames: VecDeque<Frame>,
    /// The bytes of all frames that have not left.
    bytes: usize,
    limit: usize,
}

/// A frame of which `sent` bytes have left.
struct Frame {
    header: [u8; Header::LEN],
    message: Message,
    sent: usize,
}

impl Frame {
    fn new(message: Message, sent: usize) -> Self {
        Self { header: message.header.encode(), message, sent }
    }

    fn left(&self) -> usize {
        Header::LEN + self.message.payload.len() - self.sent
    }
}

impl Output {
    /// An empty queue that admits `limit` bytes, and always one frame.
    pub(crate) fn new(limit: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, limit }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a frame of this size may be queued.
    pub(crate) fn admits(&self, size: usize, patience: Patience) -> bool {
        let reserve = self.limit.saturating_mul(RESERVE).max(MIN_RESERVE);
        let transit = self.limit.saturating_mul(TRANSIT);
        let limit = match patience {
            Patience::Wait | Patience::Until(_) | Patience::Refuse => self.limit,
            Patience::Transit => transit,
            Patience::Pass => transit.saturating_add(reserve / 2),
            Patience::Reserve => transit.saturating_add(reserve),
            Patience::Exceed => return true,
        };
        self.frames.is_empty() || self.bytes.saturating_add(size) <= limit
    }

    /// Whether more waits than the bound admits.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes > self.limit
    }

    /// Whether so little waits that there is room for some time.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes <= self.limit / 2
    }

    /// Appends a frame of which `sent` bytes have left already.
    pub(crate) fn push(&mut self, message: Message, sent: usize) {
        let frame = Frame::new(message, sent);
        self.bytes += frame.left();
        self.frames.push_back(frame);
    }

    /// The next bytes to leave.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(MAX_SLICES.min(2 * self.frames.len()));
        for frame in self.frames.iter().take(MAX_SLICES / 2) {
            if frame.sent < Header::LEN {
                slices.push(IoSlice::new(&frame.header[frame.sent..]));
            }
            let payload = &frame.message.payload[frame.sent.saturating_sub(Header::LEN)..];
            if !payload.is_empty() {
                slices.push(IoSlice::new(payload));
            }
        }
        slices
    }

    /// Takes note that this many bytes have left.
    pub(crate) fn advance(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while let Some(frame) = self.frames.front_mut() {
            let now = sent.min(frame.left());
            frame.sent += now;
            sent -= now;
            if frame.left() > 0 {
                break;
            }
            self.frames.pop_front();
        }
        debug_assert_eq!(sent, 0, "more was sent than was queued");
    }

    /// Forgets everything: the stream has closed.
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ContextId, Encoding, Handle};

    fn message(payload: &'static [u8]) -> Message {
        Message::new(Encoding::Binary, ContextId::new(1), Handle::new(1000), Handle::NONE, payload.into())
    }

    fn bytes(output: &Output) -> Vec<u8> {
        output.slices().iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn frames_leave_in_order_whatever_the_kernel_takes_at_once() {
        for step in 1..70 {
            let mut output = Output::new(1000);
            output.push(message(b"first"), 0);
            output.push(message(b""), 0);
            output.push(message(b"third"), 0);
            let whole = bytes(&output);
            assert_eq!(whole.len(), 3 * Header::LEN + 10);
            let mut got = Vec::new();
            while !output.is_empty() {
                let next = bytes(&output);
                let taken = step.min(next.len());
                got.extend_from_slice(&next[..taken]);
                output.advance(taken);
            }
            assert_eq!(got, whole);
        }
    }

    #[test]
    fn the_bound_counts_bytes_and_an_empty_queue_admits_anything() {
        let mut output = Output::new(100);
        assert!(output.admits(1_000_000, Patience::Wait));
        output.push(message(b"0123456789"), 0);
        assert!(output.admits(64, Patience::Refuse));
        assert!(!output.admits(65, Patience::Refuse));
        assert!(output.admits(364, Patience::Transit));
        assert!(!output.admits(365, Patience::Transit));
        assert!(output.admits(MIN_RESERVE / 2 + 364, Patience::Pass));
        assert!(!output.admits(MIN_RESERVE / 2 + 365, Patience::Pass));
        assert!(output.admits(MIN_RESERVE + 364, Patience::Reserve));
        assert!(!output.admits(MIN_RESERVE + 365, Patience::Reserve));
        assert!(output.admits(usize::MAX, Patience::Exceed));
        assert!(!output.is_over() && output.has_room(), "36 bytes");
        output.push(message(b"0123456789012345678901234567890123456789"), 0);
        assert!(output.is_over());
        output.advance(36);
        assert!(!output.is_over() && !output.has_room(), "66 bytes");
        output.advance(66);
        assert!(output.admits(1_000_000, Patience::Wait) && output.has_room());
    }
}
