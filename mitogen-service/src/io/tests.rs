//! Streams and the broker over real pipes.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::cork::{self, Haste};
use super::pipe_room::LARGE;
use super::writer::TURN;
use super::{
    Broker, Closed, Limits, Patience, ReadEnd, Ready, Reassembly, SendError, Sink, Stream, StreamId, WriteEnd,
};
use crate::ledger::{Ledger, Left};
use crate::sync::Mutex;
use crate::wire::{ContextId, Decoder, Encoding, Handle, Header, Message};

/// Far beyond what anything here takes; a test that reaches it has failed.
const LONG: Duration = Duration::from_secs(20);

const OUTPUT_LIMIT: usize = 256 * 1024;

const REASSEMBLY_LIMIT: usize = 100 * 1024 * 1024;

/// Tells a test what a stream has brought.
struct Told(Mutex<Sender<Event>>);

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Message(u32, usize),
    GivenUp(u32),
    Relieved,
    Asked,
    Closed(Closed),
}

impl Sink for Told {
    fn receive(self: Arc<Self>, _stream: &Arc<Stream>, messages: &mut Vec<Message>) -> bool {
        for message in messages.drain(..) {
            let event = Event::Message(number(&message.header), message.payload.len());
            self.0.lock().send(event).unwrap();
        }
        false
    }

    fn given_up(self: Arc<Self>, _stream: &Arc<Stream>, header: Header) {
        self.0.lock().send(Event::GivenUp(number(&header))).unwrap();
    }

    fn relieved(self: Arc<Self>, _stream: &Arc<Stream>) {
        self.0.lock().send(Event::Relieved).unwrap();
    }

    fn ask(self: Arc<Self>, _stream: &Arc<Stream>) {
        self.0.lock().send(Event::Asked).unwrap();
    }

    fn closed(self: Arc<Self>, _stream: &Arc<Stream>, why: Closed) {
        self.0.lock().send(Event::Closed(why)).unwrap();
    }
}

struct End {
    // In the order in which they are dropped: the last one asserts that the others left nothing.
    stream: Closing,
    broker: Stopping,
    events: Receiver<Event>,
    _settled: Settled,
}

/// Closes the stream when it is dropped.
struct Closing(Arc<Stream>);

/// Stops the broker when it is dropped.
struct Stopping(Broker);

/// Asserts when it is dropped that nothing is left.
struct Settled(Ledger);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        assert_eq!(self.0.settle(LONG), Left::default());
    }
}

impl End {
    fn new(read: OwnedFd, write: OwnedFd) -> Self {
        Self::with_stall(read, write, LONG)
    }

    fn with_stall(read: OwnedFd, write: OwnedFd, stall: Duration) -> Self {
        Self::with(read, write, stall, None)
    }

    fn with(read: OwnedFd, write: OwnedFd, stall: Duration, keep_alive: Option<Duration>) -> Self {
        let ledger = Ledger::default();
        let ready = Arc::new(Ready::new(&ledger).unwrap());
        let broker = Broker::start(&ledger, &ready, || panic!("the broker crashed")).unwrap();
        let (sender, events) = channel();
        let stream = Stream::new(
            StreamId(1),
            (ReadEnd(read), WriteEnd(write)),
            (broker.handle(), &ledger),
            Decoder::new(64 * 1024 * 1024),
            Limits { output: OUTPUT_LIMIT, stall, keep_alive, reassembly: Arc::new(Reassembly::new(REASSEMBLY_LIMIT)) },
            Arc::new(Told(Mutex::new(sender))),
        )
        .unwrap();
        Self { stream: Closing(stream), broker: Stopping(broker), events, _settled: Settled(ledger) }
    }

    fn next(&self) -> Event {
        self.events.recv_timeout(LONG).unwrap()
    }

    fn send(&self, handle: u32, size: usize, patience: Patience) -> Result<(), SendError> {
        self.stream.0.send(message(handle, size), patience)
    }
}

