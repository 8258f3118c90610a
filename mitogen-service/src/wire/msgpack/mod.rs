//! MessagePack without serde: checking a payload before anything else touches it, and reading and
//! writing the few shapes that the runtime itself uses.
//!
//! [`validate()`] is what stands between a hostile peer and serde. The depth guard of `rmp-serde`
//! does not see every recursion (an `Option`, a newtype or an enum written as a map goes
//! uncounted), and a deserializer that believes an announced count may allocate for it. So depth,
//! counts and lengths are all judged here, in one pass that neither recurses nor allocates for what
//! is merely announced. What it cannot judge is a type that recurses without reading anything:
//! `struct Loop(Option<Box<Loop>>)` never comes to an end on any value but nil, however flat, and
//! must not be decoded from a peer.
//!
//! This folder must not know any message.

mod cursor;
mod unfinished;
mod validate;
mod write;

use rmp::Marker;
use thiserror::Error;

pub(crate) use cursor::Cursor;
pub(crate) use unfinished::place;
pub(crate) use validate::validate;
pub(crate) use write::{write_array_len, write_bin, write_bool, write_map_len, write_nil, write_str, write_uint};

/// How deep values may be nested unless set otherwise: far more than honest arguments need, and
/// little enough that serde's recursion over it fits into any thread's stack.
pub(crate) const MAX_DEPTH: usize = 128;

/// A payload is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed payload at byte {at}: {what}")]
pub(crate) struct Malformed {
    /// What is wrong.
    pub(crate) what: &'static str,
    /// Offset of the value that is wrong.
    pub(crate) at: usize,
}

const ENDED: &str = "the payload ends inside a value";
const OVERFULL: &str = "more is announced than the payload can hold";
const RESERVED: &str = "reserved marker 0xc1";
const TOO_DEEP: &str = "values are nested too deeply";
const NOT_UTF8: &str = "a string is not UTF-8";
const TRAILING: &str = "something follows the value";

/// The sort of the value that `raw` begins with, in the words used for people.
pub(crate) fn kind(raw: &[u8]) -> &'static str {
    match raw.first() {
        None => "nothing",
        Some(&first) => Kind::of(Marker::from_u8(first)).map_or("reserved", Kind::name),
    }
}

/// Sorts of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nil,
    Boolean,
    Integer,
    Float,
    String,
    Binary,
    Array,
    Map,
    Extension,
}

impl Kind {
    /// `None` for the one marker that MessagePack never uses.
    fn of(marker: Marker) -> Option<Self> {
        use Marker as M;
        Some(match marker {
            M::Null => Self::Nil,
            M::True | M::False => Self::Boolean,
            M::FixPos(_) | M::FixNeg(_) => Self::Integer,
            M::U8 | M::U16 | M::U32 | M::U64 | M::I8 | M::I16 | M::I32 | M::I64 => Self::Integer,
            M::F32 | M::F64 => Self::Float,
            M::FixStr(_) | M::Str8 | M::Str16 | M::Str32 => Self::String,
            M::Bin8 | M::Bin16 | M::Bin32 => Self::Binary,
            M::FixArray(_) | M::Array16 | M::Array32 => Self::Array,
            M::FixMap(_) | M::Map16 | M::Map32 => Self::Map,
            M::FixExt1 | M::FixExt2 | M::FixExt4 | M::FixExt8 | M::FixExt16 => Self::Extension,
            M::Ext8 | M::Ext16 | M::Ext32 => Self::Extension,
            M::Reserved => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Array => "array",
            Self::Map => "map",
            Self::Extension => "extension",
        }
    }

    /// Whether a deserializer may recurse into it.
    fn nests(self) -> bool {
        matches!(self, Self::Array | Self::Map | Self::Extension)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_bytes::ByteBuf;

    use super::*;

    /// Whatever serde can write.
    #[derive(Clone, Debug, Serialize)]
    #[serde(untagged)]
    enum Tree {
        Nil,
        Boolean(bool),
        Signed(i64),
        Unsigned(u64),
        Float(f64),
        Text(String),
        Binary(ByteBuf),
        Extension(Extension),
        Array(Vec<Tree>),
        Map(BTreeMap<String, Tree>),
    }

    /// The name by which `rmp-serde` knows an extension.
    #[derive(Clone, Debug, Serialize)]
    #[serde(rename = "_ExtStruct")]
    struct Extension((i8, ByteBuf));

    fn any_tree() -> impl Strategy<Value = Tree> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..300).prop_map(ByteBuf::from);
        let leaf = prop_oneof![
            Just(Tree::Nil),
            any::<bool>().prop_map(Tree::Boolean),
            any::<i64>().prop_map(Tree::Signed),
            (-200..200_i64).prop_map(Tree::Signed),
            any::<u64>().prop_map(Tree::Unsigned),
            any::<f64>().prop_map(Tree::Float),
            prop::collection::vec(any::<char>(), 0..100).prop_map(|text| Tree::Text(text.into_iter().collect())),
            bytes().prop_map(Tree::Binary),
            (any::<i8>(), bytes()).prop_map(|pair| Tree::Extension(Extension(pair))),
        ];
        leaf.prop_recursive(5, 60, 20, |inner| {
            let key = prop::collection::vec(any::<char>(), 0..5);
            let pairs = prop::collection::vec((key, inner.clone()), 0..20);
            prop_oneof![
                prop::collection::vec(inner, 0..20).prop_map(Tree::Array),
                pairs.prop_map(|pairs| Tree::Map(
                    pairs.into_iter().map(|(key, tree)| (key.into_iter().collect(), tree)).collect()
                )),
            ]
        })
    }

