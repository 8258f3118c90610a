//! What is tried.

mod dedup;
mod ends;
mod pool;
mod select;

use std::future::poll_fn;

use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::{future, thread};

use crate::io::StreamId;
use crate::latch::Latch;
use crate::queue::{Aftermath, Hands, NotQueued, Queue, Queued};
use crate::turns::{Arrival, Settled, Strands, Turn, Waiter};
use crate::wire::{ContextId, Handle};
use pool::Pool;

/// All models.
pub(crate) const ALL: [(&str, fn()); 25] = [
    ("latch: the value reaches the thread that waits", latch_thread),
    ("latch: the value reaches the task that waits", latch_task),
    ("latch: who waits is nudged and still gets the value", latch_nudge),
    ("queue: each job is run once, and the threads leave", queue_jobs),
    ("queue: jobs wait while their service is made", queue_activation),
    ("queue: a strand runs one at a time", queue_strand),
    ("queue: held jobs run after the release", queue_held),
    ("ends: of two services of one name one starts, and jobs wait for it", ends::two_of_one_name),
    ("ends: a service that starts while the queue closes is told of the end once", ends::start_and_close),
    ("ends: who ends a service second waits for the first", ends::two_ends),
    ("ends: a service of two names starts once", ends::two_names),
    ("queue and latch: a thread that waits runs what its answer needs", queue_nested),
    ("queue and latch: a thread that waits looks again where it has looked in vain", queue_nested_in_vain),
    ("select: each event is got once, and the threads leave with the last member", select::events),
    ("select: each of two threads gets one of two events", select::shared),
    ("select: threads wait while the members are removed", select::removal),
    ("select: a member is removed while others have events", select::removal_of_another),
    ("select: closing wakes all", select::closing),
    ("select: events come while their member is added", select::adding),
    ("select: a member comes with events for two threads", select::added_with_two),
    ("select: the events of a select in a select", select::nested),
    ("dedup: one execution for three callers, and its result is kept", dedup::kept),
    ("dedup: three callers, and nothing is kept", dedup::aggregated),
    ("dedup: an invalidation in between", dedup::invalidated),
    ("dedup: a caller goes away", dedup::abandoned),
];

fn latch_thread() {
    let latch = Arc::new(Latch::new());
    let putters: Vec<_> = (0..2)
        .map(|number| {
            let latch = latch.clone();
            thread::spawn(move || latch.put(number))
        })
        .collect();
    let value = latch.wait(None).unwrap();
    let first = putters.into_iter().map(|putter| putter.join().unwrap()).position(|first| first);
    assert_eq!(first, Some(value));
}

fn latch_task() {
    let latch = Arc::new(Latch::new());
    let others = [
        thread::spawn({
            let latch = latch.clone();
            move || latch.nudge()
        }),
        thread::spawn({
            let latch = latch.clone();
            move || {
                latch.put(7);
            }
        }),
    ];
    assert_eq!(future::block_on(poll_fn(|task| latch.poll(task))), 7);
    others.into_iter().for_each(|other| other.join().unwrap());
}

fn latch_nudge() {
    let latch = Arc::new(Latch::new());
    let nudged = Arc::new(AtomicUsize::new(0));
    let other = thread::spawn({
        let (latch, nudged) = (latch.clone(), nudged.clone());
        move || {
            latch.nudge();
            // The value comes only after the waiting thread has done what it was nudged for.
            while nudged.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            latch.put(7);
        }
    });
    let mut meanwhile = || {
        nudged.fetch_add(1, Ordering::SeqCst);
    };
    assert_eq!(latch.wait_and(None, Some(&mut meanwhile)), Some(7));
    other.join().unwrap();
}

