//! The queue of a pool, its threads, and the poller in which one of them waits.

use std::sync::{Arc, Weak};

use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread::{self, JoinHandle};

use crate::io::{BrokerHandle, Link, Ready, Seat, StreamId};
use crate::latch::Latch;
use crate::ledger::Ledger;
use crate::queue::{Aftermath, Hands, NotQueued, Queue, Queued, Taken};
use crate::turns::{Arrival, Settled, Strands, Turn, Waiter};
use crate::wire::{ContextId, Handle};

/// A job that may be held, may take long, and gives an answer.
#[derive(Default)]
pub(super) struct Job {
    number: usize,
    fast: bool,
    held: Option<Arc<AtomicBool>>,
    /// It runs until this is there.
    needs: Option<Arc<Latch<usize>>>,
    answers: Option<Arc<Latch<usize>>>,
}

impl Queued for Job {
    fn held(&self) -> Option<StreamId> {
        self.held.as_ref().filter(|held| held.load(Ordering::SeqCst)).map(|_| StreamId(1))
    }
}

/// A service, of which all jobs may have to run one at a time.
#[derive(Clone, Copy)]
struct Service {
    serial: bool,
}

impl Strands<Job> for Service {
    fn strand(&self, _job: &Job) -> Option<usize> {
        self.serial.then_some(0)
    }
}

pub(super) const ME: ContextId = ContextId(0);

/// The I/O thread, and the poller of the streams.
struct System {
    ready: Arc<Ready>,
    broker: BrokerHandle,
    io: JoinHandle<()>,
}

/// A pool, and what has come of it.
struct Pool {
    me: Weak<Self>,
    queue: Queue<Job, Service>,
    service: Service,
    ready: Arc<Ready>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopped: AtomicBool,
    /// What has run.
    done: Mutex<Vec<usize>>,
    more: Condvar,
    running: AtomicUsize,
    /// Whom to nudge for a job that has become ready.
    waits: Mutex<Option<Arc<Latch<usize>>>>,
    /// Its thread runs one job and then does something else until this is there.
    retires: Option<Latch<usize>>,
}

/// What the queue of a pool has done.
struct PoolHands {
    pool: Weak<Pool>,
    ready: Arc<Ready>,
    broker: BrokerHandle,
}

