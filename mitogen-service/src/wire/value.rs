//! Any serde value as MessagePack: structs as maps by name, sequences of bytes as `bin`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::msgpack::{self, MAX_DEPTH};

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

/// Appends the encoding of a value.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut serializer =
        rmp_serde::Serializer::new(out).with_struct_map().with_bytes(rmp_serde::config::BytesMode::ForceAll);
    serializer.unstable_set_max_depth(MAX_DEPTH);
    value.serialize(&mut serializer).map_err(|error| EncodeError(error.to_string()))
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
        other => other.to_string(),
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
