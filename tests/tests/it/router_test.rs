//! Mitogen's `tests/router_test.py`, `id_allocation_test.py` and `nested_test.py`: each test is named
//! after its original.
//!
//! What is only to be seen inside of a router (which ids are believed on which stream, who may send
//! to which handle) is shown by the unit tests that docs/parity.md names.

use mitogen_service::{AllowParents, CallError, Context, ContextId, Router, service};
use mitogen_service_tests::{LONG, Watched};

use crate::bench::{Bench, Worker};

/// Sends as much as is wanted, from where it runs.
#[derive(Default)]
struct Sender;

#[service(activate)]
impl Sender {
    /// Calls `target`, or this context itself, with that many bytes.
    #[expose(policy = AllowParents)]
    fn send(&self, target: Option<Context>, size: usize, router: &Router) -> Result<usize, CallError> {
        let target = target.unwrap_or_else(|| router.myself());
        Worker::stub(&target).invert(vec![0; size].into()).wait().map(|answer| answer.len())
    }
}

fn below(parent: &Context, name: &str) -> Context {
    Worker::stub(parent).start_child(name.to_owned()).wait().unwrap()
}

/// Lets everybody use the worker there, which only a parent can activate.
fn activate(context: &Context) {
    Worker::stub(context).marks().wait().unwrap();
}

fn process_of(context: &Context) -> Watched {
    Watched::new(Worker::stub(context).pid().wait().unwrap())
}

/// What a call gets whose respondent is not there any more.
fn error_of_a_late_call(context: &Context) -> CallError {
    let error = Worker::stub(context).marks().wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Dead { .. }), "{error:?}");
    error
}

mod no_route_test {
    use super::*;

    /// Of the handles there is only the one of the services that a user can send to.
    #[test]
    fn test_invalid_handle_returns_dead() {
        let router = Router::builder().build().unwrap();
        let child = router.local().name("child").connect().unwrap();
        let error = Worker::stub(&child).echo_at(router.myself(), "up".into()).wait_timeout(LONG).unwrap_err();
        assert!(error.to_string().contains("invalid handle"), "{error:?}");
        assert!(error.to_string().contains("the root makes a pool with `Pool::builder(&router)`"), "{error}");
        assert_eq!(Worker::stub(&child).echo("on".into()).wait().unwrap(), "on");
    }

    #[test]
    fn test_totally_invalid_context_returns_dead() {
        let bench = Bench::new();
        let error = error_of_a_late_call(&bench.router.context_by_id(ContextId::new(1234)));
        assert!(error.to_string().contains("no route to 1234, my ID is 0"), "{error}");
    }

    #[test]
    fn test_previously_alive_context_returns_dead() {
        let bench = Bench::new();
        let child = bench.child("child");
        child.shutdown(LONG).unwrap();
        let id = child.id();
        assert!(error_of_a_late_call(&child).to_string().contains("context `child` is gone"));
        drop(child);
        // Nobody remembers it any more.
        let error = error_of_a_late_call(&bench.router.context_by_id(id));
        assert!(error.to_string().contains("no route to 1, my ID is 0"), "{error}");
    }
}

mod message_size_test {
    use super::*;

    const MAX: usize = 4096;

    fn bench() -> Bench {
        Bench::with(Router::builder().max_message_size(MAX).build().unwrap())
    }

    fn assert_too_large(result: Result<usize, CallError>) {
        let error = result.unwrap_err();
        assert!(matches!(error, CallError::TooLarge { got: 4097.., max: 4096, .. }), "{error:?}");
        assert!(error.to_string().starts_with("message too large (max 4096 bytes)"), "{error}");
    }

    /// Nobody waits for an answer, and the router goes on.
    #[test]
    fn test_local_exceeded() {
        let bench = bench();
        let worker = Worker::stub(&bench.root());
        worker.invert(vec![0; MAX + 1].into()).detach();
        assert_eq!(worker.echo("on".into()).wait().unwrap(), "on");
    }

    #[test]
    fn test_local_dead_message() {
        let bench = bench();
        assert_too_large(Worker::stub(&bench.root()).invert(vec![0; MAX + 1].into()).wait().map(|got| got.len()));
    }

    #[test]
    fn test_remote_configured() {
        let bench = bench();
        let sender = Sender::stub(&bench.child("child"));
        assert_eq!(sender.send(None, MAX / 2).wait().unwrap(), MAX / 2);
        assert_too_large(sender.send(None, MAX + 1).wait());
    }

    #[test]
    fn test_remote_of_remote_configured() {
        let bench = bench();
        let sender = Sender::stub(&below(&bench.child("child"), "grandchild"));
        assert_eq!(sender.send(None, MAX / 2).wait().unwrap(), MAX / 2);
        assert_too_large(sender.send(None, MAX + 1).wait());
    }

    #[test]
    fn test_remote_exceeded() {
        let bench = bench();
        let child = bench.child("child");
        activate(&bench.root());
        assert_too_large(Sender::stub(&child).send(Some(bench.root()), MAX + 1).wait());
        // It was not even sent: the stream has not been cut.
        assert_eq!(Sender::stub(&child).send(Some(bench.root()), MAX / 2).wait().unwrap(), MAX / 2);
    }
}

mod unidirectional_test {
    use super::*;

