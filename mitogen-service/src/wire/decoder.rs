//! From the bytes of a stream to messages.
//!
//! The shell that owns the file descriptor reads into [`Decoder::space`] and then asks
//! [`Decoder::next`] until it says `None`. This file must not know where the bytes come from, nor
//! what a message means.
//!
//! Memory follows the bytes that have arrived, never a length that a header announces: a payload
//! that is still on its way starts with at most [`FIRST_CHUNK`] and doubles each time that much is
//! really there.
//!
//! A small payload is copied out of the read buffer, so that a message which lives long does not
//! hold a buffer that many others share. Very small ones are put behind each other into a block of
//! [`BLOCK`] bytes, which is used again as soon as all of its messages are gone: as a rule they are
//! when the next one comes, so that nothing is allocated. A large one is read straight into a
//! buffer of its own, which becomes the payload without a copy.
//!
//! What is in a [filler](super::filler) is of no interest to anybody.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::{ALIGNMENT, BadMagic, Header, Message};

/// Size of the read buffer: what one `read` of a full pipe returns on Linux.
const READ_BUFFER: usize = 64 * 1024;

/// Largest payload that waits in the read buffer until it is complete. Also bounds what
/// [`Decoder::space`] may have to move to the front of the buffer.
const SMALL: usize = 4 * 1024;

/// Size of the blocks that very small payloads share. It is what the smallest message may hold in
/// memory for as long as it lives.
const BLOCK: usize = 1024;

/// Largest payload that shares a block.
pub(super) const TINY: usize = BLOCK / 2;

/// Memory given to a large payload before more than that has arrived.
const FIRST_CHUNK: usize = 256 * 1024;

/// From this length on a message is followed by one that is as long, as far as anybody can tell.
const LONG: usize = 16 * 1024;

/// How much of what follows a long message is read with it, or by itself as long as nothing is there: the header
/// of the next one and what stands in front of it. What of the next payload comes into the read buffer has to be
/// copied.
const BEHIND_LONG: usize = ALIGNMENT;

/// How much is read then of a message that turns out to be a small one.
const REST_OF_SMALL: usize = BEHIND_LONG + SMALL;

/// Where the memory of large payloads comes from, and where it may go when nobody needs it any more.
pub(crate) trait Buffers: Send + Sync {
    /// An empty buffer for a payload of this length, if one is there that is not much larger. It holds
    /// memory already, so that none is spent for bytes that have not arrived.
    fn take(&self, length: usize) -> Option<Vec<u8>>;

    /// The payload that this buffer holds from this place on.
    fn share(self: Arc<Self>, buffer: Vec<u8>, from: usize) -> Bytes;
}

/// The stream can no longer be understood; it has to be disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    /// The bytes where a header should stand are none.
    #[error(
        "Corruption detected: frame signature incorrect. This likely means some external \
         process is interfering with the connection."
    )]
    BadMagic {
        /// The two bytes that should be the magic.
        got: u16,
    },
    /// A header announces more than any message may hold.
    #[error("Maximum message size exceeded (got {got}, max {max})")]
    TooLarge {
        /// The announced length of the payload.
        got: usize,
        /// The bound.
        max: usize,
    },
}

impl From<BadMagic> for FrameError {
    fn from(BadMagic { got }: BadMagic) -> Self {
        Self::BadMagic { got }
    }
}

/// What the next bytes of the stream are.
#[derive(Debug)]
enum State {
    /// A header, or the rest of one, or a small payload behind it: they arrive in the read buffer.
    Frame,
    /// More of a large payload, which lies in `buffer[from..]`. Invariant: it is shorter than `header.length`
    /// after each call of `next`.
    Payload { header: Header, buffer: Vec<u8>, from: usize },
    /// The rest of a payload that nobody wants: `left` bytes.
    Discard { left: usize },
    /// Nothing that could be understood.
    Failed(FrameError),
}

/// Takes a stream apart into messages.
pub(crate) struct Decoder {
    max_message_size: usize,
    /// `None`: each payload has its own memory.
    buffers: Option<Arc<dyn Buffers>>,
    /// The last message was a long one, of a stream with [`Buffers`].
    after_long: bool,
    /// Allocated at the first use, so that a stream that never reads costs nothing.
    buffer: Vec<u8>,
    /// `buffer[..start]` has been decoded. Invariant: `start <= buffer.len()`, and all of it has been while
    /// the state is `Payload`.
    start: usize,
    /// The block of the payloads that share one; behind its end there is room for more.
    block: BytesMut,
    state: State,
}

