//! Channels with a child that follows the protocol in its own way: what it does wrong is refused, and
//! harms nobody else.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mitogen_service::{
    AllowAny, Blob, Call, CallError, Context, DeadlineBy, Executed, Receiver, Router, Sender, Service, service, testing,
};
use mitogen_service_tests::{LONG, within};
use serde::Serialize;

use crate::bench::Bench;
use crate::channel::Feeder;

const CREDIT: u32 = 123;
const CLAIM: u32 = 124;
const DEAD: u32 = 999;
const WINDOW: usize = 1024 * 1024;

/// A child whose every byte is written by hand.
struct Peer {
    socket: UnixStream,
    context: Context,
}

/// A frame as it stands on the wire.
#[derive(Clone, Debug, PartialEq)]
struct Frame {
    magic: [u8; 2],
    dst: u32,
    src: u32,
    handle: u32,
    reply_to: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn encode(&self) -> Vec<u8> {
        let words = [self.dst, self.src, self.src, self.handle, self.reply_to, self.payload.len() as u32];
        let words = words.into_iter().flat_map(u32::to_be_bytes);
        self.magic.into_iter().chain(words).chain(self.payload.iter().copied()).collect()
    }
}

/// The arguments of a method that sends bytes, with a sender made by hand.
#[derive(Serialize)]
struct Bytes {
    to: (u32, u32, u64),
    count: u8,
    size: usize,
}

/// What a sender is on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Address {
    context: u32,
    handle: u32,
    token: u64,
}

impl Peer {
    fn join(bench: &Bench, name: &str) -> Self {
        // Knows CANCEL and channels.
        Self::join_with(bench, name, 3)
    }

    fn join_with(bench: &Bench, name: &str, features: u8) -> Self {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        // Version 1, reads MessagePack, process 1.
        let mut hello = b"MGSV\0\x01\0\0\0\0\0\x03\0\0\0\x14\x82\xa9encodings\x91\xcd\x4d\x50\xa3pid\x01".to_vec();
        hello[11] = features;
        theirs.write_all(&hello).unwrap();
        let context = testing::join(&bench.router, name, ours).unwrap();
        theirs.set_read_timeout(Some(LONG)).unwrap();
        let mut head = [0; 16];
        theirs.read_exact(&mut head).unwrap();
        let mut body = vec![0; u32::from_be_bytes(head[12..].try_into().unwrap()) as usize];
        theirs.read_exact(&mut body).unwrap();
        Self { socket: theirs, context }
    }

    fn id(&self) -> u32 {
        self.context.id().get()
    }

    fn read(&mut self) -> Frame {
        let mut head = [0; 26];
        self.socket.read_exact(&mut head).unwrap();
        let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        let mut payload = vec![0; word(22) as usize];
        self.socket.read_exact(&mut payload).unwrap();
        Frame { magic: [head[0], head[1]], dst: word(2), src: word(6), handle: word(14), reply_to: word(18), payload }
    }

    fn write(&mut self, handle: u32, reply_to: u32, payload: &[u8]) {
        self.write_as(self.id(), handle, reply_to, payload);
    }

    fn write_as(&mut self, src: u32, handle: u32, reply_to: u32, payload: &[u8]) {
        let magic = *b"MP";
        let frame = Frame { magic, dst: 0, src, handle, reply_to, payload: payload.to_vec() };
        self.socket.write_all(&frame.encode()).unwrap();
    }

    /// Sends raw bytes to a receiver.
    fn data(&mut self, handle: u32, payload: Vec<u8>) {
        let frame = Frame { magic: *b"MK", dst: 0, src: self.id(), handle, reply_to: 0, payload };
        self.socket.write_all(&frame.encode()).unwrap();
    }

    fn claim(&mut self, to: Address, reply_to: u32) {
        self.claim_as(self.id(), to, reply_to);
    }

    fn claim_as(&mut self, src: u32, to: Address, reply_to: u32) {
        self.write_as(src, CLAIM, reply_to, &claim(to));
    }

    /// Gets a sender as it stands in the arguments of a call.
    fn given<T: 'static>(&mut self, sender: &Sender<T>) -> (Address, Call<()>) {
        #[derive(Serialize)]
        struct Args<S> {
            to: S,
        }
        let call = self.context.call_service("peer", "take", &Args { to: sender.clone() });
        let frame = self.read();
        let at = frame.payload.windows(3).position(|bytes| bytes == b"\xa2to").unwrap() + 3;
        (address(&frame.payload[at..]), call)
    }

    /// Waits until everything that was written has been read and acted on.
    fn settle(&mut self) {
        // A call for a context that is not there is refused, behind all that came before.
        let frame =
            Frame { magic: *b"MP", dst: 999_999, src: self.id(), handle: 110, reply_to: 77_777, payload: vec![] };
        self.socket.write_all(&frame.encode()).unwrap();
        while self.read().handle != 77_777 {}
    }
}