shuttle::thread_local! {
    /// The pool for which this thread looks for jobs as soon as it has read what there is.
    static COMING: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl System {
    fn new() -> Self {
        let ready = Arc::new(Ready::new(&Ledger::default()).unwrap());
        let (broker, io) = BrokerHandle::start(&ready);
        Self { ready, broker, io }
    }

    /// A pool of so many threads at most, of which one is there.
    fn pool(&self, size: usize, service: Service, is_there: bool) -> Arc<Pool> {
        let pool = self.without_threads(size, service);
        if is_there {
            pool.add();
        }
        assert!(pool.queue.start_one());
        pool
    }

    fn without_threads(&self, size: usize, service: Service) -> Arc<Pool> {
        self.retiring(size, service, None)
    }

    fn retiring(&self, size: usize, service: Service, retires: Option<Latch<usize>>) -> Arc<Pool> {
        Arc::new_cyclic(|me: &Weak<Pool>| {
            let hands = PoolHands { pool: me.clone(), ready: self.ready.clone(), broker: self.broker.clone() };
            Pool {
                me: me.clone(),
                queue: Queue::new(ME, size, Box::new(hands)),
                service,
                ready: self.ready.clone(),
                threads: Mutex::default(),
                stopped: AtomicBool::new(false),
                done: Mutex::default(),
                more: Condvar::new(),
                running: AtomicUsize::new(0),
                waits: Mutex::default(),
                retires,
            }
        })
    }

    /// A stream that brings numbers of jobs.
    fn stream(&self, pool: &Arc<Pool>, job: impl Fn(usize) -> Option<Job> + Send + Sync + 'static) -> Arc<Link> {
        let pool = pool.clone();
        let sink = move |number| {
            if let Some(job) = job(number) {
                assert!(pool.push(job));
            }
            false
        };
        Link::start(&self.ready, &self.broker, sink, || ())
    }

    fn end(self) {
        self.broker.stop();
        self.io.join().unwrap();
    }
}

impl Pool {
    /// Adds the service, which has nothing to do when it starts.
    fn add(&self) {
        let place = self.queue.reserve("service", &[]).expect("it is the only one");
        assert!(!self.queue.settle(place, Settled::Added(self.service)).closed);
    }

    fn push(&self, job: Job) -> bool {
        let caller = ContextId(1 + job.number as u32 % 2);
        let coming = COMING.with(|coming| coming.get() == std::ptr::from_ref(self).addr());
        match self.queue.push(Arrival { service: Some("service"), caller, id: None, chain: &[], job }, coming) {
            Ok(()) => true,
            Err(NotQueued::Closed(_)) => false,
            Err(NotQueued::Circle(_)) => panic!("it waits for nothing"),
        }
    }

    /// A thread of the pool.
    fn work(&self) {
        let mut seat = Seat::of_pool();
        let mut taken = self.queue.take();
        loop {
            taken = match taken {
                Taken::Turn(turn) => {
                    let nested = self.run(turn, true);
                    nested.iter().for_each(|_| self.nudge());
                    let has_run = !self.done.lock().unwrap().is_empty();
                    if let Some(end) = self.retires.as_ref().filter(|end| has_run && !end.is_full()) {
                        end.wait(None);
                    }
                    self.queue.take()
                }
                Taken::Read => self.queue.comes(self.wait(&mut seat)),
                Taken::Park => self.queue.park(),
                Taken::Leave => return,
            };
        }
    }

    fn nudge(&self) {
        let waits = self.waits.lock().unwrap().clone();
        waits.expect("somebody waits").nudge();
    }

    fn wait(&self, seat: &mut Seat) -> bool {
        COMING.with(|coming| coming.set(std::ptr::from_ref(self).addr()));
        let helped = self.ready.wait(seat).unwrap();
        if helped {
            self.ready.let_leave(|| self.stopped.load(Ordering::SeqCst));
        }
        COMING.with(|coming| coming.set(0));
        helped
    }

    /// Gives the handles of calls that have waited for the end of it.
    fn run(&self, turn: Turn<Job, Service>, coming: bool) -> Vec<Handle> {
        match turn {
            Turn::Ready(job, _, place) => {
                let others = self.running.fetch_add(1, Ordering::SeqCst);
                assert!(others == 0 || place.is_none(), "two of a strand run at once");
                let run = coming.then(|| self.queue.runs(job.fast).0);
                thread::yield_now();
                if let Some(needs) = &job.needs {
                    needs.wait(None);
                }
                run.into_iter().for_each(|run| self.queue.ran(run));
                self.running.fetch_sub(1, Ordering::SeqCst);
                self.has_run([job.number]);
                if let Some(answers) = job.answers {
                    answers.put(job.number);
                }
                place.map(|place| self.queue.done(place, coming)).unwrap_or_default()
            }
            Turn::Vacant(job, place) => {
                let run = coming.then(|| self.queue.runs(false).0);
                thread::yield_now();
                let Aftermath { failed: back, nested, .. } = self.queue.settle(place, Settled::Made(self.service, job));
                run.into_iter().for_each(|run| self.queue.ran(run));
                self.has_run(back.iter().map(|job| job.number));
                nested
            }
            Turn::Nowhere(_) => panic!("all name the service"),
        }
    }

    fn has_run(&self, numbers: impl IntoIterator<Item = usize>) {
        self.done.lock().unwrap().extend(numbers);
        self.more.notify_all();
    }

    fn wait_for(&self, jobs: usize) {
        let mut done = self.done.lock().unwrap();
        while done.len() < jobs {
            done = self.more.wait(done).unwrap();
        }
    }

    /// Closes the queue, and gives how much was left in it; the threads leave.
    fn stop(&self) -> usize {
        self.stopped.store(true, Ordering::SeqCst);
        self.queue.close().len()
    }

    fn join(&self) {
        // None is started any more.
        loop {
            let Some(thread) = self.threads.lock().unwrap().pop() else { return };
            thread.join().unwrap();
        }
    }

    /// Waits until these have run, and stops.
    fn has_run_all(&self, numbers: impl IntoIterator<Item = usize>) {
        let numbers: Vec<_> = numbers.into_iter().collect();
        self.wait_for(numbers.len());
        assert_eq!(self.stop(), 0);
        self.join();
        let mut done = self.done.lock().unwrap().clone();
        done.sort_unstable();
        assert_eq!(done, numbers);
    }
}

impl Hands for PoolHands {
    fn help(&self) {
        self.ready.help();
    }

    fn dismiss(&self) {
        self.ready.dismiss();
    }

    fn dismissed(&self) {
        self.ready.dismissed();
    }

    fn watch(&self, wanted: bool) {
        self.ready.watch(wanted);
    }

    fn start(&self) -> bool {
        let Some(pool) = self.pool.upgrade() else { return false };
        let thread = pool.clone();
        let thread = thread::spawn(move || thread.work());
        pool.threads.lock().unwrap().push(thread);
        true
    }

    fn tick_later(&self) -> bool {
        tick_later(&self.broker, self.pool.clone());
        true
    }
}

/// As in the pool itself.
fn tick_later(broker: &BrokerHandle, pool: Weak<Pool>) {
    broker.call_after(move |broker| {
        if pool.upgrade().is_some_and(|pool| pool.queue.tick()) {
            tick_later(broker, pool);
        }
    });
}

fn job(number: usize) -> Job {
    Job { number, ..Job::default() }
}

/// Two threads, four jobs from two others; all are run, then the threads leave.
fn run_all(service: Service, is_there: bool, held: Option<Arc<AtomicBool>>) {
    let system = System::new();
    let pool = system.pool(2, service, is_there);
    let pushers = [0, 2].map(|first| {
        let (pool, held) = (pool.clone(), held.clone());
        thread::spawn(move || {
            for number in first..first + 2 {
                assert!(pool.push(Job { held: held.clone(), ..job(number) }));
            }
        })
    });
    if let Some(held) = held {
        thread::yield_now();
        held.store(false, Ordering::SeqCst);
        pool.queue.release(StreamId(1));
    }
    pool.has_run_all(0..4);
    pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
    system.end();
}

pub(super) fn jobs() {
    let system = System::new();
    let pool = system.pool(2, Service { serial: false }, true);
    let pusher = thread::spawn({
        let pool = pool.clone();
        move || (0..3).filter(|number| pool.push(job(*number))).count()
    });
    let back = pool.stop();
    let pushed = pusher.join().unwrap();
    pool.join();
    assert_eq!(pool.done.lock().unwrap().len() + back, pushed);
    system.end();
    run_all(Service { serial: false }, true, None);
}

pub(super) fn activation() {
    run_all(Service { serial: false }, false, None);
}

pub(super) fn strand() {
    run_all(Service { serial: true }, false, None);
}

pub(super) fn held() {
    run_all(Service { serial: false }, true, Some(Arc::new(AtomicBool::new(true))));
}

pub(super) fn brought() {
    let system = System::new();
    let pool = system.pool(2, Service { serial: false }, true);
    let stream = system.stream(&pool, |number| Some(job(number)));
    let pusher = thread::spawn({
        let pool = pool.clone();
        move || assert!(pool.push(job(3)))
    });
    (0..3).for_each(|number| stream.brings(number));
    pool.has_run_all(0..4);
    pusher.join().unwrap();
    system.end();
}

/// The only thread runs what ends by something that a stream brings.
pub(super) fn watched() {
    let system = System::new();
    let pool = system.pool(1, Service { serial: false }, true);
    let needed = Arc::new(Latch::new());
    let brought = needed.clone();
    let stream = system.stream(&pool, move |number| {
        brought.put(number);
        None
    });
    assert!(pool.push(Job { needs: Some(needed), ..job(0) }));
    stream.brings(7);
    pool.has_run_all([0]);
    system.end();
}

/// What is known to be fast waits for a job that only another thread can run, while the ticks run.
pub(super) fn trusted() {
    let system = System::new();
    let pool = system.pool(2, Service { serial: false }, true);
    // So many calls of fast methods have come.
    let flow = thread::spawn({
        let pool = pool.clone();
        move || (0..9).for_each(|number| assert!(pool.push(Job { fast: true, ..job(number) })))
    });
    let answer = Arc::new(Latch::new());
    let stream = system.stream(&pool, move |number| {
        let (first, second) = (Some(answer.clone()).filter(|_| number == 9), Some(answer.clone()));
        Some(Job { fast: true, needs: first, answers: second.filter(|_| number == 10), ..job(number) })
    });
    stream.brings(9);
    stream.brings(10);
    pool.has_run_all(0..11);
    flow.join().unwrap();
    system.end();
}

/// While the threads of a pool leave, those of the next one wait in the same poller.
pub(super) fn successor() {
    let system = System::new();
    let service = Service { serial: false };
    let first = system.pool(2, service, true);
    let pusher = thread::spawn({
        let first = first.clone();
        move || (0..2).filter(|number| first.push(job(*number))).count()
    });
    let back = first.stop();
    let second = system.pool(2, service, true);
    assert!(second.push(job(0)));
    second.wait_for(1);
    let stream = system.stream(&second, |number| Some(job(number)));
    stream.brings(1);
    second.wait_for(2);
    let pushed = pusher.join().unwrap();
    first.join();
    assert_eq!(first.done.lock().unwrap().len() + back, pushed);
    assert!(second.push(job(2)));
    stream.brings(3);
    second.has_run_all(0..4);
    system.end();
}

const HANDLE: Handle = Handle(1000);

/// Queues a job whose answer is waited for, and says so to who waits.
fn push_nested(pool: &Pool, answers: &Arc<Latch<usize>>) {
    let chain = [Waiter { id: (ME, HANDLE), is_pending_here: true }];
    let job = Job { answers: Some(answers.clone()), ..job(0) };
    let arrival = Arrival { service: Some("service"), caller: ContextId(1), id: None, chain: &chain, job };
    assert!(pool.queue.push(arrival, false).is_ok());
    answers.nudge();
}

/// Waits for the answer, and runs meanwhile what it needs.
fn wait_nested(pool: &Pool, answers: &Latch<usize>) {
    let mut help = || {
        while let Some(turn) = pool.queue.take_nested(HANDLE) {
            pool.run(turn, false);
        }
    };
    assert_eq!(answers.wait_and(None, Some(&mut help)), Some(0));
}

/// The only thread of a pool waits for an answer that comes of a job which only it can run.
pub(super) fn nested() {
    let system = System::new();
    let pool = system.without_threads(0, Service { serial: false });
    pool.add();
    let answers = Arc::new(Latch::new());
    let caller = thread::spawn({
        let (pool, answers) = (pool.clone(), answers.clone());
        move || push_nested(&pool, &answers)
    });
    wait_nested(&pool, &answers);
    caller.join().unwrap();
    system.end();
}

/// Another thread makes the service, or runs one of its calls, and is busy then. What waits for the answer then
/// is the only one that can run the job, and may have found its place shut.
pub(super) fn nested_in_vain() {
    let system = System::new();
    let pool = system.retiring(1, Service { serial: true }, Some(Latch::new()));
    let answers = Arc::new(Latch::new());
    *pool.waits.lock().unwrap() = Some(answers.clone());
    assert!(pool.queue.start_one());
    let caller = thread::spawn({
        let (pool, answers) = (pool.clone(), answers.clone());
        move || {
            assert!(pool.push(job(1)));
            push_nested(&pool, &answers);
        }
    });
    wait_nested(&pool, &answers);
    caller.join().unwrap();
    assert!(pool.retires.as_ref().is_some_and(|end| end.put(0)));
    pool.stop();
    pool.join();
    system.end();
}
