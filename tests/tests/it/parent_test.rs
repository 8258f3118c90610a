//! `DisconnectTest` of Mitogen's `tests/parent_test.py`: each test is named after its original.
//!
//! Somebody waits for a context, something on the way to it is killed, and the waiting ends.

use std::sync::mpsc;

use mitogen_service::{Call, CallError, Context};
use mitogen_service_tests::{LONG, signal};
use rustix::process::Signal;

use crate::bench::{Bench, Visit, Worker};

fn below(parent: &Context, name: &str) -> Context {
    Worker::stub(parent).start_child(name.to_owned()).wait().unwrap()
}

/// A call of a method that is running and does not return; of the root, or of another context.
fn waits(bench: &Bench, caller: Option<&Context>, callee: &Context) -> (Call<String>, Visit) {
    // Only a parent can activate the worker there.
    Worker::stub(callee).marks().wait().unwrap();
    let held = "held".to_owned();
    let call = match caller {
        None => Worker::stub(callee).hold(bench.root(), held),
        Some(caller) => Worker::stub(caller).hold_at(callee.clone(), bench.root(), held),
    };
    (call, bench.visit())
}

fn kill(victim: &Context) {
    signal(Worker::stub(victim).pid().wait().unwrap(), Signal::KILL);
}

/// Waits for the error, which tells of the context that was killed. `path` has who relayed it.
fn assert_disconnected((call, visit): (Call<String>, Visit), killed: &Context, path: &[&str]) {
    let error = call.wait_timeout(LONG).unwrap_err();
    drop(visit);
    let CallError::Dead { context, reason, exit, .. } = &error else { panic!("{error:?}") };
    assert_eq!((context.as_str(), reason.as_str()), (killed.name(), "the respondent Context has disconnected"));
    assert_eq!(exit.and_then(|exit| exit.signal_name()), Some("SIGKILL"));
    assert_eq!(error.path(), path);
    // Those behind a context are gone before itself, so its own end may come a moment later.
    let (tell, told) = mpsc::channel();
    killed.on_disconnect(move || tell.send(()).unwrap()).detach();
    told.recv_timeout(LONG).unwrap();
    assert!(!killed.is_connected());
}

#[test]
fn test_child_disconnected() {
    let bench = Bench::new();
    let child = bench.child("child");
    let waiting = waits(&bench, None, &child);
    kill(&child);
    assert_disconnected(waiting, &child, &[]);
}

#[test]
fn test_indirect_child_disconnected() {
    let bench = Bench::new();
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    let waiting = waits(&bench, None, &far);
    kill(&far);
    assert_disconnected(waiting, &far, &[]);
    assert_eq!(Worker::stub(&hop).echo("on".into()).wait().unwrap(), "on");
}

#[test]
fn test_indirect_child_intermediary_disconnected() {
    let bench = Bench::new();
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    let waiting = waits(&bench, None, &far);
    kill(&hop);
    assert_disconnected(waiting, &hop, &[]);
    assert!(!far.is_connected());
}

#[test]
fn test_near_sibling_disconnected() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    let waiting = waits(&bench, Some(&two), &one);
    kill(&one);
    assert_disconnected(waiting, &one, &["two"]);
    assert_eq!(Worker::stub(&two).echo("on".into()).wait().unwrap(), "on");
}

#[test]
fn test_far_sibling_disconnected() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    let (below_one, below_two) = (below(&one, "below one"), below(&two, "below two"));
    let waiting = waits(&bench, Some(&below_two), &below_one);
    kill(&below_one);
    assert_disconnected(waiting, &below_one, &["below two"]);
    assert!(one.is_connected() && below_two.is_connected());
}
