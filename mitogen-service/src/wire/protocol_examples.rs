//! Holds `docs/protocol.md` against the code: its examples are decoded, judged, encoded again and
//! compared byte for byte, and its tables of dead messages and call errors are looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::control::{decode_cancel, decode_shutdown, encode_cancel, encode_shutdown};
use super::envelope::{reply_err_prefix, reply_ok_prefix};
use super::msgpack::{MAX_DEPTH, validate};
use super::{
    AddRoute, Blob, Bulk, CallEnvelope, ChannelBounds, Claim, ContextId, Credit, CreditNews, Cursor, DeadCode,
    DeadReason, Decoder, DelRoute, Encoding, EnvelopeWriter, FEATURE_CANCEL, FEATURE_CHANNELS, FEATURE_PING, Handle,
    Header, Hello, HelloDecoder, IdBlock, Identity, Message, Meta, Reply, path, value,
};
use crate::error::{CallError, DeadlineBy, Executed, Exit, Trace};

/// The handle on which the examples wait.
const WAITING: Handle = Handle::new(70_000);

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md")).unwrap()
}

/// The lines of each block of hex, without their comments, by the label in front of the block.
fn examples() -> BTreeMap<String, Vec<Vec<u8>>> {
    let (mut examples, mut label) = (BTreeMap::new(), None);
    let page = page();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some((name, _)) = line.strip_prefix("Example `").and_then(|rest| rest.split_once('`')) {
            label = Some(name.to_owned());
        } else if line == "```hex" {
            let label = label.take().expect("a block has a label");
            let block = lines.by_ref().take_while(|line| *line != "```").map(hex).collect();
            assert!(examples.insert(label.clone(), block).is_none(), "{label} is there twice");
        }
    }
    examples
}

/// The bytes of one line; what follows `#` is a comment.
fn hex(line: &str) -> Vec<u8> {
    let digits = line.split('#').next().unwrap_or_default();
    digits.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect(line)).collect()
}

fn example(label: &str) -> Vec<u8> {
    examples().remove(label).expect(label).concat()
}

/// The cells of the rows of all tables.
fn rows() -> Vec<Vec<String>> {
    let cells =
        |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect();
    page().lines().filter(|line| line.starts_with('|')).map(cells).collect()
}

/// The words of a cell that stand in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn id(id: u32) -> ContextId {
    ContextId::new(id)
}

/// The one message of an example, by the decoder of streams.
fn message(label: &str) -> Message {
    let mut decoder = Decoder::new(1024);
    decoder.space().extend_from_slice(&example(label));
    let message = decoder.next().unwrap().expect("a whole message");
    assert_eq!((decoder.next(), decoder.is_mid_frame()), (Ok(None), false), "{label}: something follows the message");
    message
}

/// Asserts that an example is the message with these ids, this handle and this payload.
fn assert_message(label: &str, [from, to]: [u32; 2], [handle, reply_to]: [Handle; 2], payload: Vec<u8>) {
    let mut made = Message::new(Encoding::MessagePack, id(to), handle, reply_to, payload.into());
    made.header.src_id = id(from);
    made.header.auth_id = id(from);
    assert_eq!(message(label).header, made.header, "{label}");
    let bytes = [&made.header.encode()[..], &made.payload].concat();
    assert_eq!(bytes.escape_ascii().to_string(), example(label).escape_ascii().to_string(), "{label}");
}

fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value::encode(value, &mut out).unwrap();
    out
}

fn error_reply(error: &CallError) -> Vec<u8> {
    let mut payload = Vec::new();
    reply_err_prefix(&mut payload);
    payload.extend(encoded(error));
    payload
}

