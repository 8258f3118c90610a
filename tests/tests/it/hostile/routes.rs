//! Routes to contexts that are not the stranger's, and names.

use std::collections::BTreeMap;

use mitogen_service::{CallError, Context, ContextId};
use mitogen_service_tests::{LONG, Watched};
use rustix::process::Signal;

use super::peer::{ADD_ROUTE, ALLOCATE_ID, Answer, DEL_ROUTE, Frame, MARKER, Stranger, nothing, pack};
use super::{Everyone, MIB, Peak, alone};
use crate::bench::Worker;

/// A block of ids for what is below the stranger.
fn block(stranger: &mut Stranger) -> u32 {
    let reply_to = stranger.voice.new_handle();
    match stranger.ask(&stranger.voice.frame(0, ALLOCATE_ID, reply_to, Vec::new())) {
        Answer::Other(block) => rmp_serde::from_slice::<(u32, u32)>(&block.payload).unwrap().0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_child_cannot_announce_contexts_of_others() {
    let log = alone("routes::a_child_cannot_announce_contexts_of_others", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let own = block(&mut stranger);
        let (one, two) = (everyone.one.id().get(), everyone.two.id().get());
        let believed = stranger.voice.frame(0, ADD_ROUTE, 0, pack(&(own, "below")));
        stranger.voice.send(&believed);
        for id in [0, one, two, stranger.id, own - 1, own + 1000, u32::MAX, own] {
            for name in ["root", "one", ""] {
                let route = stranger.voice.frame(0, ADD_ROUTE, 0, pack(&(id, name)));
                stranger.voice.send(&route);
            }
        }
        stranger.assert_unanswered();
        let name = |id| everyone.router().context_by_id(ContextId::new(id)).name().to_owned();
        assert_eq!([0, one, two, own].map(name), ["root", "one", "two", "below"]);
        assert_eq!(stranger.context.name(), "stranger");
        for id in [own + 1000, u32::MAX] {
            let error = Worker::stub(&everyone.router().context_by_id(ContextId::new(id))).marks().wait_timeout(LONG);
            assert!(error.unwrap_err().to_string().contains("no route to"), "{id} leads nowhere");
        }
        everyone.finish();
    });
    let Some(log) = log else { return };
    log.assert_line(&["`stranger`: 0 was not allocated to the subtree of 3"]);
}

/// A name from elsewhere stands in log lines and errors.
#[test]
fn a_name_cannot_forge_log_lines() {
    alone("routes::a_name_cannot_forge_log_lines", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let own = block(&mut stranger);
        let long = "x".repeat(100_000);
        let names = ["web\n[root] ERROR: all is lost", "\x1b[31mred\x07", "", long.as_str()];
        for (id, name) in (own..).zip(names) {
            let route = stranger.voice.frame(0, ADD_ROUTE, 0, pack(&(id, name)));
            stranger.voice.send(&route);
        }
        stranger.assert_unanswered();
        for id in own..own + names.len() as u32 {
            let context = everyone.router().context_by_id(ContextId::new(id));
            let name = context.name();
            assert!(!name.contains(char::is_control) && (1..=256).contains(&name.len()), "{name:?}");
        }
        everyone.finish();
    });
}

#[test]
fn a_child_cannot_tell_the_end_of_others() {
    let log = alone("routes::a_child_cannot_tell_the_end_of_others", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let held = Worker::stub(&everyone.one).hold_aside(everyone.bench.root(), "held".into());
        let visit = everyone.bench.visit();
        let ids = [0, everyone.one.id().get(), everyone.two.id().get(), stranger.id, 77, u32::MAX];
        for id in ids {
            let route = stranger.voice.frame(0, DEL_ROUTE, 0, pack(&(id, ())));
            stranger.voice.send(&route);
            // To a sibling, as only the root may.
            let one = stranger.voice.frame(everyone.one.id().get(), DEL_ROUTE, 0, pack(&(id, ())));
            stranger.voice.send(&one);
            stranger.voice.send(&Frame { src: 0, auth: 0, ..one });
        }
        stranger.assert_unanswered();
        assert!(everyone.one.is_connected() && everyone.two.is_connected() && stranger.context.is_connected());
        visit.go();
        assert_eq!(held.wait_timeout(LONG).unwrap(), "held");
        everyone.finish();
    });
    let Some(log) = log else { return };
    log.assert_line(&["`stranger`: received DEL_ROUTE for 1 from"]);
}