impl Decoder {
    /// A decoder at the beginning of a frame; payloads over `max_message_size` bytes are a
    /// [`FrameError`].
    pub(crate) fn new(max_message_size: usize) -> Self {
        Self {
            max_message_size,
            buffers: None,
            after_long: false,
            buffer: Vec::new(),
            start: 0,
            block: BytesMut::new(),
            state: State::Frame,
        }
    }

    /// The same; large payloads use memory again that others have used.
    pub(crate) fn with_buffers(max_message_size: usize, buffers: Arc<dyn Buffers>) -> Self {
        Self { buffers: Some(buffers), ..Self::new(max_message_size) }
    }

    /// A buffer with spare capacity, at least one byte, whose *end* is where the next bytes of the
    /// stream belong. They are appended; what is in it already must be left alone.
    ///
    /// Before this is called again, [`Decoder::next`] has to be called until it returns `None`.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        match &mut self.state {
            State::Payload { header, buffer, from } => {
                let behind = if self.buffers.is_some() { BEHIND_LONG } else { 0 };
                grow(buffer, *from + header.length as usize + behind);
                buffer
            }
            _ => {
                let room = match self.after_long {
                    true if self.buffer.len() - self.start < BEHIND_LONG => BEHIND_LONG,
                    true => REST_OF_SMALL,
                    false => READ_BUFFER,
                };
                compact(&mut self.buffer, std::mem::take(&mut self.start), room);
                &mut self.buffer
            }
        }
    }

    /// The next complete message, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The stream is corrupt, and so are all later calls: nobody knows where the next frame would
    /// begin.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, FrameError> {
        let message = match std::mem::replace(&mut self.state, State::Frame) {
            State::Frame => self.next_frame(),
            State::Payload { header, buffer, from } => Ok(self.next_payload(header, buffer, from)),
            State::Discard { left } => self.next_after(left),
            State::Failed(error) => Err(error),
        };
        message.inspect_err(|&error| self.fail(error))
    }

    /// The header of a large message of which a part has arrived. Its payload holds memory until
    /// the rest is there.
    pub(crate) fn partial(&self) -> Option<&Header> {
        match &self.state {
            State::Payload { header, .. } => Some(header),
            _ => None,
        }
    }

    /// Gives the memory of the [`Decoder::partial`] message back. The rest of its payload is read
    /// and thrown away, and `next` goes on with the message behind it.
    pub(crate) fn discard_partial(&mut self) {
        if let State::Payload { header, buffer, from } = &self.state {
            self.state = State::Discard { left: (header.length as usize + from).saturating_sub(buffer.len()) };
        }
    }

    /// Whether the stream would end inside a frame if it ended now. Meaningful after `next`
    /// returned `None`.
    pub(crate) fn is_mid_frame(&self) -> bool {
        match self.state {
            State::Frame => self.start < self.buffer.len(),
            State::Payload { .. } | State::Discard { .. } => true,
            State::Failed(_) => false,
        }
    }

    /// Bytes that have arrived and are not part of a message yet.
    pub(crate) fn buffered(&self) -> usize {
        let waiting = self.buffer.len() - self.start;
        match &self.state {
            State::Payload { buffer, from, .. } => waiting + buffer.len() - from,
            _ => waiting,
        }
    }

    fn next_frame(&mut self) -> Result<Option<Message>, FrameError> {
        loop {
            let waiting = &self.buffer[self.start..];
            let Some((head, rest)) = waiting.split_first_chunk::<{ Header::LEN }>() else {
                return Ok(None);
            };
            let header = self.checked(head)?;
            let length = header.length as usize;
            if let Some(payload) = rest.get(..length) {
                self.start += Header::LEN + length;
                if header.is_filler() {
                    continue;
                }
                let payload = own(&mut self.block, payload);
                self.after_long = false;
                return Ok(Some(Message { header, payload }));
            }
            if length > SMALL {
                let (buffer, from) = match &self.buffers {
                    Some(buffers) => begin_aligned(&**buffers, rest, length),
                    None => (begin(None, rest, length), 0),
                };
                self.state = State::Payload { header, buffer, from };
                self.start = self.buffer.len();
            }
            return Ok(None);
        }
    }

    fn checked(&self, head: &[u8; Header::LEN]) -> Result<Header, FrameError> {
        let header = Header::decode(head)?;
        let (got, max) = (header.length as usize, self.max_message_size);
        if got > max {
            return Err(FrameError::TooLarge { got, max });
        }
        Ok(header)
    }

    fn next_payload(&mut self, header: Header, mut buffer: Vec<u8>, from: usize) -> Option<Message> {
        let (length, end) = (header.length as usize, from + header.length as usize);
        if buffer.len() < end {
            self.state = State::Payload { header, buffer, from };
            return None;
        }
        // A vector may hold more than was asked for, and then the beginning of the next frame lies
        // behind the payload.
        self.after_long = length >= LONG && self.buffers.is_some();
        self.buffer.clear();
        self.start = 0;
        if self.after_long && self.buffer.capacity() > 2 * REST_OF_SMALL {
            self.buffer = Vec::with_capacity(BEHIND_LONG);
        }
        self.buffer.extend_from_slice(&buffer[end..]);
        buffer.truncate(end);
        let payload = match &self.buffers {
            Some(buffers) => buffers.clone().share(buffer, from),
            None => Bytes::from(buffer),
        };
        Some(Message { header, payload })
    }

    fn next_after(&mut self, left: usize) -> Result<Option<Message>, FrameError> {
        let dropped = left.min(self.buffer.len() - self.start);
        self.start += dropped;
        if dropped < left {
            self.state = State::Discard { left: left - dropped };
            return Ok(None);
        }
        self.next_frame()
    }

    /// What comes now is noise, and must not pile up.
    fn fail(&mut self, error: FrameError) {
        self.state = State::Failed(error);
        self.start = self.buffer.len();
    }
}

