//! Calls between real processes: order, results, errors, and what becomes of calls nobody waits for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::future::Future;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use mitogen_service::{Call, CallError, DeadlineBy, Executed, as_completed};
use mitogen_service_tests::{LONG, within};

use crate::bench::{Bench, Worker};

/// The smallest executor there is.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Task::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn calls_started_before_the_first_is_awaited_all_get_their_own_answers() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let calls: Vec<_> = (0..1000).map(|number| worker.echo(number.to_string())).collect();
    for (number, call) in calls.into_iter().enumerate().rev() {
        assert_eq!(call.wait().unwrap(), number.to_string());
    }
}

#[test]
fn a_later_call_may_be_answered_first() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let first = worker.hold(bench.root(), "first".into());
    let visit = bench.visit();
    assert_eq!(worker.echo("second".into()).wait().unwrap(), "second");
    visit.go();
    assert_eq!(first.wait().unwrap(), "first");
}

#[test]
fn as_completed_gives_results_in_the_order_of_their_coming() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let calls = ["a", "b"].map(|name| worker.hold(bench.root(), name.into()));
    let mut visits = [bench.visit(), bench.visit()];
    visits.sort_by(|one, other| one.name.cmp(&other.name));
    let [a, b] = visits;
    let mut completed = as_completed(calls);
    assert_eq!(completed.len(), 2);
    b.go();
    assert!(matches!(completed.next(), Some((1, Ok(name))) if name == "b"));
    a.go();
    assert!(matches!(completed.next(), Some((0, Ok(name))) if name == "a"));
    assert!(completed.next().is_none());
}

#[test]
fn as_completed_mixes_answers_and_failures_and_loses_none() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let worker = Worker::stub(&child);
    let calls = (0..100).map(|number| match number % 3 {
        0 => worker.echo(number.to_string()),
        1 => child.call_service("nothing", "nothing", &()),
        _ => Call::ready(Ok("ready".to_owned())),
    });
    let mut seen = [false; 100];
    for (index, result) in as_completed(calls) {
        assert!(!std::mem::replace(&mut seen[index], true), "{index} came twice");
        match index % 3 {
            0 => assert_eq!(result.unwrap(), index.to_string()),
            1 => assert!(matches!(result, Err(CallError::NoSuchService { .. }))),
            _ => assert_eq!(result.unwrap(), "ready"),
        }
    }
    assert!(seen.iter().all(|seen| *seen));
}

#[test]
fn dropping_as_completed_cancels_what_is_left() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let calls = [worker.hold_until_cancelled(bench.root())];
    let completed = as_completed(calls);
    bench.pass("running");
    drop(completed);
    bench.pass("cancelled");
}

#[test]
fn a_call_can_be_awaited_on_any_executor() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let call = worker.hold(bench.root(), "held".into());
    let waiting = thread::spawn(|| block_on(async { call.await.map(|name| name + "!") }));
    bench.pass("held");
    assert_eq!(waiting.join().unwrap().unwrap(), "held!");
    assert_eq!(block_on(worker.echo("at once".into())).unwrap(), "at once");
    assert!(matches!(block_on(worker.fail("no".into())), Err(CallError::Failed { .. })));
}

#[test]
fn a_future_that_is_dropped_half_way_cancels_its_call() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let mut call = worker.hold_until_cancelled(bench.root());
    bench.pass("running");
    assert!(std::pin::Pin::new(&mut call).poll(&mut Task::from_waker(Waker::noop())).is_pending());
    drop(call);
    bench.pass("cancelled");
}

#[test]
fn try_wait_spoils_nothing() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let mut call = worker.hold(bench.root(), "held".into());
    let visit = bench.visit();
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        assert!(call.try_wait(timeout).is_none());
    }
    visit.go();
    assert_eq!(call.try_wait(LONG).unwrap().unwrap(), "held");
    assert!(call.try_wait(LONG).is_none(), "the result was taken");
}

#[test]
fn a_wait_without_end_is_possible_in_every_form() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    assert_eq!(worker.echo("text".into()).wait_timeout(Duration::MAX).unwrap(), "text");
    assert_eq!(worker.echo("text".into()).try_wait(Duration::MAX).unwrap().unwrap(), "text");
}

