//! A hello in pieces: the same in one piece, in many and as a connection reads it; what can be read
//! can be written again; memory is bounded.
//!
//! Input: sizes of pieces, and the stream.

#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use mitogen_service::fuzzing::{hello, hello_by_need};
use mitogen_service_fuzz::{Bytes, Pieces, bounded};

const HEAD: usize = 16;
const MAX_BODY: usize = 64 * 1024;

/// The text of an error lists the encodings of the other end, six bytes for each byte of input.
const FACTOR: usize = 40;
const CONSTANT: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let mut input = Bytes::new(input);
    let mut pieces = Pieces::read(&mut input);
    let most = usize::from(input.u8()) * 4;
    let stream = input.rest();
    let believed = stream.len().min(HEAD + MAX_BODY);

    let whole = bounded("in one piece", believed, FACTOR, CONSTANT, || hello(stream, &mut || usize::MAX));
    let parts = bounded("in pieces", believed, FACTOR, CONSTANT, || hello(stream, &mut || pieces.next_size()));
    let needed = bounded("by need", believed, FACTOR, CONSTANT, || hello_by_need(stream, most));
    // An error is found as early as it can be, so its text may show fewer bytes.
    if whole.is_err() {
        assert!(parts.is_err() && needed.is_err(), "{parts:?} {needed:?}");
        return;
    }
    assert_eq!(whole, parts);
    assert_eq!(whole, needed);
    let Ok(Some((again, taken))) = whole else { return };
    let announced = u32::from_be_bytes([stream[12], stream[13], stream[14], stream[15]]) as usize;
    assert_eq!(taken, HEAD + announced);
    assert!(again.len() <= taken, "a hello grows from {taken} to {} bytes", again.len());
    assert_eq!(hello(&again, &mut || usize::MAX), Ok(Some((again.clone(), again.len()))));
});
