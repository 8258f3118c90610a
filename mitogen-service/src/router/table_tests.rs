//! Routes, ids and verdicts, one by one. Whole trees are tried in `table_oracle.rs`.

use super::*;
use crate::wire::Encoding;

const PARENT: StreamId = StreamId(10);
const ONE: StreamId = StreamId(1);
const TWO: StreamId = StreamId(2);

fn id(id: u32) -> ContextId {
    ContextId::new(id)
}

fn header(dst: u32, src: u32, auth: u32) -> Header {
    Header {
        encoding: Encoding::MessagePack,
        dst_id: id(dst),
        src_id: id(src),
        auth_id: id(auth),
        handle: Handle::new(1000),
        reply_to: Handle::NONE,
        length: 0,
    }
}

/// The root with two children, 1 and 1002; 2 is below 1.
fn root() -> Table {
    let mut table = Table::new(id(0), vec![], false);
    assert_eq!(table.ids().take(), Some(id(1)));
    table.add_child(ONE, id(1));
    assert_eq!(table.take_block_for(ONE), Some(2..1002));
    assert_eq!(table.ids().take(), Some(id(1002)));
    table.add_child(TWO, id(1002));
    table.add_route(ONE, id(2)).unwrap();
    table
}

/// Context 1 below the root, with a child 2.
fn below(unidirectional: bool) -> Table {
    let mut table = Table::new(id(1), vec![id(0)], unidirectional);
    table.add_parent(PARENT);
    table.add_child(ONE, id(2));
    table.add_child(TWO, id(3));
    table
}

#[test]
fn messages_go_where_their_destination_is() {
    let mut table = root();
    assert_eq!(table.judge(&header(0, 0, 0), None), Verdict::Local { origin: id(0) });
    assert_eq!(table.judge(&header(2, 0, 0), None), Verdict::Forward(ONE));
    assert_eq!(table.judge(&header(1002, 2, 2), Some(ONE)), Verdict::Forward(TWO));
    let mut table = below(false);
    assert_eq!(table.judge(&header(99, 2, 2), Some(ONE)), Verdict::Forward(PARENT));
}

#[test]
fn no_message_carries_an_id_from_outside_its_stream() {
    let mut table = root();
    for forged in [header(0, 1, 0), header(0, 0, 1), header(0, 1002, 1), header(0, 1, 1002), header(0, 7, 7)] {
        assert!(matches!(table.judge(&forged, Some(ONE)), Verdict::Forged(_)), "{forged:?}");
    }
    let text = table.judge(&header(0, 1002, 1), Some(ONE));
    assert_eq!(text, Verdict::Forged("bad src_id: got 1002 via 1, not 1002".into()));
}

#[test]
fn a_child_below_cannot_speak_for_the_parent_of_its_parent() {
    let mut table = below(false);
    for auth in [0, 1, 3] {
        assert!(matches!(table.judge(&header(3, 2, auth), Some(ONE)), Verdict::Forged(_)));
    }
}

#[test]
fn what_the_parent_sends_to_nobody_is_refused_and_does_not_bounce() {
    let mut table = below(false);
    assert_eq!(table.judge(&header(1234, 0, 0), Some(PARENT)), Verdict::Refuse(DeadReason::no_route(id(1234), id(1))));
}

#[test]
fn siblings_cannot_talk_where_routing_is_unidirectional() {
    let mut table = below(true);
    assert_eq!(
        table.judge(&header(3, 2, 2), Some(ONE)),
        Verdict::Refuse(DeadReason::unidirectional(id(2), id(3), id(1)))
    );
    assert_eq!(table.judge(&header(0, 2, 2), Some(ONE)), Verdict::Forward(PARENT));
    assert_eq!(table.judge(&header(2, 0, 0), Some(PARENT)), Verdict::Forward(ONE));
    assert_eq!(table.judge(&header(1, 2, 2), Some(ONE)), Verdict::Local { origin: id(2) });
}

#[test]
fn who_is_kept_apart_talks_to_those_above_alone() {
    let mut table = below(false);
    table.keep_apart(ONE);
    let refused = |from, to| Verdict::Refuse(DeadReason::unidirectional(id(from), id(to), id(1)));
    // A sibling here, and one elsewhere in the tree.
    assert_eq!(table.judge(&header(3, 2, 2), Some(ONE)), refused(2, 3));
    assert_eq!(table.judge(&header(2, 3, 3), Some(TWO)), refused(3, 2));
    assert_eq!(table.judge(&header(9, 2, 2), Some(ONE)), refused(2, 9));
    assert_eq!(table.judge(&header(2, 9, 9), Some(PARENT)), refused(9, 2));
    assert_eq!(table.judge(&header(0, 2, 2), Some(ONE)), Verdict::Forward(PARENT));
    assert_eq!(table.judge(&header(2, 0, 0), Some(PARENT)), Verdict::Forward(ONE));
    assert_eq!(table.judge(&header(2, 1, 1), None), Verdict::Forward(ONE));
    // Others are not bound by that.
    assert_eq!(table.judge(&header(9, 3, 3), Some(TWO)), Verdict::Forward(PARENT));
}

