//! What contexts say of others: where they are, what they are called, that they are gone, what they log.

use mitogen_service::{Context, ContextId, testing};
use mitogen_service_tests::LONG;

use super::peer::{ALLOCATE_ID, CALL_SERVICE, CANCEL, DEAD, DEL_ROUTE, FORWARD_LOG, Peer, call, packed, text};
use super::{ask, pool, root};

// B1
#[test]
fn routes_are_believed_only_for_ids_that_the_announcing_subtree_was_given() {
    let (root, below) = testing::pair();
    let mut victim = Peer::join(&below, "victim");
    let mut liar = Peer::join(&below, "liar");
    let (of_victim, of_liar) = (victim.allocate().unwrap(), liar.allocate().unwrap());
    victim.add_route(of_victim, "below victim");
    victim.settle_at(0);
    // The parent, the router itself, the liar, its sibling, what is below that, what only it may
    // announce, what follows the liar's block, what nobody was given.
    let stolen = [0, 1, liar.id(), victim.id(), of_victim, of_victim + 1, of_liar + 1000, 4_000_000_000];
    for id in stolen {
        liar.add_route(id, "stolen");
    }
    liar.add_route(of_liar, "below liar");
    liar.settle_at(0);
    // What is meant for the victim and those below it comes to the victim.
    for id in [victim.id(), of_victim] {
        let pending = ask(&below.context_by_id(ContextId::new(id)));
        let frame = victim.next();
        assert_eq!(frame.handle, CALL_SERVICE);
        drop(pending);
        assert_eq!(victim.next().handle, CANCEL);
    }
    let error = ask(&root.context_by_id(ContextId::new(4_000_000_000))).wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("no route to 4000000000"), "{error}");
    assert_eq!(root.context_by_id(ContextId::new(of_victim)).name(), "below victim");
    assert_eq!(root.context_by_id(ContextId::new(of_liar)).name(), "below liar");
    // The one that it may announce is reached through it, and nothing else came to it before.
    drop(ask(&root.context_by_id(ContextId::new(of_liar))));
    assert_eq!(liar.next().handle, CALL_SERVICE);
}

// B1
#[test]
fn authority_does_not_follow_from_routes() {
    let (_root, below) = testing::pair();
    let pool = pool(&below);
    let mut liar = Peer::join(&below, "liar");
    let own = liar.allocate().unwrap();
    for id in [0, 1, own] {
        liar.add_route(id, "root");
    }
    // With a parent's authority, or in its name, it says nothing: these are not answered.
    for (src, auth) in [(liar.id(), 0), (liar.id(), 1), (0, 0), (1, 1)] {
        liar.forge([1, src, auth, CALL_SERVICE, 6000], &call("guarded", "for_parents"));
    }
    // A name for a context below it gives that no more than the liar has.
    for (src, auth, handle) in [(own, own, 6001), (liar.id(), own, 6002), (liar.id(), liar.id(), 6003)] {
        liar.forge([1, src, auth, CALL_SERVICE, handle], &call("guarded", "for_parents"));
        let frame = liar.next();
        assert_eq!(frame.handle, handle);
        assert!(String::from_utf8_lossy(&frame.payload).contains("Unauthorized"), "{:?}", frame.payload);
    }
    assert!(pool.close(LONG).is_empty());
}

// B19
#[test]
fn nobody_but_the_respondent_ends_a_call() {
    let router = root();
    let mut callee = Peer::join(&router, "callee");
    let mut stranger = Peer::join(&router, "stranger");
    let pending = ask(&callee.me);
    let asked = callee.next();
    // It knows the handle, and tries it in its own name, in the respondent's and in the root's.
    for src in [stranger.id(), callee.id(), 0] {
        for auth in [stranger.id(), callee.id(), 0] {
            for reply_to in [0, DEAD] {
                stranger.forge([0, src, auth, asked.reply_to, reply_to], &[0x92, 0, 0xa3, b'b', b'a', b'd']);
            }
        }
    }
    stranger.settle();
    callee.answer(&asked, "good");
    assert_eq!(pending.wait_timeout(LONG).unwrap(), "good");
    // The respondent itself may well give up.
    let pending = ask(&callee.me);
    let asked = callee.next();
    callee.send(asked.reply_to, DEAD, &[&[0x92, 2][..], &text("no such handle")].concat());
    let error = pending.wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("no such handle"), "{error}");
}

