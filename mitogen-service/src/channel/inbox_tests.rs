//! The receiver's side of claims: who may send, in which order claims end, and what credit comes to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ME: ContextId = ContextId::new(0);
const TOKEN: u64 = 42;
const WINDOW: u64 = 1024 * 1024;

fn id(number: u32) -> ContextId {
    ContextId::new(number)
}

fn inbox() -> Inbox<u32> {
    Inbox::new(ME, TOKEN, ChannelBounds { window: WINDOW, senders: 256 })
}

#[test]
fn a_claim_that_has_moved_is_over_when_it_has_ended_on_both_links() {
    for main_first in [true, false] {
        let mut inbox = inbox();
        inbox.claim(id(1), TOKEN).unwrap();
        inbox.arrive((id(1), Way::Bulk), 1, 7).unwrap();
        if main_first {
            assert_eq!(inbox.last_but_bulk(id(1)), None);
            assert!(!inbox.is_over() && !inbox.is_claimed_by(id(1)));
            inbox.arrive((id(1), Way::Bulk), 1, 8).unwrap();
            assert!(inbox.closed_by_sender(id(1), Way::Bulk).unwrap().over);
        } else {
            assert_eq!(inbox.closed_by_sender(id(1), Way::Bulk), None);
            assert!(!inbox.is_over() && inbox.is_claimed_by(id(1)));
            assert!(inbox.last_but_bulk(id(1)).unwrap().over);
        }
        assert_eq!(inbox.arrive((id(1), Way::Bulk), 1, 9), Err(NotTaken::Unclaimed));
        assert!(inbox.dismissed.is_empty());
    }
}

#[test]
fn the_next_claim_may_come_before_the_end_of_the_one_that_has_moved() {
    let mut inbox = inbox();
    assert_eq!(inbox.claim(id(1), TOKEN), Ok(Some(0)));
    assert_eq!(inbox.last_but_bulk(id(1)), None);
    assert_eq!(inbox.claim(id(1), TOKEN), Ok(None));
    assert_eq!(inbox.claim(id(1), TOKEN), Err(NoClaim::Twice));
    inbox.arrive((id(1), Way::Bulk), 1, 7).unwrap();
    assert_eq!(inbox.closed_by_sender(id(1), Way::Bulk), None, "the second one is open");
    assert!(inbox.closed_by_sender(id(1), Way::Main).unwrap().over);
}

#[test]
fn what_a_closed_claim_has_on_the_links_for_bulk_is_not_taken_for_that_of_the_next_one() {
    let mut inbox = inbox();
    inbox.hold();
    inbox.claim(id(1), TOKEN).unwrap();
    inbox.dismiss(id(1), trouble("spoiled")).unwrap();
    assert_eq!(inbox.arrive((id(1), Way::Bulk), 1, 7), Err(NotTaken::Late));
    assert_eq!(inbox.last_but_bulk(id(1)), None);
    assert_eq!(inbox.claim(id(1), TOKEN), Ok(Some(1)));
    assert_eq!(inbox.arrive((id(1), Way::Bulk), 1, 7), Err(NotTaken::Late));
    inbox.arrive((id(1), Way::Main), 1, 8).unwrap();
    assert_eq!(inbox.closed_by_sender(id(1), Way::Bulk), None);
    inbox.arrive((id(1), Way::Bulk), 1, 9).unwrap();
    assert_eq!(inbox.last_but_bulk(id(1)), None);
    assert!(inbox.closed_by_sender(id(1), Way::Bulk).is_some());
    assert!(inbox.dismissed.is_empty());
    // The other order.
    inbox.claim(id(1), TOKEN).unwrap();
    inbox.dismiss(id(1), trouble("spoiled")).unwrap();
    assert_eq!(inbox.closed_by_sender(id(1), Way::Bulk), None);
    assert_eq!(inbox.last_but_bulk(id(1)), None);
    assert_eq!(inbox.dismissed, HashMap::from([(id(1), 0)]));
}