/// A payload that does not need the read buffer.
fn own(block: &mut BytesMut, payload: &[u8]) -> Bytes {
    match payload.len() {
        0 => Bytes::new(),
        1..=TINY => {
            if block.capacity() < payload.len() {
                // The same memory if nobody else uses it, and else as much anew.
                block.reserve(BLOCK);
            }
            block.extend_from_slice(payload);
            block.split().freeze()
        }
        _ => Bytes::copy_from_slice(payload),
    }
}

/// Moves what has not been decoded to the front and makes sure that there is room behind it.
fn compact(buffer: &mut Vec<u8>, decoded: usize, room: usize) {
    buffer.drain(..decoded);
    let missing = room.saturating_sub(buffer.len());
    // At least one also keeps a caller correct who does not take all messages out first.
    buffer.reserve(missing.max(1));
}

/// The buffer of a payload of `length` bytes whose first bytes are `arrived`.
fn begin(buffer: Option<Vec<u8>>, arrived: &[u8], length: usize) -> Vec<u8> {
    let mut payload = buffer.unwrap_or_else(|| Vec::with_capacity(length.min(FIRST_CHUNK.max(arrived.len()))));
    payload.extend_from_slice(arrived);
    payload
}

/// The same in memory that was used before if there is some, beginning where the next lines of the caches do, as far
/// as it does not have to be moved later: the kernel copies faster to there. With room for what is read behind it,
/// which saves a read for that alone. Gives where the payload begins.
fn begin_aligned(buffers: &dyn Buffers, arrived: &[u8], length: usize) -> (Vec<u8>, usize) {
    let most = length + ALIGNMENT + BEHIND_LONG;
    let mut buffer = buffers.take(most).unwrap_or_else(|| begin(None, &[], most));
    // Less than that, but for a machine that does not tell.
    let from = buffer.as_ptr().align_offset(ALIGNMENT) % ALIGNMENT;
    buffer.resize(from, 0);
    (begin(Some(buffer), arrived, most), from)
}

