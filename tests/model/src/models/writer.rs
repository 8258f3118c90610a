//! Senders that write, hold, wait for room and wait for the kernel, the I/O thread, and the end of the stream.

use std::sync::Arc;
use std::time::Instant;

use shuttle::thread::{self, JoinHandle};

use crate::sync::has_no_time;
use crate::wire::Message;
use crate::writing::cork::{self, Haste};
use crate::writing::{Patience, SendError, Stream};

/// A message that may be held.
const SMALL: usize = 100;

/// One of which no two are held.
const MEDIUM: usize = 12 * 1024;

/// One that is not held.
const LARGE: usize = 20 * 1024;

/// One that takes several turns.
const HUGE: usize = 150 * 1024;

/// What a pipe holds, less than a turn and more.
const PIPE: usize = 30 * 1024;
const WIDE: usize = 100 * 1024;

/// Room for all that is sent here.
const MUCH: usize = 1024 * 1024;

/// What a sender sends, one after the other.
type Sends = &'static [(usize, Haste)];

/// Sends on a thread of its own, and tells how many were taken.
fn sending(stream: &Arc<Stream>, sender: u8, patience: Patience, sends: Sends) -> JoinHandle<usize> {
    let stream = stream.clone();
    thread::spawn(move || {
        let mut taken = 0;
        for (size, haste) in sends {
            let sent = stream.pass_on(Message::new(sender, taken, *size), (patience, *haste));
            match sent {
                Ok(()) => taken += 1,
                Err(SendError::Full(_)) => {}
                Err(SendError::Closed) => break,
            }
        }
        if sends.iter().any(|(_, haste)| *haste == Haste::Answer) {
            // Whoever has answered lets go some time; of calls that is not known.
            cork::let_go();
        }
        taken.into()
    })
}

/// Two who send; all of it arrives.
fn all_arrives((limit, pipe, is_for_bulk): (usize, usize, bool), senders: [(Patience, Sends); 2]) {
    let (stream, threads) = Stream::start(limit, pipe, is_for_bulk);
    let senders: Vec<_> =
        (0..).zip(senders).map(|(sender, (patience, sends))| sending(&stream, sender, patience, sends)).collect();
    let sent = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
    stream.kernel().has_brought(sent);
    stream.stop(threads);
}

pub(super) fn carried() {
    let sends: Sends = &[(SMALL, Haste::Now), (LARGE, Haste::Now), (SMALL, Haste::Now)];
    all_arrives((MUCH, PIPE, false), [(Patience::Wait, sends); 2]);
}

/// The pipe becomes wider at any moment, so that the kernel takes more than one turn writes.
pub(super) fn turns() {
    let sends: Sends = &[(HUGE, Haste::Now), (SMALL, Haste::Now)];
    for others in [sends, &[(SMALL, Haste::Now); 2]] {
        let (stream, threads) = Stream::start(MUCH, PIPE, false);
        let senders = [(0, sends), (1, others)].map(|(sender, sends)| sending(&stream, sender, Patience::Wait, sends));
        stream.kernel().widen(MUCH);
        let sent = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        stream.kernel().has_brought(sent);
        stream.stop(threads);
    }
}

pub(super) fn calls() {
    let (stream, threads) = Stream::start(MUCH, PIPE, false);
    let sends: Sends = &[(SMALL, Haste::Call), (SMALL, Haste::Call), (SMALL, Haste::Call)];
    let senders = [0, 1].map(|sender| sending(&stream, sender, Patience::Wait, sends));
    // It has the lock for a moment, and sends nothing where others wait to leave.
    stream.send_sign();
    let sent = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
    stream.kernel().has_brought(sent);
    stream.stop(threads);
}

pub(super) fn answers() {
    let answers: Sends = &[(SMALL, Haste::Answer), (LARGE, Haste::Answer), (SMALL, Haste::Answer)];
    let calls: Sends = &[(SMALL, Haste::Call), (LARGE, Haste::Now), (SMALL, Haste::Call), (SMALL, Haste::Call)];
    all_arrives((MUCH, PIPE, false), [(Patience::Exceed, answers), (Patience::Wait, calls)]);
    // What is let go of does not fit.
    let answers: Sends = &[(LARGE, Haste::Now), (SMALL, Haste::Answer), (SMALL, Haste::Answer)];
    all_arrives(
        (MUCH, LARGE + SMALL, false),
        [(Patience::Exceed, answers), (Patience::Wait, &[(SMALL, Haste::Call); 2])],
    );
}

pub(super) fn bulk() {
    let sends: Sends = &[(LARGE, Haste::Now), (LARGE, Haste::Now), (SMALL, Haste::Now)];
    all_arrives((MUCH, PIPE, true), [(Patience::Wait, sends); 2]);
    all_arrives((LARGE, WIDE, true), [(Patience::Wait, &[(HUGE, Haste::Now)]), (Patience::Wait, sends)]);
}

pub(super) fn room() {
    let sends: Sends = &[(LARGE, Haste::Now), (LARGE, Haste::Now), (LARGE, Haste::Now)];
    let calls: Sends = &[(SMALL, Haste::Call), (SMALL, Haste::Call), (LARGE, Haste::Call)];
    all_arrives((LARGE, LARGE, false), [(Patience::Wait, sends), (Patience::Until(Instant::now()), calls)]);
    // What one holds who waits for room.
    let answers: Sends = &[(MEDIUM, Haste::Answer), (MEDIUM, Haste::Now), (SMALL, Haste::Now)];
    all_arrives((LARGE, LARGE, false), [(Patience::Wait, answers), (Patience::Wait, &[(MEDIUM, Haste::Now); 2])]);
}

