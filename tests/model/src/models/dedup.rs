//! The shell of the deduplicating invoker: each caller is answered once, by an execution of its time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

use crate::aggregate::{Aggregate, Answered, Told};
use crate::latch::Latch;
use crate::table::{Asker, Key, Limits, Waiter};
use crate::wire::{ContextId, Handle};

const LIMITS: Limits = Limits { entries: 10, bytes: 1 << 20, age: Duration::from_secs(60 * 60) };

/// What an execution gives that has seen that nobody waits for it.
const GIVEN_UP: usize = 255;

/// The invoker, and what its executions see.
struct Invoker {
    calls: Aggregate<Caller>,
    /// How many execute, how many have begun, and how often what they give has changed.
    running: AtomicUsize,
    begun: AtomicUsize,
    version: AtomicUsize,
    cached: bool,
}

/// Who waits, and may go away.
#[derive(Clone)]
struct Caller {
    invoker: Arc<Invoker>,
    gone: Arc<AtomicBool>,
    result: Arc<Latch<Bytes>>,
}

impl Waiter for Caller {
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }
}

impl Answered for Caller {
    fn answer(self, payload: Option<Bytes>) {
        // What an answer sets off may come back to the invoker.
        self.invoker.calls.kept();
        assert!(self.result.put(payload.expect("there is a result")), "it is answered once");
    }
}

impl Invoker {
    fn new(cached: bool) -> Arc<Self> {
        let [running, begun, version] = [(); 3].map(|()| AtomicUsize::new(0));
        Arc::new(Self { calls: Aggregate::new(LIMITS), running, begun, version, cached })
    }
}

impl Caller {
    fn new(invoker: &Arc<Invoker>) -> Self {
        Self { invoker: invoker.clone(), gone: Arc::default(), result: Arc::new(Latch::new()) }
    }

    /// Asks on a thread, and executes there if it has to; `one` if there may be one execution at a time.
    fn ask(&self, number: u32, one: bool) -> thread::JoinHandle<()> {
        let caller = self.clone();
        thread::spawn(move || {
            let invoker = caller.invoker.clone();
            let key = Key { service: 0, method: "method", args: Bytes::new() };
            let id = Some((ContextId(1), Handle(1000 + number)));
            let asker = Asker { id, chain: &[], waiter: caller };
            match invoker.calls.ask(key, asker, Instant::now()) {
                Told::Nothing => {}
                Told::Runs(ticket) => {
                    invoker.begun.fetch_add(1, Ordering::SeqCst);
                    let others = invoker.running.fetch_add(1, Ordering::SeqCst);
                    assert!(others == 0 || !one, "two execute at once");
                    let version = invoker.version.load(Ordering::SeqCst);
                    thread::yield_now();
                    let given_up = invoker.calls.is_abandoned(ticket);
                    let version = if given_up { GIVEN_UP } else { version };
                    thread::yield_now();
                    invoker.running.fetch_sub(1, Ordering::SeqCst);
                    let payload = Some(Bytes::copy_from_slice(&[version as u8]));
                    invoker.calls.finish(ticket, payload, invoker.cached, Instant::now());
                }
                Told::Circle(_) => panic!("it waits for nothing"),
            }
        })
    }

    /// The version that it has got.
    fn wait(&self) -> usize {
        usize::from(self.result.wait(None).unwrap()[0])
    }
}

/// Three callers, one key; gives how many executions there were.
fn three(cached: bool) -> usize {
    let invoker = Invoker::new(cached);
    let callers = [(); 3].map(|()| Caller::new(&invoker));
    let threads: Vec<_> = (0..).zip(&callers).map(|(number, caller)| caller.ask(number, true)).collect();
    callers.iter().for_each(|caller| assert_eq!(caller.wait(), 0));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(invoker.calls.kept().0, usize::from(cached));
    invoker.begun.load(Ordering::SeqCst)
}

pub(super) fn kept() {
    assert_eq!(three(true), 1, "the result is kept");
}

pub(super) fn aggregated() {
    assert!((1..=3).contains(&three(false)));
}

/// What changes, and is told to be invalid, in between is not given to those who ask afterwards.
pub(super) fn invalidated() {
    let invoker = Invoker::new(true);
    let before = [(); 2].map(|()| Caller::new(&invoker));
    let threads: Vec<_> = (0..).zip(&before).map(|(number, caller)| caller.ask(number, false)).collect();
    invoker.version.store(1, Ordering::SeqCst);
    invoker.calls.invalidate(Some("method"));
    let after = Caller::new(&invoker);
    let last = after.ask(2, false);
    assert_eq!(after.wait(), 1, "it has asked after the change");
    before.iter().for_each(|caller| assert!(caller.wait() <= 1));
    threads.into_iter().chain([last]).for_each(|thread| thread.join().unwrap());
    assert!((1..=3).contains(&invoker.begun.load(Ordering::SeqCst)));
    let again = Caller::new(&invoker);
    again.ask(3, false).join().unwrap();
    assert_eq!(again.wait(), 1, "what is kept is of the time after the change");
}

/// One goes away while others come. What its execution gives if it has been given up reaches none of them.
pub(super) fn abandoned() {
    let invoker = Invoker::new(false);
    let callers = [(); 3].map(|()| Caller::new(&invoker));
    let threads: Vec<_> = (0..).zip(&callers).map(|(number, caller)| caller.ask(number, false)).collect();
    callers[0].gone.store(true, Ordering::SeqCst);
    let versions = callers.each_ref().map(Caller::wait);
    assert!([0, GIVEN_UP].contains(&versions[0]));
    assert_eq!(versions[1..], [0, 0], "they wait");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
