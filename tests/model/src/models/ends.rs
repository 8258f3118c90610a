//! The life of a service, and the queue that it is added to: it starts once before its first job, and is
//! told of the end once after its last.

use std::time::Instant;

use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use super::pool::Pool;
use super::queue::{Job, ME};
use crate::life::{Life, NotStarted};
use crate::queue::NotReserved;
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

type Queue = crate::queue::Queue<Job, Service>;

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
fn add(queue: &Queue, service: &Service) -> Result<(), NotReserved> {
    let place = queue.reserve("service", &[])?;
    service.start().expect("it is new");
    if queue.settle(place, Settled::Added(service.clone())).closed {
        assert!(service.end());
        return Err(NotReserved::Closed);
    }
    Ok(())
}

/// Adds a service on a thread of its own.
fn adding(queue: &Arc<Queue>) -> (Service, thread::JoinHandle<Result<(), NotReserved>>) {
    let (queue, service) = (queue.clone(), Service::default());
    let added = service.clone();
    (service, thread::spawn(move || add(&queue, &added)))
}

/// A pool that counts what it runs.
fn pool() -> (Pool<Job, Service>, Arc<AtomicUsize>) {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let pool = Pool::new(2, move |queue: &Queue, turn| match turn {
        Turn::Ready(_, service, None) => {
            service.run();
            count.fetch_add(1, Ordering::SeqCst);
        }
        Turn::Vacant(_, place) => assert!(queue.settle(place, Settled::Refused).failed.is_empty()),
        Turn::Ready(..) | Turn::Nowhere(_) => panic!("it names a service without strands"),
    });
    (pool, ran)
}

/// Pushes a job on a thread of its own, and tells whether it was taken.
fn pushing(queue: &Arc<Queue>) -> thread::JoinHandle<bool> {
    let queue = queue.clone();
    thread::spawn(move || {
        let job = Job::default();
        queue.push(Arrival { service: Some("service"), caller: ME, id: None, chain: &[], job }, false).is_ok()
    })
}

pub(super) fn two_of_one_name() {
    let (pool, ran) = pool();
    let services = [(); 2].map(|()| adding(&pool.queue));
    let pusher = pushing(&pool.queue);
    let added = services.map(|(service, thread)| (service, thread.join().unwrap()));
    assert!(pusher.join().unwrap());
    let mut results = added.each_ref().map(|(_, added)| *added);
    results.sort_by_key(Result::is_err);
    assert_eq!(results, [Ok(()), Err(NotReserved::Taken)]);
    for (service, added) in &added {
        assert_eq!(service.starts(), usize::from(added.is_ok()), "only the one that is there has started");
    }
    let back = pool.queue.close().len();
    pool.join();
    // Before the service was there, a thread may have refused it.
    assert!(back + ran.load(Ordering::SeqCst) <= 1);
    pool.queue.services().iter().for_each(|service| assert!(service.end()));
    assert_eq!(added.iter().map(|(service, _)| service.ends()).sum::<usize>(), 1);
}

pub(super) fn start_and_close() {
    let (pool, ran) = pool();
    let (service, thread) = adding(&pool.queue);
    let pusher = pushing(&pool.queue);
    let back = pool.queue.close().len();
    pool.join();
    // Whoever joins a pool waits for those who add something to it.
    let added = thread.join().unwrap();
    // Two ends of a pool, beside each other.
    let other = thread::spawn({
        let queue = pool.queue.clone();
        move || queue.services().iter().for_each(|service| assert!(service.end()))
    });
    pool.queue.services().iter().for_each(|service| assert!(service.end()));
    other.join().unwrap();
    let pushed = usize::from(pusher.join().unwrap());
    pool.join();
    assert!(back + ran.load(Ordering::SeqCst) <= pushed);
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