/// One who has no time is refused, or in time.
pub(super) fn timeout() {
    let (stream, threads) = Stream::start(LARGE, LARGE, false);
    let sends: Sends = &[(LARGE, Haste::Now), (LARGE, Haste::Now), (LARGE, Haste::Now)];
    let sender = sending(&stream, 0, Patience::Wait, sends);
    let hasty = stream.clone();
    let hasty = thread::spawn(move || {
        has_no_time();
        let sent = hasty.pass_on(Message::new(1, 0, LARGE), (Patience::Until(Instant::now()), Haste::Now));
        usize::from(sent.is_ok())
    });
    let sent = sender.join().unwrap() + hasty.join().unwrap();
    stream.kernel().has_brought(sent);
    stream.stop(threads);
}

/// Whoever finds no room hears when there is some.
pub(super) fn relief() {
    let (stream, threads) = Stream::start(LARGE, PIPE, false);
    let answers: Sends = &[(LARGE, Haste::Now), (LARGE, Haste::Now), (LARGE, Haste::Answer)];
    let sender = sending(&stream, 0, Patience::Exceed, answers);
    let refused = refusing(&stream, 1);
    let caller = stream.clone();
    let caller = thread::spawn(move || caller.wait_while_over());
    let sent = sender.join().unwrap() + refused.join().unwrap();
    caller.join().unwrap();
    stream.kernel().has_brought(sent);
    stream.stop(threads);
}

/// Sends what others may keep out, and tries again when there is room.
fn refusing(stream: &Arc<Stream>, sender: u8) -> JoinHandle<usize> {
    let stream = stream.clone();
    thread::spawn(move || {
        for number in 0..2 {
            loop {
                let reliefs = stream.reliefs();
                match stream.pass_on(Message::new(sender, number, LARGE), (Patience::Refuse, Haste::Now)) {
                    Ok(()) => break,
                    Err(SendError::Full(_)) => stream.wait_for_relief(reliefs),
                    Err(SendError::Closed) => return number.into(),
                }
            }
        }
        2
    })
}

fn ends(end: fn(&Arc<Stream>)) {
    for is_for_bulk in [false, true] {
        let (stream, threads) = Stream::start(LARGE, PIPE, is_for_bulk);
        let sends: Sends = &[(LARGE, Haste::Now), (LARGE, Haste::Now), (SMALL, Haste::Call), (SMALL, Haste::Call)];
        let answers: Sends = &[(LARGE, Haste::Now), (LARGE, Haste::Answer)];
        let senders = [
            sending(&stream, 0, Patience::Wait, sends),
            sending(&stream, 1, Patience::Exceed, answers),
            refusing(&stream, 2),
        ];
        let caller = stream.clone();
        let caller = thread::spawn(move || caller.wait_while_over());
        end(&stream);
        let sent: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        caller.join().unwrap();
        // Where everything was sent before, one more finds the end that it has come to, or comes to it.
        let last = stream.pass_on(Message::new(3, 0, SMALL), (Patience::Exceed, Haste::Now));
        stream.wait_closed();
        assert!(stream.kernel().frames() <= sent + usize::from(last.is_ok()));
        let late = stream.pass_on(Message::new(3, 1, SMALL), (Patience::Wait, Haste::Now));
        assert!(matches!(late, Err(SendError::Closed)), "{late:?}");
        stream.stop(threads);
    }
}

pub(super) fn closed_here() {
    ends(Stream::close);
}

/// The other end reads no more, so that nobody is woken by the kernel.
pub(super) fn closed_unread() {
    ends(|stream| {
        stream.kernel().leave_unread();
        stream.close();
    });
}

pub(super) fn closed_there() {
    ends(|stream| stream.kernel().close());
}

/// What is held when the stream ends leaves before.
pub(super) fn held_at_the_end() {
    let (stream, threads) = Stream::start(MUCH, WIDE, false);
    let sends: Sends = &[(SMALL, Haste::Call), (SMALL, Haste::Call), (SMALL, Haste::Call)];
    let senders = [0, 1].map(|sender| sending(&stream, sender, Patience::Wait, sends));
    stream.close();
    let sent = senders.into_iter().map(|sender| sender.join().unwrap()).sum::<usize>();
    stream.wait_closed();
    stream.kernel().has_brought(sent);
    stream.stop(threads);
}

/// A process that ends waits for what it has sent, whoever carries it.
pub(super) fn drained() {
    let (stream, threads) = Stream::start(MUCH, PIPE, false);
    let sends: Sends = &[(SMALL, Haste::Call), (SMALL, Haste::Call), (HUGE, Haste::Now)];
    let sent = sending(&stream, 0, Patience::Wait, sends);
    let other = sending(&stream, 1, Patience::Wait, &[(LARGE, Haste::Now), (LARGE, Haste::Now)]);
    let sent = sent.join().unwrap();
    stream.drain();
    assert!(stream.kernel().frames() >= sent);
    let sent = sent + other.join().unwrap();
    stream.drain();
    assert_eq!(stream.kernel().frames(), sent);
    stream.stop(threads);
}