#[test]
fn every_example_is_looked_at() {
    let labels = [
        "hello of a parent",
        "hello of a child",
        "dead message",
        "dead message as a text",
        "service call",
        "success reply",
        "error reply",
        "reply of a method that failed",
        "values",
        "add route",
        "del route",
        "del route of which nothing is known",
        "allocate id",
        "allocate id reply",
        "shutdown",
        "ping",
        "pong",
        "cancel",
        "claim",
        "channel message",
        "credit",
        "receiver closed",
        "sender closed",
        "ask for bulk",
        "last but bulk",
    ];
    let labels: BTreeSet<_> = labels.map(str::to_owned).into();
    assert_eq!(examples().into_keys().collect::<BTreeSet<_>>(), labels);
}

#[test]
fn hellos() {
    let identity = Identity {
        context_id: id(1),
        name: "worker".into(),
        parents: vec![(ContextId::ROOT, "root".into())],
        max_message_size: 128 * 1024 * 1024,
        unidirectional: false,
        keep_alive: None,
        channels: ChannelBounds::default(),
        link_keep_alive: None,
        pool_size: None,
        log_level: 0,
    };
    let features = FEATURE_CANCEL | FEATURE_CHANNELS | FEATURE_PING;
    let hellos = [
        ("hello of a parent", Hello::of_parent(features, 4000, identity)),
        ("hello of a child", Hello::of_child(features, 4001)),
    ];
    for (label, hello) in hellos {
        let bytes = example(label);
        assert_eq!(HelloDecoder::new().feed(&bytes), Ok(Some((hello.clone(), bytes.len()))), "{label}");
        assert_eq!(hello.encode().escape_ascii().to_string(), bytes.escape_ascii().to_string(), "{label}");
    }
}

#[test]
fn dead_messages() {
    let reason = DeadReason::no_route(id(50), id(1));
    let dead = message("dead message");
    assert_eq!(dead.dead_reason(), Some(reason.clone()));
    let mut made = Message::dead(ContextId::ROOT, WAITING, &reason);
    made.header.src_id = id(50);
    made.header.auth_id = id(50);
    assert_eq!(dead, made);
    assert_message("dead message", [50, 0], [WAITING, Handle::DEAD], made.payload.into());

    let text = message("dead message as a text");
    let Header { encoding, dst_id, src_id, auth_id, handle, .. } = text.header;
    assert_eq!((encoding, dst_id, handle), (Encoding::Legacy, ContextId::ROOT, WAITING));
    assert_eq!((src_id, auth_id), (id(1), id(1)));
    assert_eq!(text.dead_reason(), Some(DeadReason::new(DeadCode::Other, "invalid handle")));
    let bytes = [&text.header.encode()[..], &text.payload].concat();
    assert_eq!(bytes, example("dead message as a text"));
}

#[test]
fn the_codes_of_dead_messages() {
    let [dst, me] = [id(7), id(3)];
    let reasons = [
        DeadReason::no_route(dst, me),
        DeadReason::invalid_handle(),
        DeadReason::refused(),
        DeadReason::unexpected_context(),
        DeadReason::unidirectional(id(2), dst, id(3)),
        DeadReason::too_large(1024),
        DeadReason::disconnected(),
        DeadReason::router_closed(),
        DeadReason::sender_closed(),
        DeadReason::overloaded("it"),
        DeadReason::answer_lost("it"),
    ];
    let rows = rows();
    for reason in reasons {
        let number = (reason.code as u8).to_string();
        let row = rows.iter().find(|row| row[0] == number && row.len() == 3 && row[1].starts_with('`'));
        let text = quoted(&row.expect(&number)[1])[0].to_owned();
        let names = [("DST", "7"), ("ME", "3"), ("SRC", "2"), ("VIA", "3"), ("MAX", "1024"), ("WHAT", "it")];
        let text = names.iter().fold(text, |text, (name, value)| text.replace(name, value));
        assert_eq!(text, reason.text);
    }
}

