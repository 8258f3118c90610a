//! More of everything than anybody needs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mitogen_service::CallError;

use super::peer::{
    Answer, CALL_SERVICE, FEATURE_CANCEL, FEATURE_PING, Frame, INVALID_HANDLE, MARKER, PING, PONG, ROOT, Stranger,
    Voice, call, nothing, text,
};
use super::{Everyone, MIB, Peak, alone};

/// How many calls one caller may have under way, a quarter of all.
const SHARE: u32 = 16_384;

/// Sends on a thread of its own while `hear` reads what comes back.
fn flood<R>(stranger: &mut Stranger, send: impl FnOnce(&mut Voice) + Send, hear: impl FnOnce(&mut Stranger) -> R) -> R {
    let mut voice = stranger.voice.another();
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || send(&mut voice));
        let heard = hear(stranger);
        sending.join().unwrap();
        heard
    })
}

/// Sends the same message again and again, with another handle for each answer, and counts what
/// comes back by kind.
fn flood_with(stranger: &mut Stranger, count: u32, frame: &Frame) -> BTreeMap<String, u32> {
    let send = |voice: &mut Voice| {
        for number in 0..count {
            voice.send(&Frame { reply_to: 0x2000_0000 + number, ..frame.clone() });
        }
    };
    flood(stranger, send, |stranger| {
        let mut kinds = BTreeMap::new();
        for _ in 0..count {
            let kind = match stranger.ears.next().expect("the stream is open").into_answer() {
                Answer::Value(_) => "value".to_owned(),
                Answer::Error(error) => kind_of(&error),
                Answer::Dead(code, _) => format!("dead {code}"),
                Answer::Other(frame) => panic!("{frame:?}"),
            };
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    })
}

/// The name of an error's variant.
fn kind_of(error: &CallError) -> String {
    format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}

#[test]
fn a_child_that_floods_calls_is_answered_each_time_and_others_go_on() {
    alone("floods::a_child_that_floods_calls_is_answered_each_time_and_others_go_on", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let peak = Peak::begin();
        let echo = stranger.voice.call("target", "echo", &text(MARKER));
        let kinds = flood_with(&mut stranger, 50_000, &echo);
        println!("{kinds:?}");
        // It may have more under way than one caller may have.
        assert!(kinds.keys().all(|kind| ["value", "Overloaded"].contains(&kind.as_str())), "{kinds:?}");
        assert!(kinds["value"] > 1000, "{kinds:?}");
        peak.assert_below(64 * MIB);
        stranger.assert_unanswered();
        everyone.finish();
    });
}

#[test]
fn large_calls_without_end_take_no_more_than_a_callers_share_of_the_queue() {
    alone("floods::large_calls_without_end_take_no_more_than_a_callers_share_of_the_queue", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let peak = Peak::begin();
        let large = stranger.voice.call("target", "size", &text(&MARKER.repeat(MIB / 2 / MARKER.len())));
        // The queue would hold 64 MiB, all of them 200.
        let kinds = flood_with(&mut stranger, 400, &large);
        println!("{kinds:?}");
        assert!(kinds["value"] > 10, "{kinds:?}");
        peak.assert_below(64 * MIB);
        stranger.assert_unanswered();
        everyone.finish();
    });
}

/// A call that is taken counts until it is answered, and not only while it waits for a thread.
#[test]
fn calls_that_stay_without_an_answer_are_bounded_for_each_caller() {
    alone("floods::calls_that_stay_without_an_answer_are_bounded_for_each_caller", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        // Whoever comes to the gate waits there.
        let pass = stranger.voice.call("gate", "pass", &BTreeMap::from([("name", MARKER)]));
        for number in 0..40_000 {
            stranger.voice.send(&Frame { reply_to: 0x2000_0000 + number, ..pass.clone() });
        }
        everyone.go_on();
        assert_overloaded(&mut stranger, 40_000 - SHARE);
        everyone.go_on();
        drop(stranger);
        everyone.finish();
    });
}

