//! Answers that never come, come late, twice, unasked, or from somebody who was not asked.

use std::collections::BTreeMap;
use std::time::Duration;

use mitogen_service::{AllowAny, Call, CallError, Caller, Context, Router, service};
use mitogen_service_tests::LONG;

use super::peer::{
    Answer, CALL_SERVICE, CANCEL, DEAD, Frame, INVALID_HANDLE, MARKER, Stranger, UNEXPECTED_CONTEXT, pack,
};
use super::{Everyone, alone};
use crate::bench::Worker;

/// A call that nobody answers is given up after this.
const SHORT: Duration = Duration::from_millis(20);

/// Handles are numbers that count up, so those that are in use are near one that is known.
const NEAR: u32 = 5000;

/// A call of the root to a stranger.
fn call(context: &Context) -> Call<String> {
    context.call_service("stranger", "method", &super::peer::nothing())
}

fn give_up_on(context: &Context) {
    let error = call(context).wait_timeout(SHORT).unwrap_err();
    assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error:?}");
}

#[test]
fn a_child_that_never_answers_keeps_no_place_among_the_pending_calls() {
    alone("answers::a_child_that_never_answers_keeps_no_place_among_the_pending_calls", || {
        // Two of the places are for the honest calls of the root; one is left.
        let everyone = Everyone::with(Router::builder().max_pending_calls(3).build().unwrap());
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        for _ in 0..20 {
            give_up_on(&stranger.context);
            let asked = stranger.next_call();
            // It is told that nobody waits any more.
            let cancel = stranger.ears.next().unwrap();
            assert_eq!((cancel.handle, cancel.reply_to), (CANCEL, 0));
            assert_eq!(cancel.payload, pack(&asked.reply_to));
        }
        stranger.assert_unanswered();
        everyone.finish();
    });
}

#[test]
fn a_child_that_does_not_know_cancel_is_not_sent_any() {
    alone("answers::a_child_that_does_not_know_cancel_is_not_sent_any", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join_with(everyone.router(), "stranger", 0);
        for _ in 0..5 {
            give_up_on(&stranger.context);
        }
        for _ in 0..5 {
            stranger.next_call();
        }
        stranger.assert_unanswered();
        everyone.finish();
    });
}

#[test]
fn only_the_first_answer_counts_and_only_while_somebody_waits() {
    alone("answers::only_the_first_answer_counts_and_only_while_somebody_waits", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let first = call(&stranger.context);
        let asked = stranger.next_call();
        let answer = stranger.reply(&asked, &"first");
        stranger.voice.send(&answer);
        assert_eq!(first.wait_timeout(LONG).unwrap(), "first");
        let again = stranger.reply(&asked, &MARKER);
        assert_not_taken(&mut stranger, &again, INVALID_HANDLE);

        give_up_on(&stranger.context);
        let asked = stranger.next_call();
        assert_eq!(stranger.ears.next().unwrap().handle, CANCEL);
        // Whoever calls next gets the next handle, and not this answer.
        let next = call(&stranger.context);
        let late = stranger.reply(&asked, &MARKER);
        let asked = stranger.next_call();
        assert_not_taken(&mut stranger, &late, INVALID_HANDLE);
        let answer = stranger.reply(&asked, &"next");
        stranger.voice.send(&answer);
        assert_eq!(next.wait_timeout(LONG).unwrap(), "next");
        everyone.finish();
    });
}

/// Without a handle for an answer nothing comes back, as a dead message it is dropped, and otherwise
/// its sender is told this.
fn assert_not_taken(stranger: &mut Stranger, frame: &Frame, code: u8) {
    for reply_to in [0, DEAD] {
        stranger.voice.send(&Frame { reply_to, ..frame.clone() });
        stranger.assert_unanswered();
    }
    let reply_to = stranger.voice.new_handle();
    let told = stranger.ask(&Frame { reply_to, ..frame.clone() });
    assert!(matches!(told, Answer::Dead(got, _) if got == code), "{told:?}");
}

#[test]
fn an_answer_that_cannot_be_read_fails_just_its_call() {
    alone("answers::an_answer_that_cannot_be_read_fails_just_its_call", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let depths = [vec![0x91; 200], [&[0x92, 0][..], &[0x91; 200], &[0xc0]].concat()];
        let odd: [&[u8]; 12] = [
            b"",
            b"\xc0",
            b"\x92\x00",
            b"\x92\x02\xc0",
            b"\x92\x00\x01",
            b"\x92\x01\xc0",
            b"\x92\x01\x81\xa6Faulty\x80",
            b"\x92\x00\xa1x\xc0",
            b"\xdd\xff\xff\xff\xff",
            b"\x92\x00\xdb\xff\xff\xff\xff",
            &depths[0],
            &depths[1],
        ];
        for payload in odd {
            let waiting = call(&stranger.context);
            let asked = stranger.next_call();
            let answer = Frame { payload: payload.to_vec(), ..stranger.reply(&asked, &()) };
            stranger.voice.send(&answer);
            let error = waiting.wait_timeout(LONG).unwrap_err();
            assert!(!matches!(error, CallError::DeadlineExceeded { .. }), "{payload:x?}: {error:?}");
        }
        for magic in [0x4d49, 0x4d4a, 0x4d4b] {
            let waiting = call(&stranger.context);
            let asked = stranger.next_call();
            let answer = Frame { magic, ..stranger.reply(&asked, &"text") };
            stranger.voice.send(&answer);
            assert!(waiting.wait_timeout(LONG).is_err(), "{magic:x}");
        }
        stranger.assert_unanswered();
        everyone.finish();
    });
}

