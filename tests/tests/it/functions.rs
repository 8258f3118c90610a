//! Calls of functions in real children, and the rows of Mitogen's `tests/call_function_test.py`: the
//! tests of [`call_function_test`] are named after their originals.

use std::fmt;
use std::time::Duration;

use mitogen_service::{
    AllowParents, CallError, Caller, Context, Executed, RegistryActivator, Router, function, service,
};
use mitogen_service_tests::{LONG, Watched};
use rustix::process::Signal;

use crate::bench::{Bench, Gate};

#[function]
fn pid() -> u32 {
    std::process::id()
}

#[function]
fn join(one: &str, other: String, times: u8) -> String {
    format!("{one}{other}").repeat(times.into())
}

/// Waits at the root's gate.
#[function]
fn hold(gate: Context) -> Result<(), CallError> {
    Gate::stub(&gate).pass("held".into()).wait()
}

#[function]
fn who(router: &Router, ask: bool, caller: &Caller) -> (Context, Context, bool) {
    (router.myself(), caller.context(), ask && caller.has_parent_authority())
}

#[function]
fn start_child(name: &str, router: &Router) -> mitogen_service::Result<Context> {
    router.local().name(name).connect()
}

/// Calls [`pid`] somewhere else.
#[function]
fn pid_at(target: Context) -> Result<u32, CallError> {
    target.call(pid, ()).wait()
}

#[function]
fn wait_and_see(gate: Context, caller: &Caller) -> Result<bool, CallError> {
    Gate::stub(&gate).pass("running".into()).wait()?;
    while !caller.is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Gate::stub(&gate).pass("cancelled".into()).wait()?;
    Ok(true)
}

#[test]
fn a_function_runs_in_the_process_that_it_is_called_in() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let there = child.call(pid, ()).wait().unwrap();
    assert_ne!(there, pid(), "called directly it runs here");
    assert!(!Watched::new(there).ends_within(Duration::ZERO));
    assert_eq!(bench.root().call(pid, ()).wait().unwrap(), pid(), "a context may call itself");
    assert_eq!(child.call(join, ("a", "b".to_owned(), 2)).wait().unwrap(), "abab");
}

#[test]
fn the_context_that_runs_a_function_fills_in_what_is_no_argument() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let (myself, caller, has_authority) = child.call(who, true).wait().unwrap();
    assert_eq!((myself, caller, has_authority), (child, bench.root(), true));
}

#[test]
fn functions_are_called_back_and_passed_on() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let below = child.call(start_child, "below").wait().unwrap();
    let direct = below.call(pid, ()).wait().unwrap();
    assert_eq!(child.call(pid_at, below).wait().unwrap(), direct);
}

#[test]
fn a_sibling_calls_no_function() {
    let bench = Bench::new();
    let [child, sibling] = ["worker", "sibling"].map(|name| bench.child(name));
    // There is no pool yet, and a sibling's call makes none.
    let early = sibling.call(pid_at, child.clone()).wait().unwrap_err();
    assert!(matches!(early, CallError::NotActivated { .. }), "{early:?}");
    child.call(pid, ()).wait().unwrap();
    let refused = sibling.call(pid_at, child).wait().unwrap_err();
    let CallError::Unauthorized { method, service, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!((method.as_str(), service.as_str()), ("it::functions::pid", "mitogen_service::function"));
    let refused = sibling.call(pid_at, bench.root()).wait().unwrap_err();
    assert!(matches!(refused, CallError::Unauthorized { .. }), "a child is no parent: {refused:?}");
}

/// Has methods like any service; the pool of its context has a function of the same process.
#[derive(Default)]
struct Plain;

#[service(activate)]
impl Plain {
    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        pid()
    }
}

#[test]
fn functions_and_services_share_a_pool_whatever_its_activator() {
    let bench = Bench::new();
    let child = bench.child("worker");
    assert_eq!(Plain::stub(&child).pid().wait(), child.call(pid, ()).wait());
    let router = Router::builder().build().unwrap();
    let pool = mitogen_service::Pool::builder(&router).activator(RegistryActivator).start().unwrap();
    assert_eq!(router.myself().call(pid, ()).wait().unwrap(), pid());
    pool.close(LONG);
    let stopped = router.myself().call(pid, ()).wait().unwrap_err();
    assert!(matches!(stopped, CallError::Stopped { .. }), "{stopped:?}");
}