/// So many calls are refused, and nothing else comes in between.
fn assert_overloaded(stranger: &mut Stranger, times: u32) {
    for _ in 0..times {
        let answer = stranger.ears.next().expect("the stream is open").into_answer();
        assert!(matches!(answer, Answer::Error(CallError::Overloaded { .. })), "{answer:?}");
    }
}

#[test]
fn large_calls_that_stay_without_an_answer_are_bounded_for_each_caller() {
    alone("floods::large_calls_that_stay_without_an_answer_are_bounded_for_each_caller", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let peak = Peak::begin();
        let name = MARKER.repeat(MIB / MARKER.len());
        let pass = stranger.voice.call("gate", "pass", &BTreeMap::from([("name", &name)]));
        for number in 0..128 {
            stranger.voice.send(&Frame { reply_to: 0x2000_0000 + number, ..pass.clone() });
        }
        // 16 MiB are taken, of 128; the method that waits has a copy of what it was given.
        assert_overloaded(&mut stranger, 128 - 16);
        peak.assert_below(64 * MIB);
        everyone.go_on();
        drop(stranger);
        everyone.finish();
    });
}

#[test]
fn a_hundred_thousand_handles_that_do_not_exist_are_refused_and_others_go_on() {
    alone("floods::a_hundred_thousand_handles_that_do_not_exist_are_refused_and_others_go_on", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let peak = Peak::begin();
        let payload = call("target", "ping", &text(MARKER));
        let next = |voice: &Voice, number: u32, reply_to: u32| {
            // Never one of those below 1000 that exist.
            voice.frame(0, 1000 + number * 42_949, reply_to, payload.clone())
        };
        let send = |voice: &mut Voice| {
            for number in 0..100_000 {
                voice.send(&next(voice, number, 0));
            }
            for number in 0..100_000 {
                voice.send(&next(voice, number, 0x2000_0000 + number));
            }
        };
        flood(&mut stranger, send, |stranger| {
            for number in 0..100_000 {
                let refusal = stranger.ears.next().expect("the stream is open");
                assert_eq!(refusal.handle, 0x2000_0000 + number);
                let answer = refusal.into_answer();
                assert!(matches!(answer, Answer::Dead(INVALID_HANDLE, _)), "{answer:?}");
            }
        });
        peak.assert_below(16 * MIB);
        stranger.assert_unanswered();
        everyone.finish();
    });
}

#[test]
fn a_hundred_thousand_made_up_services_are_not_activated_and_leave_nothing() {
    alone("floods::a_hundred_thousand_made_up_services_are_not_activated_and_leave_nothing", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let mut refused = 0;
        let mut ask = |stranger: &mut Stranger, numbers: std::ops::Range<u32>| {
            let frame = stranger.voice.frame(0, CALL_SERVICE, 0, Vec::new());
            let count = numbers.len();
            let send = |voice: &mut Voice| {
                for number in numbers {
                    let name = format!("{MARKER}{number:0100}");
                    let payload = call(&name, "method", &nothing());
                    voice.send(&Frame { reply_to: 0x2000_0000 + number, payload, ..frame.clone() });
                }
            };
            refused += flood(stranger, send, |stranger| {
                let answers = (0..count).map(|_| stranger.ears.next().expect("the stream is open").into_answer());
                answers.filter(|answer| matches!(answer, Answer::Error(CallError::NotActivated { .. }))).count()
            });
        };
        // What the allocator and the threads take once is taken by the first ones.
        ask(&mut stranger, 0..10_000);
        let peak = Peak::begin();
        for batch in 1..10 {
            ask(&mut stranger, batch * 10_000..(batch + 1) * 10_000);
        }
        // A table of names would have about 20 MiB, beside the calls that are under way.
        peak.assert_below(12 * MIB);
        println!("{refused} were refused, the others found too many under way");
        assert!(refused > 50_000, "{refused}");
        stranger.assert_unanswered();
        everyone.finish();
    });
}

