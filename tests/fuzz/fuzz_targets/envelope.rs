//! Payloads of calls, replies, the router's own handles and dead messages: read or refused as
//! MessagePack's specification says, and the same after they were written again.
//!
//! Input: the encoding's last byte, and the payload.

#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use mitogen_service::fuzzing::{self, MAX_DEPTH};
use mitogen_service::{__private::value, CallError, Router};
use mitogen_service_fuzz::{bounded, is_one_value};

/// Longest text that is believed.
const MAX_TEXT: usize = 4096;

thread_local! {
    static ROUTER: Router = Router::builder().build().expect("a router without streams");
}

fuzz_target!(|input: &[u8]| {
    let Some((&encoding, payload)) = input.split_first() else { return };

    let valid = bounded("validate", 0, 0, 2048, || fuzzing::validate(payload, MAX_DEPTH));
    assert_eq!(valid, is_one_value(payload, MAX_DEPTH), "the specification says otherwise");
    for depth in [0, 1, 15, 16, 17] {
        assert_eq!(fuzzing::validate(payload, depth), is_one_value(payload, depth), "at depth {depth}");
    }
    let skipped = bounded("skip", 0, 0, 0, || fuzzing::skip(payload));
    assert!(!valid || skipped == Some(payload));

    if let Some((service, method, meta, args)) = bounded("call", 0, 0, 2048, || fuzzing::call(payload)) {
        assert!(valid && (meta == [0xc0] || is_map(meta)) && is_map(args));
        assert!(meta.as_ptr_range().end == args.as_ptr() && args.as_ptr_range().end == payload.as_ptr_range().end);
        let again = fuzzing::write_call(service, method, args);
        assert_eq!(fuzzing::call(&again), Some((service, method, &[0xc0][..], args)));
    }
    if let Some(reply) = bounded("reply", 0, 0, 2048, || fuzzing::reply(payload)) {
        let (Ok(raw) | Err(raw)) = reply;
        assert!(valid && fuzzing::validate(raw, MAX_DEPTH));
        assert_eq!(fuzzing::reply(&fuzzing::write_reply(reply)), Some(reply));
        if let Err(raw) = reply {
            call_error(raw);
        }
    }
    let read = bounded("control", payload.len(), 4, 4096, || fuzzing::control(payload));
    assert!(read == 0 || valid);
    if let Some((_, text)) = bounded("dead", payload.len(), 8, 8 * MAX_TEXT, || {
        fuzzing::dead_reason(u16::from_be_bytes([b'M', encoding]), payload)
    }) {
        assert!(text.len() <= MAX_TEXT);
    }
    let death = bounded("death", payload.len(), 8, 8 * MAX_TEXT, || fuzzing::death(payload));
    if let Some([context, reason, last_words]) = death {
        assert!(is_sane(&context) && is_sane(&reason), "{context:?} {reason:?}");
        assert!(last_words.len() <= MAX_TEXT);
    }
    if let Some(name) = ROUTER.with(|router| fuzzing::name(router, payload)) {
        assert!(is_sane(&name), "{name:?}");
    }
});

/// What may stand in a log line and cannot forge another one.
fn is_sane(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.contains(char::is_control)
}

fn is_map(raw: &[u8]) -> bool {
    matches!(raw[0], 0x80..=0x8f | 0xde | 0xdf)
}

/// The error of a call, as a hostile callee may write it.
fn call_error(raw: &[u8]) {
    let decoded = bounded("call error", raw.len(), 96, 8192, || value::decode::<CallError>(raw));
    let Ok(error) = decoded else { return };
    let mut again = Vec::new();
    value::encode(&error, &mut again).expect("what was read can be written");
    assert!(fuzzing::validate(&again, MAX_DEPTH));
    assert_eq!(value::decode::<CallError>(&again).expect("what was written can be read"), error);
    let shown = bounded("call error shown", raw.len(), 96, 8192, || format!("{error} {error:?}"));
    assert!(!shown.is_empty());
    let _ = (error.executed(), error.path().len(), error.decode::<String>());
}