#[test]
fn routes_are_believed_only_for_ids_of_the_announcing_subtree() {
    let mut table = root();
    for stolen in [0, 1, 1002, 5000] {
        assert!(table.add_route(ONE, id(stolen)).is_err(), "{stolen}");
    }
    assert!(table.add_route(ONE, id(2)).unwrap_err().contains("Cannot add duplicate route to 2"));
    table.add_route(ONE, id(3)).unwrap();
}

#[test]
fn a_route_is_taken_back_only_by_the_stream_it_leads_through() {
    let mut table = root();
    table.del_route(TWO, id(2)).unwrap_err();
    table.del_route(ONE, id(1)).unwrap_err();
    table.del_route(ONE, id(2)).unwrap();
    assert_eq!(table.route_below(id(2)), None);
}

#[test]
fn the_end_of_a_context_is_told_to_those_who_sent_to_it_once() {
    let mut table = root();
    table.judge(&header(2, 1002, 1002), Some(TWO));
    let gone = table.lose(ONE);
    assert_eq!(
        gone,
        [Gone { id: id(2), tell: vec![TWO], tell_parent: false }, Gone { id: id(1), tell: vec![], tell_parent: false },]
    );
    assert_eq!(table.lose(ONE), []);
    assert!(matches!(table.judge(&header(2, 1002, 1002), Some(TWO)), Verdict::Refuse(_)));
}

#[test]
fn a_context_that_has_ended_here_is_nowhere_else() {
    let mut table = below(false);
    table.add_own_block(4..10);
    table.add_child(StreamId(3), id(4));
    table.lose(StreamId(3));
    assert_eq!(table.toward(id(4)), None);
    assert_eq!(table.toward(id(99)), Some(PARENT));
}

#[test]
fn no_subtree_uses_up_the_ids_of_all_others() {
    let mut table = root();
    let blocks = (0..5000).filter(|_| table.take_block_for(ONE).is_some()).count();
    assert_eq!(blocks, MAX_BLOCKS - 2);
    let (other, before) = (table.take_block_for(TWO).unwrap(), table.take_block_for(PARENT));
    assert_eq!((other.len(), before), (1000, None));
    assert!(other.start < 1_100_000, "refused requests have used ids up");
}

#[test]
fn a_context_cannot_use_up_the_ids_of_the_subtree_that_it_belongs_to() {
    for depth in 0..12 {
        let parents = (0..depth).map(|parent| id(100 + parent)).collect();
        let mut table = Table::new(id(1), parents, false);
        table.add_child(ONE, id(2));
        let granted = (1..=2000).filter(|block| table.allocate(ONE, block * 1000..block * 1000 + 1000)).count();
        assert_eq!(granted + 1, (MAX_BLOCKS >> depth).max(MIN_BLOCKS), "at depth {depth}");
    }
}

#[test]
fn who_asks_under_many_ids_takes_nobody_elses_place() {
    let mut table = root();
    table.add_child(StreamId(3), id(5_000_000));
    let question = |src| Header { reply_to: Handle::new(5000), ..header(1002, src, src) };
    let mut refused = 0;
    while let Some(block) = table.take_block_for(ONE).filter(|_| refused == 0) {
        for new in block {
            let _ = table.add_route(ONE, id(new));
            refused += usize::from(table.judge(&question(new), Some(ONE)) != Verdict::Forward(TWO));
        }
    }
    assert!(refused > 0, "there is a bound");
    assert_eq!(table.judge(&question(5_000_000), Some(StreamId(3))), Verdict::Forward(TWO));
    assert_eq!(table.judge(&question(0), None), Verdict::Forward(TWO));
}

/// All that is remembered of whom to tell of whose end.
fn promises(table: &Table) -> usize {
    table.links.values().map(|link| link.egress.len() + link.askers.len()).sum()
}

/// Mitogen's `egress_ids` only grow.
#[test]
fn who_has_ended_is_forgotten_as_a_destination_and_as_one_who_asks() {
    let question = |dst, src| Header { reply_to: Handle::new(5000), ..header(dst, src, src) };
    let mut table = root();
    table.judge(&question(2, 1002), Some(TWO));
    table.judge(&question(1002, 2), Some(ONE));
    assert_eq!(promises(&table), 4, "each has asked, and is asked, and two streams know of both");
    let gone = table.del_route(ONE, id(2)).unwrap();
    assert_eq!(promises(&table), 4, "nobody has been told yet");
    assert_eq!((&gone.tell[..], table.untold(TWO)), (&[TWO][..], vec![id(2)]));
    gone.tell.iter().for_each(|stream| table.told(*stream, id(2)));
    assert_eq!((table.untold(TWO), promises(&table)), (vec![], 2), "what is left is of 1002");
    let gone = table.lose(TWO);
    gone[0].tell.iter().for_each(|stream| table.told(*stream, id(1002)));
    assert_eq!(promises(&table), 0);
    let mut table = below(false);
    table.judge(&question(99, 2), Some(ONE));
    assert_eq!(promises(&table), 2);
    table.del_route(PARENT, id(99)).unwrap();
    table.told(ONE, id(99));
    table.lose(ONE);
    assert_eq!(promises(&table), 0);
}

