//! The life of a service, and the queue that it is added to: it starts once before its first job, and is
//! told of the end once after its last.

use std::time::Instant;

use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use super::{Job, ME};
use crate::life::{Life, NotStarted};
use crate::queue::{NotReserved, Queue};
use crate::turns::{Arrival, Settled, Strands, Turn};

/// What a service has been through.
#[derive(Default)]
struct Story {
    life: Life,
    starts: AtomicUsize,
    ends: AtomicUsize,
    /// How many are in it at this moment.
    inside: AtomicUsize,
}

#[derive(Clone, Default)]
struct Service(Arc<Story>);

impl Strands<Job> for Service {
    fn strand(&self, _job: &Job) -> Option<usize> {
        None
    }
}

type Pool = Arc<Queue<Job, Service>>;

impl Service {
    fn start(&self) -> Result<(), NotStarted<()>> {
        self.0.life.start(|| {
            self.enter();
            assert_eq!(self.0.starts.fetch_add(1, Ordering::SeqCst), 0, "it starts once");
            self.leave();
            Ok(())
        })
    }

    fn end(&self) -> bool {
        let ended = self.0.life.end(Instant::now(), || {
            self.enter();
            assert_eq!(self.0.starts.load(Ordering::SeqCst), 1, "it has started");
            assert_eq!(self.0.ends.fetch_add(1, Ordering::SeqCst), 0, "it ends once");
            self.leave();
        });
        assert_eq!(self.0.inside.load(Ordering::SeqCst), 0, "it is done, whoever has done it");
        ended
    }

    fn run(&self) {
        assert_eq!((self.starts(), self.ends()), (1, 0), "it runs between its start and its end");
        thread::yield_now();
        assert_eq!(self.ends(), 0, "the end waits for it");
    }

    fn starts(&self) -> usize {
        self.0.starts.load(Ordering::SeqCst)
    }

    fn ends(&self) -> usize {
        self.0.ends.load(Ordering::SeqCst)
    }

    fn enter(&self) {
        assert_eq!(self.0.inside.fetch_add(1, Ordering::SeqCst), 0);
        thread::yield_now();
    }

    fn leave(&self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Adds a service as a pool does.
fn add(pool: &Pool, service: &Service) -> Result<(), NotReserved> {
    let place = pool.reserve("service", &[])?;
    service.start().expect("it is new");
    if pool.settle(place, Settled::Added(service.clone())).closed {
        assert!(service.end());
        return Err(NotReserved::Closed);
    }
    Ok(())
}

/// Adds a service on a thread of its own.
fn adding(pool: &Pool) -> (Service, thread::JoinHandle<Result<(), NotReserved>>) {
    let (pool, service) = (pool.clone(), Service::default());
    let added = service.clone();
    (service, thread::spawn(move || add(&pool, &added)))
}

fn work(pool: &Pool) -> thread::JoinHandle<usize> {
    let pool = pool.clone();
    thread::spawn(move || {
        let mut ran = 0;
        while let Some(turn) = pool.take() {
            match turn {
                Turn::Ready(_, service, None) => {
                    service.run();
                    ran += 1;
                }
                Turn::Vacant(_, place) => assert!(pool.settle(place, Settled::Refused).failed.is_empty()),
                Turn::Ready(..) | Turn::Nowhere(_) => panic!("it names a service without strands"),
            }
        }
        ran
    })
}

fn push(pool: &Pool, number: usize) -> bool {
    let job = Job { number, held: None, answers: None };
    pool.push(Arrival { service: Some("service"), caller: ME, id: None, chain: &[], job }).is_ok()
}

/// Stops a pool as it stops: the threads and those who add something are waited for, then it says farewell.
fn close(pool: &Pool, threads: Vec<thread::JoinHandle<usize>>) -> (usize, usize) {
    let back = pool.close().len();
    let ran = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    (back, ran)
}

pub(super) fn two_of_one_name() {
    let pool: Pool = Arc::new(Queue::new(ME));
    let worker = work(&pool);
    let services = [(); 2].map(|()| adding(&pool));
    let pusher = thread::spawn({
        let pool = pool.clone();
        move || push(&pool, 0)
    });
    let added = services.map(|(service, thread)| (service, thread.join().unwrap()));
    // Nobody has to have it made: it is there, or was refused while there was none.
    assert!(pusher.join().unwrap());
    let mut results = added.each_ref().map(|(_, added)| *added);
    results.sort_by_key(Result::is_err);
    assert_eq!(results, [Ok(()), Err(NotReserved::Taken)]);
    for (service, added) in &added {
        assert_eq!(service.starts(), usize::from(added.is_ok()), "only the one that is there has started");
    }
    let (back, ran) = close(&pool, vec![worker]);
    assert!(back + ran <= 1);
    pool.services().iter().for_each(|service| assert!(service.end()));
    assert_eq!(added.iter().map(|(service, _)| service.ends()).sum::<usize>(), 1);
}

pub(super) fn start_and_close() {
    let pool: Pool = Arc::new(Queue::new(ME));
    let worker = work(&pool);
    let (service, thread) = adding(&pool);
    let pusher = thread::spawn({
        let pool = pool.clone();
        move || push(&pool, 0)
    });
    let (back, ran) = close(&pool, vec![worker]);
    let added = thread.join().unwrap();
    // As two ends of a pool do, beside each other.
    let other = thread::spawn({
        let pool = pool.clone();
        move || pool.services().iter().for_each(|service| assert!(service.end()))
    });
    pool.services().iter().for_each(|service| assert!(service.end()));
    other.join().unwrap();
    let pushed = usize::from(pusher.join().unwrap());
    assert!(back + ran <= pushed);
    assert_ne!(added, Err(NotReserved::Taken));
    assert_eq!(service.starts(), service.ends(), "who has started is told of the end");
    assert!(added.is_err() || service.starts() == 1);
}

pub(super) fn two_ends() {
    let service = Service::default();
    service.start().unwrap();
    let ends = [(); 2].map(|()| {
        let service = service.clone();
        thread::spawn(move || service.end())
    });
    ends.into_iter().for_each(|end| assert!(end.join().unwrap()));
    assert_eq!((service.ends(), service.start()), (1, Err(NotStarted::TooLate)));
}

pub(super) fn two_names() {
    let service = Service::default();
    let starts = [(); 3].map(|()| {
        let service = service.clone();
        thread::spawn(move || {
            service.start().unwrap();
            assert_eq!(service.starts(), 1, "whoever goes on finds it started");
            service.run();
        })
    });
    starts.into_iter().for_each(|start| start.join().unwrap());
    assert!(service.end());
}
