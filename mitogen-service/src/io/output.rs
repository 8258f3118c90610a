//! What waits to be written to a stream: a plain queue of frames with a bound.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::time::Instant;

use super::stream::StreamId;
use crate::wire::{Header, Message};

/// How many pieces one `writev` takes at most; the kernel takes 1024.
const MAX_SLICES: usize = 64;

/// A frame of which no more is left is put together with others.
const SMALL: usize = 1024;

/// How much is put together, which is also what one turn of a flusher writes of small frames.
const TOGETHER: usize = 32 * 1024;

/// What control messages and refusals may take beyond the bound: so many times the bound, which is
/// room for a refusal of each call that one context may have pending.
const RESERVE: usize = 2;

/// What answers and the data of channels may take when they only pass through: so many times the
/// bound. Their senders are bounded by places and windows, so they meet this one only where many of
/// them share a stream that is slow; and what is refused there is lost to somebody who waits.
const TRANSIT: usize = 3;

/// The least that the reserve has.
const MIN_RESERVE: usize = 1024 * 1024;

/// What a frame takes beside its bytes, so that many small ones are bounded as well.
const FRAME_OVERHEAD: usize = size_of::<Frame>() + 32;

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
    /// What waits but for the frames in transit.
    load: usize,
    /// What waits in transit.
    transit: usize,
    /// What frames take that only pass through, by the stream that they have come from and whether they
    /// are in transit.
    passing: HashMap<(StreamId, bool), usize>,
    /// One of the frames is larger than the bound.
    has_large: bool,
    limit: usize,
}

/// A frame of which `sent` bytes have left.
struct Frame {
    header: [u8; Header::LEN],
    message: Message,
    sent: usize,
    /// The stream that it has come from, if it shares its room with others.
    origin: Option<StreamId>,
    /// It was queued under [`Patience::Transit`].
    in_transit: bool,
}

