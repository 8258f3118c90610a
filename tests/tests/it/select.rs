//! Selects over receivers and calls of real processes, with threads that come and go.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mitogen_service::{Call, CallError, Error, EventKind, Exit, Receiver, Router, Select, as_completed};
use mitogen_service_tests::{LONG, Watched, within};
use rustix::process::Signal;

use crate::bench::{Bench, Worker};
use crate::channel::Feeder;

fn router() -> Router {
    Router::builder().build().unwrap()
}

/// A receiver of numbers that has got these.
fn with(router: &Router, numbers: impl IntoIterator<Item = u32>) -> Receiver<u32> {
    let receiver = router.receiver();
    numbers.into_iter().for_each(|number| receiver.sender().send(number).unwrap());
    receiver
}

#[test]
fn events_tell_key_and_sender_and_ends_come_behind_the_messages() {
    let bench = Bench::new();
    let names = ["one", "two", "three"];
    let select = Select::new();
    let workers = names.map(|name| bench.child(name));
    let calls: Vec<_> = workers
        .iter()
        .map(|worker| {
            let receiver = bench.router.receiver::<u32>();
            let call = Feeder::stub(worker).count(receiver.sender(), 0, 100);
            select.add(receiver, worker.name()).unwrap();
            call
        })
        .collect();
    let (mut next, mut ended) = ([0; 3], [false; 3]);
    within(LONG, move || {
        while let Ok(event) = select.get() {
            let at = names.iter().position(|name| event.key == *name).unwrap();
            match event.kind {
                EventKind::Message => {
                    assert_eq!(event.caller.as_ref().unwrap().name(), names[at]);
                    assert!(!ended[at]);
                    assert_eq!(event.decode::<u32>().unwrap(), next[at]);
                    next[at] += 1;
                }
                EventKind::Ended(_) => ended[at] = true,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((next, ended), ([100; 3], [true; 3]));
        assert!(select.is_empty());
    });
    calls.into_iter().for_each(|call| call.wait().unwrap());
}

#[test]
fn calls_and_receivers_are_waited_for_together() {
    let bench = Bench::new();
    let child = bench.child("child");
    let select = Select::new();
    select.add(Worker::stub(&child).hold(bench.root(), "held".into()), "held").unwrap();
    select.add(Worker::stub(&child).fail("no".into()), "failed").unwrap();
    select.add(with(&bench.router, [7]), "numbers").unwrap();
    let visit = bench.visit();
    for _ in 0..2 {
        let event = select.get_timeout(LONG).unwrap();
        if event.key == "numbers" {
            assert_eq!(event.decode::<u32>().unwrap(), 7);
        } else {
            assert_eq!((event.key.to_string().as_str(), &event.kind), ("failed", &EventKind::Answer));
            assert_eq!(event.caller, Some(child.clone()));
            assert!(matches!(event.decode::<()>(), Err(CallError::Failed { .. })));
        }
    }
    assert!(select.try_get().is_none());
    // A call that is taken out again is as it was.
    let held = select.remove("held").unwrap().into_call::<String>().unwrap();
    visit.go();
    assert_eq!(held.wait_timeout(LONG).unwrap(), "held");
    // The answer of a call that is dropped with its select is of no use to anybody.
    select.add(Worker::stub(&child).hold_until_cancelled(bench.root()), "long").unwrap();
    bench.pass("running");
    drop(select);
    bench.pass("cancelled");
}

#[test]
fn the_end_of_a_child_wakes_a_select_with_the_reason() {
    let bench = Bench::new();
    let child = bench.child("child");
    let receiver = bench.router.receiver::<u32>();
    Feeder::stub(&child).keep(receiver.sender()).wait().unwrap();
    let select = Arc::new(Select::new());
    select.add(receiver, 1).unwrap();
    select.add(Worker::stub(&child).hold(bench.root(), "held".into()), 2).unwrap();
    let _visit = bench.visit();
    let waiting = thread::spawn({
        let select = select.clone();
        move || [select.get().unwrap(), select.get().unwrap()]
    });
    child.kill().unwrap();
    for event in within(LONG, move || waiting.join().unwrap()) {
        let why = event.decode::<String>().unwrap_err();
        assert!(matches!(why, CallError::Dead { exit: Some(Exit::Signal { signal: 9, .. }), .. }), "{why}");
    }
    assert!(select.is_empty());
}

#[test]
fn closing_the_remote_end_wakes_a_select() {
    let bench = Bench::new();
    let feeder = Feeder::stub(&bench.child("child"));
    let receiver = bench.router.receiver::<u32>();
    feeder.keep(receiver.sender()).wait().unwrap();
    let select = Arc::new(Select::new());
    select.add(receiver, "numbers").unwrap();
    let waiting = thread::spawn({
        let select = select.clone();
        move || select.get().unwrap()
    });
    feeder.close_kept().wait().unwrap();
    let event = within(LONG, move || waiting.join().unwrap());
    assert!(matches!(&event.kind, EventKind::Ended(CallError::Cancelled { .. })));
    assert!(event.caller.is_none());
}

#[test]
fn each_event_goes_to_one_of_many_threads() {
    let bench = Bench::new();
    let select = Arc::new(Select::new());
    let calls: Vec<_> = (0..3)
        .map(|number| {
            let child = bench.child(&format!("child {number}"));
            let receiver = bench.router.receiver::<u32>();
            let call = Feeder::stub(&child).count(receiver.sender(), number * 1000, number * 1000 + 1000);
            select.add(receiver, number).unwrap();
            call
        })
        .collect();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let select = select.clone();
            thread::spawn(move || {
                let messages = select.iter().filter(|event| event.kind == EventKind::Message);
                messages.map(|event| event.decode::<u32>().unwrap()).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut got: Vec<_> = within(LONG, move || threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect());
    got.sort();
    assert!(got.into_iter().eq(0..3000));
    calls.into_iter().for_each(|call| call.wait().unwrap());
}

#[test]
fn members_come_and_go_while_others_wait() {
    let router = router();
    let select = Arc::new(Select::new());
    select.add(router.receiver::<u32>(), "idle").unwrap();
    let waiting = thread::spawn({
        let select = select.clone();
        move || select.get().unwrap().decode::<u32>().unwrap()
    });
    let late = router.receiver::<u32>();
    let sender = late.sender();
    select.add(late, "late").unwrap();
    sender.send(7).unwrap();
    assert_eq!(within(LONG, move || waiting.join().unwrap()), 7);
    // The last member that goes wakes those who wait for it.
    let waiting = thread::spawn({
        let select = select.clone();
        move || select.get().unwrap_err()
    });
    let late = select.remove("late").unwrap().into_receiver::<u32>().unwrap();
    drop(select.remove("idle"));
    let error = within(LONG, move || waiting.join().unwrap());
    let text = error.to_string();
    assert!(text.starts_with("Cannot get(), Select instance is empty: ") && text.contains("add a receiver"), "{text}");
    // What was taken out works on.
    sender.send(8).unwrap();
    assert_eq!(late.recv().unwrap(), 8);
}

#[test]
fn a_select_in_a_select_gives_the_innermost_key_and_the_way_to_it() {
    let router = router();
    let (outer, middle, inner) = (Select::new(), Select::new(), Select::new());
    let late = router.receiver::<u32>();
    let sender = late.sender();
    inner.add(with(&router, [1]), "numbers").unwrap();
    inner.add(late, "late").unwrap();
    middle.add(inner, "inner").unwrap();
    outer.add(middle, "middle").unwrap();
    let event = outer.get().unwrap();
    assert_eq!(event.key, "numbers");
    assert!(event.path.iter().map(ToString::to_string).eq(["middle", "inner"]));
    assert_eq!(event.decode::<u32>().unwrap(), 1);
    sender.send(2).unwrap();
    assert_eq!(outer.get().unwrap().decode::<u32>().unwrap(), 2);
    sender.close();
    let event = outer.get_timeout(LONG).unwrap();
    assert_eq!((event.key, matches!(event.kind, EventKind::Ended(_))), ("late".into(), true));
    let middle = outer.remove("middle").unwrap().into_select().unwrap();
    let inner = middle.remove("inner").unwrap().into_select().unwrap();
    assert_eq!(inner.len(), 1);
}

#[test]
fn a_closed_select_wakes_all_and_closes_what_it_had() {
    let router = router();
    let select = Arc::new(Select::new());
    let receiver = router.receiver::<u32>();
    let sender = receiver.sender();
    select.add(receiver, 1).unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let select = select.clone();
            thread::spawn(move || select.get().unwrap_err())
        })
        .collect();
    select.close();
    for thread in waiting {
        let error = within(LONG, move || thread.join().unwrap());
        assert!(matches!(&error, CallError::Cancelled { reason, .. } if reason == "the Select has been closed"));
    }
    assert!(sender.is_closed());
    assert!(matches!(select.add(Call::ready(Ok(1)), 2), Err(Error::Invalid { .. })));
    select.close();
}

#[test]
fn what_a_select_has_not_given_out_counts_against_the_window() {
    let bench = Bench::new();
    let feeder = Feeder::stub(&bench.child("child"));
    let receiver = bench.router.receiver::<u32>();
    feeder.keep(receiver.sender()).wait().unwrap();
    let select = Select::new();
    select.add(receiver, 1).unwrap();
    let full = feeder.fill_kept().wait().unwrap();
    assert_eq!(feeder.fill_kept().wait().unwrap(), 0);
    let events: Vec<_> = (0..full).map(|_| select.get().unwrap()).collect();
    // Taken is taken, decoded or not.
    assert_eq!(feeder.fill_kept().wait().unwrap(), full);
    drop(events);
}

#[test]
fn a_call_in_a_select_ends_when_its_time_is_over() {
    let bench = Bench::new();
    let child = bench.child("child");
    let process = Watched::new(Worker::stub(&child).pid().wait_timeout(LONG).unwrap());
    process.stop();
    let select = Select::new();
    let hurried = Worker::stub(&child).with_timeout(Duration::from_millis(50));
    select.add(hurried.echo("nobody answers".into()), 7).unwrap();
    let event = select.get_timeout(LONG).unwrap();
    let answer = event.decode::<String>();
    assert!(matches!(answer, Err(CallError::DeadlineExceeded { .. })), "{answer:?}");
    let mut all = as_completed([hurried.echo("nor this".into())]);
    let (_, answer) = within(LONG, move || all.next().unwrap());
    assert!(matches!(answer, Err(CallError::DeadlineExceeded { .. })), "{answer:?}");
    process.signal(Signal::CONT);
}