fn claim(to: Address) -> Vec<u8> {
    let mut payload = vec![0x92, 0xce];
    payload.extend(to.handle.to_be_bytes());
    payload.push(0xcf);
    payload.extend(to.token.to_be_bytes());
    payload
}

fn credit(handle: u32, bytes: u32) -> Vec<u8> {
    let mut payload = vec![0x92, 0xce];
    payload.extend(handle.to_be_bytes());
    payload.push(0xce);
    payload.extend(bytes.to_be_bytes());
    payload
}

/// Reads `[context, handle, token]`.
fn address(raw: &[u8]) -> Address {
    assert_eq!(raw[0], 0x93);
    let mut rest = &raw[1..];
    let mut uint = || {
        let (marker, after) = (rest[0], &rest[1..]);
        let length = match marker {
            0..=0x7f => 0,
            0xcc => 1,
            0xcd => 2,
            0xce => 4,
            0xcf => 8,
            other => panic!("{other:#x} is no integer"),
        };
        rest = &after[length..];
        let small = u64::from(marker) * u64::from(length == 0);
        after[..length].iter().fold(small, |number, byte| number << 8 | u64::from(*byte))
    };
    Address { context: uint() as u32, handle: uint() as u32, token: uint() }
}

/// A receiver, and the way to it for a peer.
fn receiver(bench: &Bench, peer: &mut Peer) -> (Receiver<Blob>, Address, Call<()>) {
    let receiver = bench.router.receiver();
    let (address, call) = peer.given(&receiver.sender());
    assert_eq!(address.context, 0);
    (receiver, address, call)
}

#[test]
fn an_honest_peer_claims_sends_and_gets_credit() {
    let bench = Bench::new();
    let mut peer = Peer::join(&bench, "honest");
    let (receiver, to, _call) = receiver(&bench, &mut peer);
    // Data follows directly behind the claim.
    peer.claim(to, 5000);
    peer.data(to.handle, vec![1; 600_000]);
    peer.data(to.handle, vec![2; 100]);
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), vec![1; 600_000]);
    let frame = peer.read();
    assert_eq!((frame.handle, frame.payload), (CREDIT, credit(to.handle, 600_000)));
    assert_eq!(receiver.recv_timeout(LONG).unwrap().len(), 100);
    let frame = peer.read();
    // `[handle, 164]`, in the shortest form.
    assert_eq!(frame.payload[frame.payload.len() - 2..], [0xcc, 164]);
    peer.write(to.handle, DEAD, b"\x92\x09\xa0");
    drop(_call);
    assert!(matches!(within(LONG, move || receiver.recv()), Err(CallError::Cancelled { .. })));
}

#[test]
fn who_does_not_claim_or_has_no_token_is_not_heard() {
    let bench = Bench::new();
    let mut peer = Peer::join(&bench, "impostor");
    let child = bench.child("child");
    let numbers = bench.router.receiver::<u32>();
    let (to, call) = peer.given(&numbers.sender());
    peer.data(to.handle, vec![1]);
    peer.claim(Address { token: to.token ^ 1, ..to }, 5000);
    let frame = peer.read();
    assert_eq!((frame.handle, frame.reply_to, frame.src), (5000, DEAD, 0));
    peer.data(to.handle, vec![2]);
    // Nobody else's claim is ended by it either.
    peer.write(to.handle, DEAD, b"\x92\x09\xa0");
    peer.settle();
    assert!(numbers.is_empty() && numbers.ended().is_none());
    drop(call);
    let counting = Feeder::stub(&child).count(numbers.sender(), 0, 1000);
    assert!(within(LONG, move || numbers.into_iter().eq(0..1000)));
    counting.wait().unwrap();
    assert!(peer.context.is_connected());
}

