//! Arguments and results of every type that a user would think of.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mitogen_service::{AllowAny, Blob, CallError, Context, Sender, service, testing};
use serde::{Deserialize, Serialize};

use crate::Served;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    name: String,
    at: Option<SystemTime>,
    children: Vec<Tree>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Leaf,
    Pair(u8, i64),
    Named { path: PathBuf },
}

/// Gives back what it gets.
struct Mirror;

#[service(name = "mirror")]
impl Mirror {
    #[expose(policy = AllowAny)]
    fn times(&self, pause: Duration, at: SystemTime) -> (Duration, SystemTime) {
        (pause, at)
    }

    #[expose(policy = AllowAny)]
    fn cows(&self, text: Cow<'_, str>, list: Cow<'static, [u16]>) -> (String, Vec<u16>) {
        (text.into_owned(), list.into_owned())
    }

    #[expose(policy = AllowAny)]
    fn nested(&self, tree: Tree, by_name: HashMap<String, (u8, Option<Kind>)>) -> (Tree, BTreeMap<String, u8>) {
        (tree, by_name.into_iter().map(|(name, (n, _))| (name, n)).collect())
    }

    #[expose(policy = AllowAny)]
    fn binary(&self, blob: Blob, vec: Vec<u8>, slice: &[u8], raw: Bytes) -> (Blob, Vec<u8>, Vec<u8>, Bytes) {
        (blob, vec, slice.to_vec(), raw)
    }

    #[expose(policy = AllowAny)]
    fn paths(&self, owned: PathBuf, borrowed: &Path) -> Result<PathBuf, String> {
        Ok(owned.join(borrowed))
    }

    #[expose(policy = AllowAny)]
    fn kind(&self, kind: Kind) -> Kind {
        kind
    }

    #[expose(policy = AllowAny)]
    fn through(&self, back: Sender<String>, to: Context) -> Context {
        back.send(format!("from {to}")).unwrap_or_default();
        to
    }

    #[expose(policy = AllowAny)]
    fn renamed(&self, #[arg(rename = "type", default = 3)] kind: u8, #[arg(rename = "self")] this: &str) -> String {
        format!("{kind} {this}")
    }

    #[expose(policy = AllowAny)]
    fn unit(&self, nothing: (), one: (u8,), array: [u8; 3], boxed: Box<str>, c: char) -> (u8, [u8; 3], Box<str>, char) {
        let () = nothing;
        (one.0, array, boxed, c)
    }
}

fn tree() -> Tree {
    let leaf = |kind| Tree { name: String::new(), at: None, children: vec![], kind };
    Tree {
        name: "root".to_owned(),
        at: Some(SystemTime::UNIX_EPOCH + Duration::new(1, 2)),
        children: vec![leaf(Kind::Leaf), leaf(Kind::Named { path: "/a".into() })],
        kind: Kind::Pair(1, i64::MIN),
    }
}

#[test]
fn values_of_every_type_come_back_as_they_went() {
    let served = Served::new(Mirror);
    let stub = Mirror::stub(&served.context);
    let times = (Duration::new(3, 999_999_999), SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5));
    assert_eq!(stub.times(times.0, times.1).wait(), Ok(times));
    let cows = stub.cows("text".into(), Cow::Borrowed(&[1, 65535])).wait();
    assert_eq!(cows, Ok(("text".to_owned(), vec![1, 65535])));
    let by_name = HashMap::from([("a".to_owned(), (1, None)), ("b".to_owned(), (2, Some(Kind::Leaf)))]);
    let (back, numbers) = stub.nested(tree(), by_name).wait().unwrap();
    assert_eq!(back, tree());
    assert_eq!(numbers, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    let unit = stub.unit((), (1,), [1, 2, 3], "box".into(), 'é').wait();
    assert_eq!(unit, Ok((1, [1, 2, 3], "box".into(), 'é')));
}

