//! Messages that stop half way, and messages that are too large.

use std::time::Duration;

use mitogen_service::Router;

use super::peer::{Answer, CALL_SERVICE, Frame, MARKER, MESSAGE_PACK, OVERLOADED, Stranger, call, header, text};
use super::{Everyone, MIB, Peak, alone};

#[test]
fn a_child_that_stops_inside_a_frame_is_cut() {
    let log = alone("stalls::a_child_that_stops_inside_a_frame_is_cut", || {
        let everyone = Everyone::with(Router::builder().stall_timeout(Duration::from_secs(1)).build().unwrap());
        let whole = {
            let mut stranger = Stranger::join(everyone.router(), "whole");
            stranger.voice.call("target", "size", &text(&MARKER.repeat(100_000))).encode()
        };
        let stopped = [1, 2, 13, 25, 26, 27, 4000, 5000, whole.len() / 2, whole.len() - 1].map(|at| {
            let mut stranger = Stranger::join(everyone.router(), &format!("stops after {at}"));
            // In front of it stands a whole one, which is answered.
            stranger.assert_unanswered();
            stranger.voice.try_send_bytes(&whole[..at]).unwrap();
            (at, stranger)
        });
        // One that stops between two frames does not stop inside of one.
        let mut between = Stranger::join(everyone.router(), "between");
        between.assert_unanswered();
        for (at, stranger) in stopped {
            println!("stopped after {at} bytes");
            stranger.assert_cut();
        }
        between.assert_unanswered();
        everyone.finish();
    });
    let Some(log) = log else { return };
    for at in [1, 13, 26, 5000] {
        log.assert_line(&[&format!("stream to `stops after {at}`"), "nothing has moved for too long"]);
    }
}

#[test]
fn what_is_only_announced_takes_no_memory() {
    alone("stalls::what_is_only_announced_takes_no_memory", || {
        let everyone = Everyone::with(Router::builder().stall_timeout(Duration::from_secs(1)).build().unwrap());
        let peak = Peak::begin();
        let strangers: Vec<_> = (0..50)
            .map(|number| {
                let mut stranger = Stranger::join(everyone.router(), &format!("announcer {number}"));
                let announced = header(MESSAGE_PACK, [0, stranger.id, stranger.id, CALL_SERVICE, 0], 100 << 20);
                stranger.voice.try_send_bytes(&[&announced[..], &[0; 10_000]].concat()).unwrap();
                stranger
            })
            .collect();
        everyone.go_on();
        // Five gigabytes were announced. Each thread has some address space of its own.
        let reserved = peak.reserved();
        assert!(reserved < 1024 * MIB, "{reserved} bytes of address space");
        for stranger in strangers {
            stranger.assert_cut();
        }
        peak.assert_below(32 * MIB);
        everyone.finish();
    });
}

#[test]
fn unfinished_messages_of_all_children_together_are_bounded() {
    alone("stalls::unfinished_messages_of_all_children_together_are_bounded", || {
        let everyone = Everyone::with(Router::builder().max_reassembly(8 * MIB).build().unwrap());
        // Two of them are a little less than the bound.
        let part = call("target", "size", &text(&MARKER.repeat((4 * MIB - 1000) / MARKER.len())));
        let mut strangers: Vec<_> =
            (0..16).map(|number| Stranger::join(everyone.router(), &format!("part {number}"))).collect();
        let peak = Peak::begin();
        let rest = part.len() - 1;
        for stranger in &mut strangers {
            let id = stranger.id;
            let head = header(MESSAGE_PACK, [0, id, id, CALL_SERVICE, 0x2000_0000], part.len() as u32);
            stranger.voice.try_send_bytes(&head).unwrap();
            stranger.voice.try_send_bytes(&part[..rest]).unwrap();
        }
        // The first two fit; the others are told before their messages have arrived as a whole.
        for stranger in &mut strangers[2..] {
            let answer = stranger.answer_at(0x2000_0000);
            assert!(matches!(answer, Answer::Dead(OVERLOADED, _)), "{answer:?}");
        }
        // 64 MiB were sent, and a vector that grows may be there twice.
        peak.assert_below(32 * MIB);
        for stranger in &mut strangers {
            stranger.voice.try_send_bytes(&part[rest..]).unwrap();
        }
        for stranger in &mut strangers[..2] {
            let answer = stranger.answer_at(0x2000_0000);
            assert!(matches!(answer, Answer::Value(_)), "{answer:?}");
        }
        // What was thrown away has ended where it should: all streams are good.
        strangers.iter_mut().for_each(Stranger::assert_unanswered);
        everyone.finish();
    });
}

#[test]
fn a_message_larger_than_any_may_be_cuts_just_its_stream() {
    let log = alone("stalls::a_message_larger_than_any_may_be_cuts_just_its_stream", || {
        let everyone = Everyone::with(Router::builder().max_message_size(MIB).build().unwrap());
        for length in [MIB as u32 + 1, 1 << 31, u32::MAX] {
            let mut stranger = Stranger::join(everyone.router(), &format!("large {length}"));
            let id = stranger.id;
            let head = header(MESSAGE_PACK, [0, id, id, CALL_SERVICE, 0x2000_0000], length);
            stranger.voice.try_send_bytes(&head).unwrap();
            stranger.assert_cut();
        }
        // The largest that may be is taken.
        let mut honest = Stranger::join(everyone.router(), "honest");
        let overhead = call("target", "size", &text(&" ".repeat(MIB - 100))).len() - (MIB - 100);
        let payload = call("target", "size", &text(&" ".repeat(MIB - overhead)));
        assert_eq!(payload.len(), MIB);
        let answer = honest.ask(&honest.voice.frame(0, CALL_SERVICE, 0x2000_0000, payload));
        assert!(matches!(answer, Answer::Value(_)), "{answer:?}");
        everyone.finish();
    });
    let Some(log) = log else { return };
    log.assert_line(&["stream to `large 4294967295`", "Maximum message size exceeded (got 4294967295, max 1048576)"]);
}

#[test]
fn noise_cuts_just_its_stream() {
    let log = alone("stalls::noise_cuts_just_its_stream", || {
        let everyone = Everyone::new();
        let noises: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\nHost: SECRET-PAYLOAD\r\n\r\n",
            b"SECRET-PAYLOAD: a line that was meant for stdout\n",
            &[0; 64],
            &[0xff; 64],
        ];
        for (number, noise) in noises.iter().enumerate() {
            let mut stranger = Stranger::join(everyone.router(), &format!("noise {number}"));
            // What came before it is answered.
            let ping = stranger.voice.call("target", "ping", &text(MARKER));
            stranger.voice.try_send_bytes(&[&ping.encode(), *noise].concat()).unwrap();
            stranger.until_cut();
        }
        // Behind a good frame as well, and whatever follows is not looked at.
        let mut stranger = Stranger::join(everyone.router(), "noise 4");
        let guarded = stranger.voice.call("target", "guarded", &super::peer::nothing());
        let bytes = [&Frame { magic: 0x4d51, ..guarded.clone() }.encode()[..], &guarded.encode()].concat();
        stranger.voice.try_send_bytes(&bytes).unwrap();
        stranger.assert_cut();
        everyone.finish();
    });
    let Some(log) = log else { return };
    for number in 0..5 {
        log.assert_line(&[&format!("stream to `noise {number}`"), "Corruption detected: frame signature incorrect."]);
    }
}
