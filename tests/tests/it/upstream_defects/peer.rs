//! A child that says what it wants, true or not.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use mitogen_service::{Context, Router, testing};
use mitogen_service_tests::LONG;

pub(super) const ADD_ROUTE: u32 = 103;
pub(super) const DEL_ROUTE: u32 = 104;
pub(super) const ALLOCATE_ID: u32 = 105;
/// LOAD_MODULE, on which nobody listens.
pub(super) const NOT_USED: u32 = 107;
pub(super) const CALL_SERVICE: u32 = 110;
pub(super) const CANCEL: u32 = 122;
pub(super) const FORWARD_LOG: u32 = 102;

/// The value of `reply_to` that makes a message a dead one.
pub(super) const DEAD: u32 = 999;

/// A child that says what it wants, as docs/protocol.md has it.
pub(crate) struct Peer {
    pub(super) socket: UnixStream,
    pub(super) me: Context,
    /// The router that it is a child of.
    parent: u32,
}

/// A message as the peer gets it.
pub(crate) struct Frame {
    pub(super) src: u32,
    pub(super) handle: u32,
    pub(super) reply_to: u32,
    pub(crate) payload: Vec<u8>,
}

impl Peer {
    pub(crate) fn join(router: &Router, name: &str) -> Self {
        let (ours, mut socket) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        // Version 1, understands CANCEL, reads MessagePack, process 1.
        socket.write_all(b"MGSV\0\x01\0\0\0\0\0\x01\0\0\0\x14\x82\xa9encodings\x91\xcd\x4d\x50\xa3pid\x01").unwrap();
        let me = testing::join(router, name, ours).unwrap();
        let mut head = [0; 16];
        socket.read_exact(&mut head).unwrap();
        socket.read_exact(&mut vec![0; number(&head[12..]) as usize]).unwrap();
        Self { socket, me, parent: router.myself().id().get() }
    }

    pub(super) fn id(&self) -> u32 {
        self.me.id().get()
    }

    /// Writes a message under any ids: `[dst, src, auth, handle, reply_to]`.
    pub(super) fn forge(&mut self, fields: [u32; 5], payload: &[u8]) {
        let mut frame = vec![0x4d, 0x50];
        for field in fields.into_iter().chain([payload.len() as u32]) {
            frame.extend(field.to_be_bytes());
        }
        frame.extend(payload);
        self.socket.write_all(&frame).unwrap();
    }

    /// Sends a message to the parent's router, under the peer's own id.
    pub(crate) fn send(&mut self, handle: u32, reply_to: u32, payload: &[u8]) {
        let (parent, me) = (self.parent, self.id());
        self.forge([parent, me, me, handle, reply_to], payload);
    }

    pub(crate) fn next(&mut self) -> Frame {
        let mut head = [0; 26];
        self.socket.read_exact(&mut head).expect("a message comes");
        let [_, src, _, handle, reply_to, length] = std::array::from_fn(|at| number(&head[2 + 4 * at..]));
        let mut payload = vec![0; length as usize];
        self.socket.read_exact(&mut payload).unwrap();
        Frame { src, handle, reply_to, payload }
    }

    /// The text of the dead message that comes next, for a handle of the peer's.
    pub(super) fn refusal(&mut self, handle: u32) -> String {
        let frame = self.next();
        assert_eq!((frame.handle, frame.reply_to), (handle, DEAD), "{:?}", frame.payload);
        String::from_utf8_lossy(&frame.payload).into_owned()
    }

    /// Returns when the router has seen everything that was sent until now: it answers in order.
    pub(super) fn settle(&mut self) {
        self.settle_at(self.parent);
    }

    /// Returns when a context has seen everything that followed there from what was sent until now.
    pub(super) fn settle_at(&mut self, id: u32) {
        let me = self.id();
        self.forge([id, me, me, NOT_USED, 1_000_000], &[]);
        assert!(self.refusal(1_000_000).contains("invalid handle"));
    }

    /// Asks for ids; gives the first of them, or the text of the refusal.
    pub(super) fn allocate(&mut self) -> Result<u32, String> {
        self.send(ALLOCATE_ID, 5000, &[]);
        let frame = self.next();
        assert_eq!(frame.handle, 5000);
        if frame.reply_to == DEAD {
            return Err(String::from_utf8_lossy(&frame.payload).into_owned());
        }
        // `[start, end]`
        Ok(unpacked(&frame.payload[1..]))
    }

    pub(super) fn add_route(&mut self, id: u32, name: &str) {
        self.send(ADD_ROUTE, 0, &[&[0x92][..], &packed(id), &text(name)].concat());
    }

    pub(super) fn del_route(&mut self, id: u32) {
        self.send(DEL_ROUTE, 0, &[&[0x92][..], &packed(id), &[0xc0]].concat());
    }

    /// Answers a call with a text.
    pub(super) fn answer(&mut self, call: &Frame, answer: &str) {
        self.forge([call.src, self.id(), self.id(), call.reply_to, 0], &[&[0x92, 0][..], &text(answer)].concat());
    }
}

pub(super) fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// A number in MessagePack.
pub(super) fn packed(number: u32) -> Vec<u8> {
    [&[0xce][..], &number.to_be_bytes()].concat()
}

/// A number that stands in MessagePack in its shortest form.
pub(super) fn unpacked(bytes: &[u8]) -> u32 {
    match bytes[0] {
        0xce => number(&bytes[1..]),
        0xcd => u16::from_be_bytes([bytes[1], bytes[2]]).into(),
        0xcc => bytes[1].into(),
        small => small.into(),
    }
}

/// A short text in MessagePack.
pub(super) fn text(text: &str) -> Vec<u8> {
    [&[0xa0 | text.len() as u8][..], text.as_bytes()].concat()
}

/// The payload of a call without arguments.
pub(super) fn call(service: &str, method: &str) -> Vec<u8> {
    [&[0x94][..], &text(service), &text(method), &[0xc0, 0x80]].concat()
}