/// A message with a number.
fn message(number: u32, size: usize) -> Message {
    let (payload, handle) = (vec![7; size].into(), Handle::new(number.wrapping_add(Handle::FIRST_DYNAMIC.get())));
    Message::new(Encoding::Binary, ContextId::ROOT, handle, Handle::NONE, payload)
}

fn number(header: &Header) -> u32 {
    header.handle.get().wrapping_sub(Handle::FIRST_DYNAMIC.get())
}

/// Two ends that are joined, and of which neither reads yet.
fn ends() -> (End, End) {
    let (there_read, here_write) = rustix::pipe::pipe().unwrap();
    let (here_read, there_write) = rustix::pipe::pipe().unwrap();
    (End::new(here_read, here_write), End::new(there_read, there_write))
}

#[test]
fn messages_of_all_sizes_arrive_whole_and_in_order() {
    let (here, there) = ends();
    there.stream.0.start().unwrap();
    let sizes = [0, 1, 4096, 4097, 65_536, 65_537, 10_000_000, 3];
    for (number, size) in (0..).zip(sizes) {
        here.send(number, size, Patience::Wait).unwrap();
    }
    for (number, size) in (0..).zip(sizes) {
        assert_eq!(there.next(), Event::Message(number, size));
    }
}

#[test]
fn a_pipe_is_made_larger_by_the_first_large_message() {
    let (there, here_write) = rustix::pipe::pipe().unwrap();
    let (here_read, _there_write) = rustix::pipe::pipe().unwrap();
    let size = || rustix::pipe::fcntl_getpipe_size(&there).unwrap();
    let (here, before) = (End::new(here_read, here_write), size());
    here.send(1, LARGE - 1, Patience::Wait).unwrap();
    assert_eq!(size(), before);
    here.send(2, LARGE, Patience::Wait).unwrap();
    assert!(size() > before, "{before} bytes before, {} now", size());
}

