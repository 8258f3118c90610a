//! What waits to be written to a stream: a plain queue of frames with a bound.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;

use super::stream::StreamId;
use crate::wire::{Header, Message};

/// How many pieces one `writev` takes at most; the kernel takes 1024.
const MAX_SLICES: usize = 64;

/// What control messages and refusals may take beyond the bound: so many times the bound, which is
/// room for a refusal of each call that one context may have pending.
const RESERVE: usize = 2;

/// The least that the reserve has.
const MIN_RESERVE: usize = 1024 * 1024;

/// What a frame takes beside its bytes, so that many small ones are bounded as well.
const FRAME_OVERHEAD: usize = size_of::<Frame>() + 32;

/// What a sender does when the bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Waits until there is room: a call of this process. Never on the broker's thread.
    Wait,
    /// Is refused: a frame of somebody else that only passes through.
    Refuse,
    /// May use half of the reserve beyond the bound: a small frame of somebody else, such as a dead
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
    /// What frames take that only pass through, by the stream that they have come from.
    passing: HashMap<StreamId, usize>,
    /// The bytes of all frames that have not left.
    bytes: usize,
    limit: usize,
}

/// A frame of which `sent` bytes have left.
struct Frame {
    header: [u8; Header::LEN],
    message: Message,
    sent: usize,
    /// The stream that it has come from, if it shares its room with others.
    origin: Option<StreamId>,
}

impl Frame {
    fn new(message: Message, sent: usize, origin: Option<StreamId>) -> Self {
        Self { header: message.header.encode(), message, sent, origin }
    }

    /// What it takes, from its beginning to its end.
    fn cost(&self) -> usize {
        self.message.size() + FRAME_OVERHEAD
    }

    fn left(&self) -> usize {
        Header::LEN + self.message.payload.len() - self.sent
    }
}

impl Output {
    /// An empty queue that admits `limit` bytes, and always one frame.
    pub(crate) fn new(limit: usize) -> Self {
        Self { frames: VecDeque::new(), passing: HashMap::new(), bytes: 0, limit }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a frame of this size may be queued that has come from a stream which shares its room
    /// with others: half of the room is theirs, so that no child keeps out what others have to send.
    pub(crate) fn admits_from(&self, origin: Option<StreamId>, size: usize, patience: Patience) -> bool {
        let share = origin.and_then(|origin| self.passing.get(&origin)).copied().unwrap_or(0);
        let fits = share == 0 || share.saturating_add(size) <= self.limit / 2;
        fits && self.admits(size, patience)
    }

    /// Whether a frame of this size may be queued.
    pub(crate) fn admits(&self, size: usize, patience: Patience) -> bool {
        self.frames.is_empty() || self.load().saturating_add(size) <= self.bound(patience)
    }

    /// What may wait, for one who is so patient.
    fn bound(&self, patience: Patience) -> usize {
        let reserve = self.limit.saturating_mul(RESERVE).max(MIN_RESERVE);
        match patience {
            Patience::Wait | Patience::Refuse => self.limit,
            Patience::Pass => self.limit.saturating_add(reserve / 2),
            Patience::Reserve => self.limit.saturating_add(reserve),
            Patience::Exceed => usize::MAX,
        }
    }

    /// What the frames take, in memory as well as on their way.
    fn load(&self) -> usize {
        self.bytes + self.frames.len() * FRAME_OVERHEAD
    }

    /// Whether more waits than the bound admits.
    pub(crate) fn is_over(&self) -> bool {
        self.load() > self.limit
    }

    /// Whether so little waits that there is room for some time.
    pub(crate) fn has_room(&self) -> bool {
        self.load() <= self.limit / 2
    }

    /// Appends a frame of which `sent` bytes have left already.
    pub(crate) fn push(&mut self, message: Message, sent: usize, origin: Option<StreamId>) {
        let frame = Frame::new(message, sent, origin);
        self.bytes += frame.left();
        if let Some(origin) = origin {
            *self.passing.entry(origin).or_default() += frame.cost();
        }
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
            let (origin, cost) = (frame.origin, frame.cost());
            self.frames.pop_front();
            self.passed(origin, cost);
        }
        debug_assert_eq!(sent, 0, "more was sent than was queued");
    }

    /// A frame has left.
    fn passed(&mut self, origin: Option<StreamId>, cost: usize) {
        let Some(origin) = origin else { return };
        if let Some(share) = self.passing.get_mut(&origin) {
            *share -= cost;
            if *share == 0 {
                self.passing.remove(&origin);
            }
        }
    }

    /// Forgets everything: the stream has closed.
    pub(crate) fn clear(&mut self) {
        self.passing.clear();
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
            output.push(message(b"first"), 0, None);
            output.push(message(b""), 0, None);
            output.push(message(b"third"), 0, None);
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
        // One frame, and 100 bytes.
        let mut output = Output::new(FRAME_OVERHEAD + 100);
        assert!(output.admits(1_000_000, Patience::Wait));
        output.push(message(b"0123456789"), 0, None);
        assert!(output.admits(64, Patience::Refuse));
        assert!(!output.admits(65, Patience::Refuse));
        assert!(output.admits(MIN_RESERVE / 2 + 64, Patience::Pass));
        assert!(!output.admits(MIN_RESERVE / 2 + 65, Patience::Pass));
        assert!(output.admits(MIN_RESERVE + 64, Patience::Reserve));
        assert!(!output.admits(MIN_RESERVE + 65, Patience::Reserve));
        assert!(output.admits(usize::MAX, Patience::Exceed));
        assert!(!output.is_over(), "36 bytes");
        output.push(message(b""), 0, None);
        assert!(output.is_over(), "two frames");
        output.advance(36);
        assert!(!output.is_over() && !output.has_room(), "one frame, and 26 bytes");
        output.advance(26);
        assert!(output.admits(1_000_000, Patience::Wait) && output.has_room());
    }

    #[test]
    fn what_passes_through_from_one_stream_leaves_half_of_the_room_to_others() {
        let (one, two) = (Some(StreamId(1)), Some(StreamId(2)));
        let mut output = Output::new(10_000);
        let mut sent = 0;
        while output.admits_from(one, 126, Patience::Refuse) {
            output.push(message(&[7; 100]), 0, one);
            sent += 1;
        }
        assert!(sent * 126 < 5000 && output.admits_from(two, 126, Patience::Refuse));
        assert!(output.admits_from(None, 126, Patience::Refuse), "this context's own");
        output.advance(sent * 126);
        assert!(output.passing.is_empty() && output.admits_from(one, 1_000_000, Patience::Refuse), "one of any size");
    }
}
