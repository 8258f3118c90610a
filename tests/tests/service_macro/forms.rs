//! Arguments of every form, their defaults and checks, and doubles.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mitogen_service::{AllowAny, Blob, CallError, service};
use serde::{Deserialize, Serialize};

use crate::Served;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle { radius: u32 },
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Drawing {
    title: Option<String>,
    shapes: Vec<Shape>,
    layers: BTreeMap<String, (u8, i64)>,
}

/// Takes arguments of every form and gives them back.
struct Forms;

fn is_sane(size: &u32) -> bool {
    *size < 100
}

fn is_short(text: &str) -> Result<(), String> {
    if text.len() < 5 { Ok(()) } else { Err(format!("{} is too long", text.len())) }
}

fn is_absolute(path: &Path) -> bool {
    path.is_absolute()
}

#[service(name = "forms")]
impl Forms {
    #[expose(policy = AllowAny)]
    fn owned(&self, drawing: Drawing, bytes: Vec<u8>, blob: Blob) -> (Drawing, Vec<u8>, Blob) {
        (drawing, bytes, blob)
    }

    #[expose(policy = AllowAny)]
    fn borrowed(&self, text: &str, bytes: &[u8], path: &Path, note: Option<&str>) -> String {
        format!("{text} {bytes:?} {} {note:?}", path.display())
    }

    #[expose(policy = AllowAny)]
    fn parent_of(&self, path: &Path) -> PathBuf {
        path.parent().map(Path::to_owned).unwrap_or_default()
    }

    #[expose(policy = AllowAny)]
    fn join(&self, base: PathBuf, mut parts: Vec<String>) -> Result<PathBuf, CallError> {
        parts.retain(|part| !part.is_empty());
        Ok(parts.into_iter().fold(base, |base, part| base.join(part)))
    }

    #[expose(policy = AllowAny)]
    fn defaults(
        &self,
        note: Option<String>,
        #[arg(default)] count: u32,
        #[arg(default = 2 + 3)] step: u32,
        #[arg(default = "usual")] mode: &str,
    ) -> String {
        format!("{note:?} {count} {step} {mode}")
    }

    #[expose(policy = AllowAny)]
    #[arg_spec(
        size(check = is_sane, check = |size| *size != 13),
        text(check = is_short),
        path(check = is_absolute),
        note(check = is_short),
    )]
    fn checked(&self, size: u32, text: String, path: PathBuf, note: Option<String>) -> u32 {
        let _ = (text, path, note);
        size
    }

    #[expose(policy = AllowAny)]
    fn r#type(&self, r#fn: u8) -> u8 {
        r#fn
    }

    #[expose(policy = AllowAny)]
    fn nothing(&self) {}
}

fn drawing() -> Drawing {
    Drawing {
        title: None,
        shapes: vec![Shape::Point, Shape::Circle { radius: 3 }, Shape::Named("a".to_owned())],
        layers: BTreeMap::from([("top".to_owned(), (1, -5))]),
    }
}