#[test]
fn a_full_queue_refuses_or_lets_wait_or_is_exceeded() {
    let (here, there) = ends();
    let mut sent = 0;
    while here.send(sent, 32 * 1024, Patience::Refuse).is_ok() {
        sent += 1;
    }
    here.send(sent, 10, Patience::Exceed).unwrap();
    std::thread::scope(|scope| {
        let stream = &here.stream.0;
        let waiting = scope.spawn(move || stream.send(message(sent + 1, 32 * 1024), Patience::Wait));
        there.stream.0.start().unwrap();
        for number in 0..sent {
            assert_eq!(there.next(), Event::Message(number, 32 * 1024));
        }
        assert_eq!(there.next(), Event::Message(sent, 10));
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(there.next(), Event::Message(sent + 1, 32 * 1024));
}

#[test]
fn a_stream_over_its_bound_says_when_it_is_relieved() {
    let (here, there) = ends();
    while here.send(1, 32 * 1024, Patience::Refuse).is_ok() {}
    assert!(!here.stream.0.is_over(), "within the bound");
    here.send(2, 32 * 1024, Patience::Exceed).unwrap();
    assert!(here.stream.0.is_over());
    there.stream.0.start().unwrap();
    assert_eq!(here.next(), Event::Relieved);
    assert!(!here.stream.0.is_over());
}

#[test]
fn the_end_of_a_stream_relieves_it() {
    let (here, _there) = ends();
    while !here.stream.0.is_over() {
        here.send(1, 32 * 1024, Patience::Exceed).unwrap();
    }
    here.stream.0.cut("enough");
    assert_eq!(here.next(), Event::Relieved);
    assert_eq!(here.next(), Event::Closed(Closed::Broken("enough".to_owned())));
}

#[test]
fn closing_wakes_those_who_wait_for_room() {
    let (here, _there) = ends();
    while here.send(1, 32 * 1024, Patience::Refuse).is_ok() {}
    std::thread::scope(|scope| {
        let stream = &here.stream.0;
        let waiting = scope.spawn(move || stream.send(message(2, 32 * 1024), Patience::Wait));
        here.stream.0.close();
        assert!(matches!(waiting.join().unwrap(), Err(SendError::Closed)));
    });
    assert!(matches!(here.send(3, 1, Patience::Exceed), Err(SendError::Closed)));
}

#[test]
fn the_end_is_told_once_and_after_the_last_message() {
    let (here, there) = ends();
    here.send(1, 5, Patience::Wait).unwrap();
    here.stream.0.close();
    assert_eq!(here.next(), Event::Closed(Closed::Local));
    there.stream.0.start().unwrap();
    assert_eq!(there.next(), Event::Message(1, 5));
    assert_eq!(there.next(), Event::Closed(Closed::Eof));
    there.stream.0.close();
    there.broker.0.stop();
    assert!(there.events.try_recv().is_err());
}

#[test]
fn bytes_that_are_no_frame_end_the_stream_with_the_reason() {
    let (there_read, raw) = rustix::pipe::pipe().unwrap();
    let (_sink, there_write) = rustix::pipe::pipe().unwrap();
    let there = End::new(there_read, there_write);
    rustix::io::write(&raw, &[b'x'; 26]).unwrap();
    there.stream.0.start().unwrap();
    match there.next() {
        Event::Closed(Closed::Broken(why)) => assert!(why.contains("frame signature incorrect"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// A pipe's write end, and a stream at its read end that bears with `stall`.
fn raw(stall: Duration) -> (OwnedFd, OwnedFd, End) {
    let (there_read, raw) = rustix::pipe::pipe().unwrap();
    let (unread, there_write) = rustix::pipe::pipe().unwrap();
    let there = End::with_stall(there_read, there_write, stall);
    there.stream.0.start().unwrap();
    (raw, unread, there)
}

fn broken(event: Event) -> String {
    match event {
        Event::Closed(Closed::Broken(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_stops_half_way_ends_the_stream() {
    let (raw, _unread, there) = raw(Duration::from_millis(20));
    rustix::io::write(&raw, &message(1, 10).header.encode()).unwrap();
    assert_eq!(broken(there.next()), "nothing has moved for too long");
}

#[test]
fn output_that_nobody_reads_ends_the_stream() {
    let (_raw, _unread, there) = raw(Duration::from_millis(20));
    there.send(1, 300_000, Patience::Wait).unwrap();
    assert_eq!(broken(there.next()), "nothing has moved for too long");
}

#[test]
fn a_stream_without_anything_under_way_may_be_idle() {
    let (here, there) = {
        let (there_read, here_write) = rustix::pipe::pipe().unwrap();
        let (here_read, there_write) = rustix::pipe::pipe().unwrap();
        let stall = Duration::from_millis(500);
        (End::with_stall(here_read, here_write, stall), End::with_stall(there_read, there_write, stall))
    };
    there.stream.0.start().unwrap();
    here.send(1, 1_000_000, Patience::Wait).unwrap();
    assert_eq!(there.next(), Event::Message(1, 1_000_000));
    // More than the bound, in which nothing happens.
    assert!(there.events.recv_timeout(Duration::from_millis(600)).is_err());
    here.send(2, 1_000_000, Patience::Wait).unwrap();
    assert_eq!(there.next(), Event::Message(2, 1_000_000));
}

/// A stream that looks for signs of life, what is written to it, and what nobody reads of it yet.
fn watched(interval: Duration) -> (OwnedFd, OwnedFd, End) {
    let (there_read, raw) = rustix::pipe::pipe().unwrap();
    let (unread, there_write) = rustix::pipe::pipe().unwrap();
    let there = End::with(there_read, there_write, LONG, Some(interval));
    there.stream.0.start().unwrap();
    (raw, unread, there)
}

#[test]
fn an_end_that_says_nothing_is_asked_twice_and_given_up() {
    let (_raw, _unread, there) = watched(Duration::from_millis(10));
    assert_eq!([(); 2].map(|()| there.next()), [Event::Asked, Event::Asked]);
    let closed = Closed::Silent(Duration::from_millis(30));
    assert_eq!(closed.to_string(), "no sign of life for 30ms (keep-alive)");
    assert_eq!(there.next(), Event::Closed(closed));
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let (raw, _unread, there) = watched(Duration::from_millis(300));
    let bytes = [&message(1, 10).header.encode()[..], &[7; 10]].concat();
    for byte in &bytes[..5] {
        assert_eq!(there.next(), Event::Asked);
        assert_eq!(rustix::io::write(&raw, &[*byte]), Ok(1));
    }
    rustix::io::write(&raw, &bytes[5..]).unwrap();
    let event = std::iter::repeat_with(|| there.next()).find(|event| *event != Event::Asked);
    assert_eq!(event, Some(Event::Message(1, 10)));
}

#[test]
fn an_end_that_takes_what_waits_for_it_is_alive() {
    let (_raw, unread, there) = watched(Duration::from_millis(300));
    there.send(1, 1_000_000, Patience::Wait).unwrap();
    let mut buffer = vec![0; 100_000];
    for _ in 0..5 {
        assert_eq!(there.next(), Event::Asked);
        assert!(rustix::io::read(&unread, &mut buffer).unwrap() > 0);
    }
}

#[test]
fn signs_of_life_do_not_gather() {
    let (_raw, unread, there) = raw(LONG);
    for _ in 0..100_000 {
        there.stream.0.send_sign(message(1, 0));
    }
    let held = rustix::io::ioctl_fionread(&unread).unwrap() as usize;
    there.send(2, 0, Patience::Wait).unwrap();
    let mut decoder = Decoder::new(0);
    let mut signs = 0;
    loop {
        while let Some(message) = decoder.next().unwrap() {
            if number(&message.header) == 2 {
                // What the pipe held, the one that did not fit into it, and none that waited behind that.
                assert_eq!(signs, held / Header::LEN + 1);
                return;
            }
            signs += 1;
        }
        rustix::io::read(&unread, rustix::buffer::spare_capacity(decoder.space())).unwrap();
    }
}

#[test]
fn an_unfinished_message_beyond_the_bound_is_given_up_and_the_next_one_arrives() {
    let (raw, _unread, there) = raw(LONG);
    // Another stream of the same router holds all that all may hold.
    there.stream.0.reassembly().update(0, REASSEMBLY_LIMIT);
    let send = |message: &Message| {
        let bytes = [&message.header.encode()[..], &message.payload].concat();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(&raw, rest).unwrap()..];
        }
    };
    send(&message(1, 1_000_000));
    send(&message(2, 10));
    assert_eq!(there.next(), Event::GivenUp(1));
    assert_eq!(there.next(), Event::Message(2, 10));
}

#[test]
fn what_is_queued_can_be_waited_for() {
    let (here, there) = ends();
    here.send(1, 1_000_000, Patience::Wait).unwrap();
    here.stream.0.drain(Instant::now() + Duration::from_millis(5));
    there.stream.0.start().unwrap();
    here.stream.0.drain(Instant::now() + LONG);
    here.stream.0.close();
    assert_eq!(there.next(), Event::Message(1, 1_000_000));
}

/// The I/O thread is the one that has to end such a stream, so it must not wait for that.
#[test]
fn a_full_stream_that_breaks_keeps_nobody_who_sends() {
    let (there_read, here_write) = rustix::pipe::pipe().unwrap();
    let (here_read, _there_write) = rustix::pipe::pipe().unwrap();
    let here = End::new(here_read, here_write);
    while here.send(1, 32 * 1024, Patience::Refuse).is_ok() {}
    let (result, results) = channel();
    let stream = here.stream.0.clone();
    here.broker.0.handle().defer(move |_| {
        drop(there_read);
        // Finds that it is broken; what ends it comes after this job.
        stream.drain(Instant::now() + LONG / 1000);
        result
            .send([Patience::Refuse, Patience::Wait].map(|patience| stream.send(message(2, 32 * 1024), patience)))
            .unwrap();
    });
    let results = results.recv_timeout(LONG).expect("the I/O thread goes on");
    assert!(results.iter().all(|result| matches!(result, Err(SendError::Closed))), "{results:?}");
    assert_eq!(here.next(), Event::Closed(Closed::Eof));
}

#[test]
fn what_has_come_and_the_end_behind_it_are_both_seen() {
    for size in [0, 10, 3000, 100_000] {
        let (read, there) = rustix::pipe::pipe().unwrap();
        let here = End::new(read, rustix::pipe::pipe().unwrap().1);
        let message = message(1, size);
        let writer = std::thread::spawn(move || {
            let mut there = std::fs::File::from(there);
            there.write_all(&[&message.header.encode(), &message.payload[..]].concat()).unwrap();
        });
        if size < 4096 {
            // Both are there when the stream begins to read, so that one edge tells of them.
            writer.join().unwrap();
            here.stream.0.start().unwrap();
        } else {
            here.stream.0.start().unwrap();
            writer.join().unwrap();
        }
        assert_eq!(here.next(), Event::Message(1, size));
        assert_eq!(here.next(), Event::Closed(Closed::Eof));
    }
}

/// It gives one line's length after the other, however much there is, and refuses what others take.
#[test]
fn a_terminal_is_a_stream() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave: OwnedFd = std::fs::File::options().read(true).write(true).open(name).unwrap().into();
    let mut raw = tcgetattr(&slave).unwrap();
    raw.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &raw).unwrap();

    let here = End::new(master.try_clone().unwrap(), master);
    let there = End::new(slave.try_clone().unwrap(), slave);
    here.stream.0.start().unwrap();
    there.stream.0.start().unwrap();
    for (number, size) in (0..).zip([1, 0, 100_000, 4095, 4096, 5000]) {
        here.send(number, size, Patience::Wait).unwrap();
        assert_eq!(there.next(), Event::Message(number, size));
        there.send(number, size, Patience::Wait).unwrap();
        assert_eq!(here.next(), Event::Message(number, size));
    }
    for number in 0..200 {
        here.send(number, 700, Patience::Wait).unwrap();
    }
    for number in 0..200 {
        assert_eq!(there.next(), Event::Message(number, 700));
    }
}

/// Who holds the other one's bytes in its hands does not wait to get rid of its own.
#[test]
fn two_ends_that_are_full_both_go_on() {
    let (here, there) = ends();
    here.stream.0.start().unwrap();
    there.stream.0.start().unwrap();
    std::thread::scope(|scope| {
        for end in [&here, &there] {
            let stream = &end.stream.0;
            scope.spawn(move || {
                for number in 0..200 {
                    stream.send(message(number, 64 * 1024), Patience::Wait).unwrap();
                }
            });
        }
    });
    for end in [&here, &there] {
        for number in 0..200 {
            assert_eq!(end.next(), Event::Message(number, 64 * 1024));
        }
    }
}

/// Nobody is kept by what others have to say: what the kernel would take at once leaves in turns, and between
/// two of them the I/O thread looks after its other streams.
#[test]
fn a_thread_that_sends_or_flushes_writes_little_of_what_others_have_queued() {
    let (there_read, here_write) = rustix::pipe::pipe().unwrap();
    let (here_read, there_write) = rustix::pipe::pipe().unwrap();
    let (pipe, other_end) = (here_write.try_clone().unwrap(), there_read.try_clone().unwrap());
    let (here, there) = (End::new(here_read, here_write), End::new(there_read, there_write));
    let there_is = || rustix::io::ioctl_fionread(&other_end).unwrap() as usize;
    // The I/O thread has something else to do for now.
    let (go_on, waits) = channel();
    here.broker.0.handle().defer(move |_| waits.recv().unwrap());
    let mut sent = 0;
    while here.send(sent, 10_000, Patience::Refuse).is_ok() {
        sent += 1;
    }
    // From now on the kernel takes all of it.
    rustix::pipe::fcntl_setpipe_size(&pipe, 1024 * 1024).unwrap();
    let before = there_is();
    here.send(sent, 100, Patience::Exceed).unwrap();
    assert_eq!(there_is(), before, "a thread that sends leaves it to the one who carries it");
    for turn in 1..=3 {
        here.stream.0.writer.writable(&here.stream.0);
        assert_eq!(there_is(), before + turn * TURN);
    }
    go_on.send(()).unwrap();
    there.stream.0.start().unwrap();
    for number in 0..sent {
        assert_eq!(there.next(), Event::Message(number, 10_000));
    }
    assert_eq!(there.next(), Event::Message(sent, 100));
}

/// Calls that are held and forgotten, senders that wait for room, and the one who flushes know nothing of each
/// other.
#[test]
fn no_message_stays_behind_whoever_holds_or_waits() {
    const SENDERS: u32 = 4;
    const EACH: u32 = 1500;
    let (here, there) = ends();
    while !here.stream.0.is_over() {
        here.send(u32::MAX, 16 * 1024, Patience::Exceed).unwrap();
    }
    there.stream.0.start().unwrap();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let stream = &here.stream.0;
            scope.spawn(move || {
                for number in 0..EACH {
                    let haste = [Haste::Call, Haste::Answer, Haste::Call, Haste::Now][(number + sender) as usize % 4];
                    let patience =
                        if number % 3 == 0 { Patience::Until(Instant::now() + LONG) } else { Patience::Wait };
                    let size = if number % 64 == 0 { 20_000 } else { 100 };
                    stream.pass_on(message(sender * EACH + number, size), (patience, haste), None).unwrap();
                    if haste == Haste::Answer {
                        // Whoever has answered lets go some time; of calls that is not known.
                        cork::let_go();
                    }
                }
            });
        }
    });
    let mut next = [0; SENDERS as usize];
    while next.iter().sum::<u32>() < SENDERS * EACH {
        let Event::Message(number, _) = there.next() else { panic!("it is open") };
        if number < SENDERS * EACH {
            let sender = (number / EACH) as usize;
            assert_eq!(number % EACH, next[sender], "in the order in which they were sent");
            next[sender] += 1;
        }
    }
}

#[test]
fn jobs_run_on_the_broker_and_are_dropped_after_its_end() {
    let ledger = Ledger::default();
    let broker = Broker::start(&ledger, &Arc::new(Ready::new(&ledger).unwrap()), || ()).unwrap();
    let (sender, told) = channel();
    let from_timer = sender.clone();
    broker.handle().call_after(Duration::from_millis(1), move |broker| {
        from_timer.send(broker.is_current()).unwrap();
    });
    assert!(told.recv_timeout(LONG).unwrap());
    let from_job = sender.clone();
    broker.handle().defer(move |broker| from_job.send(broker.is_current()).unwrap());
    assert!(told.recv_timeout(LONG).unwrap());
    broker.stop();
    broker.handle().defer(move |_| drop(sender));
    assert!(told.recv_timeout(LONG).is_err());
    drop(broker);
    assert_eq!(ledger.settle(LONG), Left::default());
}

#[test]
fn a_broker_that_crashes_says_so() {
    let ledger = Ledger::default();
    let (sender, crashed) = channel();
    let broker =
        Broker::start(&ledger, &Arc::new(Ready::new(&ledger).unwrap()), move || sender.send(()).unwrap()).unwrap();
    broker.handle().defer(|_| panic!("a defect, on purpose"));
    crashed.recv_timeout(LONG).unwrap();
    broker.stop();
    drop(broker);
    assert_eq!(ledger.settle(LONG), Left::default());
}