#[test]
fn ends_that_nobody_has_claimed_for_are_those_of_no_claim() {
    let mut inbox = inbox();
    inbox.hold();
    inbox.claim(id(1), TOKEN).unwrap();
    inbox.dismiss(id(1), trouble("spoiled")).unwrap();
    assert_eq!(inbox.last_but_bulk(id(1)), None);
    for source in 2..10_000 {
        assert_eq!(inbox.closed_by_sender(id(source), Way::Bulk), None);
        assert_eq!(inbox.last_but_bulk(id(source + 10_000)), None);
    }
    inbox.claim(id(1), TOKEN).unwrap();
    assert_eq!(inbox.arrive((id(1), Way::Bulk), 1, 7), Err(NotTaken::Late), "its end is still to come");
    assert_eq!(inbox.closed_by_sender(id(1), Way::Bulk), None);
    inbox.arrive((id(1), Way::Bulk), 1, 8).unwrap();
}

#[test]
fn what_is_on_its_way_when_credit_is_lost_is_late_and_no_offence() {
    let mut inbox = inbox();
    let number = inbox.claim(id(1), TOKEN).unwrap().unwrap();
    assert!(inbox.dismiss_number(number, trouble("credit was lost")).is_some());
    assert_eq!(inbox.arrive((id(1), Way::Main), 1, 7), Err(NotTaken::Late));
    // Who is gone sends nothing more.
    let number = inbox.claim(id(2), TOKEN).unwrap().unwrap();
    assert!(inbox.close_number(number, trouble("gone")).is_some());
    assert_eq!(inbox.arrive((id(2), Way::Main), 1, 7), Err(NotTaken::Unclaimed));
}

#[test]
fn claims_that_only_say_that_they_have_moved_are_counted_without_end() {
    let mut inbox = inbox();
    inbox.claim(id(1), TOKEN).unwrap();
    if let Some(account) = inbox.accounts.get_mut(&0) {
        account.bulk_ends = i32::MAX;
    }
    assert_eq!(inbox.last_but_bulk(id(1)), None);
    assert!(inbox.dismiss(id(1), trouble("enough")).is_some());
}

fn trouble(text: &str) -> CallError {
    CallError::failed(text)
}

fn text(inbox: &Inbox<u32>) -> Option<String> {
    inbox.end().map(ToString::to_string)
}

#[test]
fn only_who_has_the_token_may_send_and_only_once_a_context() {
    let mut inbox = inbox();
    assert_eq!(inbox.arrive((id(1), Way::Main), 1, 0), Err(NotTaken::Unclaimed));
    assert_eq!(inbox.claim(id(1), 43), Err(NoClaim::WrongToken));
    assert_eq!(inbox.claim(id(1), TOKEN), Ok(Some(0)));
    assert_eq!(inbox.claim(id(1), TOKEN), Err(NoClaim::Twice));
    assert_eq!(inbox.arrive((id(1), Way::Main), 1, 7), Ok(()));
    assert_eq!(inbox.arrive((id(2), Way::Main), 1, 0), Err(NotTaken::Unclaimed));
    assert_eq!(inbox.take().map(|taken| taken.message), Some(7));
}

#[test]
fn a_receiver_for_one_context_refuses_others() {
    let mut inbox = inbox();
    inbox.restrict(id(1));
    assert_eq!(inbox.claim(id(2), TOKEN), Err(NoClaim::Stranger));
    assert_eq!(inbox.claim(id(1), TOKEN), Ok(Some(0)));
}

#[test]
fn what_has_arrived_before_the_end_is_given_out_first() {
    let mut inbox = inbox();
    inbox.claim(id(1), TOKEN).unwrap();
    inbox.arrive((id(1), Way::Main), 1, 7).unwrap();
    assert!(inbox.close(id(1), None).unwrap().over);
    let grant = Grant { source: id(1), bytes: 1, watch: None };
    assert_eq!(inbox.take(), Some(Taken { message: 7, grant: Some(grant), unwatch: None }));
    assert_eq!((inbox.take(), inbox.settle()), (None, true));
    assert_eq!(text(&inbox).unwrap(), "Channel closed by remote end.");
    assert!(matches!(inbox.claim(id(1), TOKEN), Err(NoClaim::Ended(_))));
}

