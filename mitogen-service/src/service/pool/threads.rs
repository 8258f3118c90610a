//! The threads of a pool, and what each of them runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::service::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::sync::{Condvar, Mutex};

/// What a thread of a pool still does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Running {
    /// The canonical name of the service; empty for a function that was deferred.
    pub service: String,
    /// The name of the method; empty while a service is looked for or made, or for a function.
    pub method: String,
    /// How long it has been running.
    pub elapsed: Duration,
}

/// The threads that have been started.
#[derive(Default)]
pub(super) struct Threads {
    state: Mutex<State>,
    /// Signalled when a thread leaves.
    left: Condvar,
}

#[derive(Default)]
struct State {
    /// All threads that have not left.
    threads: HashMap<ThreadId, Arc<Bench>>,
}

/// What one thread does, innermost last.
type Bench = Mutex<Vec<Work>>;

thread_local! {
    /// That of the calling thread, so that it takes note without a look at the others.
    static BENCH: RefCell<Option<Arc<Bench>>> = const { RefCell::new(None) };
}

/// What a thread does.
struct Work {
    what: What,
    since: Instant,
}

/// A piece of a thread's work.
pub(super) enum What {
    /// It has taken something from the queue.
    Job,
    /// It makes a service.
    Activation(String),
    /// It runs a method.
    Method(&'static ServiceDescriptor, &'static MethodDescriptor),
}

impl Threads {
    /// Starts a thread; it leaves when `body` ends, however it does.
    pub(super) fn spawn(
        self: &Arc<Self>,
        ledger: &Ledger,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        // The lock keeps the thread from leaving before it is counted.
        let mut state = self.state.lock();
        let (threads, bench) = (self.clone(), Arc::<Bench>::default());
        let own = bench.clone();
        let thread = ledger.spawn(name, move || {
            BENCH.set(Some(own));
            let _leaving = Leaving(threads);
            body();
        });
        let thread = thread.map_err(|error| Error::io("start a thread of the pool", error))?;
        state.threads.insert(thread.thread().id(), bench);
        Ok(())
    }

    /// The calling thread, one of these, does something, until the guard is dropped.
    pub(super) fn begin(what: What) -> WorkGuard {
        let bench = BENCH.with_borrow(Clone::clone);
        if let Some(bench) = &bench {
            bench.lock().push(Work { what, since: Instant::now() });
        }
        WorkGuard { bench }
    }

    /// Waits until all threads but the calling one have left; tells what those do that have not by
    /// `deadline`.
    pub(super) fn join(&self, deadline: Instant) -> Vec<Running> {
        let me = std::thread::current().id();
        let mut state = self.state.lock();
        let own = usize::from(state.threads.contains_key(&me));
        while state.threads.len() > own {
            if self.left.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let others = state.threads.iter().filter(|(thread, _)| **thread != me);
        others.filter_map(|(_, bench)| bench.lock().last().map(Work::as_running)).collect()
    }

    /// Whether no thread is left.
    pub(super) fn all_left(&self) -> bool {
        self.state.lock().threads.is_empty()
    }
}

impl Work {
    fn as_running(&self) -> Running {
        let (service, method) = match &self.what {
            What::Job => (String::new(), String::new()),
            What::Activation(service) => (service.clone(), String::new()),
            What::Method(service, method) => (service.name.to_owned(), method.name.to_owned()),
        };
        Running { service, method, elapsed: self.since.elapsed() }
    }
}

/// Takes note that a thread does something, until it is dropped.
pub(super) struct WorkGuard {
    bench: Option<Arc<Bench>>,
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        if let Some(bench) = &self.bench {
            let work = bench.lock().pop();
            drop(work);
        }
    }
}

/// Lets the calling thread leave when it is dropped.
struct Leaving(Arc<Threads>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.state.lock().threads.remove(&std::thread::current().id());
        self.0.left.notify_all();
    }
}
