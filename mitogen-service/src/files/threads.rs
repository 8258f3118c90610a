//! A bounded number of threads for calls that take their time, so that they hold none of the pool: the threads around
//! [`Places`].

use std::io;
use std::sync::Arc;

use super::places::{Entered, Places};
use crate::error::{CallError, Trace};
use crate::panics;
use crate::router::Router;
use crate::service::{Reply, panicked};
use crate::sync::Mutex;

/// How many calls of one service run at a time. Each holds a thread, and mostly a file.
const MAX_RUNNING: usize = 32;

/// How many more wait for their turn.
const MAX_WAITING: usize = 4096;

/// The threads of one service.
pub(super) struct Threads {
    places: Mutex<Places<Box<dyn Work>>>,
}

/// What is done when it has its turn, or learns that it gets none.
trait Work: Send {
    fn is_wanted(&self) -> bool;

    fn run(self: Box<Self>, turn: Result<(), CallError>);
}

/// A call, and how its answer is found.
struct Asked<T, F> {
    reply: Reply<T>,
    work: F,
}

impl<T, F> Work for Asked<T, F>
where
    F: FnOnce(&Reply<T>) -> Result<T, CallError> + Send,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_cancelled()
    }

    fn run(self: Box<Self>, turn: Result<(), CallError>) {
        let Self { reply, work } = *self;
        if reply.is_cancelled() {
            return;
        }
        let result = turn.and_then(|()| panics::guard(|| work(&reply)).unwrap_or_else(|panic| Err(panicked(panic))));
        reply.send(result);
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self::with(MAX_RUNNING, MAX_WAITING)
    }
}

impl Threads {
    /// As many as are given.
    pub(super) fn with(max_running: usize, max_waiting: usize) -> Self {
        Self { places: Mutex::new(Places::new(max_running, max_waiting)) }
    }

    /// Has a call answered on a thread. Whoever gives up before has no turn.
    pub(super) fn answer<T: 'static>(
        self: &Arc<Self>,
        router: &Router,
        reply: Reply<T>,
        work: impl FnOnce(&Reply<T>) -> Result<T, CallError> + Send + 'static,
    ) {
        let work: Box<dyn Work> = Box::new(Asked { reply, work });
        let entered = self.places.lock().enter(work, |work| work.is_wanted());
        match entered {
            Entered::Go(work) => self.start(router, work),
            Entered::Waits { unwanted } => drop(unwanted),
            Entered::Full(work) => {
                work.run(Err(overloaded("as many calls that transfer files wait as may".to_owned())));
            }
            Entered::Stopped(work) => work.run(Err(stopped())),
        }
    }

    /// Gives some work a thread, which goes on with what comes after it. If there is none, one that there is does it
    /// later.
    fn start(self: &Arc<Self>, router: &Router, work: Box<dyn Work>) {
        let threads = self.clone();
        let spawned = spawn(router, work, move |work| {
            let mut next = Some(work);
            while let Some(work) = next {
                // Whatever happens, others wait for the place.
                panics::contain(|| work.run(Ok(())));
                next = threads.places.lock().leave();
            }
        });
        if let Err((work, error)) = spawned {
            let refused = self.places.lock().put_back(work);
            refused.into_iter().for_each(|work| work.run(Err(no_thread(&error))));
        }
    }

    /// Lets nothing more begin; those who wait learn of it.
    pub(super) fn stop(&self) {
        let waiting = self.places.lock().stop();
        waiting.into_iter().for_each(|work| work.run(Err(stopped())));
    }
}

/// Starts a thread with something to do, which is given back if there is no thread.
pub(super) fn spawn<W: Send + 'static>(
    router: &Router,
    work: W,
    run: impl FnOnce(W) + Send + 'static,
) -> Result<(), (W, io::Error)> {
    let kept = Arc::new(Mutex::new(Some(work)));
    let taken = kept.clone();
    let spawned = router.core().ledger().spawn("mitogen-files", move || {
        let work = taken.lock().take();
        if let Some(work) = work {
            run(work);
        }
    });
    let Err(error) = spawned else { return Ok(()) };
    let work = kept.lock().take();
    // No thread has taken it.
    work.map_or(Ok(()), |work| Err((work, error)))
}

pub(super) fn no_thread(error: &io::Error) -> CallError {
    overloaded(format!("no thread can be started to transfer a file: {error}"))
}

fn overloaded(what: String) -> CallError {
    CallError::Overloaded { what, trace: Trace::default() }
}

fn stopped() -> CallError {
    CallError::Stopped { trace: Trace::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::service::{AllowAny, Pool, SerializedInvoker};

    const LONG: Duration = Duration::from_secs(20);

    /// Waits until the test says go on, or panics.
    struct Slow {
        threads: Arc<Threads>,
        go: Arc<Mutex<mpsc::Receiver<()>>>,
    }

    // In the order of arrival.
    #[crate::service(invoker = SerializedInvoker, crate = crate)]
    impl Slow {
        #[expose(policy = AllowAny)]
        fn wait(&self, router: &Router, reply: Reply<()>) {
            let go = self.go.clone();
            self.threads.answer(router, reply, move |_| {
                let _ = go.lock().recv();
                Ok(())
            });
        }

        #[expose(policy = AllowAny)]
        fn panic(&self, router: &Router, reply: Reply<()>) {
            self.threads.answer(router, reply, |_| panic!("as it should"));
        }
    }

    fn slow(threads: Threads) -> (Router, Pool, mpsc::Sender<()>) {
        let router = Router::builder().build().unwrap();
        let (sender, go) = mpsc::channel();
        let slow = Slow { threads: Arc::new(threads), go: Arc::new(Mutex::new(go)) };
        let pool = Pool::builder(&router).service(slow).start().unwrap();
        (router, pool, sender)
    }

    #[test]
    fn a_panic_is_answered_and_takes_no_place() {
        let (router, _pool, go) = slow(Threads::with(1, 10));
        let service = Slow::stub(&router.myself());
        let calls: Vec<_> = (0..3).map(|_| service.panic()).collect();
        for call in calls {
            let error = call.wait_timeout(LONG).unwrap_err();
            assert!(matches!(&error, CallError::Panicked { message, .. } if message == "as it should"), "{error:?}");
        }
        go.send(()).unwrap();
        service.wait().wait_timeout(LONG).unwrap();
    }

    #[test]
    fn calls_that_were_given_up_keep_nobody_out() {
        let (router, _pool, go) = slow(Threads::with(1, 3));
        let service = Slow::stub(&router.myself());
        let running = service.wait();
        let waiting: Vec<_> = (0..3).map(|_| service.wait()).collect();
        let error = service.wait().wait_timeout(LONG).unwrap_err();
        assert!(matches!(error, CallError::Overloaded { .. }), "{error:?}");
        drop(waiting);
        let next = service.wait();
        (0..2).for_each(|_| go.send(()).unwrap());
        running.wait_timeout(LONG).unwrap();
        next.wait_timeout(LONG).unwrap();
    }
}
