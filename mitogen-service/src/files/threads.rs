//! A bounded number of threads for calls that take their time, so that they hold none of the pool: the threads around
//! [`Places`].

use std::sync::Arc;

use super::places::{Entered, Places};
use crate::error::{CallError, Trace};
use crate::router::Router;
use crate::service::Reply;
use crate::sync::Mutex;

/// How many calls of one service run at a time. Each holds a thread, and mostly a file.
const MAX_RUNNING: usize = 32;

/// How many more wait for their turn.
const MAX_WAITING: usize = 4096;

/// The threads of one service.
pub(super) struct Threads {
    places: Mutex<Places<Work>>,
}

/// What is done when it has its turn, or learns that it gets none.
type Work = Box<dyn FnOnce(Result<(), CallError>) + Send>;

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
        work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
    ) {
        let work: Work = Box::new(move |turn| {
            if !reply.is_cancelled() {
                reply.send(turn.and_then(|()| work()));
            }
        });
        let entered = self.places.lock().enter(work);
        match entered {
            Entered::Go(work) => self.start(router, work),
            Entered::Waits => {}
            Entered::Full(work) => {
                let what = "as many calls that transfer files wait as may".to_owned();
                work(Err(CallError::Overloaded { what, trace: Trace::default() }));
            }
            Entered::Stopped(work) => work(Err(stopped())),
        }
    }

    /// Gives some work a thread, which goes on with what comes after it.
    fn start(self: &Arc<Self>, router: &Router, work: Work) {
        let mut next = Some(work);
        while let Some(work) = next {
            let threads = self.clone();
            // Should there be no thread, the work is dropped with its closure, and its reply says so.
            let spawned = router.core().ledger().spawn("mitogen-files", move || {
                let mut next = Some(work);
                while let Some(work) = next {
                    work(Ok(()));
                    next = threads.places.lock().leave();
                }
            });
            if spawned.is_ok() {
                return;
            }
            next = self.places.lock().leave();
        }
    }

    /// Lets nothing more begin; those who wait learn of it.
    pub(super) fn stop(&self) {
        let waiting = self.places.lock().stop();
        waiting.into_iter().for_each(|work| work(Err(stopped())));
    }
}

fn stopped() -> CallError {
    CallError::Stopped { trace: Trace::default() }
}