#[test]
fn bytes_come_back_empty_ones_too() {
    let served = Served::new(Mirror);
    let stub = Mirror::stub(&served.context);
    for bytes in [vec![], vec![0], vec![0xff; 100_000]] {
        let raw = Bytes::from(bytes.clone());
        let back = stub.binary(Blob::from(bytes.clone()), bytes.clone(), &bytes, raw).wait().unwrap();
        assert_eq!((&back.0[..], &back.1, &back.2, &back.3[..]), (&bytes[..], &bytes, &bytes, &bytes[..]));
    }
}

#[test]
fn a_path_inside_of_a_value_must_be_utf_8_and_the_error_names_the_argument() {
    let served = Served::new(Mirror);
    let stub = Mirror::stub(&served.context);
    let odd = || PathBuf::from(OsStr::from_bytes(b"/tmp/\xff"));
    assert_eq!(stub.paths(odd(), &odd()).wait(), Ok(odd()));
    let error = stub.kind(Kind::Named { path: odd() }).wait().unwrap_err();
    match &error {
        CallError::Encode { what, reason, .. } => {
            assert!(what.contains("'kind'"), "{what}");
            assert!(reason.contains("UTF-8"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// serde counts from 1970 on and has no negative durations.
#[test]
fn a_time_before_1970_is_refused() {
    let served = Served::new(Mirror);
    let stub = Mirror::stub(&served.context);
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    match stub.times(Duration::ZERO, early).wait() {
        Err(CallError::Encode { what, reason, .. }) => {
            assert_eq!(what, "the argument 'at' of 'times' of service 'mirror'");
            assert_eq!(reason, "SystemTime must be later than UNIX_EPOCH");
        }
        other => panic!("{other:?}"),
    }
    let leaf = Tree { name: String::new(), at: Some(early), children: vec![], kind: Kind::Leaf };
    let late = Tree { at: Some(SystemTime::UNIX_EPOCH), children: vec![leaf], ..tree() };
    match stub.nested(late, HashMap::new()).wait() {
        Err(CallError::Encode { reason, .. }) => {
            assert_eq!(reason, "in `children[0].at`: SystemTime must be later than UNIX_EPOCH");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sender_and_a_context_may_be_arguments() {
    let served = Served::new(Mirror);
    let receiver = served.parent().receiver::<String>();
    let back = Mirror::stub(&served.context).through(receiver.sender(), served.context.clone()).wait().unwrap();
    assert_eq!(back, served.context);
    assert_eq!(receiver.recv().unwrap(), format!("from {}", served.context));
}

#[test]
fn a_renamed_argument_travels_by_its_other_name() {
    let served = Served::new(Mirror);
    assert_eq!(Mirror::stub(&served.context).renamed(4, "x").wait().unwrap(), "4 x");
    let by_name: String = served.raw("mirror", "renamed", &BTreeMap::from([("self", "y")])).unwrap();
    assert_eq!(by_name, "3 y");
    let error = served.raw::<String>("mirror", "renamed", &BTreeMap::from([("this", "y")])).unwrap_err();
    assert!(matches!(&error, CallError::ArgUnknown { known, .. } if known[..] == ["type", "self"]), "{error:?}");
}

#[test]
fn a_mistyped_field_is_named_with_its_argument() {
    let served = Served::new(Mirror);
    let error =
        served.raw::<Kind>("mirror", "kind", &BTreeMap::from([("kind", BTreeMap::from([("Named", 3)]))])).unwrap_err();
    assert!(matches!(&error, CallError::ArgType { name, expected, .. } if name == "kind" && expected == "Kind"));
}

#[test]
fn a_descriptor_tells_the_arguments_as_callers_know_them() {
    use mitogen_service::Service;
    let method = Mirror::DESCRIPTOR.methods.iter().find(|method| method.name == "renamed").unwrap();
    let told: Vec<_> = method.args.iter().map(|arg| (arg.name, arg.type_name, arg.required, arg.default)).collect();
    assert_eq!(told, [("type", "u8", false, Some("3")), ("self", "&str", true, None)]);
    assert_eq!((method.result, method.invoker, Mirror::DESCRIPTOR.invoker), ("String", None, "ConcurrentInvoker"));
    let _ = testing::caller();
}
