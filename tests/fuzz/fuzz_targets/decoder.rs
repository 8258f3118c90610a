//! A stream of frames in pieces: the messages are those that stand in it, and memory follows what
//! has arrived.
//!
//! Input: flags, sizes of pieces, and the stream; or, with the flag `FILLED`, heads and lengths of
//! payloads, so that few bytes of input make large frames.

#![no_main]
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use libfuzzer_sys::fuzz_target;
use mitogen_service::fuzzing::{self, Frames};
use mitogen_service_fuzz::{Bytes, Pieces, bounded};

const HEAD: usize = 26;

const FILLED: u8 = 1;
const DISCARDING: u8 = 2;
const SMALL_MAX: u8 = 4;

/// A read buffer of 64 KiB, a first chunk of 256 KiB, what growing them holds twice for a moment.
const CONSTANT: usize = 1024 * 1024;

/// Most that a filled stream holds.
const MOST: usize = 1024 * 1024;

const PATTERN: [u8; 4093] = {
    let (mut pattern, mut at) = ([0; 4093], 0);
    while at < pattern.len() {
        pattern[at] = (at % 251) as u8;
        at += 1;
    }
    pattern
};

/// Compares what comes with what stands in the stream.
struct Expected<'a> {
    frames: VecDeque<&'a [u8]>,
    /// The frame that has begun and does not come to its end, if it is large enough to be thrown away.
    last: Option<&'a [u8]>,
    pieces: Pieces<'a>,
    discards: bool,
    /// The smallest piece: a large stream has no more than a few thousand.
    least: usize,
}

impl Frames for Expected<'_> {
    fn piece(&mut self) -> usize {
        self.pieces.next_size().max(self.least)
    }

    fn discards(&mut self, head: &[u8]) -> bool {
        if !self.discards {
            return false;
        }
        // What is on its way is the next frame, or the one that never ends.
        match self.frames.pop_front().or_else(|| self.last.take()) {
            Some(frame) => assert_eq!(&frame[..HEAD], head),
            None => panic!("a part of a message that does not exist: {head:x?}"),
        }
        self.discards = false;
        true
    }

    fn message(&mut self, head: &[u8], payload: &[u8]) {
        let frame = self.frames.pop_front().expect("one message more than there are");
        assert_eq!(&frame[..HEAD], head);
        assert!(frame[HEAD..] == *payload, "the payload is another");
    }
}

/// What stands in the stream: whole frames, what is left, and whether that is an error.
fn parse(mut stream: &[u8], max: usize) -> (VecDeque<&[u8]>, &[u8], bool) {
    let mut frames = VecDeque::new();
    while stream.len() >= HEAD {
        let length = u32::from_be_bytes([stream[22], stream[23], stream[24], stream[25]]) as usize;
        if !matches!(&stream[..2], b"MI" | b"MJ" | b"MK" | b"MP") || length > max {
            return (frames, stream, true);
        }
        let Some((frame, rest)) = stream.split_at_checked(HEAD + length) else { break };
        // A filler is nobody's.
        if frame[14..18] != [0, 0, 0, 127] || length != 12 {
            frames.push_back(frame);
        }
        stream = rest;
    }
    (frames, stream, false)
}

/// Heads and lengths become whole frames.
fn fill(mut input: Bytes<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !input.is_empty() && stream.len() < MOST {
        let at = stream.len();
        stream.extend_from_slice(input.take(HEAD));
        let (length, missing) = (u32::from(input.u16()), input.u8());
        // Mostly small ones, since large ones take their time.
        let length = (if missing & 0xc == 0xc { length * 11 } else { length / 5 }).to_be_bytes();
        if stream.len() - at == HEAD && missing < 250 {
            stream[at + 22..at + HEAD].copy_from_slice(&length);
        }
        let length = u32::from_be_bytes(length) as usize;
        // Not all of the same byte, so that shifted payloads are seen.
        let end = stream.len() + length.saturating_sub(usize::from(missing & 3));
        while stream.len() < end {
            stream.extend_from_slice(&PATTERN[..PATTERN.len().min(end - stream.len())]);
        }
    }
    stream
}

fuzz_target!(|input: &[u8]| {
    let mut input = Bytes::new(input);
    let flags = input.u8();
    let pieces = Pieces::read(&mut input);
    let filled = if flags & FILLED != 0 { fill(input.clone()) } else { Vec::new() };
    let stream = if flags & FILLED != 0 { &filled } else { input.rest() };
    let max = if flags & SMALL_MAX != 0 { 100_000 } else { 128 * 1024 * 1024 };

    let (frames, left, failed) = parse(stream, max);
    let last = (left.len() >= HEAD && !failed).then_some(left);
    let least = stream.len() / 4096;
    let mut pieces = Expected { frames: frames.clone(), last, pieces, discards: flags & DISCARDING != 0, least };
    let mut whole = Expected { frames, last, pieces: Pieces::none(), discards: false, least };
    for expected in [&mut whole, &mut pieces] {
        // A large payload has memory for twice of what has arrived, and while that is made the old
        // memory is there as well.
        let rest = bounded("decoder", stream.len(), 3, CONSTANT, || fuzzing::frames(max, stream, expected));
        assert_eq!(rest.failed.is_some(), failed, "{rest:?}");
        let discarded = expected.last.is_none() && last.is_some();
        assert!(expected.frames.is_empty(), "{} messages are missing", expected.frames.len());
        assert_eq!(rest.mid_frame, !failed && !left.is_empty());
        // What is thrown away is not kept, and what comes after an error neither.
        if failed {
            assert_eq!(rest.buffered, 0);
        } else if !discarded {
            // A large payload stands without its head.
            assert!(rest.buffered == left.len() || rest.buffered + HEAD == left.len(), "{rest:?} of {}", left.len());
        }
    }
});
