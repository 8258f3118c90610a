//! What `#[service]` makes, against the real runtime: two routers in one process, every frame of
//! every call encoded and decoded.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{fmt, io, thread};

use mitogen_service::{
    AllowAny, AllowParents, Authorized, Blob, CallError, Caller, ConcurrentInvoker, Context, Invoker, Pool, Reply,
    Router, Service, ServiceScope, service, testing,
};
use serde::{Deserialize, Serialize};

mod arguments;
mod generic;
mod introspected;
mod lints;
mod names;
mod nothing;
mod policies;
mod versions;

/// A child that serves, as its parent sees it.
struct Served {
    context: Context,
    pool: Pool,
    routers: (Router, Router),
}

impl Served {
    fn new(service: impl Service) -> Self {
        let (parent, child) = testing::pair();
        let pool = Pool::builder(&child).size(2).service(service).start().unwrap();
        Self { context: parent.children().remove(0), pool, routers: (parent, child) }
    }

    /// The router of the parent.
    fn parent(&self) -> &Router {
        &self.routers.0
    }

    /// Calls a method with arguments that no stub would send.
    fn raw<T: serde::de::DeserializeOwned>(
        &self,
        service: &str,
        method: &str,
        args: &impl Serialize,
    ) -> Result<T, CallError> {
        self.context.call_service(service, method, args).wait()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.pool.close(Duration::from_secs(5));
    }
}

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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum DiskError {
    Full { free: u64 },
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { free } => write!(f, "only {free} bytes are free"),
        }
    }
}

impl std::error::Error for DiskError {}

/// Only `Display`, nothing else.
struct Text(&'static str);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

mod aliased {
    pub(super) type Result<T> = std::result::Result<T, super::DiskError>;
}

/// Fails in every way.
struct Failing;

#[service]
impl Failing {
    #[expose(policy = AllowAny)]
    fn display(&self) -> Result<u8, Text> {
        Err(Text("no luck"))
    }

    #[expose(policy = AllowAny)]
    fn borrowed(&self) -> Result<u8, &'static str> {
        Err("no luck")
    }

    #[expose(policy = AllowAny)]
    fn typed(&self) -> Result<u8, DiskError> {
        Err(DiskError::Full { free: 3 })
    }

    #[expose(policy = AllowAny)]
    fn aliased(&self) -> aliased::Result<u8> {
        Err(DiskError::Full { free: 4 })
    }

    #[expose(policy = AllowAny)]
    fn input_output(&self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::NotFound, "gone"))
    }

    #[expose(policy = AllowAny)]
    fn boxed(&self) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
        Err(DiskError::Full { free: 5 }.into())
    }

    #[expose(policy = AllowAny)]
    fn boxed_call_error(&self) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
        Err(Box::new(CallError::failed("inner")))
    }

    #[expose(policy = AllowAny)]
    fn call_error(&self) -> Result<u8, CallError> {
        Err(CallError::Overloaded { what: "me".to_owned(), trace: Default::default() })
    }

    #[expose(policy = AllowAny)]
    fn panics(&self) -> u8 {
        panic!("out of luck")
    }

    #[expose(policy = AllowAny)]
    fn fine(&self) -> Result<u8, DiskError> {
        Ok(1)
    }
}

#[test]
fn errors_arrive_with_their_text() {
    let served = Served::new(Failing);
    let stub = Failing::stub(&served.context);
    let text = |call: mitogen_service::Call<u8>| match call.wait().unwrap_err() {
        CallError::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(stub.display()), "no luck");
    assert_eq!(text(stub.borrowed()), "no luck");
    assert_eq!(text(stub.typed()), "only 3 bytes are free");
    assert_eq!(text(stub.boxed()), "only 5 bytes are free");
    assert_eq!(stub.input_output().wait().unwrap_err().to_string(), "gone");
    assert_eq!(stub.fine().wait(), Ok(1));
}