/// What a child says of an end goes into the errors of those who wait.
#[test]
fn what_a_child_says_of_an_end_is_cut_to_some_length() {
    alone("routes::what_a_child_says_of_an_end_is_cut_to_some_length", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let own = block(&mut stranger);
        let long = MARKER.repeat(100_000);
        let keys = ["context", "reason", "stderr_tail", "exit", "unknown"];
        let texts: BTreeMap<_, _> = keys.into_iter().map(|key| (key, long.as_str())).collect();
        let readable: BTreeMap<_, _> = texts.clone().into_iter().filter(|(key, _)| *key != "exit").collect();
        for (id, death) in (own..).zip([&texts, &readable]) {
            let come = stranger.voice.frame(0, ADD_ROUTE, 0, pack(&(id, "below")));
            stranger.voice.send(&come);
            stranger.assert_unanswered();
            let context = everyone.router().context_by_id(ContextId::new(id));
            let call = context.call_service::<()>("any", "method", &nothing());
            assert_eq!(stranger.next_call().dst, id);
            let go = stranger.voice.frame(0, DEL_ROUTE, 0, pack(&(id, death)));
            stranger.voice.send(&go);
            match call.wait_timeout(LONG).unwrap_err() {
                CallError::Dead { reason, context, stderr_tail, .. } => {
                    let lengths = [reason.len(), context.len(), stderr_tail.len()];
                    assert!(lengths.iter().all(|length| *length <= 4096), "{lengths:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        everyone.finish();
    });
}

/// Announces all ids of so many blocks under this name.
fn announce(stranger: &mut Stranger, blocks: u32, name: &str) {
    for _ in 0..blocks {
        let own = block(stranger);
        let routes = (own..own + 1000).map(|id| stranger.voice.frame(0, ADD_ROUTE, 0, pack(&(id, name))).encode());
        let routes: Vec<u8> = routes.flatten().collect();
        stranger.voice.try_send_bytes(&routes).unwrap();
    }
    stranger.assert_unanswered();
}

/// A child may announce as many contexts as it has ids, of which it may have 999,000.
#[test]
fn contexts_with_long_names_take_a_bounded_share_of_memory() {
    alone("routes::contexts_with_long_names_take_a_bounded_share_of_memory", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let peak = Peak::begin();
        announce(&mut stranger, 200, &MARKER.repeat(256 / MARKER.len()));
        peak.assert_below(32 * MIB);
        everyone.finish();
    });
}

/// Lets contexts come, ask `whom` something and go, each with a long story of its end, which the root
/// itself tells the one who was asked.
fn send_news(stranger: &mut Stranger, whom: &Context, rounds: usize) {
    let own = block(stranger);
    let text = MARKER.repeat(256 / MARKER.len());
    let keys = ["context", "reason", "stderr_tail"];
    let death: BTreeMap<_, _> = keys.into_iter().map(|key| (key, text.as_str())).collect();
    let mut round = Vec::new();
    for id in own..own + 1000 {
        let come = stranger.voice.frame(0, ADD_ROUTE, 0, pack(&(id, "below")));
        let question = stranger.voice.frame(whom.id().get(), 5000, 0x2000_0000, Vec::new());
        let question = Frame { src: id, auth: id, ..question };
        let go = stranger.voice.frame(0, DEL_ROUTE, 0, pack(&(id, &death)));
        round.extend([come, question, go].iter().flat_map(Frame::encode));
    }
    for _ in 0..rounds {
        // It does not read what is refused of all that, and may be cut for it.
        if stranger.voice.try_send_bytes(&round).is_err() {
            return;
        }
    }
}

#[test]
fn news_without_end_do_not_have_a_sibling_cut() {
    alone("routes::news_without_end_do_not_have_a_sibling_cut", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        send_news(&mut stranger, &everyone.one, 60);
        assert!(everyone.one.is_connected());
        everyone.finish();
    });
}

/// A sibling that pauses for a while is not given up before the 45 seconds are over.
#[test]
fn news_without_end_do_not_have_a_sibling_cut_that_pauses() {
    alone("routes::news_without_end_do_not_have_a_sibling_cut_that_pauses", || {
        let everyone = Everyone::new();
        let sibling = everyone.bench.child("sibling");
        let process = Watched::new(Worker::stub(&sibling).pid().wait().unwrap());
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        process.stop();
        send_news(&mut stranger, &sibling, 60);
        assert!(sibling.is_connected());
        process.signal(Signal::CONT);
        assert_eq!(Worker::stub(&sibling).echo("here".into()).wait_timeout(LONG).unwrap(), "here");
        everyone.finish();
    });
}

/// What is to be looked through at the end of one context must not grow with what others have.
#[test]
fn the_end_of_many_contexts_with_many_calls_does_not_hold_up_others() {
    alone("routes::the_end_of_many_contexts_with_many_calls_does_not_hold_up_others", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        announce(&mut stranger, 100, "below");
        let pass = stranger.voice.call("gate", "pass", &BTreeMap::from([("name", MARKER)]));
        for number in 0..16_000 {
            stranger.voice.send(&Frame { reply_to: 0x2000_0000 + number, ..pass.clone() });
        }
        let last = stranger.voice.frame(0, 5000, 0x3000_0000, Vec::new());
        stranger.ask(&last);
        drop(stranger);
        everyone.go_on();
        everyone.finish();
    });
}

/// A child may say that what is below it has come and gone, as often as it likes.
#[test]
fn contexts_that_come_and_go_without_end_leave_nothing() {
    alone("routes::contexts_that_come_and_go_without_end_leave_nothing", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let own = block(&mut stranger);
        let peak = Peak::begin();
        for round in 0..30_000 {
            let id = own + round % 1000;
            let come = stranger.voice.frame(0, ADD_ROUTE, 0, pack(&(id, "below")));
            stranger.voice.send(&come);
            let go = stranger.voice.frame(0, DEL_ROUTE, 0, pack(&(id, ())));
            stranger.voice.send(&go);
        }
        stranger.assert_unanswered();
        peak.assert_below(16 * MIB);
        let call = || {
            let context = everyone.router().context_by_id(ContextId::new(own));
            context.call_service::<String>("any", "method", &nothing())
        };
        let error = call().wait_timeout(LONG).unwrap_err();
        assert!(error.to_string().contains("no route to"), "{error}");
        let come = stranger.voice.frame(0, ADD_ROUTE, 0, pack(&(own, "below")));
        stranger.voice.send(&come);
        stranger.assert_unanswered();
        let last = call();
        let asked = stranger.next_call();
        let answer = Frame { src: own, auth: own, ..stranger.reply(&asked, &"here") };
        stranger.voice.send(&answer);
        assert_eq!(last.wait_timeout(LONG).unwrap(), "here");
        everyone.finish();
    });
}
