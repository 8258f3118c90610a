//! A child that takes nothing of what is sent to it.

use std::time::Duration;

use mitogen_service::{CallError, Router};
use mitogen_service_tests::{LONG, Watched};

use super::peer::{
    ALLOCATE_ID, Answer, CALL_SERVICE, CANCEL, DEAD, Frame, INVALID_HANDLE, MARKER, OVERLOADED, Stranger, call,
    nothing, text,
};
use super::{Everyone, MIB, Peak, alone};
use crate::bench::Worker;

/// What waits for one stream, with what control messages and refusals may have beyond it.
const OUTPUT: usize = (4 + 8) * MIB;

fn impatient() -> Everyone {
    Everyone::with(Router::builder().stall_timeout(Duration::from_secs(1)).build().unwrap())
}

/// A large text.
fn large(bytes: usize) -> String {
    MARKER.repeat(bytes / MARKER.len())
}

#[test]
fn a_child_that_never_reads_is_cut_and_its_siblings_go_on() {
    let log = alone("never_reads::a_child_that_never_reads_is_cut_and_its_siblings_go_on", || {
        let everyone = impatient();
        let stranger = Stranger::join(everyone.router(), "stranger");
        let peak = Peak::begin();
        let text = large(MIB);
        // More than the bound, so that the last ones wait for room.
        let callers: Vec<_> = (0..16)
            .map(|_| {
                let (context, text) = (stranger.context.clone(), text.clone());
                std::thread::spawn(move || Worker::stub(&context).echo(text).wait())
            })
            .collect();
        for caller in callers {
            let error = caller.join().unwrap().unwrap_err();
            assert!(matches!(error, CallError::Dead { .. }), "{error:?}");
        }
        stranger.until_cut();
        peak.assert_below(64 * MIB);
        // One that comes later does not wait at all.
        let late = Worker::stub(&stranger.context).marks().wait_timeout(LONG).unwrap_err();
        assert!(matches!(late, CallError::Dead { .. }), "{late:?}");
        everyone.finish();
    });
    let Some(log) = log else { return };
    log.assert_line(&["stream to `stranger`", "nothing has moved for too long"]);
}

#[test]
fn what_siblings_send_to_a_child_that_never_reads_is_bounded_and_refused() {
    alone("never_reads::what_siblings_send_to_a_child_that_never_reads_is_bounded_and_refused", || {
        let everyone = impatient();
        let silent = Stranger::join(everyone.router(), "silent");
        let mut sender = Stranger::join(everyone.router(), "sender");
        let peak = Peak::begin();
        let payload = call("any", "method", &text(&large(MIB / 2)));
        // Calls and answers may have the bound, and what looks like control messages the reserve as well.
        let kinds = [(CALL_SERVICE, 0), (0x5000_0000, 0), (CANCEL, 0), (0x5000_0000, DEAD)];
        for (handle, reply_to) in kinds.iter().cycle().take(128) {
            let frame = sender.voice.frame(silent.id, *handle, *reply_to, payload.clone());
            sender.voice.send(&frame);
        }
        let asked = Frame { reply_to: 0x2000_0000, ..sender.voice.frame(silent.id, CALL_SERVICE, 0, payload) };
        let answer = sender.ask(&asked);
        assert!(matches!(answer, Answer::Dead(OVERLOADED, _)), "{answer:?}");
        // A sibling's call is refused as well, and does not wait.
        let worker = Worker::stub(&everyone.one);
        let error = worker.echo_at(silent.context.clone(), large(MIB / 2)).wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::Overloaded { .. } | CallError::Dead { .. }), "{error:?}");
        peak.assert_below(2 * OUTPUT + 16 * MIB);
        silent.until_cut();
        everyone.finish();
    });
}

/// The answers of this process itself are not refused; so the calls must not run.
#[test]
fn a_child_that_calls_and_never_reads_the_answers_is_bounded_and_cut() {
    let log = alone("never_reads::a_child_that_calls_and_never_reads_the_answers_is_bounded_and_cut", || {
        let everyone = impatient();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let peak = Peak::begin();
        let text = large(64 * 1024);
        let sent = (0..4000).take_while(|_| {
            let echo = stranger.voice.call("target", "echo", &super::peer::text(&text));
            stranger.voice.try_send(&echo).is_ok()
        });
        println!("{} calls of 64 KiB were sent", sent.count());
        stranger.until_cut();
        // 16 MiB of calls that wait, and the output; what was sent is much more.
        peak.assert_below(16 * MIB + 2 * OUTPUT + 16 * MIB);
        everyone.finish();
    });
    let Some(log) = log else { return };
    log.assert_line(&["stream to `stranger`", "nothing has moved for too long"]);
}

#[test]
fn a_child_that_does_not_read_refusals_is_cut_before_they_take_much_memory() {
    let log = alone("never_reads::a_child_that_does_not_read_refusals_is_cut_before_they_take_much_memory", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let peak = Peak::begin();
        let invalid = stranger.voice.frame(0, 0x5000_0000, 0x2000_0000, Vec::new());
        let ids = stranger.voice.frame(0, ALLOCATE_ID, 0x2000_0000, Vec::new());
        let nobody = stranger.voice.frame(0x7000_0000, CALL_SERVICE, 0x2000_0000, Vec::new());
        let ping = stranger.voice.call("target", "ping", &nothing());
        let bytes: Vec<u8> = [&invalid, &ids, &nobody, &ping].iter().flat_map(|frame| frame.encode()).collect();
        let many = bytes.repeat(500);
        for _ in 0..1000 {
            if stranger.voice.try_send_bytes(&many).is_err() {
                break;
            }
        }
        // Two million answers, of about 60 bytes on the wire and three times as many in memory each: not
        // all of them can be kept, and none is lost without a word.
        stranger.until_cut();
        peak.assert_below(8 * OUTPUT);
        let first = stranger.ears.next().expect("the stream is open").into_answer();
        assert!(matches!(first, Answer::Dead(INVALID_HANDLE, _)), "{first:?}");
        everyone.finish();
    });
    let Some(log) = log else { return };
    log.assert_line(&["stream to `stranger`", "it does not read"]);
}

/// A process that is stopped is a child that never reads.
#[test]
fn a_process_that_is_stopped_is_cut_and_killed() {
    alone("never_reads::a_process_that_is_stopped_is_cut_and_killed", || {
        let everyone = impatient();
        let stopped = everyone.bench.child("stopped");
        let worker = Worker::stub(&stopped);
        let process = Watched::new(worker.pid().wait().unwrap());
        process.stop();
        let text = large(MIB);
        let error = worker.echo(text).wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::Dead { .. }), "{error:?}");
        assert!(process.ends_within(LONG) && !process.is_listed(), "it was killed and reaped");
        everyone.finish();
    });
}
