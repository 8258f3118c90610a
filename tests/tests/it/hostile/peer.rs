//! A child that speaks the protocol by hand, and says whatever it likes.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use mitogen_service::{CallError, Context, Router, testing};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Stands in all payloads of strangers, and must stand in no log line.
pub(crate) const MARKER: &str = "SECRET-PAYLOAD";

/// A test that hangs shall fail.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const ROOT: u32 = 0;
pub(crate) const MESSAGE_PACK: u16 = 0x4d50;
pub(crate) const FEATURE_CANCEL: u32 = 1;
pub(crate) const FEATURE_PING: u32 = 4;

pub(crate) const FORWARD_LOG: u32 = 102;
pub(crate) const ADD_ROUTE: u32 = 103;
pub(crate) const DEL_ROUTE: u32 = 104;
pub(crate) const ALLOCATE_ID: u32 = 105;
pub(crate) const SHUTDOWN: u32 = 106;
pub(crate) const CALL_SERVICE: u32 = 110;
pub(crate) const PING: u32 = 120;
pub(crate) const PONG: u32 = 121;
pub(crate) const CANCEL: u32 = 122;
pub(crate) const DEAD: u32 = 999;

pub(crate) const NO_ROUTE: u8 = 1;
pub(crate) const INVALID_HANDLE: u8 = 2;
pub(crate) const REFUSED: u8 = 3;
pub(crate) const UNEXPECTED_CONTEXT: u8 = 4;
pub(crate) const OVERLOADED: u8 = 10;

/// One message with all its fields, whether they make sense or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) magic: u16,
    pub(crate) dst: u32,
    pub(crate) src: u32,
    pub(crate) auth: u32,
    pub(crate) handle: u32,
    pub(crate) reply_to: u32,
    pub(crate) payload: Vec<u8>,
}

/// What comes back for a message.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The result of a call, as it is written.
    Value(Vec<u8>),
    /// The error of a call.
    Error(CallError),
    /// A dead message: its code and its text.
    Dead(u8, String),
    /// Anything else.
    Other(Frame),
}

/// The bytes of a header.
pub(crate) fn header(magic: u16, fields: [u32; 5], length: u32) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    bytes.extend(fields.into_iter().chain([length]).flat_map(u32::to_be_bytes));
    bytes
}

/// MessagePack.
pub(crate) fn pack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

/// The payload of a service call.
pub(crate) fn call(service: &str, method: &str, args: &impl Serialize) -> Vec<u8> {
    pack(&(service, method, (), args))
}

/// One argument.
pub(crate) fn text(text: &str) -> BTreeMap<&str, &str> {
    BTreeMap::from([("text", text)])
}

/// No arguments.
pub(crate) fn nothing() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::new()
}

/// A hello that is as it should be.
pub(crate) fn hello(features: u32) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body {
        encodings: [u16; 1],
        pid: u32,
    }
    hello_with(1, features, &pack(&Body { encodings: [MESSAGE_PACK], pid: 1 }))
}

/// A hello with this body.
pub(crate) fn hello_with(version: u16, features: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [b"MGSV", &version.to_be_bytes()[..], &[0, 0], &features.to_be_bytes(), &length.to_be_bytes(), body].concat()
}

impl Frame {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { magic, dst, src, auth, handle, reply_to, payload } = self;
        let length = u32::try_from(payload.len()).unwrap();
        let mut bytes = header(*magic, [*dst, *src, *auth, *handle, *reply_to], length);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// What it answers.
    pub(crate) fn into_answer(self) -> Answer {
        if self.reply_to == DEAD {
            let (code, text) = rmp_serde::from_slice(&self.payload).unwrap();
            return Answer::Dead(code, text);
        }
        match rmp_serde::from_slice::<(u8, IgnoredAny)>(&self.payload) {
            Ok((0, _)) => Answer::Value(self.payload[2..].to_vec()),
            Ok((1, _)) => Answer::Error(rmp_serde::from_slice::<(u8, CallError)>(&self.payload).unwrap().1),
            _ => Answer::Other(self),
        }
    }
}

/// What a stranger says.
pub(crate) struct Voice {
    socket: UnixStream,
    pub(crate) id: u32,
    next_handle: u32,
}

/// What a stranger hears.
pub(crate) struct Ears(BufReader<UnixStream>);

/// A child that is no process: one end of a socket whose other end a router has joined.
pub(crate) struct Stranger {
    /// As the router sees it.
    pub(crate) context: Context,
    pub(crate) id: u32,
    pub(crate) voice: Voice,
    pub(crate) ears: Ears,
}

impl Stranger {
    /// Joins, and says that it understands CANCEL.
    pub(crate) fn join(router: &Router, name: &str) -> Self {
        Self::join_with(router, name, FEATURE_CANCEL)
    }