impl Frame {
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
        Self { frames: VecDeque::new(), load: 0, transit: 0, passing: HashMap::new(), has_large: false, limit }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How much waits, roughly in bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.load + self.transit
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting() - self.frames.len() * FRAME_OVERHEAD
    }

    /// Whether a frame of this size may be queued. One that has come from a stream which shares its
    /// room with others leaves half of it to them, so that no child keeps out what they have to send.
    pub(crate) fn admits(&self, origin: Option<StreamId>, size: usize, patience: Patience) -> bool {
        let in_transit = patience == Patience::Transit;
        let share = origin.and_then(|origin| self.passing.get(&(origin, in_transit))).copied().unwrap_or(0);
        let room = if in_transit { self.bound(patience) } else { self.limit };
        if share > 0 && share.saturating_add(size) > room / 2 {
            return false;
        }
        let load = if in_transit { self.transit } else { self.load };
        let fits = load.saturating_add(size) <= self.bound(patience);
        self.frames.is_empty() || fits || (!in_transit && self.admits_large(size))
    }

    /// Whether a frame may be queued that is larger than the bound: one at a time, beside half of the
    /// bound. If it had to wait until nothing else does, small ones could keep it waiting for ever.
    fn admits_large(&self, size: usize) -> bool {
        size > self.limit && !self.has_large && self.load <= self.limit / 2
    }

    /// What may wait, for one who is so patient.
    fn bound(&self, patience: Patience) -> usize {
        let reserve = self.limit.saturating_mul(RESERVE).max(MIN_RESERVE);
        match patience {
            Patience::Wait | Patience::Until(_) | Patience::Refuse => self.limit,
            Patience::Transit => self.limit.saturating_mul(TRANSIT),
            Patience::Pass => self.limit.saturating_add(reserve / 2),
            Patience::Reserve => self.limit.saturating_add(reserve),
            Patience::Exceed => usize::MAX,
        }
    }

    /// Whether more waits than the bound admits, but for what is in transit.
    pub(crate) fn is_over(&self) -> bool {
        self.load > self.limit
    }

    /// Whether so little waits that there is room for some time.
    pub(crate) fn has_room(&self) -> bool {
        self.load <= self.limit / 2
    }

    /// Appends a frame of which `sent` bytes have left already.
    pub(crate) fn push(&mut self, message: Message, sent: usize, origin: Option<StreamId>, patience: Patience) {
        let in_transit = patience == Patience::Transit;
        let frame = Frame { header: message.header.encode(), message, sent, origin, in_transit };
        *self.class(in_transit) += frame.left() + FRAME_OVERHEAD;
        self.has_large |= frame.message.size() > self.limit;
        if let Some(origin) = origin {
            *self.passing.entry((origin, in_transit)).or_default() += frame.cost();
        }
        self.frames.push_back(frame);
    }

    fn class(&mut self, in_transit: bool) -> &mut usize {
        if in_transit { &mut self.transit } else { &mut self.load }
    }

    /// The next bytes to leave, `most` of them or, where small frames follow each other, one frame more.
    /// Small frames are put together in `room`, since the kernel takes one piece faster than many; a large
    /// one leaves from where it lies.
    pub(crate) fn next<'a>(&'a self, room: &'a mut Vec<u8>, most: usize) -> Vec<IoSlice<'a>> {
        let small = |frame: &&Frame| frame.left() <= SMALL;
        if self.frames.iter().take(2).filter(small).count() < 2 {
            return self.slices(most);
        }
        room.clear();
        for frame in self.frames.iter().take_while(small) {
            if room.len() >= most || room.len() + frame.left() > TOGETHER {
                break;
            }
            room.extend_from_slice(frame.header.get(frame.sent..).unwrap_or_default());
            room.extend_from_slice(&frame.message.payload[frame.sent.saturating_sub(Header::LEN)..]);
        }
        vec![IoSlice::new(room)]
    }

    /// The next bytes to leave, `most` of them, each from where it lies.
    fn slices(&self, most: usize) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(MAX_SLICES.min(2 * self.frames.len()));
        let mut room = most;
        for frame in self.frames.iter().take(MAX_SLICES / 2) {
            let header = frame.header.get(frame.sent..).unwrap_or_default();
            let payload = &frame.message.payload[frame.sent.saturating_sub(Header::LEN)..];
            for piece in [header, payload] {
                let piece = &piece[..piece.len().min(room)];
                room -= piece.len();
                if !piece.is_empty() {
                    slices.push(IoSlice::new(piece));
                }
            }
            if room == 0 {
                break;
            }
        }
        slices
    }

    /// Takes note that this many bytes have left.
    pub(crate) fn advance(&mut self, mut sent: usize) {
        while let Some(frame) = self.frames.front_mut() {
            let now = sent.min(frame.left());
            frame.sent += now;
            sent -= now;
            let (in_transit, is_out) = (frame.in_transit, frame.left() == 0);
            *self.class(in_transit) -= now;
            if !is_out {
                break;
            }
            self.pop();
        }
        debug_assert_eq!(sent, 0, "more was sent than was queued");
    }

    /// The first frame has left.
    fn pop(&mut self) {
        let Some(frame) = self.frames.pop_front() else { return };
        *self.class(frame.in_transit) -= FRAME_OVERHEAD;
        if frame.message.size() > self.limit {
            self.has_large = self.frames.iter().any(|frame| frame.message.size() > self.limit);
        }
        let Some(key) = frame.origin.map(|origin| (origin, frame.in_transit)) else { return };
        if let Some(share) = self.passing.get_mut(&key) {
            *share -= frame.cost();
            if *share == 0 {
                self.passing.remove(&key);
            }
        }
    }

    /// Forgets everything: the stream has closed.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ContextId, Encoding, Handle};

    fn message(payload: &'static [u8]) -> Message {
        Message::new(Encoding::Binary, ContextId::new(1), Handle::new(1000), Handle::NONE, payload.into())
    }

    fn push(output: &mut Output, payload: &'static [u8]) {
        output.push(message(payload), 0, None, Patience::Wait);
    }

    fn bytes(output: &Output) -> Vec<u8> {
        let apart: Vec<u8> = output.slices(usize::MAX).iter().flat_map(|slice| slice.to_vec()).collect();
        let mut room = Vec::new();
        let together: Vec<u8> = output.next(&mut room, usize::MAX).iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(together.len() >= apart.len().min(1) && (apart.starts_with(&together) || together.starts_with(&apart)));
        together
    }

    #[test]
    fn frames_leave_in_order_whatever_the_kernel_takes_at_once() {
        for step in 1..70 {
            let mut output = Output::new(1000);
            push(&mut output, b"first");
            output.push(message(b""), 0, Some(StreamId(1)), Patience::Transit);
            push(&mut output, b"third");
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
            assert_eq!((output.load, output.transit, output.passing.len()), (0, 0, 0));
        }
    }

    #[test]
    fn a_turn_is_given_what_it_may_write_and_never_nothing() {
        let mut output = Output::new(1_000_000);
        push(&mut output, &[1; 5000]);
        push(&mut output, &[2; 5000]);
        let given = |output: &Output, most| output.next(&mut Vec::new(), most).iter().map(|slice| slice.len()).sum();
        for most in [1, Header::LEN, 5000, 5026, 5027, 10_000] {
            assert_eq!(usize::min(most, output.bytes()), given(&output, most));
        }
        output.advance(10_052);
        for _ in 0..10 {
            push(&mut output, b"small");
        }
        // Whole frames, since they are put together.
        for (most, frames) in [(1, 1), (31, 1), (32, 2), (310, 10), (1000, 10)] {
            assert_eq!(frames * (Header::LEN + 5), given(&output, most), "{most}");
        }
    }

    #[test]
    fn the_bound_counts_bytes_and_an_empty_queue_admits_anything() {
        // One frame, and 100 bytes.
        let mut output = Output::new(FRAME_OVERHEAD + 100);
        let admits = |output: &Output, size, patience| output.admits(None, size, patience);
        assert!(admits(&output, 1_000_000, Patience::Wait));
        push(&mut output, b"0123456789");
        assert!(admits(&output, 64, Patience::Refuse) && !admits(&output, 65, Patience::Refuse));
        assert!(admits(&output, MIN_RESERVE / 2 + 64, Patience::Pass));
        assert!(!admits(&output, MIN_RESERVE / 2 + 65, Patience::Pass));
        assert!(admits(&output, MIN_RESERVE + 64, Patience::Reserve));
        assert!(!admits(&output, MIN_RESERVE + 65, Patience::Reserve));
        assert!(admits(&output, usize::MAX, Patience::Exceed));
        assert!(!output.is_over(), "36 bytes");
        push(&mut output, b"");
        assert!(output.is_over(), "two frames");
        output.advance(36);
        assert!(!output.is_over() && !output.has_room(), "one frame, and 26 bytes");
        output.advance(26);
        assert!(admits(&output, 1_000_000, Patience::Wait) && output.has_room());
    }

    #[test]
    fn a_frame_beyond_the_bound_waits_for_half_of_it_and_not_for_an_empty_queue() {
        let mut output = Output::new(10 * FRAME_OVERHEAD);
        let large = 20 * FRAME_OVERHEAD;
        for _ in 0..8 {
            push(&mut output, b"small");
        }
        assert!(!output.admits(None, large, Patience::Wait), "more than a half waits");
        output.advance(4 * (Header::LEN + 5));
        assert!(output.admits(None, large, Patience::Wait));
        let payload = vec![7; large - Header::LEN];
        output.push(
            Message::new(Encoding::Binary, ContextId::new(1), Handle::new(1000), Handle::NONE, payload.into()),
            0,
            None,
            Patience::Wait,
        );
        output.advance(4 * (Header::LEN + 5) + large - 1);
        assert!(!output.admits(None, large, Patience::Wait), "one at a time");
        push(&mut output, b"small");
        output.advance(1);
        assert!(!output.is_empty() && output.admits(None, large, Patience::Wait));
    }

    #[test]
    fn what_is_in_transit_has_a_bound_of_its_own() {
        let mut output = Output::new(1000);
        let mut sent = 0;
        while output.admits(None, 126, Patience::Transit) {
            output.push(message(&[7; 100]), 0, None, Patience::Transit);
            sent += 1;
        }
        assert!(sent * (126 + FRAME_OVERHEAD) > 1000 * (TRANSIT - 1) && !output.is_over());
        assert!(output.admits(None, 1000, Patience::Refuse), "others have all of their room");
        push(&mut output, &[7; 900]);
        assert!(!output.admits(None, 1000, Patience::Refuse));
    }

    #[test]
    fn what_passes_through_from_one_stream_leaves_half_of_the_room_to_others() {
        let (one, two) = (Some(StreamId(1)), Some(StreamId(2)));
        for patience in [Patience::Refuse, Patience::Transit] {
            let mut output = Output::new(10_000);
            let mut sent = 0;
            while output.admits(one, 126, patience) {
                output.push(message(&[7; 100]), 0, one, patience);
                sent += 1;
            }
            assert!(sent * 126 < output.bound(patience) / 2 && output.admits(two, 126, patience));
            assert!(output.admits(None, 126, patience), "this context's own");
            output.advance(sent * 126);
            assert!(output.admits(one, 1_000_000, patience), "one of any size");
        }
    }
}
