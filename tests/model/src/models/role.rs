//! The read role: every answer reaches its caller, and nothing that has come stays unread.

use std::sync::Arc;
use std::time::Instant;

use shuttle::thread::{self, JoinHandle};

use crate::io::{BrokerHandle, Caller, Link, Ready, Seat};
use crate::latch::Latch;
use crate::ledger::Ledger;
use crate::sync::has_no_time;

/// What is no answer.
const MESSAGE: usize = 100;

/// The news of the end, for a caller.
const DEAD: usize = 1000;

/// Callers, a stream that brings the answers, an I/O thread, and one that waits for whatever comes.
struct Model {
    callers: Arc<Vec<Caller<usize>>>,
    link: Arc<Link>,
    messages: Arc<Latch<usize>>,
    ready: Arc<Ready>,
    broker: BrokerHandle,
    threads: Vec<JoinHandle<()>>,
}

/// Who waits for whatever comes.
#[derive(Clone, Copy, PartialEq)]
enum Waits {
    Io,
    Pool,
    /// As for a moment when the watch changes.
    Both,
}

const ALL: [Waits; 3] = [Waits::Io, Waits::Pool, Waits::Both];

impl Model {
    fn new(callers: usize, waits: Waits) -> Self {
        let ready = Arc::new(Ready::new(&Ledger::default()).unwrap());
        let (broker, io) = BrokerHandle::start(&ready);
        let callers: Arc<Vec<_>> = Arc::new((0..callers).map(|_| Caller::new()).collect());
        let messages = Arc::new(Latch::new());
        let (answered, heard, ended) = (callers.clone(), messages.clone(), callers.clone());
        let sink = move |number: usize| {
            let Some(caller) = answered.get(number) else {
                heard.put(number);
                return false;
            };
            caller.latch.put(number)
        };
        let link = Link::start(&ready, &broker, sink, move || {
            for caller in ended.iter() {
                caller.latch.put(DEAD);
            }
        });
        let mut threads = vec![io];
        if waits != Waits::Io {
            ready.watch(waits == Waits::Both);
            let ready = ready.clone();
            threads.push(thread::spawn(move || {
                let mut seat = Seat::of_pool();
                while !ready.wait(&mut seat).unwrap() {}
            }));
        }
        Self { callers, link, messages, ready, broker, threads }
    }

    /// Waits on a thread for the answer of a caller.
    fn call(&self, number: usize) -> JoinHandle<Option<usize>> {
        let (callers, link) = (self.callers.clone(), self.link.clone());
        thread::spawn(move || callers[number].wait(&link, None, None))
    }

    /// The same, for as long as there is time.
    fn try_call(&self, number: usize) -> JoinHandle<Option<usize>> {
        let (callers, link) = (self.callers.clone(), self.link.clone());
        thread::spawn(move || {
            has_no_time();
            callers[number].wait(&link, Some(Instant::now()), None)
        })
    }

    /// The other end sends these, one after the other.
    fn bring(&self, numbers: &'static [usize]) -> JoinHandle<()> {
        let link = self.link.clone();
        thread::spawn(move || numbers.iter().for_each(|number| link.brings(*number)))
    }

    fn end(self) {
        self.ready.help();
        // The I/O thread goes last, since it does what others leave to it.
        let mut threads = self.threads;
        let io = threads.remove(0);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.broker.stop();
        io.join().unwrap();
    }
}

pub(super) fn answers() {
    for waits in ALL {
        let model = Model::new(3, waits);
        let calls = [0, 1, 2].map(|number| model.call(number));
        let other = model.bring(&[1, 0, 2]);
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.join().unwrap(), Some(number));
        }
        other.join().unwrap();
        model.end();
    }
}

pub(super) fn timeout() {
    for waits in ALL {
        let model = Model::new(3, waits);
        let hasty = model.try_call(2);
        let calls = [0, 1].map(|number| model.call(number));
        let other = model.bring(&[1, 0]);
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.join().unwrap(), Some(number));
        }
        assert_eq!(hasty.join().unwrap(), None);
        other.join().unwrap();
        model.end();
    }
}

pub(super) fn unsolicited() {
    for waits in ALL {
        let model = Model::new(2, waits);
        model.link.has_flow();
        let calls = [0, 1].map(|number| model.call(number));
        let other = model.bring(&[0, 1, MESSAGE]);
        calls.into_iter().for_each(|call| assert!(call.join().unwrap().is_some()));
        assert_eq!(model.messages.wait(None), Some(MESSAGE));
        other.join().unwrap();
        model.end();
    }
}

pub(super) fn attended() {
    for waits in ALL {
        let model = Model::new(2, waits);
        model.link.has_flow();
        let call = model.call(0);
        let other = model.bring(&[0, 1]);
        model.link.attend();
        assert_eq!(model.callers[1].latch.wait(None), Some(1));
        assert_eq!(call.join().unwrap(), Some(0));
        other.join().unwrap();
        model.end();
    }
}

fn ends(end: fn(&Arc<Link>)) {
    for waits in ALL {
        let model = Model::new(3, waits);
        let calls = [0, 1, 2].map(|number| model.call(number));
        let other = model.link.clone();
        let other = thread::spawn(move || {
            other.brings(0);
            end(&other);
        });
        for (number, call) in calls.into_iter().enumerate() {
            let got = call.join().unwrap();
            assert!(got == Some(DEAD) || (number, got) == (0, Some(0)), "{number} {got:?}");
        }
        other.join().unwrap();
        model.end();
    }
}

/// What has come before the end is not lost.
pub(super) fn closed() {
    for waits in ALL {
        let model = Model::new(3, waits);
        let calls = [0, 1, 2].map(|number| model.call(number));
        for number in [0, 1] {
            model.link.brings(number);
        }
        model.link.closes();
        assert_eq!(calls.map(|call| call.join().unwrap()), [Some(0), Some(1), Some(DEAD)]);
        model.end();
    }
    ends(|link| link.closes());
}

/// The same, where nobody reads but those who wait for edges.
pub(super) fn closed_unread() {
    for waits in ALL {
        let model = Model::new(3, waits);
        let link = model.link.clone();
        let other = thread::spawn(move || {
            link.brings(0);
            link.brings(1);
            link.closes();
        });
        for (caller, outcome) in model.callers.iter().zip([0, 1, DEAD]) {
            assert_eq!(caller.latch.wait(None), Some(outcome));
        }
        other.join().unwrap();
        model.end();
    }
}

pub(super) fn disconnected() {
    ends(Link::disconnect);
}

/// The answer comes of something that only the waiting thread can do.
pub(super) fn nested() {
    let model = Model::new(2, Waits::Pool);
    let call = model.call(1);
    let (callers, link) = (model.callers.clone(), model.link.clone());
    let waiting = thread::spawn(move || {
        let caller = &callers[0];
        caller.wait(&link, None, Some(&mut || link.brings(0)))
    });
    model.callers[0].latch.nudge();
    assert_eq!(waiting.join().unwrap(), Some(0));
    model.link.brings(1);
    assert_eq!(call.join().unwrap(), Some(1));
    model.end();
}