    pub(crate) fn join_with(router: &Router, name: &str, features: u32) -> Self {
        let (ours, mut socket) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&hello(features)).unwrap();
        let context = testing::join(router, name, ours).unwrap();
        let mut ears = Ears(BufReader::new(socket.try_clone().unwrap()));
        let id = ears.hello();
        assert_eq!(id, context.id().get());
        Self { context, id, voice: Voice { socket, id, next_handle: 0x4000_0000 }, ears }
    }

    /// Sends a message to which something comes back, and gives that; everything that comes before
    /// it is passed over.
    pub(crate) fn ask(&mut self, frame: &Frame) -> Answer {
        self.voice.send(frame);
        self.answer_at(frame.reply_to)
    }

    /// What comes for a handle.
    pub(crate) fn answer_at(&mut self, handle: u32) -> Answer {
        loop {
            let frame = self.ears.next().expect("the stream is open");
            if frame.handle == handle {
                return frame.into_answer();
            }
        }
    }

    /// Calls the root like an honest child, which shows that the stream is good and that everything
    /// that was sent before has been read. Gives what else has come until the answer.
    pub(crate) fn ping(&mut self) -> Vec<Frame> {
        let ping = self.voice.call("target", "ping", &nothing());
        self.voice.send(&ping);
        let mut others = Vec::new();
        loop {
            let frame = self.ears.next().expect("the stream is open");
            if frame.handle == ping.reply_to {
                let answer = frame.into_answer();
                assert!(matches!(answer, Answer::Value(_)), "{answer:?}");
                return others;
            }
            others.push(frame);
        }
    }

    /// Nothing comes back for what was sent, and the stream is good.
    pub(crate) fn assert_unanswered(&mut self) {
        let others = self.ping();
        assert!(others.is_empty(), "{} came, the first: {:?}", others.len(), others[0]);
    }

    /// Waits until the router has cut the stream, without taking anything of what it sends.
    pub(crate) fn until_cut(&self) {
        let (tell, gone) = mpsc::channel();
        self.context.on_disconnect(move || tell.send(()).unwrap()).detach();
        gone.recv_timeout(PATIENCE).expect("the stream is cut");
        assert!(!self.context.is_connected());
    }

    /// The same for one that has sent something to which nothing comes back.
    pub(crate) fn assert_cut(mut self) {
        self.until_cut();
        assert_eq!(self.ears.next(), None);
    }

    /// The next call that somebody makes here.
    pub(crate) fn next_call(&mut self) -> Frame {
        let frame = self.ears.next().expect("the stream is open");
        assert_eq!(frame.handle, CALL_SERVICE, "{frame:?}");
        frame
    }

    /// The reply to a call, without a handle for an answer to it.
    pub(crate) fn reply(&self, call: &Frame, value: &impl Serialize) -> Frame {
        self.voice.frame(call.src, call.reply_to, 0, pack(&(0, value)))
    }
}

impl Voice {
    /// A message with the right ids.
    pub(crate) fn frame(&self, dst: u32, handle: u32, reply_to: u32, payload: Vec<u8>) -> Frame {
        Frame { magic: MESSAGE_PACK, dst, src: self.id, auth: self.id, handle, reply_to, payload }
    }

    /// The same voice for another thread; it has no handles of its own.
    pub(crate) fn another(&self) -> Self {
        Self { socket: self.socket.try_clone().unwrap(), ..*self }
    }

    /// A handle that was not used before.
    pub(crate) fn new_handle(&mut self) -> u32 {
        self.next_handle += 1;
        self.next_handle
    }

    /// A service call of the root, whose answer goes to a new handle.
    pub(crate) fn call(&mut self, service: &str, method: &str, args: &impl Serialize) -> Frame {
        let handle = self.new_handle();
        self.frame(ROOT, CALL_SERVICE, handle, call(service, method, args))
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.try_send(frame).unwrap();
    }

    pub(crate) fn try_send(&mut self, frame: &Frame) -> std::io::Result<()> {
        self.try_send_bytes(&frame.encode())
    }

    /// Fails when the stream has been cut.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes)
    }
}

impl Ears {
    /// Reads the parent's hello, and gives the id that stands in it.
    fn hello(&mut self) -> u32 {
        #[derive(Deserialize)]
        struct Body {
            context_id: u32,
        }
        let head: [u8; 16] = self.bytes().unwrap();
        assert_eq!(head[..4], *b"MGSV");
        let mut body = vec![0; u32::from_be_bytes(head[12..].try_into().unwrap()) as usize];
        self.0.read_exact(&mut body).unwrap();
        rmp_serde::from_slice::<Body>(&body).unwrap().context_id
    }

    /// The next message; `None` when the stream has been cut.
    ///
    /// # Panics
    /// If nothing comes for long.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head: [u8; 26] = self.bytes()?;
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        let mut payload = vec![0; number(22) as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Frame {
            magic: u16::from_be_bytes([head[0], head[1]]),
            dst: number(2),
            src: number(6),
            auth: number(10),
            handle: number(14),
            reply_to: number(18),
            payload,
        })
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing comes for {PATIENCE:?}"),
            Err(_) => None,
        }
    }
}