#[test]
fn a_service_call() {
    let message = message("service call");
    let call = CallEnvelope::decode(&message.payload).unwrap();
    assert_eq!((call.service, call.method, call.meta), ("files::Files", "read_file", &b"\xc0"[..]));
    assert_eq!(value::decode::<BTreeMap<&str, &str>>(call.args).unwrap(), BTreeMap::from([("path", "/etc/hosts")]));

    let mut writer = EnvelopeWriter::new("files::Files", "read_file", &Meta::default(), 1);
    writer.arg_name("path");
    path::encode(Path::new("/etc/hosts"), writer.buffer()).unwrap();
    assert_message("service call", [0, 1], [Handle::CALL_SERVICE, WAITING], writer.finish());
}

#[test]
fn a_success() {
    let reply = message("success reply");
    let Ok(Reply::Ok(raw)) = Reply::decode(&reply.payload) else { panic!("{reply:?}") };
    let blob: Blob = value::decode(raw).unwrap();
    assert_eq!(blob, b"ab\n"[..]);

    let mut payload = Vec::new();
    reply_ok_prefix(&mut payload);
    payload.extend(encoded(&blob));
    assert_message("success reply", [1, 0], [WAITING, Handle::NONE], payload);
}

#[test]
fn failures() {
    let unauthorized =
        CallError::Unauthorized { method: "read_file".into(), service: "files::Files".into(), trace: Trace::default() };
    let failed = CallError::Failed {
        type_name: std::any::type_name::<String>().into(),
        message: "no such user".into(),
        chain: vec![],
        data: Some(encoded("no such user").into()),
        trace: Trace::default(),
    };
    let errors = [
        ("error reply", unauthorized.with_executed(Executed::No)),
        ("reply of a method that failed", failed.with_executed(Executed::Yes)),
    ];
    for (label, error) in errors {
        let reply = message(label);
        let Ok(Reply::Err(raw)) = Reply::decode(&reply.payload) else { panic!("{reply:?}") };
        let decoded: CallError = value::decode(raw).unwrap();
        assert_eq!(decoded, error);
        assert_eq!(decoded.executed(), error.executed());
        assert_message(label, [1, 0], [WAITING, Handle::NONE], error_reply(&error));
    }
    let raw = message("reply of a method that failed").payload;
    let Ok(Reply::Err(raw)) = Reply::decode(&raw) else { panic!("no failure") };
    let typed = value::decode::<CallError>(raw).unwrap().decode::<String>();
    assert_eq!(typed.as_deref(), Some("no such user"));
}

/// An error of each kind.
fn all_kinds() -> Vec<CallError> {
    let text = || "x".to_owned();
    let (trace, list) = (Trace::default, || vec!["x".to_owned()]);
    vec![
        CallError::NoSuchService { service: text(), reason: text(), trace: trace() },
        CallError::NotActivated { service: text(), trace: trace() },
        CallError::NoSuchMethod { service: text(), method: text(), trace: trace() },
        CallError::Unauthorized { method: text(), service: text(), trace: trace() },
        CallError::ArgMissing { name: text(), trace: trace() },
        CallError::ArgType { name: text(), got: text(), expected: text(), reason: text(), trace: trace() },
        CallError::ArgUnknown { name: text(), known: list(), trace: trace() },
        CallError::ArgInvalid { name: text(), reason: text(), trace: trace() },
        CallError::Encode { what: text(), reason: text(), trace: trace() },
        CallError::Malformed { reason: text(), trace: trace() },
        CallError::Failed { type_name: text(), message: text(), chain: list(), data: None, trace: trace() },
        CallError::Panicked { message: text(), trace: trace() },
        CallError::Overloaded { what: text(), trace: trace() },
        CallError::DeadlineExceeded { by: DeadlineBy::Queue, trace: trace() },
        CallError::Cancelled { reason: text(), trace: trace() },
        CallError::Stopped { trace: trace() },
        CallError::Deadlock { chain: list(), trace: trace() },
        CallError::TooLarge { got: 1, max: 2, trace: trace() },
        CallError::Refused { reason: text(), context: text(), trace: trace() },
        CallError::Dead { reason: text(), context: text(), exit: None, stderr_tail: text(), trace: trace() },
    ]
}

