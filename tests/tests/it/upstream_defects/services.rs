//! Services and their pools, whatever comes.

use mitogen_service::{Activator, CallError, Caller, Hosted, Pool, ServiceScope, testing};
use mitogen_service_tests::LONG;

use super::peer::{CALL_SERVICE, DEAD, NOT_USED, Peer, call};
use super::{Guarded, ask, assert_serves, pool, root};

// B2
#[test]
fn no_message_whatever_ends_a_thread_of_the_pool() {
    let router = root();
    let pool = pool(&router);
    let mut peer = Peer::join(&router, "peer");
    let payloads =
        [vec![], vec![0xc1], vec![0xc0], vec![0x94, 0xc0, 0xc0, 0xc0, 0xc0], call("guarded", "open"), vec![0x91; 300]];
    for handle in 0..1100 {
        for reply_to in [0, 1, DEAD, 70_000] {
            for payload in &payloads {
                peer.send(handle, reply_to, payload);
            }
        }
        if handle == CALL_SERVICE {
            assert_serves(&router);
        }
        // What was answered must not pile up.
        peer.send(NOT_USED, 80_000, &[]);
        while peer.next().handle != 80_000 {}
    }
    assert_serves(&router);
    assert!(peer.me.is_connected());
    assert!(pool.close(LONG).is_empty());
}

// B2
#[test]
fn a_dead_message_to_the_services_is_nobodys_call() {
    let (parent, child) = testing::pair();
    let mut stranger = Peer::join(&child, "stranger");
    stranger.send(CALL_SERVICE, DEAD, &call("guarded", "open"));
    stranger.settle();
    assert!(child.pool().is_none(), "only a call of a parent's makes a pool");
    let pool = pool(&child);
    stranger.send(CALL_SERVICE, DEAD, &call("guarded", "open"));
    stranger.send(CALL_SERVICE, 7000, &call("guarded", "open"));
    // The thread runs calls in their order, so an answer to the dead one would come first.
    assert_eq!(stranger.next().handle, 7000);
    assert_eq!(Guarded::stub(&parent.children()[0]).open().wait_timeout(LONG).unwrap(), "open");
    assert!(pool.close(LONG).is_empty());
}

// B14
#[test]
fn a_stopped_pool_makes_room_for_a_new_one() {
    let router = root();
    let stopped = pool(&router);
    stopped.stop();
    // Until there is another one, it does not pretend to work.
    let left = router.pool().unwrap();
    assert!(matches!(left.add(Guarded), Err(mitogen_service::Error::PoolStopped)));
    assert!(matches!(Guarded::stub(&router.myself()).open().wait_timeout(LONG), Err(CallError::Stopped { .. })));
    let next = Pool::builder(&router).size(3).service(Guarded).start().unwrap();
    assert_eq!(router.pool().unwrap().size(), 3, "it is the new one");
    assert_serves(&router);
    // The end of the old one does not reach the new one.
    assert!(stopped.close(LONG).is_empty());
    assert_serves(&router);
    assert!(next.close(LONG).is_empty());
}

/// Cannot even be asked.
struct Touchy;

impl Activator for Touchy {
    fn is_authorized(&self, name: &str, _caller: &Caller) -> bool {
        assert_ne!(name, "touchy", "a check that panics");
        true
    }

    fn activate(&self, name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        (name == "guarded").then(|| Ok(Hosted::new(Guarded)))
    }
}

// B33
#[test]
fn a_policy_that_panics_refuses_the_call_and_everything_goes_on() {
    let router = root();
    let pool = Pool::builder(&router).size(1).activator(Touchy).start().unwrap();
    let mut peer = Peer::join(&router, "peer");
    for _ in 0..3 {
        for (service, method, error) in [("touchy", "open", "NotActivated"), ("guarded", "panicking", "Unauthorized")] {
            peer.send(CALL_SERVICE, 7000, &call(service, method));
            let frame = peer.next();
            assert_eq!(frame.handle, 7000);
            assert!(String::from_utf8_lossy(&frame.payload).contains(error), "{service}: {:?}", frame.payload);
        }
        assert_serves(&router);
    }
    assert!(peer.me.is_connected());
    assert!(pool.close(LONG).is_empty());
}

/// Has no encoding.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

// B33
#[test]
fn what_cannot_be_written_fails_its_own_call_alone() {
    let router = root();
    let _pool = pool(&router);
    let mut peer = Peer::join(&router, "peer");
    let pending = ask(&peer.me);
    let asked = peer.next();
    for whom in [&peer.me, &router.myself()] {
        let error = whom.call_service::<String>("any", "thing", &Unwritable).wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::Encode { .. }), "{error:?}");
    }
    peer.answer(&asked, "good");
    assert_eq!(pending.wait_timeout(LONG).unwrap(), "good");
    assert_serves(&router);
}
