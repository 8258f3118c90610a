//! How many threads the services of files take, and what happens beyond that.

use std::fs;
use std::time::Duration;

use mitogen_service::{
    CallError, EventKind, FileError, FileService, PushFileService, Receiver, Select, StoreOptions, Stored, as_completed,
};
use mitogen_service_tests::{LONG, Watched, within};
use rustix::process::Signal;

use crate::bench::{Bench, Worker};

/// How many calls of a service run at a time, and how many wait.
const RUNNING: usize = 32;
const WAITING: usize = 4096;

/// How many threads for files a process has, of those that have come to naming themselves.
fn threads(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "mitogen-files").count()
}

#[test]
fn as_many_files_are_stored_at_a_time_as_may_and_the_others_wait() {
    let bench = Bench::new();
    let child = bench.child("child");
    let pid = Worker::stub(&child).pid().wait_timeout(LONG).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let metadata = FileService::get(&child, "/etc/passwd", &mut std::io::sink()).run().unwrap().metadata;
    let store = || {
        let ready: Receiver<Stored> = bench.router.receiver().from(&child);
        let (path, options) = (dir.path().join("to"), StoreOptions::default());
        let call = FileService::stub(&child).store(path, metadata.clone(), options, ready.sender());
        (ready, call)
    };
    let begun = (0..RUNNING).map(|_| {
        let (ready, call) = store();
        (ready.recv_timeout(LONG).unwrap(), call)
    });
    let mut begun: Vec<_> = begun.collect();
    assert_eq!(threads(pid), RUNNING);

    // One more than may wait. It need not be the last one: the pool has two threads.
    let (readies, calls): (Vec<_>, Vec<_>) = (0..=WAITING).map(|_| store()).unzip();
    let mut ends = as_completed(calls);
    let ((_, refused), _ends) = within(LONG, move || (ends.next().unwrap(), ends));
    assert!(matches!(refused, Err(CallError::Overloaded { .. })), "{refused:?}");
    assert_eq!(threads(pid), RUNNING);
    // What is sent, and not taken, is not bounded by these.
    FileService::get(&child, "/etc/passwd", &mut std::io::sink()).run().unwrap();

    // One ends, and one of those that wait has its place.
    let (stored, call) = begun.remove(0);
    stored.data.close();
    drop(stored);
    let error = FileError::from(call.wait_timeout(LONG).unwrap_err());
    assert!(matches!(error, FileError::Interrupted { .. }), "{error:?}");
    let select = Select::new();
    for (number, ready) in (0..).zip(readies) {
        select.add(ready, number).unwrap();
    }
    // That of the call that was refused ends.
    let mut events = std::iter::from_fn(|| select.get_timeout(LONG).ok());
    let next = events.find(|event| !matches!(event.kind, EventKind::Ended(_))).expect("one has its turn");
    next.decode::<Stored>().unwrap();
    assert_eq!(threads(pid), RUNNING);
}

#[test]
fn as_many_files_are_propagated_at_a_time_as_may_and_the_others_wait() {
    let bench = Bench::new();
    let hop = bench.child("hop");
    let far = Worker::stub(&hop).start_child("far".into()).wait_timeout(LONG).unwrap();
    let [pid, far_pid] = [&hop, &far].map(|context| Worker::stub(context).pid().wait_timeout(LONG).unwrap());
    let process = Watched::new(far_pid);
    process.stop();
    let service = PushFileService::stub(&hop);
    let calls: Vec<_> = (0..4 * RUNNING).map(|_| service.propagate_to(far.clone(), "/etc/passwd".into())).collect();
    // The calls of this service are run in their order.
    assert!(!service.forget("/nothing".into()).wait_timeout(LONG).unwrap());
    // A thread that has not come to naming itself has the name of the one that has started it. So some of these may not
    // be counted, and both that they start may be: the one that pushes to the neighbour, and the one that hears of it.
    let threads = threads(pid);
    assert!(threads <= RUNNING + 2, "{threads}");
    process.signal(Signal::CONT);
    for call in calls {
        call.wait_timeout(LONG).unwrap();
    }
}

#[test]
fn a_propagation_that_nobody_waits_for_any_more_leaves_its_place_to_others() {
    let bench = Bench::new();
    let hop = bench.child("hop");
    let far = Worker::stub(&hop).start_child("far".into()).wait_timeout(LONG).unwrap();
    let process = Watched::new(Worker::stub(&far).pid().wait_timeout(LONG).unwrap());
    process.stop();
    let service = PushFileService::stub(&hop);
    let hurried = service.clone().with_timeout(Duration::from_millis(300));
    let calls: Vec<_> = (0..RUNNING).map(|_| hurried.propagate_to(far.clone(), "/etc/passwd".into())).collect();
    for call in calls {
        let error = call.wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error:?}");
    }
    service.propagate_to(hop.clone(), "/etc/passwd".into()).wait_timeout(LONG).unwrap();
    process.signal(Signal::CONT);
}