#[test]
fn who_sends_beyond_its_window_loses_its_claim_and_others_do_not() {
    let bench = Bench::new();
    let mut peer = Peer::join(&bench, "greedy");
    let child = bench.child("child");
    let (receiver, to, call) = receiver(&bench, &mut peer);
    peer.claim(to, 5000);
    peer.data(to.handle, vec![1; WINDOW - 64]);
    peer.data(to.handle, vec![2; 1]);
    peer.data(to.handle, vec![3; 1]);
    let frame = peer.read();
    let text = String::from_utf8_lossy(&frame.payload).into_owned();
    assert!(frame.handle == CREDIT && text.contains("more was sent than the window allows"), "{text}");
    drop(call);
    // It was the only one, so that is the end; what was within the window is delivered.
    assert_eq!(receiver.recv_timeout(LONG).unwrap().len(), WINDOW - 64);
    assert!(matches!(receiver.recv_timeout(LONG), Err(CallError::Overloaded { .. })));
    let other = bench.router.receiver::<u32>();
    let counting = Feeder::stub(&child).count(other.sender(), 0, 1000);
    assert!(within(LONG, move || other.into_iter().eq(0..1000)));
    counting.wait().unwrap();
    peer.settle();
}

#[test]
fn credit_for_a_receiver_of_somebody_else_is_not_believed() {
    let bench = Bench::new();
    let mut peer = Peer::join(&bench, "generous");
    let child = bench.child("child");
    let to = Feeder::stub(&child).open().wait().unwrap();
    let filled = |to: &Sender<u32>| (0..).take_while(|number| to.try_send(*number).is_ok()).count();
    assert!(filled(&to) > 10_000);
    // The number of the handle is what it can guess.
    let text = format!("{to:?}");
    let handle = text.split(' ').nth(1).unwrap().parse().unwrap();
    for payload in [credit(handle, 1_000_000), b"\x93\xcd\x03\xe8\xc0\xa1x".to_vec(), b"\x91\x01".to_vec()] {
        peer.write(CREDIT, 0, &payload);
    }
    let mut closed = vec![0x93, 0xce];
    closed.extend(u32::to_be_bytes(handle));
    closed.extend(b"\xc0\xa6closed");
    peer.write(CREDIT, 0, &closed);
    peer.settle();
    assert!(matches!(to.try_send(0), Err(CallError::Overloaded { .. })));
    assert!(!to.is_closed());
}

#[test]
fn a_receiver_takes_256_contexts_and_tells_the_next_one_that_it_is_full() {
    let bench = Bench::new();
    let mut peer = Peer::join(&bench, "many");
    let (receiver, to, call) = receiver(&bench, &mut peer);
    // Ids for contexts below, and routes to them.
    peer.write(105, 5000, b"");
    let block = peer.read().payload;
    assert_eq!(block[..2], [0x92, 2]);
    for id in 2..=300_u32 {
        let mut payload = vec![0x92, 0xce];
        payload.extend(id.to_be_bytes());
        payload.extend(b"\xa1x");
        peer.write(103, 0, &payload);
    }
    for id in 2..=257 {
        peer.claim_as(id, to, 5000);
    }
    peer.claim_as(258, to, 5000);
    let frame = peer.read();
    let text = String::from_utf8_lossy(&frame.payload).into_owned();
    assert_eq!((frame.handle, frame.dst), (CREDIT, 258));
    assert!(text.contains("the receiver has as many senders as one may have (256)"), "{text}");
    // One that closes makes room.
    peer.write_as(2, to.handle, DEAD, b"\x92\x09\xa0");
    peer.claim_as(258, to, 5000);
    peer.settle();
    drop(call);
    assert!(receiver.ended().is_none());
    // All of them are gone with the peer.
    drop(peer.socket);
    assert!(matches!(within(LONG, move || receiver.recv()), Err(CallError::Dead { .. })));
}

/// A hop that has no room for the data of a channel says so to the receiver: it is not lost in silence.
#[test]
fn what_a_hop_cannot_pass_on_is_told_to_the_receiver() {
    let router = Router::builder().max_output(64 * 1024).build().unwrap();
    let bench = Bench::with(router);
    let mut peer = Peer::join(&bench, "stalled");
    let child = bench.child("child");
    // The peer opens a receiver by itself, and then reads nothing while the child sends a window.
    let args = Bytes { to: (peer.id(), 5000, 7), count: 15, size: 64 * 1024 };
    child.call_service::<()>(Feeder::DESCRIPTOR.name, "blobs", &args).wait_timeout(LONG).unwrap();
    let claim = peer.read();
    assert_eq!((claim.handle, claim.src), (CLAIM, child.id().get()));
    let mut whole = 0;
    let dead = loop {
        let frame = peer.read();
        assert_eq!((frame.handle, frame.src), (5000, child.id().get()));
        if frame.reply_to == DEAD {
            break frame;
        }
        assert_eq!((frame.magic, frame.payload.len()), (*b"MK", 64 * 1024));
        whole += 1;
    };
    // Four times the bound, and what the kernel takes.
    assert!((4..15).contains(&whole), "{whole}");
    assert_eq!(dead.payload[..2], [0x92, 11]);
}

/// A service that the peer pretends to have.
struct Silent;

