//! Any serde value as MessagePack: structs as maps by name, sequences of bytes as `bin`.

use rmp_serde::config::BytesMode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::msgpack::{self, MAX_DEPTH};
use super::some::Checked;

/// A value that has no encoding.
#[derive(Debug)]
pub struct EncodeError(pub(crate) String);

/// Bytes that are not the value that was expected.
#[derive(Debug)]
pub struct DecodeError {
    /// What came instead, in MessagePack's words.
    pub(crate) got: &'static str,
    /// What the decoder said.
    pub(crate) reason: String,
}

/// The deepest nesting of an argument or a result: what carries it takes two levels more.
const MAX_VALUE_DEPTH: usize = MAX_DEPTH - 2;

/// The longest explanation of a decoder that is passed on, in bytes.
const MAX_REASON: usize = 1024;

/// Appends the encoding of a value.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    if write(value, out, BytesMode::ForceAll).is_err() {
        // A sequence that begins with a byte and goes on with something else, as one of an untagged
        // enum may, is taken for bytes at first.
        out.truncate(start);
        write(value, out, BytesMode::Normal).map_err(|error| refused(&error, &out[start..]))?;
    }
    // A level takes a byte, so most values cannot be too deep.
    let encoded = &out[start..];
    if encoded.len() > MAX_VALUE_DEPTH && msgpack::validate(encoded, MAX_VALUE_DEPTH).is_err() {
        return Err(EncodeError(format!("it is nested deeper than {MAX_VALUE_DEPTH} levels")));
    }
    Ok(())
}

/// Why a value has no encoding, and which part of it.
#[cold]
fn refused(error: &rmp_serde::encode::Error, written: &[u8]) -> EncodeError {
    let place = msgpack::place(written);
    match place.strip_prefix('.').unwrap_or(&place) {
        "" => EncodeError(error.to_string()),
        place => EncodeError(format!("in `{place}`: {error}")),
    }
}

fn write<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    bytes: BytesMode,
) -> Result<(), rmp_serde::encode::Error> {
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map().with_bytes(bytes);
    serializer.unstable_set_max_depth(MAX_DEPTH);
    value.serialize(Checked::new(&mut serializer))
}

/// Decodes one whole value; strings and bytes may borrow from the input.
///
/// The input must have been validated: serde trusts depths and lengths.
pub fn decode<'a, T: Deserialize<'a>>(raw: &'a [u8]) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(raw);
    T::deserialize(&mut deserializer).map_err(|error| DecodeError { got: msgpack::kind(raw), reason: reason(&error) })
}

/// What the decoder said, unless it only repeats what came.
fn reason(error: &rmp_serde::decode::Error) -> String {
    match error {
        rmp_serde::decode::Error::TypeMismatch(_) => String::new(),
        other => {
            // It may quote what was refused, however long that is.
            let mut reason = other.to_string();
            let end = (0..=MAX_REASON.min(reason.len())).rev().find(|&at| reason.is_char_boundary(at));
            reason.truncate(end.unwrap_or(0));
            reason
        }
    }
}

/// Decodes one whole value that keeps nothing of the input.
pub fn decode_owned<T: DeserializeOwned>(raw: &[u8]) -> Result<T, DecodeError> {
    decode(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_travel_as_bin_however_they_are_typed() {
        let mut out = Vec::new();
        encode(&vec![1u8, 2, 3], &mut out).unwrap();
        assert_eq!(out, [0xc4, 3, 1, 2, 3]);
        assert_eq!(decode::<Vec<u8>>(&out).unwrap(), [1, 2, 3]);
        assert_eq!(decode::<&[u8]>(&out).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_sequence_that_only_begins_like_bytes_is_a_sequence() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(untagged)]
        enum Item {
            Byte(u8),
            Text(String),
        }
        let items = vec![Item::Byte(1), Item::Text("x".into())];
        let mut out = vec![9];
        encode(&items, &mut out).unwrap();
        assert_eq!(out, [9, 0x92, 1, 0xa1, b'x']);
        assert_eq!(decode::<Vec<Item>>(&out[1..]).unwrap(), items);
    }

    #[test]
    fn what_the_other_side_would_find_too_deep_is_not_sent() {
        #[derive(Serialize)]
        struct Chain(Vec<Chain>);
        let chain = |depth| (1..depth).fold(Chain(vec![]), |inner, _| Chain(vec![inner]));
        encode(&chain(MAX_VALUE_DEPTH), &mut Vec::new()).unwrap();
        let error = encode(&chain(MAX_VALUE_DEPTH + 1), &mut Vec::new()).unwrap_err();
        assert_eq!(error.0, "it is nested deeper than 126 levels");
    }

    #[test]
    fn structs_are_maps_by_name() {
        #[derive(Serialize)]
        struct Point {
            x: u8,
        }
        let mut out = Vec::new();
        encode(&Point { x: 5 }, &mut out).unwrap();
        assert_eq!(out, [0x81, 0xa1, b'x', 5]);
    }

    #[test]
    fn a_mistyped_value_says_what_came() {
        let error = decode::<u32>(&[0xa1, b'x']).unwrap_err();
        assert_eq!(error.got, "string");
    }
}
