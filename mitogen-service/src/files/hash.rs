//! The hash of a whole file.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::Blob;

/// The BLAKE3 hash of a file, as `b3sum` prints it.
///
/// ```
/// use mitogen_service::FileHash;
///
/// let hash = FileHash::of(b"hello");
/// assert_eq!(hash.to_string(), "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileHash([u8; 32]);

impl FileHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The bytes of the hash.
    ///
    /// ```
    /// # use mitogen_service::FileHash;
    /// assert_eq!(FileHash::of(b"").as_bytes()[..2], [0xaf, 0x13]);
    /// ```
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn finish(hasher: &blake3::Hasher) -> Self {
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileHash({self})")
    }
}

/// As `bin` of 32 bytes.
impl Serialize for FileHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Blob::deserialize(deserializer)?;
        let bytes = <[u8; 32]>::try_from(&bytes[..]);
        bytes.map(Self).map_err(|_| serde::de::Error::custom("a hash of a file has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_travels_as_bytes_of_its_length() {
        let hash = FileHash::of(b"x");
        let raw = rmp_serde::to_vec(&hash).unwrap();
        assert_eq!(raw[..2], [0xc4, 32]);
        assert_eq!(rmp_serde::from_slice::<FileHash>(&raw).unwrap(), hash);
        assert!(rmp_serde::from_slice::<FileHash>(&[0xc4, 1, 7]).is_err());
    }
}
