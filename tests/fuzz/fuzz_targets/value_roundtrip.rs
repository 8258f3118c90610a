//! What is sent is what arrives: any value is written, accepted by the check in front of serde, and
//! read as the same value.
//!
//! Input: made into values by `arbitrary`.

#![no_main]
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fmt::{self, Debug};
use std::net::{IpAddr, SocketAddrV4};
use std::num::{NonZeroI16, NonZeroU8};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use mitogen_service::__private::{bytes, path, value};
use mitogen_service::Blob;
use mitogen_service::fuzzing::{self, MAX_DEPTH};
use mitogen_service_fuzz::is_one_value;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What carries a value takes two levels more.
const MAX_VALUE_DEPTH: usize = MAX_DEPTH - 2;

/// Everything MessagePack has, without a type behind it.
#[derive(Clone, Debug, PartialEq, Arbitrary)]
enum Tree {
    Nil,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Single(Single),
    Double(Double),
    Text(String),
    Bytes(Vec<u8>),
    Array(Vec<Tree>),
    /// Its length is not known before it ends.
    Stream(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

/// Compared by their bits.
#[derive(Clone, Copy, Debug, Arbitrary, Serialize, Deserialize)]
struct Single(f32);

#[derive(Clone, Copy, Debug, Arbitrary, Serialize, Deserialize)]
struct Double(f64);

impl PartialEq for Single {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl PartialEq for Double {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Tree {
    /// As it comes back: numbers know no sign unless they have one.
    fn normal(self) -> Self {
        match self {
            Self::Signed(number) => u64::try_from(number).map_or(self, Self::Unsigned),
            Self::Array(items) | Self::Stream(items) => Self::Array(items.into_iter().map(Self::normal).collect()),
            Self::Map(items) => Self::Map(items.into_iter().map(|(k, v)| (k.normal(), v.normal())).collect()),
            other => other,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Array(items) | Self::Stream(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(items) => 1 + items.iter().map(|(k, v)| k.depth().max(v.depth())).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Some levels around it.
    fn wrapped(self, levels: u8, maps: u8) -> Self {
        (0..levels).fold(self, |inner, level| match maps >> (level % 8) & 1 {
            0 => Self::Array(vec![inner]),
            _ => Self::Map(vec![(Self::Nil, inner)]),
        })
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Single(value) => value.serialize(serializer),
            Self::Double(value) => value.serialize(serializer),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => serializer.serialize_bytes(value),
            Self::Array(items) => items.serialize(serializer),
            Self::Stream(items) => {
                let mut sequence = serializer.serialize_seq(None)?;
                items.iter().try_for_each(|item| sequence.serialize_element(item))?;
                sequence.end()
            }
            Self::Map(items) => {
                let mut map = serializer.serialize_map(if items.len() % 2 == 0 { Some(items.len()) } else { None })?;
                items.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Nil)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Signed(value).normal())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Unsigned(value))
            }

            fn visit_f32<E>(self, value: f32) -> Result<Tree, E> {
                Ok(Tree::Single(Single(value)))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Double(Double(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_owned()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Tree, E> {
                Ok(Tree::Bytes(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = sequence.next_element()? {
                    items.push(item);
                }
                Ok(Tree::Array(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = map.next_entry()? {
                    items.push(item);
                }
                Ok(Tree::Map(items))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn owned<'a, T: ToOwned<Owned: Arbitrary<'a>> + ?Sized>(
    input: &mut Unstructured<'a>,
) -> arbitrary::Result<Cow<'static, T>> {
    T::Owned::arbitrary(input).map(Cow::Owned)
}

/// Types as users have them.
#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct Typed {
    numbers: (u8, i8, u16, i16, u32, i32, u64, i64),
    wide: (i128, u128),
    floats: (Single, Double),
    flags: (bool, char, ()),
    text: String,
    boxed: Box<str>,
    #[arbitrary(with = owned::<str>)]
    cow: Cow<'static, str>,
    bytes: Vec<u8>,
    boxed_bytes: Box<[u8]>,
    #[arbitrary(with = owned::<[u8]>)]
    cow_bytes: Cow<'static, [u8]>,
    array: [u8; 4],
    nothing: [u8; 0],
    pair: (u8, u8),
    mixed: (u8, String),
    mixed_later: (u8, u8, u16),
    wide_array: [u16; 3],
    pairs: Vec<(u8, u8)>,
    arrays: Vec<[u8; 2]>,
    option: Option<u32>,
    options: Vec<Option<u8>>,
    bools: Vec<bool>,
    signed: Vec<i8>,
    units: Vec<()>,
    lists: Vec<Vec<u8>>,
    queue: VecDeque<u8>,
    set: BTreeSet<u8>,
    hashed: HashSet<u8>,
    non_zero: Vec<NonZeroU8>,
    small: Vec<Small>,
    #[expect(clippy::vec_box, reason = "its elements are as large as references to bytes")]
    boxes: Vec<Box<u8>>,
    bytes_as_newtypes: Vec<Byte>,
    map: BTreeMap<String, Variant>,
    numbered: HashMap<u8, u8>,
    by_variant: BTreeMap<Small, Vec<u8>>,
    variants: Vec<Variant>,
    unit: Unit,
    empty: Empty,
    newtype: Newtype,
    tuple: Tuple,
    result: Result<u8, String>,
    duration: Duration,
    address: IpAddr,
    socket: SocketAddrV4,
    range: std::ops::Range<i16>,
    non_zero_option: Option<NonZeroI16>,
    #[serde(with = "serde_bytes")]
    marked: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Arbitrary, Serialize, Deserialize)]
enum Small {
    A,
    B,
}

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct Byte(u8);

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct Empty {}

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct Newtype(Vec<u8>);

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct Tuple(u8, u8);

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
enum Variant {
    Unit,
    Newtype(u8),
    Bytes(Vec<u8>),
    Option(Option<u8>),
    Tuple(u8, u8),
    Pair((u8, u8)),
    Struct { a: u8, b: Vec<u8> },
    Deep(Box<Variant>),
    Inner(Small),
}

/// Types that serde keeps in memory until it knows what they are. `Vec<u8>` cannot be a part of
/// them, see docs/fuzzing.md.
#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct Kept {
    untagged: Vec<Untagged>,
    mixed: Vec<Mixed>,
    internal: Internal,
    adjacent: Adjacent,
    flat: Flat,
}

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
    Text(String),
    List(Vec<i32>),
    Map(BTreeMap<String, bool>),
}

/// A sequence of these may begin like bytes.
#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
#[serde(untagged)]
enum Mixed {
    Byte(u8),
    Text(String),
    Pair(u8, u16),
}

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Internal {
    A { x: u32, y: Option<String> },
    B(FlatRest),
    C,
}

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    A { x: u32, y: Vec<u8> },
    B(Vec<String>),
    C,
    D(u8, u8),
}

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    rest: FlatRest,
}

#[derive(Debug, PartialEq, Arbitrary, Serialize, Deserialize)]
struct FlatRest {
    name: String,
    list: Vec<u16>,
    option: Option<bool>,
}

#[derive(Debug, Arbitrary)]
struct Input {
    what: u8,
    tree: Tree,
    wrap: (u8, u8),
    path: Vec<u8>,
}

fuzz_target!(|input: (Input, Box<Typed>, Kept)| {
    let (Input { what, tree, wrap: (levels, maps), path: raw }, typed, kept) = input;
    let tree = if what & 1 == 0 { tree } else { tree.wrapped(levels, maps) };
    let depth = tree.depth();
    let mut encoded = Vec::new();
    let result = value::encode(&tree, &mut encoded);
    assert_eq!(result.is_ok(), depth <= MAX_VALUE_DEPTH, "a value of {depth} levels");
    if result.is_ok() {
        assert!(fuzzing::validate(&encoded, MAX_VALUE_DEPTH));
        assert!(is_one_value(&encoded, depth) && (depth == 0 || !is_one_value(&encoded, depth - 1)));
        assert_eq!(value::decode::<Tree>(&encoded).expect("what was written can be read"), tree.normal());
    }
    round(&*typed);
    round(&kept);
    bytes_and_paths(raw);
});

fn written<T: Serialize + Debug>(value: &T) -> Vec<u8> {
    let mut written = Vec::new();
    value::encode(value, &mut written).unwrap_or_else(|error| panic!("{value:?} cannot be written: {error:?}"));
    written
}

fn round<T: Debug + PartialEq + Serialize + DeserializeOwned>(value: &T) {
    let written = written(value);
    assert!(fuzzing::validate(&written, MAX_DEPTH), "{value:?} was written as {written:x?}");
    let read = value::decode::<T>(&written).unwrap_or_else(|error| panic!("{value:?} cannot be read: {error:?}"));
    assert_eq!(read, *value);
}

fn bytes_and_paths(raw: Vec<u8>) {
    let mut written = Vec::new();
    bytes::encode(&raw, &mut written).expect("bytes can be written");
    assert!(fuzzing::validate(&written, 0));
    assert_eq!(value::decode::<Vec<u8>>(&written).expect("bytes can be read"), raw);
    assert_eq!(value::decode::<Blob>(&written).expect("bytes can be read"), raw);

    let path = PathBuf::from(OsString::from_vec(raw));
    written.clear();
    path::encode(&path, &mut written).expect("a path can be written");
    assert!(fuzzing::validate(&written, 0));
    assert_eq!(path::decode(&written).expect("a path can be read"), path);
    assert_eq!(path::decode_ref(&written).expect("a path can be read"), path);
}