/// The kind of an encoded error, and the names of its fields.
fn kind_and_fields(raw: &[u8]) -> (&str, Vec<&str>) {
    let mut cursor = Cursor::new(raw);
    assert_eq!(cursor.map_len(), Ok(1));
    let kind = cursor.str().unwrap();
    let count = cursor.map_len().unwrap();
    let field = |_| {
        let name = cursor.str().unwrap();
        cursor.skip().unwrap();
        name
    };
    (kind, (0..count).map(field).collect())
}

#[test]
fn the_table_of_call_errors() {
    let rows = rows();
    let start = rows.iter().position(|row| row[0] == "kind").unwrap() + 2;
    let errors = all_kinds();
    for (row, error) in rows[start..].iter().zip(&errors) {
        let raw = encoded(error);
        let (kind, fields) = kind_and_fields(&raw);
        assert_eq!(quoted(&row[0]), [kind]);
        // A kind without fields of its own has an empty cell, which is left out.
        let written = if row.len() == 3 { quoted(&row[1]) } else { Vec::new() };
        assert_eq!(fields, [written, vec!["trace"]].concat(), "{kind}");
    }
    assert_eq!(rows[start + errors.len()][0], "Rust", "the table ends with the last kind");
    // Who is asked for a kind that is not there lists all that are.
    let unknown = value::decode::<CallError>(b"\x81\xa5Later\x80").unwrap_err();
    let known: Vec<_> = rows[start..start + errors.len()].iter().flat_map(|row| quoted(&row[0])).collect();
    assert_eq!(quoted(&unknown.reason), [vec!["Later"], known].concat());
}

#[test]
fn the_table_of_handles() {
    let handles = [
        ("CALL_FUNCTION", Handle::CALL_FUNCTION),
        ("FORWARD_LOG", Handle::FORWARD_LOG),
        ("ADD_ROUTE", Handle::ADD_ROUTE),
        ("DEL_ROUTE", Handle::DEL_ROUTE),
        ("ALLOCATE_ID", Handle::ALLOCATE_ID),
        ("SHUTDOWN", Handle::SHUTDOWN),
        ("DETACHING", Handle::DETACHING),
        ("CALL_SERVICE", Handle::CALL_SERVICE),
        ("PING", Handle::PING),
        ("PONG", Handle::PONG),
        ("CANCEL", Handle::CANCEL),
        ("CREDIT", Handle::CREDIT),
        ("CLAIM", Handle::CLAIM),
        ("POLL_HINT", Handle::POLL_HINT),
        ("BULK", Handle::BULK),
        ("IS_DEAD", Handle::DEAD),
    ];
    let rows = rows();
    for (name, handle) in handles {
        let row = rows.iter().find(|row| row.get(1).is_some_and(|cell| cell == name));
        assert_eq!(row.expect(name)[0], handle.to_string(), "{name}");
    }
}

#[test]
fn what_may_be_missing_in_an_error() {
    // {"Dead": {"reason": "x", "context": "y", "stderr_tail": "", "later": 1}}
    let raw = b"\x81\xa4Dead\x84\xa6reason\xa1x\xa7context\xa1y\xabstderr_tail\xa0\xa5later\x01";
    let error: CallError = value::decode(raw).unwrap();
    assert!(matches!(error, CallError::Dead { exit: None, .. }), "{error:?}");
    assert_eq!(error.path(), [""; 0]);
    let raw = b"\x81\xa6Failed\x83\xa9type_name\xa0\xa7message\xa0\xa5chain\x90";
    assert!(matches!(value::decode(raw), Ok(CallError::Failed { data: None, .. })));
    // {"Stopped": {"trace": {"path": ["db"]}}}
    let raw = b"\x81\xa7Stopped\x81\xa5trace\x81\xa4path\x91\xa2db";
    assert_eq!(value::decode::<CallError>(raw).unwrap().path(), ["db"]);
    assert!(value::decode::<CallError>(b"\x81\xa5Later\x80").is_err());
}

#[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
struct Point {
    x: u32,
    y: u32,
}

