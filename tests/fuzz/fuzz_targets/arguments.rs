//! What stands before serde, and serde behind it: no value that was accepted can panic a decoder,
//! overflow its stack or make it take more memory than the type's own size makes of it.
//!
//! Input: the payload of a call, or a single value.

#![no_main]
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mitogen_service::__private::{Args, DecodeError, path, value};
use mitogen_service::fuzzing::{self, MAX_DEPTH};
use mitogen_service::{ArgSpec, Blob, CallError, Context, ContextId, Exit, Router};
use mitogen_service_fuzz::bounded;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// A value takes a byte, and 48 bytes where it is an element of the types below; a vector that
/// grows holds them three times for a moment.
const FACTOR: usize = 3 * 48;

/// Where serde keeps everything until it knows what it is: 32 bytes a value, once more for the
/// result, and both while they grow.
const KEPT: usize = 6 * FACTOR;

const CONSTANT: usize = 8 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Nested {
    a: u32,
    #[serde(default)]
    b: Option<Box<Inner>>,
    #[serde(default)]
    c: Vec<Inner>,
    #[serde(default)]
    d: BTreeMap<String, Nested>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Inner {
    x: i8,
    y: (u16, String),
    #[serde(default)]
    more: Vec<Nested>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Link {
    next: Option<Box<Link>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Newtype(Another);

#[derive(Debug, Serialize, Deserialize)]
struct Another(Option<Box<[Newtype]>>);

#[derive(Debug, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Serialize, Deserialize)]
struct Tuple(u8, Option<Unit>, f32, char);

/// A map with one key each, which the guard of rmp-serde does not count.
#[derive(Debug, Serialize, Deserialize)]
enum Tagged {
    End,
    More(Option<Box<Tagged>>),
    Both(u8, Box<Tagged>),
    Many { l: Vec<Tagged>, r: Option<Box<Tagged>> },
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Key {
    A,
    B(u8),
    C { text: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    List(Vec<u16>),
    Map(BTreeMap<String, bool>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Internal {
    A { x: u32, y: Option<String> },
    B(BTreeMap<String, u8>),
    C,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    A { x: u32 },
    B(Vec<String>),
    C,
}

#[derive(Debug, Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, Untagged>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    one: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct Borrowed<'a> {
    text: &'a str,
    #[serde(borrow, with = "serde_bytes")]
    bytes: &'a [u8],
    #[serde(borrow)]
    cow: Cow<'a, str>,
    #[serde(borrow, default)]
    list: Vec<&'a str>,
}

const fn arg(name: &'static str, type_name: &'static str, required: bool) -> ArgSpec {
    ArgSpec { name, type_name, required, default: None }
}

/// More than find a place without an allocation.
static MANY: [ArgSpec; 10] = [
    arg("a", "u32", true),
    arg("b", "Nested", false),
    arg("c", "Tagged", false),
    arg("d", "Vec<u8>", false),
    arg("e", "Blob", false),
    arg("f", "Cow<str>", false),
    arg("g", "HashMap<String, u32>", false),
    arg("h", "Context", false),
    arg("i", "PathBuf", false),
    arg("j", "&str", false),
];

static FEW: [ArgSpec; 2] = [arg("text", "&str", true), arg("path", "&Path", false)];

thread_local! {
    static ROUTER: Router = Router::builder().build().expect("a router without streams");
}

fuzz_target!(|input: &[u8]| {
    if let Some((_, _, _, args)) = fuzzing::call(input) {
        arguments(args);
        single(args);
    }
    if fuzzing::validate(input, MAX_DEPTH) {
        single(input);
    }
});

/// Every argument as generated code reads it.
fn arguments(map: &[u8]) {
    let bound = 2 * FACTOR;
    if let Ok(args) = bounded("many", map.len(), 8, CONSTANT, || fuzzing::arguments(&MANY, map)) {
        bounded("each", map.len(), bound, CONSTANT, || each(&args)).unwrap_or_else(|error| shown(&error));
    }
    match bounded("few", map.len(), 8, CONSTANT, || fuzzing::arguments(&FEW, map)) {
        Err(error) => shown(&error),
        Ok(args) => {
            let read = args.required(0, value::decode::<&str>).and_then(|text| {
                args.check(0, text.len() < 10)?;
                args.check(0, text.parse::<u8>().map(drop))?;
                args.or_else(1, path::decode_ref, || std::path::Path::new(""))
            });
            read.map(drop).unwrap_or_else(|error| shown(&error));
        }
    }
}

fn each(args: &Args<'_>) -> Result<(), CallError> {
    args.required(0, value::decode::<u32>)?;
    args.optional(1, value::decode::<Option<Nested>>)?;
    args.optional(2, value::decode::<Option<Tagged>>)?;
    args.optional(3, value::decode::<Vec<u8>>)?;
    args.optional(4, value::decode::<Blob>)?;
    args.or_else(5, value::decode::<Cow<'_, str>>, || "".into())?;
    args.optional(6, value::decode::<HashMap<String, u32>>)?;
    args.optional(7, value::decode::<Option<Context>>)?;
    args.optional(8, path::decode)?;
    args.optional(9, value::decode::<&str>)?;
    Ok(())
}

/// The error goes back to the caller.
fn shown(error: &CallError) {
    let mut encoded = Vec::new();
    value::encode(error, &mut encoded).expect("an error can be written");
    assert!(fuzzing::validate(&encoded, MAX_DEPTH));
    assert_eq!(value::decode::<CallError>(&encoded).expect("an error can be read"), *error);
    assert!(!format!("{error}").is_empty());
}

/// One value, read as everything.
fn single(raw: &[u8]) {
    scalars(raw);
    structures(raw);
    collections(raw);
    bytes_and_texts(raw);
    ours(raw);
    bounded("ignored", raw.len(), 0, 0, || value::decode::<IgnoredAny>(raw).is_ok());
}

fn scalars(raw: &[u8]) {
    round::<(bool,)>(raw, FACTOR);
    round::<u8>(raw, FACTOR);
    round::<i8>(raw, FACTOR);
    round::<i16>(raw, FACTOR);
    round::<u64>(raw, FACTOR);
    round::<i64>(raw, FACTOR);
    round::<i128>(raw, FACTOR);
    round::<u128>(raw, FACTOR);
    round::<f32>(raw, FACTOR);
    round::<f64>(raw, FACTOR);
    round::<char>(raw, FACTOR);
    round::<()>(raw, FACTOR);
    round::<NonZeroU32>(raw, FACTOR);
    round::<Duration>(raw, FACTOR);
    round::<SystemTime>(raw, FACTOR);
    round::<IpAddr>(raw, FACTOR);
    round::<SocketAddr>(raw, FACTOR);
}

fn structures(raw: &[u8]) {
    round::<Nested>(raw, FACTOR);
    round::<Link>(raw, FACTOR);
    round::<Newtype>(raw, FACTOR);
    round::<Unit>(raw, FACTOR);
    round::<Tuple>(raw, FACTOR);
    round::<Tagged>(raw, FACTOR);
    round::<Untagged>(raw, KEPT);
    round::<Internal>(raw, KEPT);
    round::<Adjacent>(raw, KEPT);
    round::<Flat>(raw, KEPT);
    round::<Strict>(raw, FACTOR);
    round::<Option<Option<Option<u8>>>>(raw, FACTOR);
    round::<Option<Box<Option<Newtype>>>>(raw, FACTOR);
    round::<Result<u8, String>>(raw, FACTOR);
    round::<std::ops::Range<u8>>(raw, FACTOR);
}

fn collections(raw: &[u8]) {
    round::<Vec<Nested>>(raw, 2 * FACTOR);
    round::<Vec<Tagged>>(raw, FACTOR);
    round::<Vec<Untagged>>(raw, KEPT);
    round::<Vec<()>>(raw, FACTOR);
    round::<Vec<String>>(raw, FACTOR);
    round::<Vec<Vec<Vec<u8>>>>(raw, FACTOR);
    round::<VecDeque<u16>>(raw, FACTOR);
    round::<BTreeSet<Vec<u8>>>(raw, FACTOR);
    round::<BTreeMap<Key, u8>>(raw, 2 * FACTOR);
    round::<BTreeMap<(u8, i8), Option<String>>>(raw, 2 * FACTOR);
    // The order of its entries is another each time.
    bounded("map", raw.len(), FACTOR, CONSTANT, || value::decode::<HashMap<String, Vec<u8>>>(raw).is_ok());
}

fn bytes_and_texts(raw: &[u8]) {
    round::<String>(raw, FACTOR);
    round::<Box<str>>(raw, FACTOR);
    round::<Vec<u8>>(raw, FACTOR);
    round::<Box<[u8]>>(raw, FACTOR);
    round::<[u8; 4]>(raw, FACTOR);
    round::<(u8, u8)>(raw, FACTOR);
    round::<Vec<[u8; 2]>>(raw, FACTOR);
    round::<serde_bytes::ByteBuf>(raw, FACTOR);
    round::<Cow<'static, [u8]>>(raw, FACTOR);
    borrowed::<&str>(raw);
    borrowed::<&serde_bytes::Bytes>(raw);
    borrowed::<Borrowed<'_>>(raw);
    if let Ok(path) = bounded("path", raw.len(), 1, 64, || path::decode_ref(raw)) {
        let mut again = Vec::new();
        path::encode(path, &mut again).expect("a path can be written");
        assert!(fuzzing::validate(&again, MAX_DEPTH));
        assert_eq!(path::decode(&again).expect("a path can be read"), path);
    }
}

/// What the crate itself reads and gives to others.
fn ours(raw: &[u8]) {
    round::<CallError>(raw, FACTOR);
    round::<Exit>(raw, FACTOR);
    round::<ContextId>(raw, FACTOR);
    round::<Vec<ContextId>>(raw, FACTOR);
    round::<Blob>(raw, FACTOR);
    round::<Vec<Blob>>(raw, FACTOR);
    bounded("blobs", raw.len(), FACTOR, CONSTANT, || {
        let owned = Bytes::copy_from_slice(raw);
        let blobs = fuzzing::sharing(&owned, |raw| value::decode::<Vec<Blob>>(raw));
        let copies = value::decode::<Vec<Blob>>(raw);
        drop(owned);
        assert_eq!(blobs.is_ok(), copies.is_ok());
        assert!(blobs.into_iter().flatten().eq(copies.into_iter().flatten()), "shared blobs are others");
    });
    // Outside of a call nobody knows whose context it is.
    assert!(bounded("context", raw.len(), FACTOR, CONSTANT, || value::decode::<Context>(raw).is_err()));
    ROUTER.with(|router| {
        // An object each, and a place in the router's list of those that are alive.
        let contexts = || fuzzing::in_router(router, || value::decode::<Vec<Context>>(raw));
        let Ok(contexts) = bounded("contexts", raw.len(), 4 * FACTOR, CONSTANT, contexts) else { return };
        for context in contexts {
            let name = context.name();
            let own = context.id() == router.myself().id();
            assert!(own || (1..=256).contains(&name.len()) && !name.contains(char::is_control), "{name:?}");
        }
    });
}

/// What can be read can be written, and is the same when it is read again.
fn round<T: Debug + Serialize + DeserializeOwned>(raw: &[u8], factor: usize) {
    let name = std::any::type_name::<T>();
    let decoded = bounded(name, raw.len(), factor, CONSTANT, || value::decode::<T>(raw));
    let Some(value) = checked(decoded) else { return };
    let Some(again) = written(raw, &value) else { return };
    let second = value::decode::<T>(&again).unwrap_or_else(|error| panic!("{name}: {value:?}: {error:?}"));
    assert_eq!(written(raw, &second).as_ref(), Some(&again), "{name}: {value:?} has become {second:?}");
}

fn borrowed<'a, T: Debug + Serialize + Deserialize<'a>>(raw: &'a [u8]) {
    let name = std::any::type_name::<T>();
    let decoded = bounded(name, raw.len(), FACTOR, CONSTANT, || value::decode::<T>(raw));
    if let Some(value) = checked(decoded) {
        written(raw, &value);
    }
}

fn checked<T>(decoded: Result<T, DecodeError>) -> Option<T> {
    decoded.inspect_err(|error| assert!(!format!("{error:?}").is_empty())).ok()
}

/// The encoding of what was read from `raw`; nothing if that was nested almost too deep.
fn written<T: Debug + Serialize>(raw: &[u8], value: &T) -> Option<Vec<u8>> {
    let mut written = Vec::new();
    if let Err(error) = value::encode(value, &mut written) {
        // What carries a value takes two levels more, and `nil` may become an empty array.
        assert!(!fuzzing::validate(raw, MAX_DEPTH - 3), "{value:?} cannot be written: {error:?}");
        return None;
    }
    assert!(fuzzing::validate(&written, MAX_DEPTH - 2), "{value:?} was written as {written:x?}");
    Some(written)
}