    fn assert_refused(one: &Context, other: &Context, via: ContextId) {
        activate(other);
        let error = Worker::stub(one).echo_at(other.clone(), "across".into()).wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::Refused { .. }), "{error:?}");
        let text = format!(
            "routing mode prevents forward of message from context {} to context {} via context {via}",
            one.id(),
            other.id()
        );
        assert!(error.to_string().contains(&text), "{error}");
    }

    fn bench() -> Bench {
        Bench::with(Router::builder().unidirectional(true).build().unwrap())
    }

    #[test]
    fn test_siblings_cant_talk_master() {
        let bench = bench();
        let (one, two) = (bench.child("one"), bench.child("two"));
        assert_refused(&one, &two, ContextId::ROOT);
        assert_refused(&two, &one, ContextId::ROOT);
    }

    #[test]
    fn test_siblings_cant_talk_parent() {
        let bench = bench();
        let parent = bench.child("parent");
        let (one, two) = (below(&parent, "one"), below(&parent, "two"));
        assert_refused(&one, &two, parent.id());
        assert_refused(&two, &one, parent.id());
    }
}

mod egress_ids_test {
    use super::*;

    /// The ids themselves are not to be seen; what they are for is that whoever has sent something to a
    /// context is told of its end.
    #[test]
    fn test_egress_ids_populated() {
        let bench = Bench::new();
        let (one, two) = (bench.child("one"), bench.child("two"));
        for context in [&bench.root(), &two] {
            activate(context);
            assert_eq!(Worker::stub(&one).echo_at(context.clone(), "hello".into()).wait().unwrap(), "hello");
        }
        Worker::stub(&one).tell_end(bench.root(), two.clone()).wait().unwrap();
        two.kill().unwrap();
        bench.pass("end of two");
        assert_eq!(Worker::stub(&one).echo_at(bench.root(), "on".into()).wait().unwrap(), "on");
    }
}

mod shutdown_test {
    use super::*;

    /// Ours always waits; who does not want to has threads.
    #[test]
    fn test_shutdown_wait_false() {
        let bench = Bench::new();
        let child = bench.child("child");
        let process = process_of(&child);
        let held = Worker::stub(&child).hold(bench.root(), "held".into());
        let visit = bench.visit();
        let ending = std::thread::spawn({
            let child = child.clone();
            move || child.shutdown(LONG)
        });
        // Refused as soon as the end has begun, while the method is still at the gate.
        while Worker::stub(&child).marks().wait_timeout(LONG).is_ok() {}
        visit.go();
        assert_eq!(held.wait_timeout(LONG).unwrap(), "held");
        ending.join().unwrap().unwrap();
        assert!(process.ends_within(LONG) && !process.is_listed(), "it was reaped");
        error_of_a_late_call(&child);
    }

    #[test]
    fn test_shutdown_wait_true() {
        let bench = Bench::new();
        let child = bench.child("child");
        let process = process_of(&child);
        let (tell, told) = std::sync::mpsc::channel();
        child.on_disconnect(move || tell.send(()).unwrap()).detach();
        child.shutdown(LONG).unwrap();
        assert!(!child.is_connected());
        assert!(!process.is_listed(), "it was reaped before `shutdown` returned");
        told.recv_timeout(LONG).unwrap();
        error_of_a_late_call(&child);
    }

    #[test]
    fn test_disconnect_invalid_context() {
        let bench = Bench::new();
        let child = bench.child("child");
        let nobody = bench.router.context_by_id(ContextId::new(1234));
        nobody.kill().unwrap();
        nobody.shutdown(LONG).unwrap();
        assert_eq!(Worker::stub(&child).echo("on".into()).wait().unwrap(), "on");
    }

    #[test]
    fn test_disconnect_valid_context() {
        let bench = Bench::new();
        let child = bench.child("child");
        let process = process_of(&child);
        child.kill().unwrap();
        assert!(process.ends_within(LONG) && !process.is_listed(), "it was reaped");
        error_of_a_late_call(&child);
    }

    #[test]
    fn test_disconnect_all() {
        let bench = Bench::new();
        let children = [bench.child("one"), bench.child("two")];
        let processes = children.each_ref().map(process_of);
        for child in bench.router.children() {
            child.kill().unwrap();
        }
        for (child, process) in children.iter().zip(&processes) {
            assert!(process.ends_within(LONG) && !process.is_listed(), "{child} was reaped");
            error_of_a_late_call(child);
        }
        assert_eq!(bench.router.children(), []);
        // The router itself goes on.
        assert_eq!(Worker::stub(&bench.child("three")).echo("on".into()).wait().unwrap(), "on");
    }
}

/// `tests/id_allocation_test.py`.
mod slave_test {
    use super::*;

    #[test]
    fn test_slave_allocates_id() {
        let bench = Bench::new();
        let child = bench.child("child");
        // Its own first child makes it ask for a block of a thousand.
        let first = below(&child, "first");
        let next = bench.child("next");
        let second = below(&child, "second");
        let ids = [&child, &first, &second, &next].map(|context| context.id().get());
        assert_eq!(ids, [1, 2, 3, 1002]);
    }
}

/// `tests/nested_test.py`.
mod nested_test {
    use super::*;

    #[test]
    fn test_nested() {
        let bench = Bench::new();
        let mut context = bench.child("0");
        for number in 1..10 {
            context = below(&context, &number.to_string());
        }
        let worker = Worker::stub(&context);
        assert_eq!(worker.myself().wait().unwrap(), context);
        assert_eq!(worker.caller().wait().unwrap(), bench.root());
        activate(&bench.root());
        assert_eq!(worker.echo_at(bench.root(), "up".into()).wait().unwrap(), "up");
    }
}