#[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
enum Shape {
    None,
    Circle(u32),
    Box { a: u32, b: u32 },
}

/// The encoding of a value that is the same when it is read back.
fn both_ways<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) -> Vec<u8> {
    let raw = encoded(&value);
    assert_eq!(value::decode::<T>(&raw).unwrap(), value);
    raw
}

fn path_both_ways(bytes: &[u8]) -> Vec<u8> {
    let (path, mut raw) = (PathBuf::from(OsStr::from_bytes(bytes)), Vec::new());
    path::encode(&path, &mut raw).unwrap();
    assert_eq!(path::decode(&raw).unwrap(), path);
    raw
}

#[test]
fn values() {
    let values = [
        both_ways(5_u64),
        both_ways(300_i32),
        both_ways(-1_i8),
        both_ways(1.5_f64),
        both_ways("x".to_owned()),
        both_ways(vec!["a".to_owned(), "b".to_owned()]),
        both_ways(vec![1_u8, 2]),
        both_ways(Vec::<u8>::new()),
        both_ways((1_u8, 2_u8)),
        both_ways((1_u8, 128_u8)),
        both_ways((1, "x".to_owned())),
        both_ways(Point { x: 1, y: 2 }),
        both_ways(Shape::None),
        both_ways(Shape::Circle(3)),
        both_ways(Shape::Box { a: 1, b: 2 }),
        both_ways(None::<u32>),
        both_ways(Some(7)),
        both_ways(()),
        path_both_ways(b"/tmp"),
        path_both_ways(b"/\xff"),
        // The type needs a router; this is what it is made of.
        both_ways((id(1), "worker".to_owned())),
    ];
    assert_eq!(examples()["values"], values);
    for value in &values {
        assert_eq!(validate(value, MAX_DEPTH), Ok(()));
    }
}

#[test]
fn routes() {
    let add = AddRoute { id: id(2), name: "helper" };
    assert_eq!(AddRoute::decode(&message("add route").payload), Ok(add));
    assert_message("add route", [1, 0], [Handle::ADD_ROUTE, Handle::NONE], add.encode());

    let label = "del route of which nothing is known";
    let del = DelRoute { id: id(2), death: None, twice: false };
    assert_eq!(DelRoute::decode(&message(label).payload), Ok(del));
    assert_message(label, [1, 0], [Handle::DEL_ROUTE, Handle::NONE], del.encode());

    let payload = message("del route").payload;
    let del = DelRoute::decode(&payload).unwrap();
    let mut death: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let mut cursor = Cursor::new(del.death.unwrap());
    for _ in 0..cursor.map_len().unwrap() {
        death.insert(cursor.str().unwrap(), cursor.skip().unwrap());
    }
    assert_eq!(del.id, id(2));
    assert_eq!(death["context"], encoded("helper"));
    assert_eq!(death["reason"], encoded(&DeadReason::disconnected().text));
    assert_eq!(death["exit"], encoded(&Exit::Signal { signal: 9, core_dumped: false }));
    assert_eq!(death["stderr_tail"], encoded(""));
    // What the router itself would write of it.
    let death = [("context", "helper"), ("reason", "the respondent Context has disconnected")].map(|(key, text)| {
        let mut pair = encoded(key);
        pair.extend(encoded(text));
        pair
    });
    let exit = [encoded("exit"), encoded(&Exit::Signal { signal: 9, core_dumped: false })].concat();
    let tail = [encoded("stderr_tail"), encoded("")].concat();
    let death = [&b"\x84"[..], &death.concat(), &exit, &tail].concat();
    let del = DelRoute { id: id(2), death: Some(&death), twice: false };
    assert_message("del route", [1, 0], [Handle::DEL_ROUTE, Handle::NONE], del.encode());
}

