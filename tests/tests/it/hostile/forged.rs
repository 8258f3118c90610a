//! Ids and authority of others, and what is done in their name.

use mitogen_service::CallError;

use super::peer::{
    ALLOCATE_ID, Answer, CALL_SERVICE, CANCEL, Frame, MARKER, REFUSED, SHUTDOWN, Stranger, call, nothing, pack, text,
};
use super::{Everyone, alone};
use crate::bench::Worker;

#[test]
fn a_call_with_a_forged_id_never_runs_and_its_sender_is_named_in_the_log() {
    let log = alone("forged::a_call_with_a_forged_id_never_runs_and_its_sender_is_named_in_the_log", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let me = stranger.id;
        let others = [0, everyone.one.id().get(), everyone.two.id().get(), me + 1, u32::MAX];
        for (src, auth) in others.iter().flat_map(|other| [(me, *other), (*other, me), (*other, *other)]) {
            let guarded = stranger.voice.call("target", "guarded", &nothing());
            stranger.voice.send(&Frame { src, auth, ..guarded });
            stranger.assert_unanswered();
        }
        // With its own ids it may call, and the policy refuses.
        let guarded = stranger.voice.call("target", "guarded", &text(MARKER));
        let answer = stranger.ask(&guarded);
        assert!(matches!(answer, Answer::Error(CallError::Unauthorized { .. })), "{answer:?}");
        everyone.finish();
    });
    let Some(log) = log else { return };
    log.assert_line(&["`stranger`: bad auth_id: got 0 via 3, not anybody"]);
    log.assert_line(&["`stranger`: bad src_id: got 1 via 3, not 1"]);
}

#[test]
fn a_child_cannot_end_its_parent_or_a_sibling() {
    alone("forged::a_child_cannot_end_its_parent_or_a_sibling", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        for dst in [0, everyone.one.id().get()] {
            for payload in [pack(&[0]), pack(&[5000]), pack(&[u64::MAX]), vec![0xc1]] {
                let reply_to = stranger.voice.new_handle();
                let answer = stranger.ask(&stranger.voice.frame(dst, SHUTDOWN, reply_to, payload));
                assert!(matches!(answer, Answer::Dead(REFUSED, _)), "{answer:?}");
            }
        }
        for src in [0, everyone.one.id().get()] {
            let shutdown = stranger.voice.frame(everyone.two.id().get(), SHUTDOWN, 0, pack(&[0]));
            stranger.voice.send(&Frame { src, auth: src, ..shutdown });
        }
        stranger.assert_unanswered();
        everyone.finish();
    });
}

#[test]
fn a_child_cannot_cancel_the_calls_of_others() {
    alone("forged::a_child_cannot_cancel_the_calls_of_others", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        // It learns where the handles of the root are.
        let bait = stranger.context.call_service::<String>("stranger", "method", &nothing());
        let known = stranger.next_call().reply_to;
        let held = Worker::stub(&everyone.one).hold_until_cancelled(everyone.bench.root());
        everyone.bench.pass("running");
        let one = everyone.one.id().get();
        for handle in known..known.saturating_add(5000) {
            let cancel = stranger.voice.frame(one, CANCEL, 0, pack(&handle));
            stranger.voice.send(&cancel);
            // In the name of the one who has called it.
            stranger.voice.send(&Frame { src: 0, auth: 0, ..cancel });
        }
        // It has read all of them when it answers this.
        let reply_to = stranger.voice.new_handle();
        let worker = std::any::type_name::<Worker>();
        let echo = stranger.voice.frame(one, CALL_SERVICE, reply_to, call(worker, "echo", &text("read")));
        let answer = stranger.ask(&echo);
        assert!(matches!(answer, Answer::Value(_)), "{answer:?}");
        // Were it cancelled, it would have come to the gate before this one.
        let other = Worker::stub(&everyone.two).hold(everyone.bench.root(), "not cancelled".into());
        everyone.bench.pass("not cancelled");
        other.wait().unwrap();
        drop(held);
        everyone.bench.pass("cancelled");
        drop(bait);
        everyone.finish();
    });
}

#[test]
fn a_subtree_gets_only_so_many_ids_and_its_siblings_still_get_theirs() {
    alone("forged::a_subtree_gets_only_so_many_ids_and_its_siblings_still_get_theirs", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let mut granted = 0;
        for _ in 0..3000 {
            let reply_to = stranger.voice.new_handle();
            let frame = stranger.voice.frame(0, ALLOCATE_ID, reply_to, Vec::new());
            match stranger.ask(&frame) {
                Answer::Other(block) => {
                    let (start, end): (u32, u32) = rmp_serde::from_slice(&block.payload).unwrap();
                    assert_eq!(end - start, 1000);
                    granted += 1;
                }
                Answer::Dead(super::peer::OVERLOADED, _) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(granted, 999, "its own id is the first of a thousand ranges");
        let below = Worker::stub(&everyone.one).start_child("below".into()).wait().unwrap();
        assert_eq!(Worker::stub(&below).echo("here".into()).wait().unwrap(), "here");
        let third = everyone.bench.child("third");
        assert_eq!(Worker::stub(&third).echo("here".into()).wait().unwrap(), "here");
        everyone.finish();
    });
}
