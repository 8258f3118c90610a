//! The threads of a pool, as its queue has them started and woken.

use std::sync::OnceLock;

use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread::{self, JoinHandle};

use super::queue::ME;
use crate::queue::{Hands, Queue, Queued, Taken};
use crate::turns::{Strands, Turn};

/// A queue and its threads.
pub(super) struct Pool<J, S> {
    pub(super) queue: Arc<Queue<J, S>>,
    threads: Arc<Threads>,
}

type Start = Box<dyn Fn() -> JoinHandle<()> + Send + Sync>;

#[derive(Default)]
struct Threads {
    seats: Mutex<Seats>,
    changed: Condvar,
    start: OnceLock<Start>,
    started: Mutex<Vec<JoinHandle<()>>>,
}

/// Where threads wait, in the place of a poller.
#[derive(Default)]
struct Seats {
    help: bool,
    leaving: bool,
}

struct TestHands(Arc<Threads>);

impl Hands for TestHands {
    fn help(&self) {
        self.0.seats.lock().unwrap().help = true;
        self.0.changed.notify_one();
    }

    fn dismiss(&self) {
        self.0.seats.lock().unwrap().leaving = true;
        self.0.changed.notify_all();
    }

    fn dismissed(&self) {
        self.0.seats.lock().unwrap().leaving = false;
    }

    fn watch(&self, _wanted: bool) {}

    fn start(&self) -> bool {
        let thread = self.0.start.get().expect("it is set before anything is queued")();
        self.0.started.lock().unwrap().push(thread);
        true
    }

    fn tick_later(&self) -> bool {
        false
    }
}

impl Threads {
    /// Waits as the thread that reads; tells whether help was wanted.
    fn wait(&self) -> bool {
        let mut seats = self.seats.lock().unwrap();
        loop {
            if std::mem::take(&mut seats.help) {
                return true;
            }
            if seats.leaving {
                return false;
            }
            seats = self.changed.wait(seats).unwrap();
        }
    }
}

impl<J, S> Pool<J, S>
where
    J: Queued + Send + 'static,
    S: Strands<J> + Send + 'static,
{
    /// A pool of so many threads, which do this.
    pub(super) fn new(size: usize, run: impl Fn(&Queue<J, S>, Turn<J, S>) + Send + Sync + 'static) -> Self {
        let threads = Arc::new(Threads::default());
        let queue = Arc::new(Queue::new(ME, size, Box::new(TestHands(threads.clone()))));
        let (weak, own, run) = (Arc::downgrade(&queue), Arc::downgrade(&threads), Arc::new(run));
        let start = move || {
            let (queue, threads, run) = (weak.upgrade().unwrap(), own.upgrade().unwrap(), run.clone());
            thread::spawn(move || work(&queue, &threads, &*run))
        };
        assert!(threads.start.set(Box::new(start)).is_ok());
        Self { queue, threads }
    }

    /// Waits until the threads of the queue, which is closed, have left.
    pub(super) fn join(&self) {
        loop {
            let Some(thread) = self.threads.started.lock().unwrap().pop() else { return };
            thread.join().unwrap();
        }
    }
}

fn work<J: Queued, S: Strands<J>>(queue: &Queue<J, S>, threads: &Threads, run: &impl Fn(&Queue<J, S>, Turn<J, S>)) {
    let mut taken = queue.take();
    loop {
        taken = match taken {
            Taken::Turn(turn) => {
                let (how, _) = queue.runs(false);
                run(queue, turn);
                queue.ran(how);
                queue.take()
            }
            Taken::Read => queue.comes(threads.wait()),
            Taken::Park => queue.park(),
            Taken::Leave => return,
        };
    }
}