/// Makes room in a payload that has come to the end of its memory, but never for more than `length`
/// bytes: what is read beyond would belong to the next frame.
fn grow(payload: &mut Vec<u8>, length: usize) {
    if payload.len() == payload.capacity() {
        let missing = length.saturating_sub(payload.len());
        let step = payload.len().max(FIRST_CHUNK);
        // No step for what is only there to be read with the rest.
        payload.reserve_exact(if missing <= step + BEHIND_LONG { missing.max(1) } else { step });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::header::tests::any_header;
    use super::super::{ContextId, Encoding, FILLER, Handle};
    use super::*;

    const MAX: usize = 1024 * 1024;

    fn message(payload: Vec<u8>) -> Message {
        let payload = Bytes::from(payload);
        Message::new(Encoding::Binary, ContextId::new(1), Handle::PING, Handle::NONE, payload)
    }

    fn frame(message: &Message) -> Vec<u8> {
        [&message.header.encode()[..], &message.payload].concat()
    }

    /// As the shell does it: at most `piece` bytes a read, then all messages out. Returns how many
    /// bytes it read.
    fn read(decoder: &mut Decoder, bytes: &[u8], piece: usize) -> usize {
        let space = decoder.space();
        let spare = space.capacity() - space.len();
        assert!(spare > 0);
        let count = spare.min(piece).min(bytes.len());
        space.extend_from_slice(&bytes[..count]);
        count
    }

    fn feed(decoder: &mut Decoder, mut bytes: &[u8], piece: usize) -> Result<Vec<Message>, FrameError> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let count = read(decoder, bytes, piece);
            bytes = &bytes[count..];
            while let Some(message) = decoder.next()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    fn memory(decoder: &Decoder) -> usize {
        match &decoder.state {
            State::Payload { buffer, .. } => decoder.buffer.capacity() + buffer.capacity(),
            _ => decoder.buffer.capacity(),
        }
    }

    #[test]
    fn frames_behind_each_other_are_taken_apart() {
        let messages = [message(vec![]), message(vec![1]), message(vec![2; 5000])];
        let stream: Vec<u8> = messages.iter().flat_map(frame).collect();
        let mut decoder = Decoder::new(MAX);
        assert_eq!(feed(&mut decoder, &stream, usize::MAX), Ok(messages.to_vec()));
        assert!(!decoder.is_mid_frame());
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn an_unfinished_frame_is_known_as_such() {
        for payload in [10, SMALL, SMALL + 1, 3 * READ_BUFFER] {
            let frame = frame(&message(vec![7; payload]));
            let mut decoder = Decoder::new(MAX);
            assert!(!decoder.is_mid_frame());
            assert_eq!(feed(&mut decoder, &frame[..frame.len() - 1], 1000), Ok(vec![]));
            assert!(decoder.is_mid_frame());
            assert!(decoder.buffered() >= payload - 1);
            assert_eq!(feed(&mut decoder, &frame[frame.len() - 1..], 1000).unwrap().len(), 1);
            assert!(!decoder.is_mid_frame());
        }
    }

    #[test]
    fn a_large_payload_is_not_copied_when_it_is_complete() {
        let frame = frame(&message(vec![7; 3 * READ_BUFFER]));
        let mut decoder = Decoder::new(MAX);
        feed(&mut decoder, &frame[..frame.len() - 1], usize::MAX).unwrap();
        let State::Payload { buffer, .. } = &decoder.state else {
            panic!("{:?}", decoder.state);
        };
        let (memory, capacity) = (buffer.as_ptr(), buffer.capacity());
        let messages = feed(&mut decoder, &frame[frame.len() - 1..], usize::MAX).unwrap();
        assert_eq!(messages[0].payload.as_ptr(), memory);
        assert_eq!(messages[0].payload.len(), capacity);
    }

    /// Keeps one buffer.
    #[derive(Default)]
    struct One(std::sync::Mutex<Option<Vec<u8>>>);

    impl Buffers for One {
        fn take(&self, length: usize) -> Option<Vec<u8>> {
            self.0.lock().unwrap().take().filter(|buffer| buffer.capacity() >= length)
        }

        fn share(self: Arc<Self>, mut buffer: Vec<u8>, from: usize) -> Bytes {
            assert_eq!(buffer[from..].as_ptr() as usize % ALIGNMENT, 0);
            let shared = Bytes::copy_from_slice(&buffer[from..]);
            buffer.clear();
            *self.0.lock().unwrap() = Some(buffer);
            shared
        }
    }

    #[test]
    fn a_filler_is_left_out_and_what_follows_is_read_to_where_it_stays() {
        let long = message(vec![7; 100_000]);
        let aligned = [&FILLER[..], &frame(&long)].concat();
        let small = message(vec![1; 3000]);
        let stream = [&aligned[..], &aligned, &frame(&small), &FILLER, &FILLER, &aligned].concat();
        for piece in [1, 40, 1000, usize::MAX] {
            let mut decoder = Decoder::with_buffers(MAX, Arc::new(One::default()));
            let messages = feed(&mut decoder, &stream, piece);
            assert_eq!(messages, Ok(vec![long.clone(), long.clone(), small.clone(), long.clone()]));
            assert!(!decoder.is_mid_frame());
            // One that is cut off has begun.
            assert_eq!(feed(&mut decoder, &FILLER[..30], piece), Ok(Vec::new()));
            assert!(decoder.is_mid_frame());
        }
        // The kernel brings filler and header with the payload in front, and next to nothing of what follows.
        let mut decoder = Decoder::with_buffers(MAX, Arc::new(One::default()));
        feed(&mut decoder, &aligned, usize::MAX).unwrap();
        let stream = aligned.repeat(3);
        let (mut left, mut reads) = (&stream[..], 0);
        while !left.is_empty() {
            left = &left[read(&mut decoder, left, usize::MAX)..];
            while decoder.next().unwrap().is_some() {}
            reads += 1;
            assert!(decoder.buffered() <= ALIGNMENT, "{}", decoder.buffered());
        }
        assert_eq!(reads, 4);
    }

    #[test]
    fn a_stream_of_long_payloads_keeps_a_small_buffer_and_takes_all_apart() {
        let sizes = [200_000, 20_000, 10, 5000, LONG, LONG - 1, 600_000, 600_000, 0, 70_000];
        let messages: Vec<_> = (0..60).map(|number| message(vec![number as u8; sizes[number % sizes.len()]])).collect();
        let stream: Vec<u8> = messages.iter().flat_map(frame).collect();
        for piece in [1000, 50_000, usize::MAX] {
            let mut decoder = Decoder::with_buffers(MAX, Arc::new(One::default()));
            assert_eq!(feed(&mut decoder, &stream, piece).as_ref(), Ok(&messages));
            assert!(!decoder.is_mid_frame() && decoder.buffer.capacity() <= 4 * READ_BUFFER);
        }
        let long: Vec<u8> = (0..20).flat_map(|_| frame(&message(vec![1; 200_000]))).collect();
        let mut decoder = Decoder::with_buffers(MAX, Arc::new(One::default()));
        feed(&mut decoder, &long, usize::MAX).unwrap();
        assert!(decoder.buffer.capacity() <= 2 * BEHIND_LONG, "{}", decoder.buffer.capacity());
    }

    #[test]
    fn very_small_payloads_share_a_block_that_is_used_again() {
        let frame = frame(&message(vec![7; 100]));
        let mut decoder = Decoder::new(MAX);
        let mut next = || feed(&mut decoder, &frame, usize::MAX).unwrap().remove(0).payload;
        // One that lives long holds one block alone, and its bytes stay.
        let kept = next();
        let mut memory: Vec<_> = (0..1000).map(|_| next().as_ptr() as usize / 16).collect();
        memory.sort_unstable();
        memory.dedup();
        assert!(memory.len() <= 2 * BLOCK / 100, "{}", memory.len());
        let many: Vec<_> = (0..1000).map(|_| next()).collect();
        assert!(many.iter().chain([&kept]).all(|payload| payload[..] == [7; 100]));
    }

    #[test]
    fn a_small_payload_does_not_hold_the_read_buffer() {
        let mut decoder = Decoder::new(MAX);
        let messages = feed(&mut decoder, &frame(&message(vec![7; SMALL])), usize::MAX).unwrap();
        assert!(!decoder.buffer.as_ptr_range().contains(&messages[0].payload.as_ptr()));
        assert!(Vec::from(messages[0].payload.clone()).capacity() <= SMALL);
    }

    #[test]
    fn an_announced_length_allocates_nothing_much() {
        let mut header = message(vec![]).header;
        header.length = u32::MAX;
        let mut decoder = Decoder::new(usize::MAX);
        assert_eq!(feed(&mut decoder, &header.encode(), usize::MAX), Ok(vec![]));
        assert!(memory(&decoder) <= READ_BUFFER + FIRST_CHUNK);
        decoder.space();
        assert!(memory(&decoder) <= READ_BUFFER + FIRST_CHUNK);
    }

    #[test]
    fn memory_follows_what_has_arrived() {
        let mut header = message(vec![]).header;
        header.length = u32::MAX;
        let mut decoder = Decoder::new(usize::MAX);
        feed(&mut decoder, &header.encode(), usize::MAX).unwrap();
        for _ in 0..64 {
            feed(&mut decoder, &[7; READ_BUFFER], 5000).unwrap();
            decoder.space();
            let bound = READ_BUFFER + (2 * decoder.buffered()).max(FIRST_CHUNK);
            assert!(memory(&decoder) <= bound, "{} > {bound}", memory(&decoder));
        }
    }

    #[test]
    fn the_largest_message_is_allowed_and_one_byte_more_is_not() {
        let mut decoder = Decoder::new(5000);
        assert_eq!(feed(&mut decoder, &frame(&message(vec![7; 5000])), 100).unwrap().len(), 1);
        let error = feed(&mut decoder, &frame(&message(vec![7; 5001])), 100).unwrap_err();
        assert_eq!(error, FrameError::TooLarge { got: 5001, max: 5000 });
        assert_eq!(error.to_string(), "Maximum message size exceeded (got 5001, max 5000)");
    }

    #[test]
    fn corruption_has_mitogens_words() {
        let mut decoder = Decoder::new(MAX);
        let error = feed(&mut decoder, b"bash: warning: setlocale: LC_ALL", 100).unwrap_err();
        assert_eq!(error, FrameError::BadMagic { got: 0x6261 });
        assert_eq!(
            error.to_string(),
            "Corruption detected: frame signature incorrect. This likely means some external \
             process is interfering with the connection."
        );
    }

    #[test]
    fn a_failed_decoder_stays_failed_and_keeps_nothing() {
        let good = frame(&message(vec![1]));
        let mut decoder = Decoder::new(MAX);
        feed(&mut decoder, &[0; 100], 100).unwrap_err();
        for _ in 0..100 {
            read(&mut decoder, &good.repeat(100), usize::MAX);
            assert_eq!(decoder.next(), Err(FrameError::BadMagic { got: 0 }));
        }
        assert_eq!(decoder.buffered(), 0);
        assert!(!decoder.is_mid_frame());
        assert!(memory(&decoder) <= READ_BUFFER);
    }

    #[test]
    fn a_partial_message_can_be_discarded() {
        let large = message(vec![7; 3 * READ_BUFFER]);
        let small = message(vec![8; 10]);
        let stream = [frame(&large), frame(&small)].concat();
        let mut decoder = Decoder::new(MAX);
        assert_eq!(decoder.partial(), None);
        assert_eq!(feed(&mut decoder, &stream[..5000], usize::MAX), Ok(vec![]));
        assert_eq!(decoder.partial(), Some(&large.header));
        decoder.discard_partial();
        assert_eq!(decoder.partial(), None);
        assert!(decoder.is_mid_frame());
        assert_eq!(feed(&mut decoder, &stream[5000..], 30_000), Ok(vec![small]));
        assert!(!decoder.is_mid_frame());
        assert!(memory(&decoder) <= READ_BUFFER);
    }

    #[test]
    fn bytes_beyond_the_payload_belong_to_the_next_frame() {
        // A vector may come with more capacity than was asked for, and the shell fills all of it.
        let large = message(vec![7; 3 * READ_BUFFER]);
        let small = message(vec![8; 10]);
        let mut decoder = Decoder::new(MAX);
        let large_frame = frame(&large);
        feed(&mut decoder, &large_frame[..5000], usize::MAX).unwrap();
        let space = decoder.space();
        space.extend_from_slice(&large_frame[5000..]);
        space.extend_from_slice(&frame(&small));
        assert_eq!(decoder.next(), Ok(Some(large)));
        assert_eq!(decoder.next(), Ok(Some(small)));
        assert_eq!(decoder.next(), Ok(None));
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let length = prop_oneof![0..64_u32, 4000..4200_u32, 60_000..140_000_u32];
        (length.prop_flat_map(any_header), any::<u8>()).prop_map(|(header, first)| {
            let payload: Vec<u8> = (0..header.length).map(|at| first.wrapping_add(at as u8)).collect();
            Message { header, payload: payload.into() }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_stream_may_arrive_in_any_pieces(
            messages in prop::collection::vec(any_message(), 1..6),
            pieces in prop::collection::vec(prop_oneof![1..40_usize, 1000..100_000_usize], 1..30),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(frame).collect();
            let mut decoder = Decoder::new(MAX);
            let (mut found, mut left) = (Vec::new(), &stream[..]);
            for piece in pieces.into_iter().cycle() {
                let (now, later) = left.split_at(piece.min(left.len()));
                found.extend(feed(&mut decoder, now, usize::MAX).unwrap());
                left = later;
                if left.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert!(!decoder.is_mid_frame());
        }

        #[test]
        fn noise_never_panics_and_never_piles_up(
            noise in prop::collection::vec(any::<u8>(), 0..300),
            header in any::<u32>().prop_flat_map(any_header),
            piece in 1..100_usize,
        ) {
            let stream = [&header.encode()[..], &noise].concat();
            let mut decoder = Decoder::new(MAX);
            let _ = feed(&mut decoder, &stream, piece);
            prop_assert!(memory(&decoder) <= READ_BUFFER + FIRST_CHUNK);
        }
    }
}