#[test]
fn the_first_worker_that_is_ready_does_not_end_it_for_those_on_their_way() {
    let mut inbox = inbox();
    inbox.hold();
    inbox.hold();
    inbox.claim(id(1), TOKEN).unwrap();
    assert!(!inbox.release());
    assert!(!inbox.close(id(1), None).unwrap().over, "one is still on its way");
    inbox.claim(id(2), TOKEN).unwrap();
    assert!(!inbox.release());
    assert!(inbox.close(id(2), None).unwrap().over);
}

#[test]
fn a_receiver_that_is_over_takes_another_claim_until_somebody_asks_for_more() {
    let mut inbox = inbox();
    inbox.claim(id(1), TOKEN).unwrap();
    assert!(inbox.close(id(1), None).unwrap().over);
    inbox.hold();
    assert!(!inbox.settle(), "its owner gives another sender away");
    inbox.claim(id(2), TOKEN).unwrap();
    assert!(!inbox.release() && inbox.close(id(2), None).unwrap().over);
    assert!(inbox.settle() && !inbox.settle());
    assert!(matches!(inbox.claim(id(2), TOKEN), Err(NoClaim::Ended(_))));
}

#[test]
fn a_receiver_that_nobody_has_claimed_does_not_end() {
    let mut inbox = inbox();
    inbox.hold();
    assert!(!inbox.release());
    // The owner's own use of a sender counts as long as it lasts, and does not count afterwards.
    inbox.claim(ME, TOKEN).unwrap();
    assert!(!inbox.close(ME, None).unwrap().over);
    assert!(inbox.own_senders_closed());
}

#[test]
fn a_sender_that_comes_back_to_its_owner_in_a_message_counts_like_others() {
    let mut inbox = inbox();
    inbox.claim(ME, TOKEN).unwrap();
    inbox.own_sender_decoded();
    assert!(inbox.close(ME, None).unwrap().over);
}

#[test]
fn the_owner_does_not_end_what_another_context_alone_sends_to() {
    let mut inbox = inbox();
    inbox.restrict(id(1));
    assert!(!inbox.own_senders_closed());
    inbox.claim(id(1), TOKEN).unwrap();
    assert!(inbox.close(id(1), None).unwrap().over);
}

#[test]
fn the_end_tells_of_the_first_trouble() {
    let mut inbox = inbox();
    for source in 1..=3 {
        inbox.claim(id(source), TOKEN).unwrap();
    }
    assert!(!inbox.close(id(1), Some(trouble("SIGKILL"))).unwrap().over);
    assert!(!inbox.close(id(2), Some(trouble("other"))).unwrap().over);
    assert!(inbox.close(id(3), None).unwrap().over && inbox.settle());
    assert_eq!(text(&inbox).unwrap(), "SIGKILL");
}

#[test]
fn who_exceeds_its_window_is_dismissed_and_not_accused_of_what_was_on_its_way() {
    let mut inbox = inbox();
    inbox.claim(id(1), TOKEN).unwrap();
    inbox.claim(id(2), TOKEN).unwrap();
    inbox.arrive((id(1), Way::Main), WINDOW, 1).unwrap();
    assert_eq!(inbox.arrive((id(1), Way::Main), 1, 2), Err(NotTaken::BeyondWindow));
    assert!(!inbox.dismiss(id(1), trouble("window")).unwrap().over);
    assert_eq!(inbox.arrive((id(1), Way::Main), 1, 3), Err(NotTaken::Late));
    assert_eq!(inbox.arrive((id(2), Way::Main), 1, 4), Ok(()));
    assert_eq!(inbox.take().unwrap(), Taken { message: 1, grant: None, unwatch: None });
    assert_eq!(inbox.take().unwrap().message, 4);
}

