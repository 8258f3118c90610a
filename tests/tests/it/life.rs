//! How contexts end in good order, and how they are connected.

use std::time::{Duration, Instant};

use mitogen_service::{CallError, ConnectKind, Error, Router};
use mitogen_service_tests::{LONG, Watched, within};

use crate::bench::{Bench, Visit, Worker};

#[test]
fn a_graceful_end_lets_methods_finish_and_answers_what_is_queued() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let worker = Worker::stub(&child);
    let process = Watched::new(worker.pid().wait().unwrap());
    let running = ["one", "two"].map(|name| worker.hold(bench.root(), name.into()));
    let visits = [bench.visit(), bench.visit()];
    let queued: Vec<_> = (0..10).map(|_| worker.mark()).collect();
    let ending = std::thread::spawn(move || child.shutdown(LONG).map(|()| child));
    for call in queued {
        let error = call.wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
        assert_eq!(error.executed(), mitogen_service::Executed::No);
    }
    assert!(!process.ends_within(Duration::ZERO), "its methods are still running");
    visits.into_iter().for_each(Visit::go);
    let mut names = running.map(|call| call.wait_timeout(LONG).unwrap());
    names.sort();
    assert_eq!(names, ["one", "two"]);
    let child = ending.join().unwrap().unwrap();
    assert!(process.ends_within(LONG) && !process.is_listed(), "it was reaped");
    let error = worker.marks().wait().unwrap_err();
    assert!(matches!(error, CallError::Dead { .. }), "{error:?}");
    within(LONG, move || child.shutdown(LONG)).expect("a context that is gone ends at once");
}

/// Whoever calls a context that is about to exit gets an error; it must not cost others their answers.
#[test]
fn calls_that_come_too_late_do_not_spoil_answers_that_were_given() {
    for _ in 0..30 {
        let bench = Bench::new();
        let child = bench.child("worker");
        let worker = Worker::stub(&child);
        let running = worker.hold(bench.root(), "one".into());
        let visit = bench.visit();
        let ending = std::thread::spawn(move || child.shutdown(LONG));
        let late = std::thread::spawn(move || while !matches!(worker.marks().wait(), Err(CallError::Dead { .. })) {});
        visit.go();
        assert_eq!(running.wait_timeout(LONG).unwrap(), "one");
        ending.join().unwrap().unwrap();
        late.join().unwrap();
    }
}

#[test]
fn ending_a_context_that_is_gone_returns_at_once() {
    let bench = Bench::new();
    let child = bench.child("worker");
    child.kill().unwrap();
    let started = Instant::now();
    child.shutdown(Duration::from_secs(3600)).unwrap();
    child.kill().unwrap();
    assert!(started.elapsed() < LONG);
}

#[test]
fn a_method_that_never_returns_is_killed_when_the_bound_is_over() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let call = Worker::stub(&child).hold(bench.root(), "for ever".into());
    let visit = bench.visit();
    let started = Instant::now();
    child.shutdown(Duration::from_millis(100)).unwrap();
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_millis(100) && elapsed < LONG, "{elapsed:?}");
    assert!(matches!(call.wait_timeout(LONG), Err(CallError::Dead { .. })));
    drop(visit);
}

#[test]
fn a_stopped_process_is_killed_when_the_bound_is_over() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let worker = Worker::stub(&child);
    let process = Watched::new(worker.pid().wait().unwrap());
    process.stop();
    let call = worker.marks();
    child.shutdown(Duration::from_millis(50)).unwrap();
    assert!(!child.is_connected());
    assert!(process.ends_within(LONG));
    assert!(matches!(call.wait_timeout(LONG), Err(CallError::Dead { .. })));
}

#[test]
fn a_stopped_process_further_down_is_ended_as_well() {
    for bound in [Some(Duration::from_millis(300)), None] {
        let bench = Bench::new();
        let child = bench.child("worker");
        let below = Worker::stub(&child).start_child("below".into()).wait_timeout(LONG).unwrap();
        let process = Watched::new(Worker::stub(&below).pid().wait_timeout(LONG).unwrap());
        process.stop();
        match bound {
            Some(bound) => child.shutdown(bound).unwrap(),
            None => drop(bench),
        }
        assert!(process.ends_within(LONG), "{bound:?}");
    }
}

#[test]
fn kill_ends_whatever_a_context_is_doing() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let worker = Worker::stub(&child);
    let call = worker.hold(bench.root(), "held".into());
    let _visit = bench.visit();
    child.kill().unwrap();
    assert!(!child.is_connected());
    let error = call.wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("SIGKILL"), "{error}");
}

#[test]
fn the_end_of_a_router_ends_everything_below_it() {
    let bench = Bench::new();
    let child = bench.child("one");
    let far = Worker::stub(&child).start_child("two".into()).wait().unwrap();
    let processes = [&child, &far].map(|context| Watched::new(Worker::stub(context).pid().wait().unwrap()));
    let held = Worker::stub(&far).hold(bench.root(), "held".into());
    let visit = bench.visit();
    drop(bench);
    for process in &processes {
        assert!(process.ends_within(LONG));
    }
    assert!(!processes[0].is_listed(), "the child was reaped");
    let error = held.wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Dead { .. }), "{error:?}");
    drop(visit);
    assert!(matches!(Worker::stub(&far).marks().wait_timeout(LONG), Err(CallError::Dead { .. })));
}