#[test]
fn errors_that_can_be_serialized_come_back_typed() {
    let served = Served::new(Failing);
    let stub = Failing::stub(&served.context);
    let typed = stub.typed().wait().unwrap_err();
    assert_eq!(typed.decode(), Some(DiskError::Full { free: 3 }));
    assert_eq!(typed.decode::<String>(), None);
    let aliased = stub.aliased().wait().unwrap_err();
    assert_eq!(aliased.decode(), Some(DiskError::Full { free: 4 }));
}

#[test]
fn the_kind_of_a_call_error_survives() {
    let served = Served::new(Failing);
    let stub = Failing::stub(&served.context);
    let error = stub.call_error().wait().unwrap_err();
    assert!(matches!(&error, CallError::Overloaded { what, .. } if what == "me"), "{error:?}");
    let inner = stub.boxed_call_error().wait().unwrap_err();
    assert_eq!(inner.to_string(), "inner");
    let panicked = stub.panics().wait().unwrap_err();
    assert!(matches!(&panicked, CallError::Panicked { message, .. } if message == "out of luck"));
    assert_eq!(stub.fine().wait(), Ok(1), "the service goes on");
}

/// Gets what the dispatcher provides.
struct Injected {
    noted: mpsc::Sender<usize>,
}

impl Injected {
    fn is_nobody(&self, _: &Caller) -> bool {
        false
    }
}

#[service]
impl Injected {
    #[expose(policy = AllowAny)]
    fn router(&self, router: &Router, caller: &Caller) -> (String, String) {
        (router.myself().to_string(), caller.context().to_string())
    }

    #[expose(policy = AllowAny)]
    fn later(&self, a: u32, reply: Reply<u32>, b: u32) {
        thread::spawn(move || reply.send(Ok(a + b)));
    }

    #[expose(policy = AllowAny)]
    fn later_path(&self, reply: Reply<PathBuf>) {
        reply.send(Ok(PathBuf::from(OsStr::from_bytes(b"\xff"))));
    }

    #[expose(policy = AllowAny)]
    fn never(&self, reply: Reply<u32>) {
        drop(reply);
    }

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn note(&self, by: usize, _caller: &Caller) {
        self.noted.send(by).unwrap();
    }

    #[expose(policy = AllowAny)]
    #[expose(policy = AllowParents, policy = Self::is_nobody)]
    fn secret(&self) -> u8 {
        7
    }

    #[expose(policy = AllowAny, policy = |_: &Self, _: &Caller| true)]
    fn open(&self) -> u8 {
        8
    }
}