#[service(name = "silent")]
impl Silent {
    #[expose(policy = AllowAny)]
    fn take(&self, data: Blob) {
        let _ = data;
    }

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn forget(&self, data: Blob) {
        let _ = data;
    }
}

/// The time of a call, and that of a value, begins when it is made: it covers the wait for room in the
/// stream, and what has got none is not sent later.
#[test]
fn what_gets_no_room_in_the_stream_in_its_time_is_given_up_unsent() {
    #[derive(Serialize)]
    struct Nothing {}
    let bench = Bench::with(Router::builder().max_output(64 * 1024).build().unwrap());
    let mut peer = Peer::join(&bench, "silent");
    let call = peer.context.call_service::<Sender<Blob>>("silent", "open", &Nothing {});
    let asked = peer.read();
    let mut answer = vec![0x92, 0, 0x93, peer.id() as u8, 0xcd];
    answer.extend(5000_u16.to_be_bytes());
    answer.push(7);
    peer.write(asked.reply_to, 0, &answer);
    let to = call.wait_timeout(LONG).unwrap();

    // What nobody waits for goes until the kernel and the queue are full.
    let (early, late) = (Blob::from(vec![1; 30_000]), Blob::from(vec![2; 30_000]));
    let silent = Silent::stub(&peer.context);
    let full = (0..1000).find_map(|_| silent.no_wait().forget(early.clone()).err()).expect("nobody reads");
    assert!(matches!(full, CallError::Overloaded { .. }) && full.executed() == Executed::No, "{full:?}");

    let bound = Duration::from_millis(20);
    let timed = silent.with_timeout(bound);
    let ways: [&dyn Fn() -> Result<(), CallError>; 3] =
        [&|| timed.take(late.clone()).wait(), &|| timed.forget(late.clone()), &|| to.send_timeout(late.clone(), bound)];
    for way in ways {
        let began = Instant::now();
        let error = way().unwrap_err();
        assert!(matches!(error, CallError::DeadlineExceeded { by: DeadlineBy::Caller, .. }), "{error:?}");
        assert_eq!(error.executed(), Executed::No);
        assert!(began.elapsed() >= bound);
    }
    assert!(!to.is_closed());

    // Who has time enough is sent as soon as there is room.
    let last = std::thread::spawn(move || to.send_timeout("last".into(), LONG));
    let data = loop {
        let frame = peer.read();
        assert!(!frame.payload.windows(100).any(|bytes| bytes == [2; 100]), "it was given up");
        if frame.handle == 5000 {
            break frame.payload;
        }
    };
    assert_eq!(data, b"last");
    last.join().unwrap().unwrap();
}

#[test]
fn a_neighbour_that_knows_no_channels_gets_no_claim() {
    #[derive(Serialize)]
    struct Nothing {}
    let bench = Bench::new();
    let mut peer = Peer::join_with(&bench, "old", 1);
    let call = peer.context.call_service::<Sender<u32>>("peer", "open", &Nothing {});
    let asked = peer.read();
    let mut answer = vec![0x92, 0, 0x93, peer.id() as u8, 0xcd];
    answer.extend(5000_u16.to_be_bytes());
    answer.push(7);
    peer.write(asked.reply_to, 0, &answer);
    let error = call.wait_timeout(LONG).unwrap_err();
    assert!(error.to_string().contains("knows no channels"), "{error}");
}

/// A neighbour that was offered no link for bulk has none, whatever it says: it is not asked for a handle for
/// what could only come over that.
#[test]
fn a_link_for_bulk_that_was_not_offered_is_not_believed() {
    let bench = Bench::new();
    let mut peer = Peer::join_with(&bench, "boaster", 3 | 8);
    let child = bench.child("child");
    let args = Bytes { to: (peer.id(), 5000, 7), count: 15, size: 64 * 1024 };
    let call = child.call_service::<()>(Feeder::DESCRIPTOR.name, "blobs", &args);
    let claim = peer.read();
    assert_eq!((claim.handle, claim.src), (CLAIM, child.id().get()));
    for _ in 0..15 {
        let frame = peer.read();
        assert_eq!((frame.handle, frame.magic, frame.payload.len()), (5000, *b"MK", 64 * 1024));
    }
    call.wait_timeout(LONG).unwrap();
}

#[test]
fn offences_are_logged_with_the_name_of_the_neighbour() {
    let test = "channel_peer::who_does_not_claim_or_has_no_token_is_not_heard";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in ["sent to a receiver that it has not claimed", "claimed a receiver with a wrong token"] {
        assert!(text.contains(&format!("`impostor`: {line}")), "{text}");
    }
}