/// What a stranger does wrong is told, ten times a second at most, and never what it has sent.
#[test]
fn offences_without_end_make_ten_log_lines_a_second() {
    let began = Instant::now();
    let log = alone("floods::offences_without_end_make_ten_log_lines_a_second", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        // Only after a second is there something to tell of those that were not logged.
        let began = Instant::now();
        for number in (0..).take_while(|number| *number < 5000 || began.elapsed() < Duration::from_millis(1500)) {
            let call = stranger.voice.call(MARKER, MARKER, &text(MARKER));
            let route = stranger.voice.frame(0, super::peer::ADD_ROUTE, 0, super::peer::pack(&(number, MARKER)));
            let noise = stranger.voice.frame(0, super::peer::DEL_ROUTE, 0, MARKER.as_bytes().to_vec());
            for frame in [Frame { auth: 0, ..call.clone() }, Frame { src: 0, ..call }, route, noise] {
                stranger.voice.send(&frame);
            }
        }
        stranger.assert_unanswered();
        everyone.finish();
    });
    let Some(log) = log else { return };
    let lines = log.count("`stranger`");
    let allowed = 10 * (began.elapsed().as_secs() as usize + 2);
    assert!((10..=allowed).contains(&lines), "{lines} lines, of {allowed} allowed");
    log.assert_line(&["`stranger`", "more like this were not logged"]);
}

/// Sends each of these calls so often, and wants no answer to any.
fn fail_without_reply(times: usize, calls: [(&str, &str); 4], arg: &str) {
    let everyone = Everyone::new();
    let mut stranger = Stranger::join(everyone.router(), "stranger");
    for (service, method) in calls {
        let call = stranger.voice.call(service, method, &BTreeMap::from([(arg, MARKER)]));
        for _ in 0..times {
            stranger.voice.send(&Frame { reply_to: 0, ..call.clone() });
        }
        stranger.assert_unanswered();
    }
    everyone.finish();
}

/// A call that nobody waits for can only be told of in the log.
#[test]
fn calls_without_reply_that_fail_without_end_do_not_fill_the_log() {
    let began = Instant::now();
    let log = alone("floods::calls_without_reply_that_fail_without_end_do_not_fill_the_log", || {
        let calls = [("nobody", "method"), ("target", "nothing"), ("target", "guarded"), ("target", "echo")];
        fail_without_reply(2500, calls, "none");
    });
    let Some(log) = log else { return };
    let lines = log.count("a call without reply from stranger") + log.count("no-reply method");
    let allowed = 10 * (began.elapsed().as_secs() as usize + 2);
    assert!((1..=allowed).contains(&lines), "{lines} lines, of {allowed} allowed");
}

/// The names that a caller makes up are payload as well.
#[test]
fn a_call_without_reply_that_fails_puts_no_word_of_its_caller_into_the_log() {
    let log = alone("floods::a_call_without_reply_that_fails_puts_no_word_of_its_caller_into_the_log", || {
        fail_without_reply(
            1,
            [(MARKER, "method"), ("target", MARKER), ("target", "guarded"), ("target", "echo")],
            MARKER,
        );
    });
    let Some(log) = log else { return };
    log.assert_line(&["a call without reply from stranger failed"]);
}

#[test]
fn pings_without_end_make_no_more_pongs_than_a_pipe_holds() {
    alone("floods::pings_without_end_make_no_more_pongs_than_a_pipe_holds", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join_with(everyone.router(), "stranger", FEATURE_CANCEL | FEATURE_PING);
        let peak = Peak::begin();
        let ping = stranger.voice.frame(ROOT, PING, 0, Vec::new());
        let many = ping.encode().repeat(1000);
        for _ in 0..1000 {
            stranger.voice.try_send_bytes(&many).unwrap();
        }
        everyone.go_on();
        // A million answers would take a hundred and more in memory, each.
        peak.assert_below(16 * MIB);
        // Nothing is owed to it, and the stream is good.
        let answers = stranger.ping();
        println!("{} answers", answers.len());
        assert!((1..100_000).contains(&answers.len()));
        assert!(answers.iter().all(|answer| answer.handle == PONG));
        // One that reads is answered.
        stranger.voice.send(&ping);
        assert_eq!(stranger.ears.next().expect("the stream is open").handle, PONG);
        everyone.finish();
    });
}
