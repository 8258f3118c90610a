//! Calls, and the handles on which their answers come.

use std::collections::BTreeSet;
use std::time::Duration;

use mitogen_service::{CallError, DeadlineBy, Router, testing};
use mitogen_service_tests::{LONG, within};

use super::peer::{CALL_SERVICE, CANCEL, Peer, unpacked};
use super::{ask, root};

// B13
#[test]
fn a_wait_that_times_out_frees_its_handle_and_the_callee_is_told() {
    let router = Router::builder().max_pending_calls(1).build().unwrap();
    let mut peer = Peer::join(&router, "peer");
    let error = ask(&peer.me).wait_timeout(Duration::ZERO).unwrap_err();
    assert!(matches!(error, CallError::DeadlineExceeded { by: DeadlineBy::Caller, .. }), "{error:?}");
    let (asked, cancel) = (peer.next(), peer.next());
    assert_eq!((asked.handle, cancel.handle), (CALL_SERVICE, CANCEL));
    assert_eq!(unpacked(&cancel.payload), asked.reply_to);
    // Nobody listens on the handle any more, and whoever sends to it is told so.
    peer.send(asked.reply_to, 9000, &[0x92, 0, 0xc0]);
    assert!(peer.refusal(9000).contains("invalid handle"));
    // The one call that may be pending is another one now.
    let next = within(LONG, {
        let me = peer.me.clone();
        move || ask(&me)
    });
    let asked_again = peer.next();
    assert_ne!(asked_again.reply_to, asked.reply_to);
    peer.answer(&asked_again, "in time");
    assert_eq!(next.wait_timeout(LONG).unwrap(), "in time");
}

// B18
#[test]
fn calls_of_nobody_are_answered_however_many_there_were() {
    let (_root, below) = testing::pair();
    let mut peer = Peer::join(&below, "peer");
    let (me, first) = (peer.id(), 10_000_000);
    // More destinations than are remembered for one stream.
    for batch in 0..66 {
        for id in (first + batch * 1000..).take(1000) {
            peer.forge([id, me, me, CALL_SERVICE, 8000], &[]);
        }
        for _ in 0..1000 {
            let refusal = peer.refusal(8000);
            assert!(refusal.contains("no route to"), "{refusal}");
        }
    }
}

// B19
#[test]
fn handles_begin_where_nobody_can_guess() {
    let handles: BTreeSet<u32> = (0..8)
        .map(|_| {
            let router = root();
            let mut peer = Peer::join(&router, "peer");
            let _pending = ask(&peer.me);
            peer.next().reply_to
        })
        .collect();
    // Equal ones are as likely as one in a hundred million.
    assert_eq!(handles.len(), 8, "{handles:?}");
    assert!(handles.iter().all(|handle| *handle >= 1000));
}
