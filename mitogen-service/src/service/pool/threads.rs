//! The threads of a pool, and what each of them runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::service::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::sync::{Condvar, Mutex};

/// What a thread of a pool still does, or one that adds a service to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Running {
    /// The canonical name of the service; empty for a function that was deferred.
    pub service: String,
    /// The name of the method; empty while a service is looked for, made or started, or for a function.
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
    /// All threads that have not left. Beside those of the pool these are the ones that add a service to
    /// it, for as long as they do.
    threads: HashMap<ThreadId, Arc<Bench>>,
}

/// What one thread does, innermost last.
type Bench = Mutex<Vec<Work>>;

thread_local! {
    /// That of a thread of a pool, with the address of the [`Threads`] that it is one of: it takes note
    /// without a look at the others.
    static BENCH: RefCell<Option<(usize, Arc<Bench>)>> = const { RefCell::new(None) };
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
    /// It makes a service, or lets one start.
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
            BENCH.set(Some((threads.address(), own)));
            let _leaving = Leaving(threads);
            body();
        });
        let thread = thread.map_err(|error| Error::io("start a thread of the pool", error))?;
        state.threads.insert(thread.thread().id(), bench);
        Ok(())
    }

    /// The calling thread does something, until the guard is dropped. Until then it is waited for, also
    /// if it is none of the pool's.
    pub(super) fn begin(&self, what: What) -> WorkGuard<'_> {
        let own = BENCH
            .with_borrow(|bench| bench.as_ref().filter(|bench| bench.0 == self.address()).map(|bench| bench.1.clone()));
        let (bench, guest) = match own {
            Some(bench) => (bench, None),
            None => self.seat_guest(),
        };
        bench.lock().push(Work { what, since: Instant::now() });
        WorkGuard { bench, guest }
    }

    /// A bench for a thread that is none of the pool's; it leaves with the first of its guards.
    fn seat_guest(&self) -> (Arc<Bench>, Option<(&Self, ThreadId)>) {
        let thread = std::thread::current().id();
        match self.state.lock().threads.entry(thread) {
            Entry::Occupied(seated) => (seated.get().clone(), None),
            Entry::Vacant(none) => (none.insert(Arc::default()).clone(), Some((self, thread))),
        }
    }

    /// What tells it from others in this process, as long as one of its threads is left.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
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
pub(super) struct WorkGuard<'a> {
    bench: Arc<Bench>,
    /// The thread is here for nothing else.
    guest: Option<(&'a Threads, ThreadId)>,
}

impl Drop for WorkGuard<'_> {
    fn drop(&mut self) {
        let work = self.bench.lock().pop();
        drop(work);
        if let Some((threads, thread)) = self.guest {
            threads.state.lock().threads.remove(&thread);
            threads.left.notify_all();
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
