//! Trees of children started by children: ids, routes, authority, and the news of an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use mitogen_service::{CallError, Context, ContextId, Error, Router};
use mitogen_service_tests::{LONG, signal};
use rustix::process::Signal;

use crate::bench::{Bench, Worker};

fn below(parent: &Context, name: &str) -> Context {
    Worker::stub(parent).start_child(name.to_owned()).wait().unwrap()
}

/// A chain of contexts, each started by the one before.
fn chain(bench: &Bench, names: &[&str]) -> Vec<Context> {
    let mut contexts = vec![bench.child(names[0])];
    for name in &names[1..] {
        let next = below(contexts.last().unwrap(), name);
        contexts.push(next);
    }
    contexts
}

/// Lets everybody use the worker there, which only a parent can activate.
fn activate(context: &Context) {
    Worker::stub(context).marks().wait().unwrap();
}

#[test]
fn a_tree_of_four_generations_answers_at_every_level() {
    let bench = Bench::new();
    let contexts = chain(&bench, &["one", "two", "three", "four"]);
    for context in &contexts {
        let worker = Worker::stub(context);
        assert_eq!(worker.echo(context.to_string()).wait().unwrap(), context.name());
        assert_eq!(worker.caller().wait().unwrap(), bench.root());
        assert!(context.is_connected());
    }
    let pids: std::collections::BTreeSet<_> =
        contexts.iter().map(|context| Worker::stub(context).pid().wait().unwrap()).collect();
    assert_eq!(pids.len(), 4, "each is a process of its own");
}

#[test]
fn ten_generations_work_as_well() {
    let bench = Bench::new();
    let names = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
    let contexts = chain(&bench, &names);
    assert_eq!(Worker::stub(contexts.last().unwrap()).echo("down".into()).wait().unwrap(), "down");
}

#[test]
fn ids_are_given_as_in_mitogen() {
    let bench = Bench::new();
    let first = bench.child("first");
    let (two, three) = (below(&first, "two"), below(&first, "three"));
    let last = bench.child("last");
    let below_three = below(&three, "below three");
    let ids = [&first, &two, &three, &last, &below_three].map(|context| context.id().to_string());
    assert_eq!(ids, ["1", "2", "3", "1002", "1003"]);
    assert_eq!(bench.root().id(), ContextId::ROOT);
    assert_eq!(bench.router.children(), [first, last]);
}

#[test]
fn contexts_call_each_other_across_branches() {
    let bench = Bench::new();
    let left = chain(&bench, &["left", "left below"]);
    let right = chain(&bench, &["right", "right below"]);
    let all: Vec<_> = left.iter().chain(&right).collect();
    for context in &all {
        activate(context);
    }
    for caller in &all {
        for callee in &all {
            let text = format!("{caller} to {callee}");
            assert_eq!(Worker::stub(caller).echo_at((*callee).clone(), text.clone()).wait().unwrap(), text);
        }
    }
}

#[test]
fn waiting_callers_everywhere_learn_that_a_hop_is_gone() {
    let bench = Bench::new();
    let far = chain(&bench, &["hop", "far"]);
    let sibling = bench.child("sibling");
    let cousin = below(&sibling, "cousin");
    let near_sibling = below(&far[0], "near sibling");
    activate(&far[1]);
    let hold = |caller: &Context| Worker::stub(caller).hold_at(far[1].clone(), bench.root(), "held".into());
    let direct = Worker::stub(&far[1]).hold_aside(bench.root(), "held".into());
    let through_sibling = hold(&sibling);
    let through_cousin = hold(&cousin);
    let beside = Worker::stub(&near_sibling).hold(bench.root(), "beside".into());
    // All four have arrived where they wait.
    let visits: Vec<_> = (0..4).map(|_| bench.visit()).collect();
    signal(Worker::stub(&far[0]).pid().wait().unwrap(), Signal::KILL);
    for (call, path) in [(direct, &[][..]), (through_sibling, &["sibling"]), (through_cousin, &["cousin"])] {
        let error = call.wait_timeout(LONG).unwrap_err();
        let CallError::Dead { context, reason, exit, .. } = &error else { panic!("{path:?}: {error:?}") };
        assert_eq!(context, "hop", "the context whose process has ended");
        assert_eq!(reason, "the respondent Context has disconnected");
        assert_eq!(exit.and_then(|exit| exit.signal_name()), Some("SIGKILL"));
        assert_eq!(error.path(), path);
    }
    assert!(matches!(beside.wait_timeout(LONG), Err(CallError::Dead { .. })));
    drop(visits);
    assert!(!far[0].is_connected() && !far[1].is_connected() && !near_sibling.is_connected());
    assert_eq!(Worker::stub(&cousin).echo("on".into()).wait().unwrap(), "on");
    // A call that comes later is answered at once, by whoever knows that there is no way.
    assert!(matches!(hold(&cousin).wait_timeout(LONG), Err(CallError::Dead { .. })));
}

#[test]
fn a_context_far_below_that_dies_is_told_of_with_its_exit_and_last_words() {
    let bench = Bench::new();
    let contexts = chain(&bench, &["one", "two", "three"]);
    let error = Worker::stub(&contexts[2]).crash("exit".into()).wait_timeout(LONG).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("context `three` is gone") && text.contains("exited with status 3"), "{text}");
    assert!(text.contains("last words 29"), "parents may know everything: {text}");
    assert!(contexts[0].is_connected() && contexts[1].is_connected() && !contexts[2].is_connected());
}