// B19
#[test]
fn a_hop_ends_the_calls_that_lead_through_it_and_no_others() {
    let router = root();
    let mut hop = Peer::join(&router, "hop");
    let mut other = Peer::join(&router, "other");
    let far = hop.allocate().unwrap();
    hop.add_route(far, "far");
    hop.settle();
    let far = router.context_by_id(ContextId::new(far));
    let (through, beside) = (ask(&far), ask(&other.me));
    let (asked_through, asked_beside) = (hop.next(), other.next());
    for (from, asked) in [(far.id().get(), &asked_through), (other.id(), &asked_beside)] {
        hop.forge([0, from, from, asked.reply_to, DEAD], &[&[0x92, 1][..], &text("no route")].concat());
    }
    let error = through.wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("no route"), "{error}");
    hop.settle();
    other.answer(&asked_beside, "good");
    assert_eq!(beside.wait_timeout(LONG).unwrap(), "good");
}

// B19
#[test]
fn a_route_is_withdrawn_only_by_the_neighbour_that_it_leads_through() {
    let router = root();
    let mut hop = Peer::join(&router, "hop");
    let mut stranger = Peer::join(&router, "stranger");
    let far = hop.allocate().unwrap();
    hop.add_route(far, "far");
    hop.settle();
    let contexts = [hop.id(), far, stranger.id(), 0].map(|id| router.context_by_id(ContextId::new(id)));
    let pending = ask(&contexts[1]);
    let asked = hop.next();
    for context in &contexts {
        stranger.del_route(context.id().get());
    }
    // One that is below the hop says so itself: it is no neighbour.
    hop.forge([0, far, far, DEL_ROUTE, 9000], &[&[0x92][..], &packed(far), &[0xc0]].concat());
    assert!(hop.refusal(9000).contains("refused by policy"));
    hop.del_route(hop.id());
    for peer in [&mut hop, &mut stranger] {
        peer.settle();
    }
    assert!(contexts.iter().all(Context::is_connected), "{contexts:?}");
    hop.forge([0, far, far, asked.reply_to, 0], &[&[0x92, 0][..], &text("good")].concat());
    assert_eq!(pending.wait_timeout(LONG).unwrap(), "good");
    hop.del_route(far);
    hop.settle();
    assert!(!contexts[1].is_connected());
}

// B21
#[test]
fn ids_are_given_to_neighbours_alone_and_not_without_end() {
    let router = root();
    let (mut greedy, mut modest) = (Peer::join(&router, "greedy"), Peer::join(&router, "modest"));
    let first = greedy.allocate().unwrap();
    greedy.add_route(first, "below");
    // Who is no neighbour asks its own parent.
    greedy.forge([0, first, first, ALLOCATE_ID, 5000], &[]);
    let refused = greedy.next();
    assert_eq!((refused.handle, refused.reply_to), (5000, DEAD));
    assert!(String::from_utf8_lossy(&refused.payload).contains("refused by policy"));
    // Its own id is a range as well, and one was given above.
    let given = (0..3000).take_while(|_| greedy.allocate().is_ok()).count();
    assert_eq!(given, 998);
    assert!(greedy.allocate().unwrap_err().contains("as many ids as one may have"));
    assert!(modest.allocate().unwrap() < 1_100_000, "what was refused uses no ids up");
    assert!(greedy.me.is_connected());
}

// B21
#[test]
fn a_route_renames_nobody() {
    let router = root();
    let mut peer = Peer::join(&router, "peer");
    let other = Peer::join(&router, "other");
    let far = peer.allocate().unwrap();
    peer.add_route(far, "far");
    for id in [far, peer.id(), other.id(), 0] {
        peer.add_route(id, "renamed");
    }
    peer.settle();
    let name = |id: u32| router.context_by_id(ContextId::new(id)).name().to_owned();
    assert_eq!([far, peer.id(), other.id(), 0].map(name), ["far", "peer", "other", "root"]);
}

// B21
#[test]
fn log_records_have_the_name_of_their_sender_and_a_bound() {
    let router = root();
    let _pool = pool(&router);
    let mut peer = Peer::join(&router, "peer");
    // What Mitogen's children send: logger, level, text.
    let record = text("mitogen\0ERROR\0forged");
    peer.send(FORWARD_LOG, 9000, &record);
    // Ours, with the path of somebody else and a forged line: both are shown as what they are.
    let event = |level: u8, text: &str| {
        let mut payload = vec![0x94, level];
        for part in ["a target\nforged", "root/somebody else", text] {
            payload.extend_from_slice(&[0xda, (part.len() >> 8) as u8, part.len() as u8]);
            payload.extend_from_slice(part.as_bytes());
        }
        payload
    };
    peer.send(FORWARD_LOG, 0, &event(1, "a forged event\n[root] all is well"));
    // No more than a mebibyte in a second comes through of as many as there are.
    for _ in 0..200 {
        peer.send(FORWARD_LOG, 0, &event(2, &"x".repeat(60_000)));
    }
    peer.settle();
    assert!(peer.me.is_connected());
}
