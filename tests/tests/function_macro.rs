//! What `#[function]` makes, against the real runtime: two routers in one process, every frame of
//! every call encoded and decoded. With the lints that a careful user has.
#![forbid(unsafe_code)]
#![deny(missing_docs, warnings)]
#![deny(clippy::all, clippy::pedantic)]
// Of what is called from elsewhere the signatures are not free; these are about code of the user's.
#![allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps, clippy::unused_self)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use mitogen_service::{AllowAny, Call, CallError, Callable, Caller, Context, Pool, Router, function, service, testing};
use serde::{Deserialize, Serialize};

/// A parent and its child.
struct Pair {
    child: Context,
    _routers: (Router, Router),
}

fn pair() -> Pair {
    let (parent, child) = testing::pair();
    Pair { child: parent.children().remove(0), _routers: (parent, child) }
}

/// A failure that the caller can have back.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Odd(u32);

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is odd", self.0)
    }
}

#[function]
fn nothing() {}

/// Takes one.
#[function]
pub fn half(number: u32) -> Result<u32, Odd> {
    if number.is_multiple_of(2) { Ok(number / 2) } else { Err(Odd(number)) }
}

/// Takes one that is a tuple itself.
#[function]
pub fn swap(pair: (u8, String)) -> (String, u8) {
    (pair.1, pair.0)
}

/// Borrows in every form.
#[function]
pub(crate) fn borrow(text: &str, bytes: &[u8], path: &Path, note: Option<&str>) -> String {
    format!("{text} {bytes:?} {} {note:?}", path.display())
}

/// Borrows one.
#[function]
fn count(text: &str) -> usize {
    text.len()
}

/// Borrows in a type of somebody else.
#[function]
fn shout(text: Cow<'_, str>) -> String {
    text.to_uppercase()
}

