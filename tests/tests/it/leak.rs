//! Nothing is left behind: descriptors, threads, children and zombies of a whole process, counted
//! in a copy of this test binary that runs one test alone.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mitogen_service::{AllowAny, CallError, Pool, PushFileService, Router, service};
use mitogen_service_tests::{Holdings, LONG, signal, within};
use rustix::process::Signal;

use crate::bench::{Bench, Worker};

/// Set in the copy.
const COPY: &str = "MITOGEN_SERVICE_TEST_ALONE";

/// Runs `body` in a copy of this process that runs nothing else, and asserts that it leaves nothing.
fn leaves_nothing(test: &str, body: impl Fn() + Send + 'static) {
    if std::env::var_os(COPY).is_none() {
        let exe = std::env::current_exe().unwrap();
        let mut copy = Command::new(exe);
        copy.args(["--exact", test, "--nocapture"]).env(COPY, "1").stdin(Stdio::null());
        let output = copy.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    within(6 * LONG, move || {
        // What the process gets once and keeps is there after the first round.
        body();
        let before = Holdings::of_this_process();
        body();
        let added = Holdings::added_since(&before);
        assert_eq!(added, Holdings::default());
        assert_eq!(before.children, Holdings::default().children, "no child and no zombie");
    });
}

#[test]
fn starting_and_ending_children_leaves_nothing() {
    leaves_nothing("leak::starting_and_ending_children_leaves_nothing", || {
        let bench = Bench::new();
        for round in 0..50 {
            let child = bench.child("child");
            let worker = Worker::stub(&child);
            let pid = worker.pid().wait().unwrap();
            match round % 4 {
                0 => child.shutdown(LONG).unwrap(),
                1 => child.kill().unwrap(),
                2 => signal(pid, Signal::KILL),
                _ => drop(worker.crash("abort".into()).wait()),
            }
        }
        drop(bench);
    });
}

#[test]
fn pushing_files_leaves_nothing() {
    leaves_nothing("leak::pushing_files_leaves_nothing", || {
        let bench = Bench::new();
        let dir = tempfile::tempdir().unwrap();
        let paths = [("small", 10), ("large", 3_000_000)].map(|(name, size)| {
            let path = dir.path().join(name);
            std::fs::write(&path, vec![7; size]).unwrap();
            path
        });
        for round in 0..10 {
            let (child, other) = (bench.child("child"), bench.child("other"));
            let pid = Worker::stub(&child).pid().wait().unwrap();
            let results = PushFileService::push(&bench.router, &paths)
                .to([&child, &other, &bench.root()])
                .progress(|arrival| {
                    if round % 2 == 0 && arrival.done == 1 {
                        signal(pid, Signal::KILL);
                    }
                })
                .run();
            assert_eq!((&results[1].1, &results[2].1), (&Ok(()), &Ok(())));
        }
    });
}

#[test]
fn fifty_children_of_one_router_leave_nothing_behind_with_it() {
    leaves_nothing("leak::fifty_children_of_one_router_leave_nothing_behind_with_it", || {
        let bench = Bench::new();
        let children: Vec<_> = (0..50).map(|number| bench.child(&number.to_string())).collect();
        for child in &children[..10] {
            Worker::stub(child).marks().wait().unwrap();
        }
        // The router ends them all; the contexts outlive it and hold nothing of the system.
        drop(bench);
        assert!(children.iter().all(|child| !child.is_connected()));
    });
}

#[test]
fn children_that_cannot_be_connected_leave_nothing() {
    leaves_nothing("leak::children_that_cannot_be_connected_leave_nothing", || {
        let router = Router::builder().build().unwrap();
        for _ in 0..20 {
            router.local().current_dir("/no/such/directory").connect().unwrap_err();
            // A child may be quick enough all the same.
            drop(router.local().connect_timeout(Duration::ZERO).connect());
        }
    });
}

#[test]
fn eight_threads_that_connect_at_once_leave_nothing() {
    leaves_nothing("leak::eight_threads_that_connect_at_once_leave_nothing", || {
        let bench = Bench::new();
        let mut ids: Vec<_> = thread::scope(|scope| {
            let connecting: Vec<_> = (0..8)
                .map(|thread| {
                    let bench = &bench.router;
                    scope.spawn(move || {
                        let ids = (0..5).map(|number| {
                            let child = bench.local().name(format!("{thread}.{number}")).connect().unwrap();
                            assert_eq!(Worker::stub(&child).myself().wait().unwrap(), child);
                            child.id()
                        });
                        ids.collect::<Vec<_>>()
                    })
                })
                .collect();
            connecting.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 40, "every child has an id of its own");
        assert_eq!(bench.router.children().len(), 40);
    });
}

#[test]
fn a_router_that_is_dropped_with_pending_calls_fails_them_and_leaves_nothing() {
    leaves_nothing("leak::a_router_that_is_dropped_with_pending_calls_fails_them_and_leaves_nothing", || {
        let bench = Bench::new();
        let child = bench.child("child");
        let worker = Worker::stub(&child);
        let calls: Vec<_> = (0..100).map(|_| worker.hold_until_cancelled(bench.root())).collect();
        let waiting = worker.marks();
        let waiting = thread::spawn(move || waiting.wait());
        drop(bench.visit());
        drop(bench);
        for call in calls {
            assert!(call.wait_timeout(LONG).is_err());
        }
        assert!(matches!(waiting.join().unwrap(), Err(CallError::Dead { .. })));
    });
}

/// Owns a router, and gives it up in a method.
struct Owner(std::sync::Mutex<Option<Router>>);

#[service(name = "owner")]
impl Owner {
    #[expose(policy = AllowAny)]
    fn give_up(&self) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn the_last_handle_of_a_router_may_be_dropped_in_a_method_of_another_one() {
    leaves_nothing("leak::the_last_handle_of_a_router_may_be_dropped_in_a_method_of_another_one", || {
        let (one, other) = (Router::builder().build().unwrap(), Router::builder().build().unwrap());
        let child = other.local().connect().unwrap();
        let pool = Pool::builder(&one).service(Owner(Some(other).into())).start().unwrap();
        Owner::stub(&one.myself()).give_up().wait_timeout(LONG).unwrap();
        assert!(!child.is_connected());
        assert!(pool.close(LONG).is_empty());
    });
}

#[test]
fn the_last_handle_of_a_router_may_be_dropped_in_a_method_of_its_own() {
    leaves_nothing("leak::the_last_handle_of_a_router_may_be_dropped_in_a_method_of_its_own", || {
        let router = Router::builder().build().unwrap();
        let child = router.local().connect().unwrap();
        let myself = router.myself();
        let _pool = Pool::builder(&router).service(Owner(Some(router).into())).start().unwrap();
        // Whether its answer arrives is a matter of order; that all of it ends is not.
        drop(Owner::stub(&myself).give_up().wait_timeout(LONG));
        assert!(!child.is_connected());
    });
}

#[test]
fn the_last_handle_of_a_router_may_be_dropped_in_a_callback() {
    leaves_nothing("leak::the_last_handle_of_a_router_may_be_dropped_in_a_callback", || {
        let router = Router::builder().build().unwrap();
        let child = router.local().connect().unwrap();
        let other = router.local().connect().unwrap();
        let (tell, told) = mpsc::channel();
        let owned = router.clone();
        child
            .on_disconnect(move || {
                drop(owned);
                tell.send(()).unwrap();
            })
            .detach();
        let pid = Worker::stub(&child).pid().wait().unwrap();
        drop(router);
        assert!(other.is_connected(), "the callback still owns the router");
        signal(pid, Signal::KILL);
        told.recv_timeout(LONG).unwrap();
        assert!(!other.is_connected());
    });
}

#[test]
fn a_pool_outlives_no_router() {
    leaves_nothing("leak::a_pool_outlives_no_router", || {
        let router = Router::builder().build().unwrap();
        let pool = Pool::builder(&router).size(8).start().unwrap();
        drop(router);
        assert!(pool.join(Duration::ZERO).is_empty());
        assert!(pool.add(Owner(None.into())).is_err());
    });
}