/// A job that may be held, and the answer that it gives.
struct Job {
    number: usize,
    held: Option<Arc<AtomicBool>>,
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

const ME: ContextId = ContextId(0);

type TestQueue = Queue<Job, Service>;

/// Adds the service, which has nothing to do when it starts.
fn add(queue: &TestQueue, service: Service) {
    let place = queue.reserve("service", &[]).expect("it is the only one");
    assert!(!queue.settle(place, Settled::Added(service)).closed);
}

fn push(queue: &TestQueue, number: usize, held: Option<Arc<AtomicBool>>) -> bool {
    let caller = ContextId(1 + number as u32 % 2);
    let job = Job { number, held, answers: None };
    match queue.push(Arrival { service: Some("service"), caller, id: None, chain: &[], job }, false) {
        Ok(()) => true,
        Err(NotQueued::Closed(_)) => false,
        Err(NotQueued::Circle(_)) => panic!("it waits for nothing"),
    }
}

/// Counts what has run, and lets the main thread wait for it.
#[derive(Default)]
struct Done {
    jobs: Mutex<Vec<usize>>,
    more: Condvar,
    running: AtomicUsize,
}

impl Done {
    fn wait_for(&self, jobs: usize) {
        let mut done = self.jobs.lock().unwrap();
        while done.len() < jobs {
            done = self.more.wait(done).unwrap();
        }
    }
}

/// A pool whose service is this one.
fn pool(done: &Arc<Done>, service: Service) -> Pool<Job, Service> {
    let done = done.clone();
    Pool::new(2, move |queue, turn| {
        run(queue, &done, service, turn);
    })
}

/// Gives the handles of calls that have waited for the end of it.
fn run(queue: &TestQueue, done: &Done, service: Service, turn: Turn<Job, Service>) -> Vec<Handle> {
    match turn {
        Turn::Ready(job, _, place) => {
            let others = done.running.fetch_add(1, Ordering::SeqCst);
            assert!(others == 0 || place.is_none(), "two of a strand run at once");
            thread::yield_now();
            done.running.fetch_sub(1, Ordering::SeqCst);
            done.jobs.lock().unwrap().push(job.number);
            done.more.notify_all();
            if let Some(answers) = job.answers {
                answers.put(job.number);
            }
            place.map(|place| queue.done(place, true)).unwrap_or_default()
        }
        Turn::Vacant(job, place) => {
            thread::yield_now();
            let Aftermath { failed: back, nested, .. } = queue.settle(place, Settled::Made(service, job));
            done.jobs.lock().unwrap().extend(back.iter().map(|job| job.number));
            done.more.notify_all();
            nested
        }
        Turn::Nowhere(_) => panic!("all name the service"),
    }
}

/// Two threads, four jobs from two threads; all are run, then the threads leave.
fn run_all(service: Service, is_there: bool, held: Option<Arc<AtomicBool>>) {
    let done = Arc::new(Done::default());
    let pool = pool(&done, service);
    let queue = pool.queue.clone();
    if is_there {
        add(&queue, service);
    }
    let pushers: Vec<_> = (0..2)
        .map(|pusher| {
            let (queue, held) = (queue.clone(), held.clone());
            thread::spawn(move || {
                for number in 0..2 {
                    assert!(push(&queue, pusher * 2 + number, held.clone()));
                }
            })
        })
        .collect();
    if let Some(held) = held {
        thread::yield_now();
        held.store(false, Ordering::SeqCst);
        queue.release(StreamId(1));
    }
    done.wait_for(4);
    assert!(queue.close().is_empty());
    pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
    pool.join();
    let mut jobs = done.jobs.lock().unwrap().clone();
    jobs.sort_unstable();
    assert_eq!(jobs, [0, 1, 2, 3]);
}

/// Whatever is queued is run or given back when the queue is closed.
fn queue_jobs() {
    let service = Service { serial: false };
    let done = Arc::new(Done::default());
    let pool = pool(&done, service);
    let queue = pool.queue.clone();
    add(&queue, service);
    let pusher = thread::spawn({
        let queue = queue.clone();
        move || (0..3).filter(|number| push(&queue, *number, None)).count()
    });
    let back = queue.close().len();
    let pushed = pusher.join().unwrap();
    pool.join();
    assert_eq!(done.jobs.lock().unwrap().len() + back, pushed);
    run_all(service, true, None);
}

fn queue_activation() {
    run_all(Service { serial: false }, false, None);
}

fn queue_strand() {
    run_all(Service { serial: true }, false, None);
}

fn queue_held() {
    run_all(Service { serial: false }, true, Some(Arc::new(AtomicBool::new(true))));
}

/// There are no threads to be woken.
struct NoThreads;

impl Hands for NoThreads {
    fn help(&self) {}

    fn dismiss(&self) {}

    fn dismissed(&self) {}

    fn watch(&self, _wanted: bool) {}

    fn start(&self) -> bool {
        false
    }

    fn tick_later(&self) -> bool {
        false
    }
}

const HANDLE: Handle = Handle(1000);

/// Queues a job whose answer is waited for, and says so to who waits.
fn push_nested(queue: &TestQueue, answers: &Arc<Latch<usize>>) {
    let chain = [Waiter { id: (ME, HANDLE), is_pending_here: true }];
    let job = Job { number: 0, held: None, answers: Some(answers.clone()) };
    let arrival = Arrival { service: Some("service"), caller: ContextId(1), id: None, chain: &chain, job };
    assert!(queue.push(arrival, false).is_ok());
    answers.nudge();
}

/// Waits for the answer, and runs meanwhile what it needs.
fn wait_nested(queue: &TestQueue, answers: &Latch<usize>, service: Service) {
    let done = Done::default();
    let mut help = || {
        while let Some(turn) = queue.take_nested(HANDLE) {
            run(queue, &done, service, turn);
        }
    };
    assert_eq!(answers.wait_and(None, Some(&mut help)), Some(0));
}

/// The only thread of a pool waits for an answer that comes of a job which only it can run.
fn queue_nested() {
    let service = Service { serial: false };
    let queue = Arc::new(TestQueue::new(ME, 0, Box::new(NoThreads)));
    add(&queue, service);
    let answers = Arc::new(Latch::new());
    let caller = thread::spawn({
        let (queue, answers) = (queue.clone(), answers.clone());
        move || push_nested(&queue, &answers)
    });
    wait_nested(&queue, &answers, service);
    caller.join().unwrap();
}

/// Another thread makes the service, or runs one of its calls, and is then kept by something else. What waits for the answer then
/// is the only one that can run the job, and may have found its place shut.
fn queue_nested_in_vain() {
    let service = Service { serial: true };
    let (answers, end) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let pool = Pool::new(1, {
        let (answers, end, done) = (answers.clone(), end.clone(), Done::default());
        move |queue, turn| {
            run(queue, &done, service, turn).iter().for_each(|_| answers.nudge());
            if !done.jobs.lock().unwrap().is_empty() {
                end.wait(None);
            }
        }
    });
    let queue = pool.queue.clone();
    let caller = thread::spawn({
        let (queue, answers) = (queue.clone(), answers.clone());
        move || {
            assert!(push(&queue, 1, None));
            push_nested(&queue, &answers);
        }
    });
    wait_nested(&queue, &answers, service);
    caller.join().unwrap();
    queue.close();
    end.put(());
    pool.join();
}