#[test]
fn a_timeout_cancels_a_running_method() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let call = worker.hold_until_cancelled(bench.root());
    bench.pass("running");
    let started = Instant::now();
    let error = call.wait_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert!(matches!(error, CallError::DeadlineExceeded { by: DeadlineBy::Caller, .. }), "{error:?}");
    assert_eq!(error.executed(), Executed::Maybe);
    bench.pass("cancelled");
}

#[test]
fn dropping_a_call_cancels_a_running_method() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let call = worker.hold_until_cancelled(bench.root());
    bench.pass("running");
    drop(call);
    bench.pass("cancelled");
    assert_eq!(worker.echo("on".into()).wait().unwrap(), "on");
}

/// Both threads of the child's pool are busy, so whatever comes now is queued.
#[test]
fn a_queued_call_that_was_given_up_is_not_executed() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let busy = ["one", "two"].map(|name| worker.hold(bench.root(), name.into()));
    let visits = [bench.visit(), bench.visit()];
    worker.mark().wait_timeout(Duration::ZERO).unwrap_err();
    drop(worker.mark());
    let mut kept = worker.mark();
    assert!(kept.try_wait(Duration::ZERO).is_none());
    drop(worker.mark());
    worker.mark().detach();
    visits.into_iter().for_each(crate::bench::Visit::go);
    for call in busy {
        call.wait().unwrap();
    }
    kept.wait().unwrap();
    // One thread may still be at the detached one while the other answers this.
    while worker.marks().wait().unwrap() < 2 {}
    assert_eq!(worker.marks().wait().unwrap(), 2, "the one that was kept, and the one that was detached");
}

#[test]
fn a_detached_call_runs_to_its_end() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    worker.hold(bench.root(), "detached".into()).detach();
    let visit = bench.visit();
    assert_eq!(visit.name, "detached");
    visit.go();
    worker.mark().detach();
    while worker.marks().wait().unwrap() == 0 {}
}

#[test]
fn a_ready_call_has_its_result_in_every_form() {
    assert_eq!(Call::ready(Ok(1)).wait().unwrap(), 1);
    assert_eq!(Call::ready(Ok(1)).wait_timeout(Duration::ZERO).unwrap(), 1);
    assert_eq!(block_on(Call::ready(Ok(1))).unwrap(), 1);
    let mut call = Call::ready(Ok(1));
    assert_eq!(call.try_wait(Duration::ZERO).unwrap().unwrap(), 1);
    assert!(call.try_wait(Duration::ZERO).is_none());
    // Asking again is a mistake, which must not hang.
    assert!(matches!(block_on(call), Err(CallError::Cancelled { .. })));
    Call::<()>::ready(Err(CallError::failed("no"))).detach();
}

#[test]
fn a_service_can_be_called_by_names_known_at_run_time() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let echo = |args: BTreeMap<&str, &str>| child.call_service::<String>("it::bench::Worker", "echo", &args).wait();
    assert_eq!(echo(BTreeMap::from([("text", "hello")])).unwrap(), "hello");
    assert!(matches!(echo(BTreeMap::new()), Err(CallError::ArgMissing { name, .. }) if name == "text"));
    let error = echo(BTreeMap::from([("text", "a"), ("test", "b")])).unwrap_err();
    assert!(
        matches!(&error, CallError::ArgUnknown { name, known, .. } if name == "test" && known == &["text"]),
        "{error:?}"
    );
    assert_eq!(error.executed(), Executed::No);

    let error = child.call_service::<String>("it::bench::Worker", "ecko", &()).wait().unwrap_err();
    assert_eq!(error.to_string(), "No such method: 'ecko' of service 'it::bench::Worker'");
    assert_eq!(error.path(), ["worker"]);
    let error = child.call_service::<()>("it::bench::Wirker", "echo", &()).wait().unwrap_err();
    assert!(matches!(&error, CallError::NoSuchService { service, .. } if service == "it::bench::Wirker"), "{error:?}");
    let error = child.call_service::<()>("it::bench::Worker", "marks", &[1, 2]).wait().unwrap_err();
    assert!(matches!(error, CallError::Encode { .. }), "{error:?}");
    assert_eq!(error.executed(), Executed::No);
    // The result is not what the caller takes it for.
    let error = child.call_service::<u8>("it::bench::Worker", "myself", &()).wait().unwrap_err();
    assert!(matches!(error, CallError::Malformed { .. }), "{error:?}");
    // Names of any size and kind are refused in good order, and cut in the answer.
    let long = "x".repeat(1_000_000);
    let error = child.call_service::<()>(&long, &long, &()).wait().unwrap_err();
    assert!(matches!(error, CallError::NoSuchService { .. }) && error.to_string().len() < 1000);
    assert!(child.call_service::<()>("", "", &()).wait().is_err());
    assert_eq!(Worker::stub(&child).echo("on".into()).wait().unwrap(), "on");
}