#[test]
fn a_message_that_is_found_bad_after_the_end_is_why_it_has_ended() {
    let mut inbox = inbox();
    inbox.claim(id(1), TOKEN).unwrap();
    inbox.arrive((id(1), Way::Main), 1, 7).unwrap();
    assert!(inbox.close(id(1), None).unwrap().over && inbox.settle());
    assert_eq!(inbox.take().unwrap().message, 7);
    assert_eq!(inbox.spoil(id(1), trouble("bad")), None);
    assert_eq!(inbox.spoil(id(1), trouble("worse")), None);
    assert_eq!(text(&inbox).unwrap(), "bad");
}

#[test]
fn claims_are_bounded_and_closed_ones_count_until_their_messages_are_taken() {
    let mut inbox = inbox();
    for source in 1..=256 {
        inbox.claim(id(source), TOKEN).unwrap();
        inbox.arrive((id(source), Way::Main), 1, source).unwrap();
    }
    assert_eq!(inbox.claim(id(257), TOKEN), Err(NoClaim::TooMany));
    inbox.close(id(1), None).unwrap();
    assert_eq!(inbox.claim(id(257), TOKEN), Err(NoClaim::TooMany));
    assert_eq!(inbox.take().unwrap().message, 1);
    inbox.claim(id(257), TOKEN).unwrap();
}

#[test]
fn a_context_has_one_window_however_often_it_claims() {
    let mut inbox = inbox();
    inbox.claim(id(1), TOKEN).unwrap();
    assert!(inbox.watch(0, Handle::new(5000)));
    inbox.arrive((id(1), Way::Main), WINDOW - 1, 0).unwrap();
    assert_eq!(inbox.close(id(1), None), Some(Closed { watch: None, grant: None, over: true }));
    assert_eq!(inbox.claim(id(1), TOKEN), Ok(None), "it goes on where it was");
    inbox.arrive((id(1), Way::Main), 1, 0).unwrap();
    assert_eq!(inbox.arrive((id(1), Way::Main), 1, 0), Err(NotTaken::BeyondWindow));
    inbox.close(id(1), None).unwrap();
    let watch = Some(Handle::new(5000));
    assert_eq!(inbox.take().unwrap().grant, Some(Grant { source: id(1), bytes: WINDOW - 1, watch }));
    let last = inbox.take().unwrap();
    assert_eq!((last.grant, last.unwatch), (Some(Grant { source: id(1), bytes: 1, watch }), watch));
    assert!(inbox.accounts.is_empty());
}

const LARGE: u64 = BULK_FROM as u64;

#[test]
fn what_was_not_given_back_yet_is_when_the_claim_ends() {
    let mut inbox = inbox();
    let watch = Some(Handle::new(5000));
    let grant = |bytes| Some(Grant { source: id(1), bytes, watch });
    let bulk = (id(1), Way::Bulk);
    inbox.claim(id(1), TOKEN).unwrap();
    assert!(inbox.watch(0, Handle::new(5000)));
    for (way, length) in [(Way::Main, LARGE), (Way::Bulk, LARGE - 1)] {
        inbox.arrive((id(1), way), length, 0).unwrap();
        assert_eq!(inbox.take().unwrap().grant, grant(length), "nothing is left");
    }
    inbox.arrive(bulk, LARGE, 0).unwrap();
    assert_eq!(inbox.take().unwrap().grant, None, "more of them will come");
    assert_eq!(inbox.close(id(1), None), Some(Closed { watch, grant: grant(LARGE), over: true }));
    assert!(inbox.accounts.is_empty());
    // Where something is queued still the last of that brings it, or a claim that goes on half a window.
    inbox.claim(id(1), TOKEN).unwrap();
    assert!(inbox.watch(1, Handle::new(5000)));
    (0..3).for_each(|number| inbox.arrive(bulk, LARGE, number).unwrap());
    inbox.close(id(1), None).unwrap();
    assert_eq!(inbox.take().unwrap().grant, None);
    inbox.claim(id(1), TOKEN).unwrap();
    assert_eq!(inbox.take().unwrap().grant, None);
    inbox.close(id(1), None).unwrap();
    assert_eq!(inbox.take().unwrap().grant, grant(3 * LARGE));
    // Whoever is dismissed counts from 0 again, and so does this end.
    inbox.claim(id(1), TOKEN).unwrap();
    inbox.arrive(bulk, LARGE, 0).unwrap();
    inbox.take().unwrap();
    assert_eq!(inbox.dismiss(id(1), trouble("bad")).unwrap().grant, None);
}

