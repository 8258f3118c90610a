//! Messages made by hand, each with what becomes of it.

use super::peer::{
    ADD_ROUTE, ALLOCATE_ID, Answer, CALL_SERVICE, CANCEL, DEAD, DEL_ROUTE, FORWARD_LOG, Frame, INVALID_HANDLE, MARKER,
    MESSAGE_PACK, NO_ROUTE, PING, PONG, REFUSED, SHUTDOWN, Stranger, call, header, nothing, pack, text,
};
use super::{Everyone, alone};

/// What comes back.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Nothing, and the stream stays good.
    Silence,
    /// A dead message with this code.
    Dead(u8),
    /// A call error of this kind.
    Error(&'static str),
    /// The result of a call, as it is written.
    Value(&'static [u8]),
    /// A block of ids.
    Block,
}

use Expected::{Block, Dead, Error, Silence, Value};

/// A message, and what becomes of it.
struct Case {
    name: String,
    frame: Frame,
    expected: Expected,
}

/// The cases so far, and whose they are.
struct Cases {
    cases: Vec<Case>,
    me: u32,
    sibling: u32,
}

/// Where answers go unless a case says otherwise.
const HERE: u32 = 0x2000_0000;

impl Cases {
    /// A message to the root for a handle.
    fn frame(&self, handle: u32, payload: &[u8]) -> Frame {
        let payload = payload.to_vec();
        Frame { magic: MESSAGE_PACK, dst: 0, src: self.me, auth: self.me, handle, reply_to: HERE, payload }
    }

    fn add(&mut self, name: impl Into<String>, frame: Frame, expected: Expected) {
        self.cases.push(Case { name: name.into(), frame, expected });
    }

    /// The payload of a service call.
    fn call(&mut self, name: &str, payload: &[u8], expected: Expected) {
        let frame = self.frame(CALL_SERVICE, payload);
        self.add(name, frame, expected);
    }

    /// A message for one of the router's own handles. Nothing comes back even if it asks for it.
    fn control(&mut self, name: &str, handle: u32, payload: &[u8]) {
        for reply_to in [HERE, 0] {
            let frame = Frame { reply_to, ..self.frame(handle, payload) };
            self.add(format!("{name}, answer to {reply_to}"), frame, Silence);
        }
    }

    /// Ids of others, and ways that lead nowhere.
    fn ids(&mut self) {
        let (me, sibling) = (self.me, self.sibling);
        let guarded = self.frame(CALL_SERVICE, &call("target", "guarded", &text(MARKER)));
        for dst in [me, me + 1, 0xdead_beef, u32::MAX] {
            self.add(format!("to {dst}"), Frame { dst, ..guarded.clone() }, Dead(NO_ROUTE));
        }
        for other in [0, sibling, me + 1, 0xdead_beef, u32::MAX] {
            self.add(format!("auth_id {other}"), Frame { auth: other, ..guarded.clone() }, Silence);
            self.add(format!("src_id {other}"), Frame { src: other, ..guarded.clone() }, Silence);
            self.add(format!("both {other}"), Frame { src: other, auth: other, ..guarded.clone() }, Silence);
            self.add(format!("dead, from {other}"), Frame { src: other, reply_to: DEAD, ..guarded.clone() }, Silence);
        }
        self.add("forged, to a sibling", Frame { dst: sibling, auth: 0, ..guarded.clone() }, Silence);
        self.add("forged, to nobody", Frame { dst: u32::MAX, auth: 0, ..guarded }, Silence);
    }

    /// Handles that nobody listens on, and answers wanted at odd places.
    fn handles(&mut self) {
        let nobody =
            [0, 1, 99, 100, 101, 107, 108, 109, 111, 112, 113, 119, 123, 124, 125, 126, 127, 998, 999, u32::MAX];
        for handle in nobody {
            let frame = self.frame(handle, MARKER.as_bytes());
            self.add(format!("handle {handle}"), frame, Dead(INVALID_HANDLE));
        }
        for handle in [0, 101, 999, u32::MAX] {
            let frame = self.frame(handle, b"");
            self.add(format!("handle {handle}, no answer"), Frame { reply_to: 0, ..frame.clone() }, Silence);
            self.add(format!("handle {handle}, dead"), Frame { reply_to: DEAD, ..frame }, Silence);
        }
        let ping = self.frame(CALL_SERVICE, &call("target", "ping", &nothing()));
        for reply_to in [1, 103, 104, 105, 106, 110, 122, 998, DEAD] {
            self.add(format!("a call with its answer to {reply_to}"), Frame { reply_to, ..ping.clone() }, Silence);
            if reply_to != DEAD {
                let frame = Frame { reply_to, ..self.frame(5000, b"") };
                self.add(format!("refused, with its answer to {reply_to}"), frame, Dead(INVALID_HANDLE));
            }
        }
        for reply_to in [1000, u32::MAX] {
            self.add(
                format!("a call with its answer to {reply_to}"),
                Frame { reply_to, ..ping.clone() },
                Value(b"\xc0"),
            );
        }
    }

    /// The router's own handles.
    fn controls(&mut self) {
        let odd: [(&str, &[u8]); 8] = [
            ("nothing", b""),
            ("nil", b"\xc0"),
            ("an empty array", b"\x90"),
            ("an array of 2^32", b"\xdd\xff\xff\xff\xff"),
            ("a map", b"\x81\x01\xa1x"),
            ("texts", b"\x92\xa1x\xa1y"),
            ("a number too large", b"\x92\xcf\0\0\0\x01\0\0\0\x01\xa1x"),
            ("noise", b"\xc1SECRET-PAYLOAD"),
        ];
        for (name, payload) in odd {
            self.control(&format!("ADD_ROUTE of {name}"), ADD_ROUTE, payload);
            self.control(&format!("DEL_ROUTE of {name}"), DEL_ROUTE, payload);
            self.control(&format!("CANCEL of {name}"), CANCEL, payload);
            self.control(&format!("FORWARD_LOG of {name}"), FORWARD_LOG, payload);
            self.control(&format!("PING of {name}"), PING, payload);
            self.control(&format!("PONG of {name}"), PONG, payload);
            let frame = self.frame(SHUTDOWN, payload);
            self.add(format!("SHUTDOWN of {name}"), frame, Dead(REFUSED));
        }
        for level in [0, 6, u32::MAX] {
            self.control(&format!("FORWARD_LOG of level {level}"), FORWARD_LOG, &pack(&(level, "a", "b", MARKER)));
        }
        self.control("FORWARD_LOG that nobody wants", FORWARD_LOG, &pack(&(5, "a", "b", MARKER)));
        for id in [0, self.me, self.sibling, 0xdead_beef] {
            self.control(&format!("ADD_ROUTE {id}"), ADD_ROUTE, &pack(&(id, MARKER)));
            self.control(&format!("DEL_ROUTE {id}"), DEL_ROUTE, &pack(&(id, ())));
        }
        let pickle = Frame { magic: 0x4d4a, ..self.frame(ADD_ROUTE, &pack(&(self.me + 1, MARKER))) };
        self.add("ADD_ROUTE as a pickle", pickle, Silence);
        let ids = self.frame(ALLOCATE_ID, b"");
        self.add("ALLOCATE_ID", ids.clone(), Block);
        for reply_to in [0, 1, 105, DEAD] {
            self.add(format!("ALLOCATE_ID to {reply_to}"), Frame { reply_to, ..ids.clone() }, Silence);
        }
        self.add("ALLOCATE_ID in raw bytes", Frame { magic: 0x4d4b, ..ids }, Silence);
    }

    /// Payloads that are no call, and calls that must not or cannot run.
    fn calls(&mut self) {
        let good = call("target", "echo", &text("hello"));
        for magic in [0x4d49, 0x4d4a, 0x4d4b] {
            let frame = Frame { magic, ..self.frame(CALL_SERVICE, &good) };
            self.add(format!("a call in encoding {magic:x}"), frame, Error("Malformed"));
        }
        // Truncated anywhere, with something behind it, and with a byte changed.
        for at in [0, 1, 2, 8, good.len() - 6, good.len() - 1] {
            self.call(&format!("a call cut after {at} bytes"), &good[..at], Error("Malformed"));
        }
        self.call("a call and more", &[&good[..], b"\xc0"].concat(), Error("Malformed"));
        let begin = b"\x94\xa6target\xa4echo\xc0";
        let (ping, echo) = (b"\x94\xa6target\xa4ping\xc0", |args: &[u8]| [begin, args].concat());
        let deep = |levels: usize| echo(&[&b"\x81\xa4text"[..], &vec![0x91; levels], b"\xc0"].concat());
        let malformed: Vec<(&str, Vec<u8>)> = vec![
            ("nil", b"\xc0".to_vec()),
            ("a number", b"\x07".to_vec()),
            ("a map", b"\x80".to_vec()),
            ("no items", b"\x90".to_vec()),
            ("three items", b"\x93\xa6target\xa4echo\xc0".to_vec()),
            ("five items", [&b"\x95\xa6target\xa4echo\xc0"[..], b"\x80\xc0"].concat()),
            ("the marker c1", b"\xc1".to_vec()),
            ("2^32 items", b"\xdd\xff\xff\xff\xff".to_vec()),
            ("a service of 4 GiB", b"\x94\xdb\xff\xff\xff\xffx".to_vec()),
            ("a service that is a number", b"\x94\x01\xa4echo\xc0\x80".to_vec()),
            ("a service that is bytes", b"\x94\xc4\x06target\xa4echo\xc0\x80".to_vec()),
            ("a service that is no UTF-8", b"\x94\xa2\xff\xfe\xa4echo\xc0\x80".to_vec()),
            ("a method that is nil", b"\x94\xa6target\xc0\xc0\x80".to_vec()),
            ("a meta that is a number", b"\x94\xa6target\xa4ping\x01\x80".to_vec()),
            ("a meta that is a text", b"\x94\xa6target\xa4ping\xa1x\x80".to_vec()),
            ("arguments that are an array", echo(b"\x91\xa1x")),
            ("arguments that are nil", echo(b"\xc0")),
            ("arguments that are a text", echo(b"\xa1x")),
            ("2^32 arguments", echo(b"\xdf\xff\xff\xff\xff")),
            ("an argument of 4 GiB", echo(b"\x81\xa4text\xc6\xff\xff\xff\xff")),
            ("an argument without a value", echo(b"\x81\xa4text")),
            ("an argument whose name is a number", echo(b"\x81\x01\xa1x")),
            ("an argument that is too deep", deep(127)),
            ("an argument that is much too deep", deep(100_000)),
        ];
        for (name, payload) in malformed {
            self.call(&format!("a call: {name}"), &payload, Error("Malformed"));
        }
        self.call("as deep as may be", &deep(126), Error("ArgType"));
        self.call("nil in deep arrays", &deep(1), Error("ArgType"));
        self.call("a meta with unknown keys", b"\x94\xa6target\xa4ping\x81\xa1x\x01\x80", Value(b"\xc0"));
        self.call("the same argument twice", &echo(b"\x82\xa4text\x01\xa4text\xa1y"), Value(b"\xa1y"));
        self.call("an argument that is unknown", &[&ping[..], b"\x81\xa1x\x01"].concat(), Error("ArgUnknown"));
        self.call("an argument missing", &echo(b"\x80"), Error("ArgMissing"));
        for (name, value) in [("nil", &b"\xc0"[..]), ("a number", b"\x07"), ("a map", b"\x80"), ("ext", b"\xd4\x01\0")]
        {
            self.call(&format!("a text that is {name}"), &echo(&[b"\x81\xa4text", value].concat()), Error("ArgType"));
        }
        let long = "x".repeat(100_000);
        let worker = std::any::type_name::<crate::bench::Worker>();
        for service in ["", "nobody", "\0\n\x1b", "Target", worker, &long] {
            self.call("a service that does not run", &call(service, "ping", &nothing()), Error("NotActivated"));
        }
        for method in ["", "nobody", "Ping", "\0\n\x1b", &long] {
            self.call("a method that there is not", &call("target", method, &nothing()), Error("NoSuchMethod"));
        }
        self.call("for parents alone", &call("target", "guarded", &nothing()), Error("Unauthorized"));
        // Refused before its arguments are looked at.
        self.call("for parents alone, with noise", &call("target", "guarded", &text(&long)), Error("Unauthorized"));
        self.call("to a gate whose argument is missing", &call("gate", "pass", &nothing()), Error("ArgMissing"));
    }
}

fn check(stranger: &mut Stranger, Case { name, frame, expected }: &Case) {
    if matches!(expected, Silence) {
        stranger.voice.send(frame);
        let others = stranger.ping();
        assert!(others.is_empty(), "{name}: {others:?}");
        return;
    }
    let answer = stranger.ask(frame);
    let right = match (&answer, expected) {
        (Answer::Dead(got, text), Dead(code)) => got == code && !text.is_empty(),
        (Answer::Error(error), Error(kind)) => format!("{error:?}").starts_with(kind),
        (Answer::Value(got), Value(value)) => got == value,
        (Answer::Other(_), Block) => true,
        _ => false,
    };
    assert!(right, "{name}: {answer:?} instead of {expected:?}");
    // That was all, and the stream is good.
    let others = stranger.ping();
    assert!(others.is_empty(), "{name}: {others:?}");
}

#[test]
fn more_than_a_hundred_crafted_messages_do_just_what_the_protocol_says() {
    let log = alone("crafted::more_than_a_hundred_crafted_messages_do_just_what_the_protocol_says", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let mut cases = Cases { cases: Vec::new(), me: stranger.id, sibling: everyone.one.id().get() };
        cases.ids();
        cases.handles();
        cases.controls();
        cases.calls();
        println!("{} messages", cases.cases.len());
        for case in &cases.cases {
            check(&mut stranger, case);
        }
        assert!(cases.cases.len() > 100);
        everyone.finish();
    });
    let Some(log) = log else { return };
    log.assert_line(&["`stranger`", "bad auth_id: got 0 via 3, not anybody"]);
}

/// After these nobody knows where the next message would begin.
#[test]
fn crafted_headers_that_nobody_can_read_cut_just_their_stream() {
    alone("crafted::crafted_headers_that_nobody_can_read_cut_just_their_stream", || {
        let everyone = Everyone::new();
        let magics = [0, 1, 0x4d00, 0x4d48, 0x4d4c, 0x4d4f, 0x4d51, 0x504d, 0x4d53, 0xffff];
        let lengths = [(128 << 20) + 1, 1 << 31, u32::MAX];
        let headers = magics.map(|magic| (magic, 0)).into_iter().chain(lengths.map(|length| (MESSAGE_PACK, length)));
        for (magic, length) in headers {
            let mut stranger = Stranger::join(everyone.router(), &format!("{magic:x} {length}"));
            let fields = [0, stranger.id, stranger.id, CALL_SERVICE, HERE];
            stranger.voice.try_send_bytes(&header(magic, fields, length)).unwrap();
            stranger.assert_cut();
        }
        everyone.finish();
    });
}