#[test]
fn five_mebibytes_travel_both_ways() {
    const SIZE: usize = 5 * 1024 * 1024;
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    let data: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    // Several at once, so that big frames are under way in both directions.
    let calls: Vec<_> = (0..3).map(|_| worker.invert(data.clone().into())).collect();
    for call in calls {
        let answer = call.wait().unwrap();
        assert_eq!(answer.len(), SIZE);
        assert!(answer.iter().zip(&data).all(|(got, sent)| *got == !sent));
    }
}

#[test]
fn a_message_beyond_the_bound_is_refused_on_both_ways() {
    let router = mitogen_service::Router::builder().max_message_size(100_000).build().unwrap();
    let bench = Bench::with(router);
    let child = bench.child("child");
    let grandchild = Worker::stub(&child).start_child("grandchild".into()).wait().unwrap();
    // The bound is inherited.
    for worker in [&child, &grandchild].map(Worker::stub) {
        let error = worker.invert(vec![0; 100_001].into()).wait().unwrap_err();
        assert!(matches!(error, CallError::TooLarge { got: 100_001.., max: 100_000, .. }), "{error:?}");
        assert!(error.to_string().starts_with("message too large (max 100000 bytes)"), "{error}");
        let error = worker.produce(100_001, 0).wait().unwrap_err();
        assert!(matches!(error, CallError::TooLarge { got: 100_001.., max: 100_000, .. }), "{error:?}");
        assert_eq!(worker.produce(99_000, 7).wait().unwrap().len(), 99_000);
    }
}

#[test]
fn paths_need_not_be_utf8() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    for path in [&b"/tmp/\xff\xfe"[..], b"/tmp/plain", b""] {
        let path = PathBuf::from(OsStr::from_bytes(path));
        assert_eq!(worker.path(path.clone()).wait().unwrap(), path.join("below"));
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_service_goes_on() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    worker.mark().wait().unwrap();
    // More often than the pool has threads.
    for number in 0..10 {
        let text = format!("panic {number}");
        let error = worker.panic(text.clone()).wait().unwrap_err();
        assert!(matches!(&error, CallError::Panicked { message, .. } if *message == text), "{error:?}");
        assert_eq!(error.executed(), Executed::Yes);
        assert_eq!(error.path(), ["worker"]);
    }
    assert_eq!(worker.marks().wait().unwrap(), 1, "it is the same instance");
}

#[test]
fn an_error_tells_the_contexts_it_came_through() {
    let bench = Bench::new();
    let one = bench.child("one");
    let two = Worker::stub(&one).start_child("two".into()).wait().unwrap();
    let other = bench.child("other");
    for context in [&one, &two, &other] {
        Worker::stub(context).marks().wait().unwrap();
    }
    let fail = |through: Vec<_>| Worker::stub(&other).fail_at(through, "no".into()).wait().unwrap_err();
    assert_eq!(Worker::stub(&two).fail("no".into()).wait().unwrap_err().path(), ["two"]);
    let error = fail(vec![two.clone()]);
    assert_eq!(error.path(), ["other", "two"]);
    assert_eq!(error.to_string(), "no");
    let error = fail(vec![one.clone(), two.clone()]);
    assert_eq!(error.path(), ["other", "one", "two"]);
    assert!(matches!(error, CallError::Failed { .. }), "its kind survives every hop: {error:?}");
    assert_eq!(error.decode::<String>().as_deref(), Some("no"));
}