#[test]
fn who_is_dismissed_all_the_time_has_no_more_room_than_others() {
    let mut inbox = inbox();
    let mut claims = 0;
    while inbox.claim(id(1), TOKEN).is_ok() {
        inbox.arrive((id(1), Way::Main), WINDOW, 0).unwrap();
        inbox.dismiss(id(1), trouble("bad")).unwrap();
        claims += 1;
    }
    assert_eq!(claims, 256);
    inbox.take().unwrap();
    assert!(inbox.claim(id(1), TOKEN).is_ok());
    assert_eq!(inbox.claim(id(2), TOKEN), Err(NoClaim::TooMany));
    while inbox.take().is_some() {}
    assert_eq!(inbox.left, 0);
}

#[test]
fn the_bounds_may_be_as_small_and_as_large_as_can_be() {
    // One message a context, two contexts; who is dismissed counts as one until that is taken.
    let mut inbox = Inbox::new(ME, TOKEN, ChannelBounds { window: 0, senders: 2 });
    for source in 1..=2 {
        inbox.claim(id(source), TOKEN).unwrap();
        inbox.arrive((id(source), Way::Main), 1000, source).unwrap();
        assert_eq!(inbox.arrive((id(source), Way::Main), 1, source), Err(NotTaken::BeyondWindow));
    }
    assert_eq!(inbox.claim(id(3), TOKEN), Err(NoClaim::TooMany));
    inbox.dismiss(id(1), trouble("bad")).unwrap();
    assert_eq!(inbox.claim(id(3), TOKEN), Err(NoClaim::TooMany));
    assert_eq!(inbox.take().unwrap().message, 1);
    assert_eq!(inbox.claim(id(3), TOKEN), Ok(Some(2)));
    assert_eq!(inbox.take().unwrap().grant.unwrap().bytes, 1000);

    let mut inbox = Inbox::new(ME, TOKEN, ChannelBounds { window: u64::MAX, senders: 2 });
    for source in 1..=2 {
        inbox.claim(id(source), TOKEN).unwrap();
        inbox.arrive((id(source), Way::Main), u64::MAX - 1, source).unwrap();
        inbox.arrive((id(source), Way::Main), 1, source).unwrap();
    }
    assert_eq!(inbox.claim(id(3), TOKEN), Err(NoClaim::TooMany));
}

#[test]
fn closing_drops_what_is_queued_and_finishing_keeps_it() {
    let mut inbox = inbox();
    inbox.claim(id(1), TOKEN).unwrap();
    assert!(inbox.watch(0, Handle::new(5000)));
    inbox.arrive((id(1), Way::Main), 1, 7).unwrap();
    assert_eq!(inbox.finish(trouble("dead")), [(id(1), Some(Handle::new(5000)))]);
    assert_eq!((inbox.len(), text(&inbox).as_deref()), (1, Some("dead")));
    let (claimants, dropped) = inbox.shut(trouble("closed"));
    drop(dropped);
    assert!(claimants.is_empty() && inbox.take().is_none());
    assert!(!inbox.watch(0, Handle::new(5001)), "nobody needs it any more");
    assert_eq!(text(&inbox).as_deref(), Some("closed"));
}