#[test]
fn owned_arguments_come_back_as_they_went() {
    let served = Served::new(Forms);
    let stub = Forms::stub(&served.context);
    for bytes in [vec![], vec![0, 255, 7]] {
        let (got, vec, blob) = stub.owned(drawing(), bytes.clone(), Blob::from(bytes.clone())).wait().unwrap();
        assert_eq!(got, drawing());
        assert_eq!(vec, bytes);
        assert_eq!(blob, Blob::from(bytes));
    }
    assert_eq!(stub.r#type(7).wait(), Ok(7));
    assert_eq!(stub.nothing().wait(), Ok(()));
}

#[test]
fn borrowed_arguments_are_passed_as_they_are() {
    let served = Served::new(Forms);
    let stub = Forms::stub(&served.context);
    let some = stub.borrowed("a", &[1, 2], Path::new("/b"), Some("c")).wait();
    assert_eq!(some.unwrap(), "a [1, 2] /b Some(\"c\")");
    let none = stub.borrowed("", &[], Path::new(""), None).wait();
    assert_eq!(none.unwrap(), " []  None");
}

#[test]
fn paths_need_not_be_utf_8() {
    let served = Served::new(Forms);
    let stub = Forms::stub(&served.context);
    let odd = Path::new(OsStr::from_bytes(b"/tmp/\xff\xfe"));
    assert_eq!(stub.parent_of(&odd.join("x")).wait().unwrap(), odd);
    let joined = stub.join(odd.to_owned(), vec!["a".to_owned(), String::new()]).wait();
    assert_eq!(joined.unwrap(), odd.join("a"));
}

#[test]
fn arguments_with_a_default_may_be_left_out() {
    let served = Served::new(Forms);
    let stub = Forms::stub(&served.context);
    let all = stub.defaults(Some("n".to_owned()), 1, 2, "m").wait();
    assert_eq!(all.unwrap(), "Some(\"n\") 1 2 m");
    let none: String = served.raw("forms", "defaults", &()).unwrap();
    assert_eq!(none, "None 0 5 usual");
    let one: String = served.raw("forms", "defaults", &BTreeMap::from([("step", 9)])).unwrap();
    assert_eq!(one, "None 0 9 usual");
}

#[test]
fn arguments_are_checked_by_name_before_the_method_runs() {
    let served = Served::new(Forms);
    let call = |args: &[(&str, &str)]| {
        let args: BTreeMap<_, _> = args.iter().copied().collect();
        served.raw::<String>("forms", "borrowed", &args).unwrap_err()
    };
    let missing = call(&[("text", "a")]);
    assert!(matches!(&missing, CallError::ArgMissing { name, .. } if name == "bytes"), "{missing:?}");
    let unknown = call(&[("text", "a"), ("sise", "b")]);
    match &unknown {
        CallError::ArgUnknown { name, known, .. } => {
            assert_eq!(name, "sise");
            assert_eq!(known[..], ["text", "bytes", "path", "note"]);
        }
        other => panic!("{other:?}"),
    }
    let mistyped = served.raw::<u8>("forms", "type", &BTreeMap::from([("fn", "seven")])).unwrap_err();
    match &mistyped {
        CallError::ArgType { name, got, expected, .. } => {
            assert_eq!((name.as_str(), got.as_str(), expected.as_str()), ("fn", "string", "u8"));
        }
        other => panic!("{other:?}"),
    }
    let unknown = served.raw::<()>("forms", "nothing", &BTreeMap::from([("a", 1)])).unwrap_err();
    assert!(matches!(unknown, CallError::ArgUnknown { .. }), "{unknown:?}");
}

#[test]
fn checks_see_the_value_and_refuse_by_name() {
    let served = Served::new(Forms);
    let stub = Forms::stub(&served.context);
    let check = |size, text: &str, path: &str, note: Option<&str>| {
        stub.checked(size, text.to_owned(), path.into(), note.map(str::to_owned)).wait()
    };
    let refused = |result: Result<u32, CallError>| match result.unwrap_err() {
        CallError::ArgInvalid { name, reason, .. } => (name, reason),
        other => panic!("{other:?}"),
    };
    let pair = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    assert_eq!(check(5, "abc", "/a", None), Ok(5));
    assert_eq!(check(5, "abc", "/a", Some("abcd")), Ok(5));
    assert_eq!(refused(check(100, "abc", "/a", None)), pair("size", ""));
    assert_eq!(refused(check(13, "abc", "/a", None)), pair("size", ""));
    assert_eq!(refused(check(5, "abcdef", "/a", None)), pair("text", "6 is too long"));
    assert_eq!(refused(check(5, "abc", "a", None)), pair("path", ""));
    assert_eq!(refused(check(5, "abc", "/a", Some("abcde"))), pair("note", "5 is too long"));
}

/// A double that knows one method.
struct FakeForms;

impl FormsApi for FakeForms {
    fn r#type(&self, r#fn: u8) -> Result<u8, CallError> {
        Ok(r#fn + 1)
    }
}

#[test]
fn a_double_answers_through_the_same_stub() {
    let stub: FormsStub = FormsStub::faked(FakeForms);
    assert_eq!(stub.clone().r#type(1).wait(), Ok(2));
    let unknown = stub.nothing().wait().unwrap_err();
    match unknown {
        CallError::NoSuchMethod { service, method, .. } => {
            assert_eq!((service.as_str(), method.as_str()), ("forms", "nothing"));
        }
        other => panic!("{other:?}"),
    }
}