#[test]
fn a_reply_can_come_from_another_thread_or_be_dropped() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("worker"));
    assert_eq!(worker.later(Some("later".into())).wait().unwrap(), "later");
    let error = worker.later(None).wait().unwrap_err();
    assert!(matches!(error, CallError::Cancelled { .. }), "{error:?}");
    assert_eq!(error.executed(), Executed::Yes);
    // Deferred answers hold no thread: more of them than the pool has threads wait at once.
    let calls: Vec<_> = (0..50).map(|number| worker.later(Some(number.to_string()))).collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait().unwrap(), number.to_string());
    }
}

#[test]
fn a_context_calls_itself_without_a_stream() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.router.myself());
    assert_eq!(worker.echo("me".into()).wait().unwrap(), "me");
    assert_eq!(worker.caller().wait().unwrap(), bench.router.myself());
    let call = worker.hold_until_cancelled(bench.root());
    bench.pass("running");
    drop(call);
    bench.pass("cancelled");
}

#[test]
fn a_child_calls_its_root_and_itself() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let worker = Worker::stub(&child);
    let error = worker.echo_at(bench.root(), "up".into()).wait().unwrap_err();
    assert!(matches!(error, CallError::NotActivated { .. }), "a child activates nothing above it: {error:?}");
    Worker::stub(&bench.root()).marks().wait().unwrap();
    assert_eq!(worker.echo_at(bench.root(), "up".into()).wait().unwrap(), "up");
    assert_eq!(worker.echo_at(child.clone(), "round".into()).wait().unwrap(), "round");
    assert_eq!(worker.caller().wait().unwrap(), bench.root());
}

#[test]
fn a_context_keeps_its_identity_as_argument_and_result() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    let worker = Worker::stub(&one);
    assert_eq!(worker.myself().wait().unwrap(), one);
    assert_eq!(worker.myself().wait().unwrap().name(), "one");
    assert!(worker.same(two.clone(), two.clone()).wait().unwrap());
    assert!(!worker.same(one.clone(), two.clone()).wait().unwrap());
    assert_eq!(worker.caller().wait().unwrap().name(), bench.root().name());
}

#[test]
fn eight_threads_call_at_once_and_each_gets_its_own_results() {
    let bench = Bench::new();
    let contexts = [bench.child("one"), bench.child("two"), bench.root()];
    within(3 * LONG, move || {
        thread::scope(|scope| {
            for thread in 0..8 {
                let contexts = &contexts;
                scope.spawn(move || {
                    for round in 0..50 {
                        let worker = Worker::stub(&contexts[(thread + round) % 3]);
                        let text = format!("{thread} {round} {}", "x".repeat(round * 100));
                        let calls: Vec<_> = (0..10).map(|number| worker.echo(format!("{text}{number}"))).collect();
                        for (number, call) in calls.into_iter().enumerate() {
                            assert_eq!(call.wait().unwrap(), format!("{text}{number}"));
                        }
                    }
                });
            }
        });
    });
}

/// What is too much for a hop is refused; an answer that is refused must still end its call.
#[test]
fn answers_that_are_too_much_for_a_hop_end_their_calls_all_the_same() {
    let bench = Bench::new();
    let hop = bench.child("hop");
    let far = Worker::stub(&Worker::stub(&hop).start_child("far".into()).wait().unwrap());
    let calls: Vec<_> = (0..60).map(|number| far.produce(1024 * 1024, number)).collect();
    let mut answered = 0;
    for (number, call) in calls.into_iter().enumerate() {
        match call.wait_timeout(LONG) {
            Ok(data) => {
                assert!(data.len() == 1024 * 1024 && data.iter().all(|byte| usize::from(*byte) == number));
                answered += 1;
            }
            Err(CallError::Overloaded { .. }) => {}
            Err(other) => panic!("answer {number}: {other:?}"),
        }
    }
    assert!(answered > 0);
    assert_eq!(far.echo("on".into()).wait().unwrap(), "on");
}