#[test]
fn a_hundred_thousand_answers_that_nobody_asked_for_reach_nobody() {
    alone("answers::a_hundred_thousand_answers_that_nobody_asked_for_reach_nobody", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let mut numbers = super::multitude::Random::new(7);
        for number in 0..100_000 {
            let handle = 1000 + numbers.below(u32::MAX - 1000);
            let reply_to = if number % 2 == 0 { 0 } else { DEAD };
            let frame = stranger.voice.frame(0, handle, reply_to, pack(&(0, MARKER)));
            stranger.voice.send(&frame);
        }
        stranger.assert_unanswered();
        everyone.finish();
    });
}

/// Sends an answer, and a dead message, to each handle of a context that may be in use; the answers
/// are not taken, and how many of them for the reason that somebody else was asked is told.
fn answer_all_near(stranger: &mut Stranger, dst: u32, known: u32) -> usize {
    for handle in known..known.saturating_add(NEAR) {
        for reply_to in [DEAD, stranger.voice.new_handle()] {
            let frame = stranger.voice.frame(dst, handle, reply_to, pack(&(0, MARKER)));
            stranger.voice.send(&frame);
        }
    }
    let mut codes = (0..NEAR).map(|_| match stranger.ears.next().expect("the stream is open").into_answer() {
        Answer::Dead(code, _) => code,
        other => panic!("{other:?}"),
    });
    codes.by_ref().filter(|code| *code == UNEXPECTED_CONTEXT).count()
}

#[test]
fn a_call_takes_no_answer_from_a_sibling_of_the_one_that_was_asked() {
    alone("answers::a_call_takes_no_answer_from_a_sibling_of_the_one_that_was_asked", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        // It learns where the handles of the root are, and those of its sibling.
        let bait = call(&stranger.context);
        let of_root = stranger.next_call();
        let worker = Worker::stub(&everyone.two);
        let other_bait = worker.echo_at(stranger.context.clone(), "bait".into());
        let of_two = stranger.next_call();
        assert_eq!(of_two.src, everyone.two.id().get());
        // What the stranger would like to answer.
        let held = Worker::stub(&everyone.one).hold_aside(everyone.bench.root(), "held by the root".into());
        let visit = everyone.bench.visit();
        for asked in [&of_two, &of_root] {
            let answer = stranger.reply(asked, &"bait");
            stranger.voice.send(&answer);
        }
        for bait in [bait, other_bait] {
            assert_eq!(bait.wait_timeout(LONG).unwrap(), "bait");
        }
        assert!(answer_all_near(&mut stranger, 0, of_root.reply_to) > 0, "the call of the root was not among them");
        visit.go();
        assert_eq!(held.wait_timeout(LONG).unwrap(), "held by the root");

        let held = worker.hold_at(everyone.one.clone(), everyone.bench.root(), "held by two".into());
        let visit = everyone.bench.visit();
        let two = everyone.two.id().get();
        assert!(answer_all_near(&mut stranger, two, of_two.reply_to) > 0, "the call of two was not among them");
        visit.go();
        assert_eq!(held.wait_timeout(LONG).unwrap(), "held by two");
        stranger.assert_unanswered();
        everyone.finish();
    });
}

/// Asks whoever calls it back.
struct Polite;

#[service(name = "polite")]
impl Polite {
    #[expose(policy = AllowAny)]
    fn ask_back(&self, caller: &Caller) -> Result<u32, CallError> {
        call_back(&caller.context())
    }
}

fn call_back(context: &Context) -> Result<u32, CallError> {
    context.call_service("stranger", "method", &super::peer::nothing()).wait()
}

/// Each call says that it belongs to the last one alone, whatever there was before.
#[test]
fn a_child_that_calls_back_without_end_nests_only_so_deep() {
    alone("answers::a_child_that_calls_back_without_end_nests_only_so_deep", || {
        let everyone = Everyone::new();
        everyone.bench.pool.add(Polite).unwrap();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let mut asked: Vec<Frame> = Vec::new();
        let refused = loop {
            let chain: Vec<_> = asked.last().map(|asked| (0u32, asked.reply_to, "ask_back")).into_iter().collect();
            let call = stranger.voice.call("polite", "ask_back", &super::peer::nothing());
            let meta = BTreeMap::from([("chain", chain)]);
            let payload = pack(&("polite", "ask_back", meta, super::peer::nothing()));
            stranger.voice.send(&Frame { payload, ..call.clone() });
            let frame = stranger.ears.next().unwrap();
            if frame.handle != CALL_SERVICE {
                assert_eq!(frame.handle, call.reply_to);
                break frame;
            }
            asked.push(frame);
            assert!(asked.len() < 200, "it goes on without end");
        };
        assert!(asked.len() > 30, "{}", asked.len());
        let text = String::from_utf8_lossy(&refused.payload).into_owned();
        assert!(text.contains("more than 32 calls deep"), "{text}");
        // The honest calls had to wait for a thread, and go on when these are answered.
        for asked in asked.iter().rev() {
            let reply = stranger.reply(asked, &7);
            stranger.voice.send(&reply);
        }
        stranger.ping();
        everyone.finish();
    });
}