#[test]
fn a_call_of_a_function_that_nobody_waits_for_is_cancelled() {
    let bench = Bench::new();
    let call = bench.child("worker").call(wait_and_see, bench.root());
    bench.pass("running");
    drop(call);
    bench.pass("cancelled");
}

/// Mitogen's `CallFunctionTest`.
mod call_function_test {
    use super::*;

    /// Upstream's `MyError`.
    #[derive(Debug)]
    struct MyError(String);

    impl fmt::Display for MyError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::error::Error for MyError {}

    #[function]
    fn function_that_adds_numbers(x: i32, y: i32) -> i32 {
        x + y
    }

    #[function]
    fn function_that_fails(text: &str) -> Result<(), MyError> {
        Err(MyError(text.to_owned()))
    }

    #[function]
    fn function_that_panics(text: &str) {
        panic!("{text}");
    }

    #[function]
    fn func_accepts_returns_context(context: Context) -> Context {
        context
    }

    #[test]
    fn test_succeeds() {
        let bench = Bench::new();
        assert_eq!(bench.child("worker").call(function_that_adds_numbers, (1, 2)).wait().unwrap(), 3);
    }

    #[test]
    fn test_crashes() {
        let bench = Bench::new();
        let child = bench.child("worker");
        let error = child.call(function_that_fails, "exception text").wait().unwrap_err();
        let CallError::Failed { type_name, message, .. } = &error else { panic!("{error:?}") };
        assert!(type_name.ends_with("call_function_test::MyError"), "{type_name}");
        assert_eq!((message.as_str(), error.executed()), ("exception text", Executed::Yes));
        let error = child.call(function_that_panics, "exception text").wait().unwrap_err();
        assert!(matches!(&error, CallError::Panicked { message, .. } if message == "exception text"), "{error:?}");
        assert_eq!(child.call(function_that_adds_numbers, (1, 2)).wait().unwrap(), 3, "the child goes on");
    }

    /// A type of the callee that the caller does not know cannot be written here: both are one
    /// executable. What comes closest is an answer that is not of the expected type.
    #[test]
    fn test_bad_return_value() {
        let bench = Bench::new();
        let name = function_that_adds_numbers.name();
        let args = std::collections::BTreeMap::from([("x", 1), ("y", 2)]);
        let answer = bench.child("worker").call_service::<String>("mitogen_service::function", name, &args).wait();
        let error = answer.unwrap_err();
        assert!(matches!(error, CallError::Malformed { .. }), "{error:?}");
    }

    #[test]
    fn test_aborted_on_local_context_disconnect() {
        let bench = Bench::new();
        let child = bench.child("victim");
        let process = Watched::new(child.call(pid, ()).wait().unwrap());
        let call = child.call(hold, bench.root());
        let _visit = bench.visit();
        process.signal(Signal::KILL);
        let error = call.wait_timeout(LONG).unwrap_err();
        let CallError::Dead { reason, context, .. } = &error else { panic!("{error:?}") };
        assert_eq!((reason.as_str(), context.as_str()), ("the respondent Context has disconnected", "victim"));
    }

    #[test]
    fn test_aborted_on_local_broker_shutdown() {
        let bench = Bench::new();
        let call = bench.child("worker").call(hold, bench.root());
        let visit = bench.visit();
        drop(bench);
        let error = call.wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::Dead { .. }), "{error:?}");
        drop(visit);
    }

    #[test]
    fn test_accepts_returns_context() {
        let bench = Bench::new();
        let child = bench.child("worker");
        assert_eq!(child.call(func_accepts_returns_context, child.clone()).wait().unwrap(), child);
        assert_eq!(child.call(func_accepts_returns_context, bench.root()).wait().unwrap(), bench.root());
    }
}