#[test]
fn ids() {
    let waiting = Handle::new(70_001);
    assert_message("allocate id", [1, 0], [Handle::ALLOCATE_ID, waiting], Vec::new());
    let block = IdBlock { start: 2, end: 1002 };
    assert_eq!(IdBlock::decode(&message("allocate id reply").payload), Ok(block));
    assert_message("allocate id reply", [0, 1], [waiting, Handle::NONE], block.encode());
}

#[test]
fn shutting_down_and_cancelling() {
    let grace = Duration::from_secs(5);
    assert_eq!(decode_shutdown(&message("shutdown").payload), Ok(grace));
    assert_message("shutdown", [0, 1], [Handle::SHUTDOWN, Handle::NONE], encode_shutdown(grace));
    assert_eq!(decode_cancel(&message("cancel").payload), Ok(WAITING));
    assert_message("cancel", [0, 1], [Handle::CANCEL, Handle::NONE], encode_cancel(WAITING));
}

#[test]
fn signs_of_life() {
    assert_message("ping", [0, 1], [Handle::PING, Handle::NONE], Vec::new());
    assert_message("pong", [1, 0], [Handle::PONG, Handle::NONE], Vec::new());
}

#[test]
fn channels() {
    let (handle, [one, two]) = (Handle::new(70_002), [70_001, 70_003].map(Handle::new));
    let claim = Claim { handle, token: 0x0123_4567_89ab_cdef };
    assert_eq!(Claim::decode(&message("claim").payload), Ok(claim));
    assert_message("claim", [1, 0], [Handle::CLAIM, one], claim.encode());

    let data = message("channel message");
    assert_eq!((data.header.encoding, data.header.handle), (Encoding::Binary, handle));
    assert_eq!((data.header.reply_to, &data.payload[..]), (Handle::NONE, &b"ab\n"[..]));
    // What a message costs is told there.
    let cost = data.payload.len() as u64 + 64;

    let credit = Credit { handle, news: CreditNews::Bytes(cost) };
    assert_eq!(Credit::decode(&message("credit").payload), Ok(credit));
    assert_message("credit", [0, 1], [Handle::CREDIT, two], credit.encode());

    let closed = Credit { handle, news: CreditNews::Closed("the Receiver has been closed") };
    assert_eq!(Credit::decode(&message("receiver closed").payload), Ok(closed));
    assert_message("receiver closed", [0, 1], [Handle::CREDIT, Handle::NONE], closed.encode());

    let dead = Message::dead(id(0), handle, &DeadReason::sender_closed());
    assert_eq!(message("sender closed").dead_reason(), Some(DeadReason::sender_closed()));
    assert_message("sender closed", [1, 0], [handle, Handle::DEAD], dead.payload.to_vec());
}

#[test]
fn bulk() {
    let handle = Handle::new(70_002);
    let both =
        [("ask for bulk", Bulk::Ask(handle), Handle::new(70_004)), ("last but bulk", Bulk::Last(handle), Handle::NONE)];
    for (label, bulk, reply_to) in both {
        assert_eq!(Bulk::decode(&message(label).payload), Ok(bulk));
        assert_message(label, [1, 0], [Handle::BULK, reply_to], bulk.encode());
    }
    assert_eq!(Bulk::decode_reply(&Bulk::encode_reply(handle)), Ok(handle));
    assert!(Bulk::decode(b"\x92\x01\x02").is_err() && Bulk::decode(b"\x90").is_err());
    let twice = DelRoute { id: id(2), death: None, twice: true };
    assert_eq!(twice.encode(), b"\x93\x02\xc0\xc3");
    assert_eq!(DelRoute::decode(&twice.encode()), Ok(twice));
}

#[test]
fn a_message_that_follows_another_is_its_own() {
    let stream = [example("service call"), example("cancel")].concat();
    let mut decoder = Decoder::new(1024);
    decoder.space().extend_from_slice(&stream);
    let messages: Vec<_> = std::iter::from_fn(|| decoder.next().unwrap()).collect();
    assert_eq!(messages, [message("service call"), message("cancel")]);
    assert_eq!(messages[1].payload, Bytes::from(encode_cancel(WAITING)));
}