#[test]
fn a_dead_message_asks_nothing() {
    let mut table = below(false);
    for nobody in (1_000_000..).take(MAX_ASKERS + 1) {
        let dead = Header { reply_to: Handle::DEAD, ..header(2, nobody, nobody) };
        assert_eq!(table.judge(&dead, Some(PARENT)), Verdict::Forward(ONE), "{nobody}");
    }
    assert_eq!(promises(&table), 1, "the parent is told of the end of 2");
}

#[test]
fn a_neighbour_may_send_to_any_number_of_contexts_one_after_the_other() {
    let mut table = root();
    table.del_route(ONE, id(2)).unwrap();
    for round in 0..=MAX_EGRESS as u32 {
        let far = 2 + round % 1000;
        table.add_route(ONE, id(far)).unwrap();
        assert_eq!(table.judge(&header(far, 1002, 1002), Some(TWO)), Verdict::Forward(ONE), "{round}");
        let gone = table.del_route(ONE, id(far)).unwrap();
        gone.tell.iter().for_each(|stream| table.told(*stream, gone.id));
    }
}

#[test]
fn whoever_ends_contexts_without_end_makes_no_more_untold_than_was_promised() {
    let question = |dst, src| Header { reply_to: Handle::new(5000), ..header(dst, src, src) };
    let mut table = root();
    for round in 0..3000 {
        let asker = 3 + round % 999;
        table.add_route(ONE, id(asker)).unwrap();
        assert_eq!(table.judge(&question(1002, asker), Some(ONE)), Verdict::Forward(TWO));
        let tell = table.del_route(ONE, id(asker)).unwrap().tell;
        assert_eq!(tell.is_empty(), round >= 999, "the second end of the same id is no more news");
    }
    assert_eq!(table.untold(TWO).len(), 999);
}

#[test]
fn there_are_only_so_many_contexts_behind_one_stream() {
    let mut table = root();
    // Itself, and 2.
    let mut there = 2;
    while let Some(mut block) = table.take_block_for(ONE).filter(|_| there < MAX_CONTEXTS) {
        there += block.by_ref().take(MAX_CONTEXTS - there).filter(|new| table.add_route(ONE, id(*new)).is_ok()).count();
    }
    assert_eq!(there, MAX_CONTEXTS);
    let refused = table.add_route(ONE, id(3)).unwrap_err();
    assert!(refused.contains("as many as there may be"), "{refused}");
    table.del_route(ONE, id(2)).unwrap();
    table.add_route(ONE, id(3)).unwrap();
}

#[test]
fn who_has_been_asked_is_told_of_the_end_of_the_one_who_asks() {
    let mut table = root();
    let question = Header { reply_to: Handle::new(5000), ..header(1002, 2, 2) };
    assert_eq!(table.judge(&question, Some(ONE)), Verdict::Forward(TWO));
    assert_eq!(table.lose(ONE)[0], Gone { id: id(2), tell: vec![TWO], tell_parent: false });
}

#[test]
fn one_speaks_for_those_whom_the_next_hop_expects_from_here() {
    let table = root();
    let below = below(false);
    assert!(table.may_speak_for(id(1002), id(2)), "a child of the root's, to another one");
    assert!(table.may_speak_for(id(1), id(1)) && !table.may_speak_for(id(2), id(1)));
    assert!(!table.may_speak_for(id(77), id(1)), "it is nowhere");
    assert!(below.may_speak_for(id(2), id(0)), "what is below, to what is above");
    for above in [0, 99] {
        assert!(!below.may_speak_for(id(above), id(98)), "{above}");
        assert!(below.may_speak_for(id(above), id(3)), "downwards nobody has more than the parent");
    }
}

#[test]
fn the_parent_tells_of_contexts_elsewhere() {
    let mut table = below(false);
    table.judge(&header(99, 2, 2), Some(ONE));
    let gone = table.del_route(PARENT, id(99)).unwrap();
    assert_eq!(gone, Gone { id: id(99), tell: vec![ONE], tell_parent: false });
    table.del_route(PARENT, id(0)).unwrap_err();
    table.del_route(PARENT, id(2)).unwrap_err();
}