    #[test]
    fn every_marker_has_a_kind() {
        let kinds: [(u8, &str); 16] = [
            (0x00, "integer"),
            (0x80, "map"),
            (0x90, "array"),
            (0xa0, "string"),
            (0xc0, "nil"),
            (0xc1, "reserved"),
            (0xc2, "boolean"),
            (0xc4, "binary"),
            (0xc7, "extension"),
            (0xca, "float"),
            (0xcc, "integer"),
            (0xd4, "extension"),
            (0xd9, "string"),
            (0xdc, "array"),
            (0xde, "map"),
            (0xe0, "integer"),
        ];
        for (at, (first, name)) in kinds.iter().enumerate() {
            let last = kinds.get(at + 1).map_or(0xff, |(next, _)| next - 1);
            for marker in *first..=last {
                assert_eq!(kind(&[marker]), *name, "{marker:#x}");
            }
        }
        assert_eq!(kind(&[]), "nothing");
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_accepted_and_nothing_shorter(tree in any_tree()) {
            let written = [rmp_serde::to_vec(&tree), rmp_serde::to_vec_named(&tree)];
            for raw in written.map(Result::unwrap) {
                prop_assert_eq!(validate(&raw, MAX_DEPTH), Ok(()));
                for end in 0..raw.len() {
                    prop_assert!(validate(&raw[..end], MAX_DEPTH).is_err());
                    prop_assert!(Cursor::new(&raw[..end]).skip().is_err());
                }
            }
        }

        #[test]
        fn skipping_passes_over_exactly_one_value(tree in any_tree(), behind: Vec<u8>) {
            let raw = rmp_serde::to_vec(&tree).unwrap();
            let payload = [&raw[..], &behind].concat();
            let mut cursor = Cursor::new(&payload);
            prop_assert_eq!(cursor.skip(), Ok(&raw[..]));
            prop_assert_eq!(cursor.rest(), &behind[..]);
        }

        #[test]
        fn any_bytes_are_judged_alike(payload in prop::collection::vec(any::<u8>(), 0..64)) {
            let valid = validate(&payload, usize::MAX).is_ok();
            let mut cursor = Cursor::new(&payload);
            let skipped = cursor.skip().is_ok() && cursor.is_empty();
            prop_assert!(skipped || !valid);
            if valid {
                prop_assert!(rmp_serde::from_slice::<serde::de::IgnoredAny>(&payload).is_ok());
            }
        }
    }
}