#[test]
fn a_claim_is_closed_by_its_number_and_not_a_later_one_of_the_same_context() {
    let mut inbox = inbox();
    inbox.hold();
    let first = inbox.claim(id(1), TOKEN).unwrap().unwrap();
    inbox.close(id(1), None).unwrap();
    inbox.claim(id(1), TOKEN).unwrap();
    assert_eq!(inbox.close_number(first, trouble("late")), None);
    assert!(inbox.close(id(1), None).is_some());
}

/// The simplest thing that could be right: everything in lists.
#[derive(Default)]
struct Oracle {
    open: BTreeMap<u32, u64>,
    queue: Vec<(u32, u64, u32)>,
    holds: usize,
    claimed: bool,
    ended: bool,
}

impl Oracle {
    fn is_over(&self) -> bool {
        !self.ended && self.claimed && self.open.is_empty() && self.holds == 0
    }
}

proptest! {
    /// Messages come out once, in order, whatever claims, closes and holds go on around them; what
    /// is granted to a claim is what was taken of it; and the end comes when the oracle says.
    #[test]
    fn an_inbox_does_what_lists_would_do(steps in prop::collection::vec((0..6_u8, 0..4_u32, 1..WINDOW), 1..400)) {
        let (mut inbox, mut oracle) = (inbox(), Oracle::default());
        for (number, (step, source, cost)) in (0..).zip(steps) {
            match step {
                0 => {
                    let free = !oracle.ended && !oracle.open.contains_key(&source);
                    prop_assert_eq!(inbox.claim(id(source), TOKEN).is_ok(), free);
                    if free {
                        oracle.open.insert(source, inbox.open[&id(source)]);
                        oracle.claimed |= source != 0;
                    }
                }
                1 => {
                    let taken = inbox.arrive((id(source), Way::Main), cost, number);
                    match oracle.open.get(&source) {
                        None => prop_assert!(matches!(taken, Err(NotTaken::Unclaimed | NotTaken::Late))),
                        Some(claim) => if taken.is_ok() {
                            oracle.queue.push((source, *claim, number));
                        } else {
                            prop_assert_eq!(taken, Err(NotTaken::BeyondWindow));
                        },
                    }
                }
                2 => match inbox.take() {
                    None => {
                        prop_assert!(oracle.queue.is_empty());
                        let over = oracle.is_over();
                        prop_assert_eq!(inbox.settle(), over);
                        oracle.ended |= over;
                    }
                    Some(taken) => {
                        let (source, claim, expected) = oracle.queue.remove(0);
                        prop_assert_eq!(taken.message, expected);
                        prop_assert!(taken.grant.is_none_or(|grant| grant.source == id(source)));
                        prop_assert!(inbox.open.get(&id(source)).is_none_or(|open| *open == claim));
                    }
                },
                3 => {
                    let closed = inbox.close(id(source), None);
                    prop_assert_eq!(closed.is_some(), oracle.open.remove(&source).is_some());
                    prop_assert!(closed.is_none_or(|closed| closed.over == oracle.is_over()));
                }
                4 => {
                    inbox.hold();
                    oracle.holds += 1;
                }
                _ => if oracle.holds > 0 {
                    oracle.holds -= 1;
                    prop_assert_eq!(inbox.release(), oracle.is_over());
                },
            }
            prop_assert_eq!(inbox.end().is_some(), oracle.ended);
            prop_assert_eq!(inbox.len(), oracle.queue.len());
            let left: u64 = inbox.accounts.iter()
                .filter(|(number, account)| {
                    let of = |accounts: &HashMap<_, u64>| accounts.get(&account.source) == Some(*number);
                    !of(&inbox.open) && !of(&inbox.lingering)
                })
                .map(|(_, account)| account.granting.queued() + OVERHEAD)
                .sum();
            prop_assert_eq!(inbox.left, left);
            prop_assert!(inbox.accounts.len() <= oracle.open.len() + oracle.queue.len());
        }
    }
}
