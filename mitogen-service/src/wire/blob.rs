//! A byte string that is cheap to clone and travels as bytes, never as an array of integers.
//!
//! This file must not know messages; where a blob's memory comes from is decided in `payload`.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::payload;

/// Bytes, cheaply cloned.
///
/// As an argument or a result it travels as MessagePack `bin`. One that arrives in a message shares
/// the memory of that message when it makes up a good part of it, so that a large file is not
/// copied on its way to a method.
///
/// ```
/// use mitogen_service::Blob;
///
/// let blob = Blob::from("hello");
/// let copy = blob.clone(); // shares the memory
/// assert_eq!(copy, b"hello"[..]);
/// assert_eq!(&copy[1..3], b"el");
///
/// // The contents never end in a log.
/// assert_eq!(format!("{blob:?}"), "[blob: 5 bytes]");
///
/// let bytes: Vec<u8> = blob.into();
/// assert_eq!(bytes.len(), 5);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(Bytes);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[blob: {} bytes]", self.0.len())
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Blob {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<String> for Blob {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// Copies.
impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

/// Copies.
impl<const N: usize> From<&[u8; N]> for Blob {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

/// Copies.
impl From<&str> for Blob {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl FromIterator<u8> for Blob {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        Self(bytes.into_iter().collect())
    }
}

/// Copies unless this is the only one that holds the memory.
impl From<Blob> for Vec<u8> {
    fn from(blob: Blob) -> Self {
        blob.0.into()
    }
}

impl From<Blob> for Bytes {
    fn from(blob: Blob) -> Self {
        blob.0
    }
}

impl PartialEq<[u8]> for Blob {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl PartialEq<&[u8]> for Blob {
    fn eq(&self, other: &&[u8]) -> bool {
        **self == **other
    }
}

impl PartialEq<Vec<u8>> for Blob {
    fn eq(&self, other: &Vec<u8>) -> bool {
        **self == **other
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BlobVisitor)
    }
}

struct BlobVisitor;

/// Most that is allocated because a sequence says how long it is going to be.
const MAX_HINT: usize = 4096;

impl<'de> Visitor<'de> for BlobVisitor {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Blob, E> {
        Ok(Blob(payload::bytes(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(Blob::from(bytes))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Blob, E> {
        Ok(Blob::from(bytes))
    }

    /// Formats without byte strings, such as JSON, write a list of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Blob, A::Error> {
        let mut bytes = Vec::with_capacity(items.size_hint().unwrap_or(0).min(MAX_HINT));
        while let Some(byte) = items.next_element()? {
            bytes.push(byte);
        }
        Ok(Blob::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, SeqDeserializer};

    use super::*;

    #[test]
    fn a_blob_travels_as_bin() {
        let blob = Blob::from([1, 2, 3].as_slice());
        let raw = rmp_serde::to_vec(&blob).unwrap();
        assert_eq!(raw, [0xc4, 3, 1, 2, 3]);
        assert_eq!(rmp_serde::from_slice::<Blob>(&raw).unwrap(), blob);
        assert_eq!(rmp_serde::from_read::<_, Blob>(&raw[..]).unwrap(), blob);
    }

    #[test]
    fn a_list_of_numbers_is_accepted_a_text_is_not() {
        assert_eq!(rmp_serde::from_slice::<Blob>(&[0x92, 1, 0xcc, 255]).unwrap(), [1, 255][..]);
        assert!(rmp_serde::from_slice::<Blob>(&[0x91, 0xcd, 1, 0]).is_err());
        assert!(rmp_serde::from_slice::<Blob>(b"\xa1x").is_err());
    }

    #[test]
    fn an_announced_count_does_not_allocate() {
        struct Liar;
        impl Iterator for Liar {
            type Item = u8;
            fn next(&mut self) -> Option<u8> {
                None
            }
            fn size_hint(&self) -> (usize, Option<usize>) {
                (usize::MAX, Some(usize::MAX))
            }
        }
        let sequence = SeqDeserializer::<_, Error>::new(Liar);
        let blob = Blob::deserialize(sequence.into_deserializer()).unwrap();
        assert!(blob.is_empty());
    }

    #[test]
    fn a_blob_shares_the_memory_of_the_message_it_came_in() {
        let raw = Bytes::from(rmp_serde::to_vec(&Blob::from(vec![7; 4096])).unwrap());
        let blob: Blob = payload::with(raw.clone(), || rmp_serde::from_slice(&raw).unwrap());
        assert_eq!(blob.as_ptr(), raw[3..].as_ptr());
        assert_eq!(blob.len(), 4096);
    }

    #[test]
    fn blobs_are_found_by_their_bytes() {
        let key = Blob::from("key");
        assert_eq!(HashMap::from([(key.clone(), 1)]).get(&b"key"[..]), Some(&1));
        assert_eq!(BTreeMap::from([(key, 2)]).get(&b"key"[..]), Some(&2));
    }

    #[test]
    fn blobs_come_from_bytes_and_texts_and_go_back() {
        let blobs = [
            Blob::from(vec![0x61, 0x62]),
            Blob::from(Bytes::from_static(b"ab")),
            Blob::from(b"ab"),
            Blob::from("ab"),
            Blob::from(String::from("ab")),
            b"ab".iter().copied().collect(),
        ];
        for blob in blobs {
            assert_eq!(blob, b"ab"[..]);
            assert_eq!(blob, b"ab".as_slice());
            assert_eq!(blob, b"ab".to_vec());
            assert_eq!(Vec::from(blob.clone()), b"ab");
            assert_eq!(Bytes::from(blob), b"ab"[..]);
        }
        assert!(Blob::default().is_empty());
    }
}