#[function]
fn below(mut base: PathBuf, r#type: &str) -> PathBuf {
    base.push(r#type);
    base
}

/// Its own arguments on both sides of those that are filled in.
#[function]
fn injected(first: u8, _: &Router, second: Vec<u8>, caller: &Caller, third: Option<String>) -> String {
    format!("{first} {second:?} {third:?} {}", caller.has_parent_authority())
}

#[function]
fn fails(kind: &str) -> Result<(), CallError> {
    match kind {
        "overloaded" => Err(CallError::Overloaded { what: "me".to_owned(), trace: mitogen_service::Trace::default() }),
        _ => Err(CallError::failed(kind)),
    }
}

#[function]
fn reads(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

#[function]
fn panics() -> u8 {
    panic!("out of luck")
}

/// Passes itself to a call.
#[function]
fn countdown(at: Context, from: u32) -> Result<Vec<u32>, CallError> {
    let mut numbers = vec![from];
    if let Some(next) = from.checked_sub(1) {
        numbers.extend(at.call(countdown, (at.clone(), next)).wait()?);
    }
    Ok(numbers)
}

/// With what a service method may say about its arguments.
#[function]
#[arg_spec(size(check = |size| *size < 100))]
fn checked(size: u32, #[arg(default = 7)] step: u32) -> u32 {
    size + step
}

#[cfg(windows)]
#[function]
fn configured() -> NoSuchType {}

#[function]
#[cfg(unix)]
#[deprecated]
fn configured() -> u8 {
    1
}

#[test]
fn functions_are_called_with_nothing_with_one_and_with_more() {
    let pair = pair();
    assert_eq!(pair.child.call(nothing, ()).wait(), Ok(()));
    assert_eq!(pair.child.call(half, 8).wait(), Ok(4));
    assert_eq!(pair.child.call(swap, (1, "a".to_owned())).wait(), Ok(("a".to_owned(), 1)));
    #[expect(deprecated)]
    let answer = pair.child.call(configured, ());
    assert_eq!(answer.wait(), Ok(1));
}

#[test]
fn arguments_are_borrowed_for_the_call_alone() {
    let pair = pair();
    let (text, bytes, path) = (String::from("a"), vec![1, 2], PathBuf::from("/b"));
    let call = pair.child.call(borrow, (&text, &bytes, &path, Some(&text)));
    drop((text, bytes, path));
    assert_eq!(call.wait().unwrap(), "a [1, 2] /b Some(\"a\")");
    let call = pair.child.call(count, String::from("four").as_str());
    assert_eq!(call.wait(), Ok(4));
    let call = pair.child.call(shout, Cow::Borrowed(String::from("a").as_str()));
    assert_eq!(call.wait().unwrap(), "A");
}

#[test]
fn paths_need_not_be_utf_8() {
    let odd = PathBuf::from(OsStr::from_bytes(b"/tmp/\xff"));
    assert_eq!(pair().child.call(below, (odd.clone(), "x")).wait(), Ok(odd.join("x")));
}

#[test]
fn a_call_without_a_context_runs_here() {
    assert_eq!(half(8), Ok(4));
    assert_eq!(half(3), Err(Odd(3)));
    assert_eq!(borrow("a", &[1], Path::new("b"), None), "a [1] b None");
    assert_eq!(["a", "bcd"].map(*count), [1, 3]);
    nothing();
}

#[test]
fn what_the_dispatcher_provides_is_no_argument() {
    let text = pair().child.call(injected, (1, vec![2], None)).wait();
    assert_eq!(text.unwrap(), "1 [2] None true");
    let text = pair().child.call(injected, (1, vec![], Some("x".to_owned()))).wait();
    assert_eq!(text.unwrap(), "1 [] Some(\"x\") true");
}

#[test]
fn errors_come_back_as_those_of_methods_do() {
    let child = &pair().child;
    let odd = child.call(half, 3).wait().unwrap_err();
    assert_eq!((odd.to_string(), odd.decode()), ("3 is odd".to_owned(), Some(Odd(3))));
    let kept = child.call(fails, "overloaded").wait().unwrap_err();
    assert!(matches!(&kept, CallError::Overloaded { what, .. } if what == "me"), "{kept:?}");
    let failed = child.call(fails, "no luck").wait().unwrap_err();
    assert!(matches!(&failed, CallError::Failed { message, .. } if message == "no luck"), "{failed:?}");
    let missing = child.call(reads, Path::new("/no/such/file")).wait().unwrap_err();
    assert!(missing.to_string().contains("No such file"), "{missing}");
    let panicked = child.call(panics, ()).wait().unwrap_err();
    assert!(matches!(&panicked, CallError::Panicked { message, .. } if message == "out of luck"), "{panicked:?}");
}

#[test]
fn a_function_may_pass_itself_on() {
    let (parent, _child) = testing::pair();
    let _pool = Pool::builder(&parent).start().unwrap();
    assert_eq!(parent.myself().call(countdown, (parent.myself(), 2)).wait(), Ok(vec![2, 1, 0]));
}

#[test]
fn on_the_wire_a_function_is_a_method_of_a_service() {
    let child = &pair().child;
    let call = |method: &str, args: &[(&str, u32)]| -> Call<u32> {
        let args: BTreeMap<_, _> = args.iter().copied().collect();
        child.call_service("mitogen_service::function", method, &args)
    };
    assert_eq!(half.name(), "function_macro::half");
    assert_eq!(call("function_macro::half", &[("number", 8)]).wait(), Ok(4));
    assert_eq!(call("function_macro::checked", &[("size", 1)]).wait(), Ok(8));
    let missing = call("function_macro::half", &[]).wait().unwrap_err();
    assert!(matches!(&missing, CallError::ArgMissing { name, .. } if name == "number"), "{missing:?}");
    let unknown = call("function_macro::half", &[("number", 8), ("other", 1)]).wait().unwrap_err();
    assert!(matches!(&unknown, CallError::ArgUnknown { name, .. } if name == "other"), "{unknown:?}");
    let refused = child.call(checked, (100, 1)).wait().unwrap_err();
    assert!(matches!(&refused, CallError::ArgInvalid { name, .. } if name == "size"), "{refused:?}");
    let nowhere = call("function_macro::no_such", &[]).wait().unwrap_err();
    assert!(matches!(&nowhere, CallError::NoSuchMethod { .. }), "{nowhere:?}");
}

/// Generic over what can be called.
fn twice<F: Callable<Answer = u32> + Copy>(child: &Context, function: F, args: [F::Args<'_>; 2]) -> u32 {
    args.map(|args| child.call(function, args).wait().unwrap()).iter().sum()
}

#[test]
fn functions_are_values() {
    assert_eq!(twice(&pair().child, half, [4, 6]), 5);
    let copies = [half; 2];
    assert_eq!(format!("{:?}", copies[1]), "Function(function_macro::half)");
    let plain: fn(u32) -> Result<u32, Odd> = *copies[0];
    assert_eq!(plain(2), Ok(1));
}

mod sdk {
    pub(crate) use mitogen_service::*;
}

/// The runtime under another name.
pub mod reached {
    /// Triples.
    #[crate::sdk::function(crate = crate::sdk)]
    pub fn triple(number: u32) -> u32 {
        number * 3
    }
}

#[test]
fn the_runtime_may_have_another_name() {
    assert_eq!(pair().child.call(reached::triple, 2).wait(), Ok(6));
}

/// Names of ours as names of the user, and no prelude.
#[no_implicit_prelude]
mod hygiene {
    use ::mitogen_service::{AllowAny, CallError, Caller, Router, ServiceScope, function, service};

    #[allow(dead_code)]
    struct Vec;
    #[allow(dead_code)]
    struct Option;
    #[allow(dead_code)]
    mod core {}
    #[allow(dead_code)]
    mod std {}

    macro_rules! functions {
        ($($name:ident)*) => {
            $(#[function]
            #[allow(dead_code)]
            pub(super) fn $name(only: u8) -> ::std::result::Result<u8, CallError> {
                ::std::result::Result::Ok(only)
            })*
        };
    }

    // Statics with the names that generated code has most use for.
    functions!(args arg call error make name remote request result router scope service value function method);

    #[function]
    pub(super) fn all(
        one: u8,
        text: &str,
        by: &Caller,
        at: &Router,
        maybe: ::std::option::Option<u8>,
    ) -> ::std::result::Result<u8, CallError> {
        let _ = (text, by, at, maybe);
        args(one)
    }

    /// Is made among these statics too.
    pub(super) struct Among;

    #[service(activate = Self::create)]
    impl Among {
        fn create(_: &ServiceScope) -> ::std::result::Result<Self, CallError> {
            ::std::result::Result::Ok(Self)
        }

        #[expose(policy = AllowAny)]
        #[arg_spec(one(check = |_| true))]
        fn all(&self, one: u8, maybe: ::std::option::Option<u8>) -> ::std::result::Result<u8, CallError> {
            let _ = maybe;
            value(one)
        }
    }
}

#[test]
fn names_of_the_user_do_not_meet_ours() {
    let child = &pair().child;
    assert_eq!(child.call(hygiene::all, (5, "a", None)).wait(), Ok(5));
    assert_eq!(child.call(hygiene::result, 6).wait(), Ok(6));
    assert_eq!(hygiene::Among::stub(child).all(7, None).wait(), Ok(7));
}

/// Asks the parent of the context that it runs in.
struct Asker(mpsc::Sender<String>);

#[service]
impl Asker {
    #[expose(policy = AllowAny)]
    fn ask(&self, whom: Context) {
        let refused = whom.call(count, "a").wait().unwrap_err();
        self.0.send(refused.to_string()).unwrap();
    }
}

#[test]
fn a_child_calls_no_function_of_its_parent() {
    let (parent, child) = testing::pair();
    let _pools = [&parent, &child].map(|router| Pool::builder(router).start().unwrap());
    let (refused, refusal) = mpsc::channel();
    child.pool().unwrap().add(Asker(refused)).unwrap();
    Asker::stub(&parent.children()[0]).ask(parent.myself()).wait().unwrap();
    let text = refusal.recv().unwrap();
    assert_eq!(
        text,
        "Caller is not authorized to invoke 'function_macro::count' of service 'mitogen_service::function'"
    );
}