#[test]
fn a_closed_router_says_so() {
    let router = Router::builder().build().unwrap();
    let child = router.local().connect().unwrap();
    let waiting = std::thread::spawn({
        let router = router.clone();
        move || router.wait()
    });
    router.shutdown(LONG);
    waiting.join().unwrap();
    assert!(!child.is_connected());
    assert!(matches!(router.local().connect(), Err(Error::Closed)));
    assert!(matches!(mitogen_service::Pool::builder(&router).start(), Err(Error::Closed)));
    assert!(matches!(Worker::stub(&child).marks().wait_timeout(LONG), Err(CallError::Dead { .. })));
    within(LONG, move || {
        router.shutdown(LONG);
        router.wait();
    });
}

/// `Duration::MAX` is the natural way to say "without a bound".
#[test]
fn a_context_may_be_connected_without_a_bound() {
    let router = Router::builder().build().unwrap();
    let child = router.local().connect_timeout(Duration::MAX).connect().unwrap();
    Worker::stub(&child).marks().wait().unwrap();
}

#[test]
fn a_context_may_be_shut_down_without_a_bound() {
    within(LONG, || {
        let bench = Bench::new();
        let child = bench.child("child");
        let held = Worker::stub(&child).hold(bench.root(), "held".into());
        let visit = bench.visit();
        let ending = std::thread::spawn(move || child.shutdown(Duration::MAX));
        visit.go();
        assert_eq!(held.wait().unwrap(), "held");
        ending.join().unwrap().unwrap();
    });
}

#[test]
fn a_pool_may_be_closed_without_a_bound() {
    within(LONG, || {
        let bench = Bench::new();
        assert!(bench.pool.close(Duration::MAX).is_empty());
    });
}

#[test]
fn a_router_may_be_shut_down_without_a_bound() {
    within(LONG, || {
        let bench = Bench::new();
        let child = bench.child("child");
        Worker::stub(&child).marks().wait().unwrap();
        bench.router.shutdown(Duration::MAX);
        assert!(!child.is_connected());
    });
}

#[test]
fn a_name_that_cannot_be_one_is_refused() {
    let router = Router::builder().build().unwrap();
    for name in ["", "two\nlines", "nul\0", &"x".repeat(257)] {
        let error = router.local().name(name).connect().unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{name:?}: {error:?}");
    }
    let long = "ü".repeat(128);
    let child = router.local().name(&long).connect().unwrap();
    assert_eq!(child.name(), long);
    assert_eq!(Worker::stub(&child).myself().wait().unwrap().name(), long);
}

#[test]
fn a_directory_that_is_not_there_is_told_of() {
    let router = Router::builder().build().unwrap();
    let error = router.local().name("lost").current_dir("/no/such/directory").connect().unwrap_err();
    assert!(matches!(&error, Error::Connect { kind: ConnectKind::NoDirectory { .. }, .. }), "{error:?}");
    assert!(error.to_string().starts_with("cannot connect `lost`: the directory /no/such/directory"), "{error}");
}

#[test]
fn a_child_has_the_environment_and_directory_that_it_was_given() {
    let router = Router::builder().build().unwrap();
    let child = router.local().env("MITOGEN_SERVICE_TEST_GREETING", "hello").current_dir("/proc").connect().unwrap();
    let surroundings = Surroundings::stub(&child).look("MITOGEN_SERVICE_TEST_GREETING".into()).wait().unwrap();
    assert_eq!(surroundings, ("hello".to_owned(), "/proc".into()));
}

#[derive(Default)]
struct Surroundings;

#[mitogen_service::service(activate)]
impl Surroundings {
    #[expose(policy = mitogen_service::AllowParents)]
    fn look(&self, variable: String) -> (String, std::path::PathBuf) {
        (std::env::var(variable).unwrap_or_default(), std::env::current_dir().unwrap_or_default())
    }
}

/// Whatever the moment: the thread that connects gets a context or an error, and nothing is left.
#[test]
fn a_router_may_be_closed_while_children_connect() {
    for round in 0..20 {
        within(3 * LONG, move || {
            let router = Router::builder().build().unwrap();
            let connecting: Vec<_> = (0..4)
                .map(|_| {
                    let router = router.clone();
                    std::thread::spawn(move || {
                        loop {
                            if let Err(error) = router.local().connect() {
                                return error;
                            }
                        }
                    })
                })
                .collect();
            // The end shall meet the starts at another point in each round.
            std::thread::sleep(Duration::from_micros(700 * round));
            router.shutdown(Duration::from_secs(5));
            for thread in connecting {
                let error = thread.join().unwrap();
                let expected = matches!(&error, Error::Closed | Error::Connect { kind: ConnectKind::Cancelled, .. });
                assert!(expected, "{error:?}");
            }
        });
    }
}