#[test]
fn what_a_process_wrote_last_is_not_told_to_other_branches() {
    let bench = Bench::new();
    let (victim, stranger) = (bench.child("victim"), bench.child("stranger"));
    activate(&victim);
    let waiting = Worker::stub(&stranger).hold_at(victim.clone(), bench.root(), "held".into());
    let visit = bench.visit();
    Worker::stub(&victim).crash("abort".into()).detach();
    let error = waiting.wait_timeout(LONG).unwrap_err();
    drop(visit);
    let CallError::Dead { exit, stderr_tail, .. } = &error else { panic!("{error:?}") };
    assert_eq!(exit.and_then(|exit| exit.signal_name()), Some("SIGABRT"));
    assert_eq!(stderr_tail, "");
}

#[test]
fn the_end_of_a_context_is_told_once_to_each_who_asked() {
    let bench = Bench::new();
    let contexts = chain(&bench, &["hop", "far"]);
    let told: [Arc<AtomicUsize>; 2] = std::array::from_fn(|_| Arc::default());
    let (last, all) = mpsc::channel();
    for (context, told) in contexts.iter().zip(&told) {
        for _ in 0..3 {
            let (told, last) = (told.clone(), last.clone());
            context
                .on_disconnect(move || {
                    told.fetch_add(1, Ordering::SeqCst);
                    last.send(()).unwrap();
                })
                .detach();
        }
    }
    signal(Worker::stub(&contexts[0]).pid().wait().unwrap(), Signal::KILL);
    for _ in 0..6 {
        all.recv_timeout(LONG).unwrap();
    }
    // Callbacks run in order: one that is asked for now runs after any second round of the others.
    for context in &contexts {
        let last = last.clone();
        context.on_disconnect(move || last.send(()).unwrap()).detach();
        all.recv_timeout(LONG).expect("asked for after the end it is told at once");
    }
    assert_eq!(told.map(|told| told.load(Ordering::SeqCst)), [3, 3]);
    bench.router.shutdown(LONG);
    assert!(all.try_recv().is_err());
}

#[test]
fn a_subscription_that_was_dropped_is_not_told() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (tell, told) = mpsc::channel();
    let subscribe = |name: &'static str| {
        let tell = tell.clone();
        child.on_disconnect(move || tell.send(name).unwrap())
    };
    let (kept, dropped) = (subscribe("kept"), subscribe("dropped"));
    let panics = child.on_disconnect(|| panic!("a callback that panics harms no other one"));
    let second = subscribe("second");
    drop(dropped);
    child.kill().unwrap();
    let told: Vec<_> = (0..2).map(|_| told.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(told, ["kept", "second"]);
    drop((kept, panics, second));
}

#[test]
fn a_callback_that_was_detached_runs_also_when_nobody_holds_the_context_any_more() {
    let bench = Bench::new();
    let child = bench.child("child");
    let pid = Worker::stub(&child).pid().wait().unwrap();
    let (tell, told) = mpsc::channel();
    child.on_disconnect(move || tell.send(()).unwrap()).detach();
    drop(child);
    signal(pid, Signal::KILL);
    told.recv_timeout(LONG).expect("dropping a context ends nothing");
}

#[test]
fn a_sibling_is_told_of_an_end_it_asked_for() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    activate(&two);
    // As in Mitogen, a context is told of those that it has ever sent something to.
    Worker::stub(&one).echo_at(two.clone(), "hello".into()).wait().unwrap();
    Worker::stub(&one).tell_end(bench.root(), two.clone()).wait().unwrap();
    two.kill().unwrap();
    bench.pass("end of two");
}

#[test]
fn siblings_cannot_talk_where_routing_is_unidirectional() {
    let bench = Bench::with(Router::builder().unidirectional(true).build().unwrap());
    let (one, two) = (bench.child("one"), bench.child("two"));
    activate(&two);
    let error = Worker::stub(&one).echo_at(two.clone(), "hello".into()).wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Refused { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("routing mode prevents forward of message from context 1 to context 2 via context 0"),
        "{error}"
    );
    // Children of children inherit it, and parents still talk to all.
    let (left, right) = (below(&one, "left"), below(&one, "right"));
    activate(&left);
    let error = Worker::stub(&right).echo_at(left.clone(), "hello".into()).wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("via context 1"), "{error}");
    activate(&bench.root());
    for context in [&one, &left] {
        assert_eq!(Worker::stub(context).echo_at(bench.root(), "up".into()).wait().unwrap(), "up");
    }
    assert_eq!(Worker::stub(&one).echo_at(left, "down".into()).wait().unwrap(), "down");
}

#[test]
fn only_contexts_below_can_be_ended() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    let error = Worker::stub(&one).end_child(two.clone()).wait().unwrap_err();
    assert!(error.to_string().contains("is not below this one"), "{error}");
    let error = Worker::stub(&one).end_child(bench.root()).wait().unwrap_err();
    assert!(error.to_string().contains("is not below this one"), "{error}");
    assert!(matches!(bench.root().kill(), Err(Error::NotBelow { .. })));
    let far = below(&one, "far");
    Worker::stub(&one).end_child(far.clone()).wait().unwrap();
    assert!(!far.is_connected());
    let far = below(&one, "far");
    far.shutdown(LONG).unwrap();
    assert!(!far.is_connected() && one.is_connected());
    let far = below(&one, "far");
    far.kill().unwrap();
    assert!(!far.is_connected() && one.is_connected());
}

#[test]
fn a_context_that_never_existed_is_no_respondent() {
    let bench = Bench::new();
    let child = bench.child("child");
    let nobody = bench.router.context_by_id(ContextId::new(4711));
    let error = Worker::stub(&nobody).echo("hello".into()).wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("no route to 4711, my ID is 0"), "{error}");
    let error = Worker::stub(&child).echo_at(nobody, "hello".into()).wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("no route to 4711, my ID is 0"), "{error}");
}
