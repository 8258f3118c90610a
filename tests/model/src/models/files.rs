//! The threads that send files, and those of what takes its time: whoever asks is answered once, files of a stream
//! follow each other, and the threads leave.

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use crate::channel::Sender;
use crate::error::CallError;
use crate::files::{Calls, FileMetadata, Files};
use crate::latch::Latch;
use crate::router::{Context, Router, join};
use crate::service::{Answer, Reply};
use crate::wire::Blob;

/// Somebody who asks for a file.
#[derive(Clone)]
struct Requester {
    number: u64,
    context: Context,
    sender: Sender<Blob>,
    answer: Arc<Latch<Answer>>,
}

/// A service that sends files.
#[derive(Clone, Default)]
struct Server {
    router: Router,
    files: Files,
}

impl Requester {
    fn new(number: u64) -> Self {
        let (context, sender) = (Context::new(number as u32), Sender::new());
        Self { number, context, sender, answer: Arc::new(Latch::new()) }
    }

    /// Takes nothing for now.
    fn stall(self) -> Self {
        self.sender.stall();
        self
    }

    /// Its process ends: whoever sends to it learns of that as well.
    fn end(&self) {
        self.sender.close();
        self.context.end();
    }

    fn is_answered(&self) -> Answer {
        self.answer.wait(None).unwrap()
    }
}

impl Server {
    fn fetch(&self, by: &Requester) {
        let reply: Reply<FileMetadata> = Reply::new(by.answer.clone());
        self.files.fetch(&self.router, (by.number, &by.context), &by.sender, reply);
    }

    fn fetch_aside(&self, by: &Requester) -> thread::JoinHandle<()> {
        let (server, by) = (self.clone(), by.clone());
        thread::spawn(move || server.fetch(&by))
    }

    /// Nothing is left.
    fn is_quiet(&self) {
        join(self.router.core().ledger().threads());
        assert_eq!(self.files.active(), 0);
    }
}

/// Three ask at once: each gets all of its file.
pub(super) fn turns() {
    let server = Server::default();
    let requesters = [1, 2, 3].map(Requester::new);
    let asking = requesters.each_ref().map(|requester| server.fetch_aside(requester));
    asking.into_iter().for_each(|thread| thread.join().unwrap());
    requesters.iter().for_each(|requester| assert_eq!(requester.is_answered(), Answer::Given));
    server.is_quiet();
    requesters
        .iter()
        .for_each(|requester| assert_eq!((requester.sender.taken(), requester.sender.is_closed()), (2, true)));
}

/// One takes nothing before the other has all: it makes way, and has all as well.
pub(super) fn stalled() {
    let server = Server::default();
    let (slow, other) = (Requester::new(1).stall(), Requester::new(2));
    let asking = [&slow, &other].map(|requester| server.fetch_aside(requester));
    other.sender.wait_until_closed();
    slow.sender.resume();
    asking.into_iter().for_each(|thread| thread.join().unwrap());
    server.is_quiet();
    assert_eq!((slow.sender.taken(), other.sender.taken()), (2, 2));
    assert_eq!((slow.is_answered(), other.is_answered()), (Answer::Given, Answer::Given));
}

/// One ends that takes nothing, while it asks, waits or is sent to: the other has all.
pub(super) fn requester_ends() {
    let server = Server::default();
    let (first, other) = (Requester::new(1).stall(), Requester::new(2));
    let asking = [&first, &other].map(|requester| server.fetch_aside(requester));
    let ends = thread::spawn({
        let first = first.clone();
        move || first.end()
    });
    asking.into_iter().chain([ends]).for_each(|thread| thread.join().unwrap());
    assert_eq!(other.is_answered(), Answer::Given);
    assert!(matches!(first.is_answered(), Answer::Given | Answer::Dropped));
    server.is_quiet();
    assert_eq!(other.sender.taken(), 2);
}

/// The service ends while files are asked for, wait and are sent to one who takes nothing.
pub(super) fn stopped() {
    let server = Server::default();
    let requesters = [Requester::new(1).stall(), Requester::new(2), Requester::new(3)];
    let asking = requesters.each_ref().map(|requester| server.fetch_aside(requester));
    server.files.stop();
    asking.into_iter().for_each(|thread| thread.join().unwrap());
    for requester in &requesters {
        assert!(matches!(requester.is_answered(), Answer::Given | Answer::Stopped));
    }
    server.is_quiet();
}

/// There may be no thread for some: each has all of its file, or is refused.
pub(super) fn turns_without_threads() {
    let server = Server::default();
    server.router.core().ledger().run_short();
    let requesters = [1, 2, 3].map(Requester::new);
    let asking = requesters.each_ref().map(|requester| server.fetch_aside(requester));
    asking.into_iter().for_each(|thread| thread.join().unwrap());
    for requester in &requesters {
        let expected = if requester.is_answered() == Answer::Given { 2 } else { 0 };
        server.is_quiet();
        assert_eq!(requester.sender.taken(), expected);
    }
}

/// One takes nothing before the other has all, for which there may be no thread at first.
pub(super) fn stalled_without_threads() {
    let server = Server::default();
    let (slow, other) = (Requester::new(1).stall(), Requester::new(2));
    server.fetch(&slow);
    server.router.core().ledger().run_short();
    let asking = server.fetch_aside(&other);
    let answer = other.is_answered();
    if answer == Answer::Given {
        other.sender.wait_until_closed();
    }
    slow.sender.resume();
    asking.join().unwrap();
    server.is_quiet();
    // It is not refused as long as there is a thread for the stream.
    assert_eq!((slow.is_answered(), answer), (Answer::Given, Answer::Given));
    assert_eq!((slow.sender.taken(), other.sender.taken()), (2, 2));
}

/// Calls with more of them than may run at a time; the service may end meanwhile, and there may be no thread for some.
fn calls(stops: bool, lacks_threads: bool) {
    let (router, all) = (Router::default(), Calls::new());
    if lacks_threads {
        router.core().ledger().run_short();
    }
    let running = Arc::new(AtomicUsize::new(0));
    let call = || {
        let answered = Arc::new(Latch::new());
        let (router, all, running) = (router.clone(), all.clone(), running.clone());
        let reply = Reply::new(answered.clone());
        let asking = thread::spawn(move || {
            all.answer(&router, reply, move || {
                assert!(running.fetch_add(1, Ordering::SeqCst) < 2, "no more run than may");
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            });
        });
        (asking, answered)
    };
    let calls: Vec<_> = (0..5).map(|_| call()).collect();
    if stops {
        all.stop();
    }
    let answers: Vec<_> = calls
        .into_iter()
        .map(|(asking, answered)| {
            asking.join().unwrap();
            answered.wait(None).unwrap()
        })
        .collect();
    join(router.core().ledger().threads());
    let refused = answers.iter().filter(|answer| **answer == Answer::Overloaded).count();
    assert!(refused <= 1 || lacks_threads, "two run and two wait");
    assert!(stops || answers.iter().all(|answer| matches!(answer, Answer::Given | Answer::Overloaded)));
    assert!(answers.iter().all(|answer| *answer != Answer::Dropped));
}

pub(super) fn bounded() {
    calls(false, false);
}

pub(super) fn bounded_and_stopped() {
    calls(true, false);
}

pub(super) fn calls_without_threads() {
    calls(false, true);
}

/// What an answer is made of.
impl From<&CallError> for Answer {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::Stopped { .. } => Self::Stopped,
            CallError::Overloaded { .. } => Self::Overloaded,
            CallError::DeadlineExceeded { .. } | CallError::Failed => Self::Failed,
        }
    }
}
