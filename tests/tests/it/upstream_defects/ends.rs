//! The ends of contexts: who brings them about, and who is told.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mitogen_service::{Context, ContextId};
use mitogen_service_tests::{LONG, Watched, within};

use super::peer::{CALL_SERVICE, DEL_ROUTE, Peer, call, unpacked};
use super::root;
use crate::bench::{Bench, Worker};

// B15
#[test]
fn ending_a_dead_context_returns_at_once_and_keeps_nothing() {
    let router = root();
    let child = router.local().name("child").connect().unwrap();
    // Who does not want to be told any more is forgotten, as all are who wait inside of `shutdown`.
    let held = Arc::new(());
    for _ in 0..1000 {
        let held = held.clone();
        drop(child.on_disconnect(move || drop(held)));
    }
    assert_eq!(Arc::strong_count(&held), 1);
    // One that ends while it is asked to, one that is gone, one that never was.
    child.shutdown(LONG).unwrap();
    let nobody = router.context_by_id(ContextId::new(4711));
    within(LONG, {
        let child = child.clone();
        move || {
            for _ in 0..1000 {
                for context in [&child, &nobody] {
                    context.shutdown(Duration::from_secs(3600)).unwrap();
                    context.kill().unwrap();
                }
            }
        }
    });
}

// B15
#[test]
fn ending_a_context_that_is_about_to_be_gone_is_no_error() {
    let router = root();
    let mut peer = Peer::join(&router, "peer");
    // The more there is behind it, the longer its end takes.
    for _ in 0..50 {
        let first = peer.allocate().unwrap();
        for id in first..first + 1000 {
            peer.add_route(id, "below");
        }
    }
    peer.settle();
    drop(peer.socket);
    while !router.children().is_empty() {
        thread::yield_now();
    }
    peer.me.kill().unwrap();
}

// B16
#[test]
fn every_value_of_a_context_ends_it() {
    let bench = Bench::new();
    let process = |context: &Context| Watched::new(Worker::stub(context).pid().wait_timeout(LONG).unwrap());
    for gracefully in [false, true] {
        let by_id = bench.child("by id");
        let decoded = bench.child("decoded");
        let hop = bench.child("hop");
        let started_there = Worker::stub(&hop).start_child("far".into()).wait_timeout(LONG).unwrap();
        let values = [
            bench.router.context_by_id(by_id.id()),
            Worker::stub(&decoded).myself().wait_timeout(LONG).unwrap(),
            // Nobody here has started this one.
            bench.router.context_by_id(started_there.id()),
        ];
        for value in values {
            let process = process(&value);
            if gracefully { value.shutdown(LONG) } else { value.kill() }.unwrap();
            assert!(!value.is_connected(), "{value}");
            assert!(process.ends_within(LONG), "{value}");
        }
        assert!(hop.is_connected());
        hop.kill().unwrap();
        assert_eq!(bench.router.children(), []);
    }
}

// B17
#[test]
fn a_context_is_told_dead_once() {
    let router = root();
    let mut peer = Peer::join(&router, "peer");
    let far = peer.allocate().unwrap();
    peer.add_route(far, "far");
    peer.settle();
    let (tell, told) = mpsc::channel();
    for (name, context) in [("far", router.context_by_id(ContextId::new(far))), ("peer", peer.me.clone())] {
        let tell = tell.clone();
        context.on_disconnect(move || tell.send(name).unwrap()).detach();
    }
    // Its end is told, told again, and follows once more from the end of the stream.
    peer.del_route(far);
    peer.del_route(far);
    peer.settle();
    drop(peer.socket);
    drop(tell);
    let told: Vec<_> = (0..2).map(|_| told.recv_timeout(LONG).unwrap()).chain(told.iter()).collect();
    assert_eq!(told, ["far", "peer"]);
}

// B17
#[test]
fn a_neighbour_is_told_of_an_end_once() {
    let router = root();
    let (mut hop, mut asker) = (Peer::join(&router, "hop"), Peer::join(&router, "asker"));
    let far = hop.allocate().unwrap();
    hop.add_route(far, "far");
    hop.settle();
    let me = asker.id();
    for _ in 0..3 {
        asker.forge([far, me, me, CALL_SERVICE, 7000], &call("any", "thing"));
        assert_eq!(hop.next().src, me);
    }
    hop.del_route(far);
    hop.del_route(far);
    hop.settle();
    drop(hop.socket);
    let told = asker.next();
    assert_eq!((told.handle, unpacked(&told.payload[1..])), (DEL_ROUTE, far));
    // A second one would come before the answer to this.
    asker.settle();
}

// B17
#[test]
fn a_context_that_is_ended_in_many_ways_at_once_is_told_dead_once() {
    let router = root();
    let child = router.local().name("child").connect().unwrap();
    let (tell, told) = mpsc::channel();
    child.on_disconnect(move || tell.send(()).unwrap()).detach();
    thread::scope(|scope| {
        for _ in 0..4 {
            // That it is about to be gone may be an error, see above.
            scope.spawn(|| child.kill());
            scope.spawn(|| child.shutdown(LONG));
            scope.spawn(|| router.shutdown(LONG));
        }
    });
    // The callback was run, and dropped together with its sender.
    assert_eq!(told.iter().count(), 1);
    assert!(!child.is_connected());
}

// B18; that destinations which end are forgotten is shown by the tests of `router::table`.
#[test]
fn children_are_listed_as_they_were_when_it_was_asked() {
    let router = root();
    let (one, two) = (Peer::join(&router, "one"), Peer::join(&router, "two"));
    let both = router.children();
    assert_eq!(both, [one.me.clone(), two.me.clone()]);
    let (tell, told) = mpsc::channel();
    one.me.on_disconnect(move || tell.send(()).unwrap()).detach();
    drop(one.socket);
    told.recv_timeout(LONG).unwrap();
    let _three = Peer::join(&router, "three");
    assert_eq!(both, [one.me, two.me]);
    assert_eq!(router.children().iter().map(Context::name).collect::<Vec<_>>(), ["two", "three"]);
}