#[test]
fn injected_parameters_are_no_arguments() {
    let served = Served::new(Injected { noted: mpsc::channel().0 });
    let stub = Injected::stub(&served.context);
    let (_, caller) = stub.router().wait().unwrap();
    assert!(!caller.is_empty());
    assert_eq!(stub.later(1, 2).wait(), Ok(3));
    assert_eq!(stub.later_path().wait().unwrap().as_os_str().as_bytes(), b"\xff");
    let dropped = stub.never().wait().unwrap_err();
    assert!(matches!(dropped, CallError::Cancelled { .. }), "{dropped:?}");
    let args = &Injected::DESCRIPTOR.methods[1].args;
    assert_eq!(args.iter().map(|arg| arg.name).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_call_without_reply_is_executed_all_the_same() {
    let (noted, received) = mpsc::channel();
    let served = Served::new(Injected { noted });
    let stub = Injected::stub(&served.context);
    let posted: Result<(), CallError> = stub.note(5);
    posted.unwrap();
    assert_eq!(received.recv_timeout(Duration::from_secs(10)), Ok(5));
}

#[test]
fn every_policy_must_agree() {
    let served = Served::new(Injected { noted: mpsc::channel().0 });
    let stub = Injected::stub(&served.context);
    let refused = stub.secret().wait().unwrap_err();
    assert!(matches!(&refused, CallError::Unauthorized { method, .. } if method == "secret"));
    assert_eq!(stub.open().wait(), Ok(8));
    let secret = Injected::DESCRIPTOR.methods.iter().find(|method| method.name == "secret");
    assert_eq!(secret.unwrap().policies, ["AllowAny", "AllowParents", "Self::is_nobody"]);
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

static INVOKED: AtomicUsize = AtomicUsize::new(0);

/// Counts what it runs.
struct Counting {
    by: usize,
}

impl Default for Counting {
    fn default() -> Self {
        Self { by: 1 }
    }
}

impl Invoker for Counting {
    fn invoke(&self, call: Authorized) {
        INVOKED.fetch_add(self.by, Ordering::SeqCst);
        call.run();
    }
}

/// The options stand on the type.
#[derive(Default)]
#[service(name = "counted", invoker = Counting, activate)]
struct Counted;

#[service]
impl Counted {
    #[expose(policy = AllowAny)]
    fn by_one(&self) {}

    #[expose(policy = AllowAny, invoker = Counting { by: 100 })]
    fn by_hundred(&self) {}

    #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
    fn by_none(&self) {}
}

/// Made by a function when it is first called.
struct Made {
    by: String,
}

#[service(activate = Self::create)]
impl Made {
    fn create(scope: &ServiceScope) -> Result<Self, Text> {
        Ok(Self { by: scope.router().myself().to_string() })
    }

    #[expose(policy = AllowParents)]
    fn by(&self) -> String {
        self.by.clone()
    }
}

/// Cannot be made.
struct Unmade;

#[service(name = "unmade", activate = |_: &ServiceScope| Err(DiskError::Full { free: 0 }))]
impl Unmade {
    #[expose(policy = AllowParents)]
    fn by(&self) {}
}

#[test]
fn services_are_activated_by_the_first_call() {
    let (parent, _child) = testing::pair();
    let context = parent.children().remove(0);
    let counted = Counted::stub(&context);
    counted.by_one().wait().unwrap();
    counted.by_hundred().wait().unwrap();
    counted.by_none().wait().unwrap();
    assert_eq!(INVOKED.load(Ordering::SeqCst), 101);
    assert!(!Made::stub(&context).by().wait().unwrap().is_empty());
    let unmade = Unmade::stub(&context).by().wait().unwrap_err();
    assert!(unmade.to_string().contains("only 0 bytes"), "{unmade}");
}

#[test]
fn a_service_is_called_as_its_type_unless_it_says_otherwise() {
    assert_eq!(Failing::DESCRIPTOR.name, "service_macro::Failing");
    assert_eq!(Made::DESCRIPTOR.name, "service_macro::Made");
    assert_eq!(Forms::DESCRIPTOR.name, "forms");
    assert_eq!(Counted::DESCRIPTOR.name, "counted");
    assert_eq!(reached::Inner::DESCRIPTOR.name, "service_macro::reached::Inner");
    assert_eq!(reached::Inner::DESCRIPTOR.type_name, "Inner");
}

mod sdk {
    pub(crate) use mitogen_service::*;
}

/// The runtime under another name, items that others cannot see, and nothing in scope.
#[deny(missing_docs)]
pub mod reached {
    /// A service.
    pub struct Inner;

    #[crate::sdk::service(vis = pub(super), crate = super::sdk)]
    impl Inner {
        #[expose(policy = super::sdk::AllowAny)]
        fn double(&self, n: u32) -> u32 {
            n * 2
        }
    }
}

#[test]
fn the_runtime_may_have_another_name() {
    let served = Served::new(reached::Inner);
    assert_eq!(reached::Inner::stub(&served.context).double(4).wait(), Ok(8));
}

/// Names of ours as names of the user, and no prelude.
#[no_implicit_prelude]
mod hygiene {
    use ::mitogen_service::{AllowAny, CallError, Caller, service};

    /// Shadows what the expansion might mean.
    #[derive(::std::default::Default)]
    pub(super) struct Hostile;

    #[allow(dead_code)]
    struct Vec;
    #[allow(dead_code)]
    struct Box;
    #[allow(dead_code)]
    mod core {}
    #[allow(dead_code)]
    mod std {}
    #[allow(dead_code)]
    fn result() {}

    #[service(activate)]
    impl Hostile {
        #[expose(policy = AllowAny)]
        #[allow(clippy::too_many_arguments)]
        fn all(
            &self,
            service: u8,
            call: u8,
            args: u8,
            result: u8,
            value: u8,
            error: u8,
            request: u8,
            remote: u8,
            double: u8,
            target: &str,
            caller: &Caller,
        ) -> ::std::result::Result<u8, CallError> {
            let _ = (target, caller);
            ::std::result::Result::Ok(service + call + args + result + value + error + request + remote + double)
        }
    }
}

#[test]
fn names_of_the_user_do_not_meet_ours() {
    let served = Served::new(hygiene::Hostile);
    let stub = hygiene::Hostile::stub(&served.context);
    assert_eq!(stub.all(1, 2, 3, 4, 5, 6, 7, 8, 9, "t").wait(), Ok(45));
}

/// Methods that are there and methods that are not.
struct Configured;

#[service]
impl Configured {
    #[cfg(windows)]
    #[expose(policy = AllowAny)]
    fn never(&self) -> NoSuchType {}

    #[cfg(unix)]
    #[expose(policy = AllowAny)]
    fn always(&self) -> u8 {
        1
    }

    #[cfg(windows)]
    #[expose(policy = AllowAny)]
    fn last(&self) -> u8 {
        2
    }

    #[cfg(unix)]
    #[expose(policy = AllowAny)]
    #[deprecated]
    fn last(&self) -> u8 {
        3
    }

    #[cfg(windows)]
    #[on_start]
    fn start(&self) -> Result<(), NoSuchType> {}

    #[cfg(windows)]
    #[on_message(policy = AllowAny)]
    fn message(&self, event: NoSuchType) {}

    #[cfg(windows)]
    #[on_shutdown]
    fn shutdown(&self) {
        no_such_function();
    }
}

/// Two methods for each moment of a life, of which one is there.
#[derive(Default)]
struct Portable {
    started: AtomicUsize,
}

#[service]
impl Portable {
    #[expose(policy = AllowAny)]
    fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    #[cfg(unix)]
    #[on_start]
    fn start(&self) {
        self.started.store(1, Ordering::Relaxed);
    }

    #[cfg(not(unix))]
    #[on_start]
    fn start(&self) -> Result<(), NoSuchType> {}

    #[cfg(not(unix))]
    #[on_shutdown]
    fn shutdown(&self) {
        no_such_function();
    }

    #[cfg(unix)]
    #[on_shutdown]
    fn shutdown(&self) {}
}

#[test]
fn hooks_follow_their_cfg() {
    let served = Served::new(Portable::default());
    assert_eq!(Portable::stub(&served.context).started().wait(), Ok(1));
}

#[test]
fn methods_follow_their_cfg() {
    let served = Served::new(Configured);
    let stub = Configured::stub(&served.context);
    assert_eq!(Configured::DESCRIPTOR.methods.len(), 2);
    assert_eq!(stub.always().wait(), Ok(1));
    #[expect(deprecated)]
    let last = stub.last();
    assert_eq!(last.wait(), Ok(3));
}

/// Makes a service, as a macro of the user might.
macro_rules! counter {
    ($name:ident, $ty:ty, $default:expr) => {
        struct $name;

        #[service]
        impl $name {
            #[expose(policy = AllowAny)]
            fn next(&self, n: $ty, #[arg(default = $default)] step: $ty) -> Result<$ty, DiskError> {
                Ok(n + step)
            }
        }
    };
}

counter!(Small, u8, 1);
counter!(Large, u64, 1000);

#[test]
fn a_macro_may_write_the_block() {
    let served = Served::new(Large);
    assert_eq!(Large::stub(&served.context).next(1, 2).wait(), Ok(3));
    let n: u64 = served.raw(Large::DESCRIPTOR.name, "next", &BTreeMap::from([("n", 1)])).unwrap();
    assert_eq!(n, 1001);
    assert_eq!(Small::DESCRIPTOR.methods[0].result, "u8");
}
