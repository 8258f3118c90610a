//! The threads of a pool, and what each of them runs.

use std::collections::{HashMap, HashSet};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::service::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::sync::{Condvar, Mutex};

/// A method that still runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Running {
    /// The canonical name of the service.
    pub service: &'static str,
    /// The name of the method.
    pub method: &'static str,
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
    alive: HashSet<ThreadId>,
    running: HashMap<ThreadId, (&'static ServiceDescriptor, &'static MethodDescriptor, Instant)>,
}

impl Threads {
    /// Starts a thread.
    pub(super) fn spawn(&self, ledger: &Ledger, name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        // The lock keeps the thread from leaving before it is counted.
        let mut state = self.state.lock();
        let thread = ledger.spawn(name, body).map_err(|error| Error::io("start a thread of the pool", error))?;
        state.alive.insert(thread.thread().id());
        Ok(())
    }

    /// The calling thread is about to end.
    pub(super) fn leave(&self) {
        self.state.lock().alive.remove(&std::thread::current().id());
        self.left.notify_all();
    }

    /// The calling thread runs a method, until the guard is dropped.
    pub(super) fn run(&self, service: &'static ServiceDescriptor, method: &'static MethodDescriptor) -> RunGuard<'_> {
        let thread = std::thread::current().id();
        self.state.lock().running.insert(thread, (service, method, Instant::now()));
        RunGuard { threads: self, thread }
    }

    /// Waits until all threads but the calling one have left; tells what runs in those that have
    /// not by `deadline`.
    pub(super) fn join(&self, deadline: Instant) -> Vec<Running> {
        let me = std::thread::current().id();
        let mut state = self.state.lock();
        let own = usize::from(state.alive.contains(&me));
        while state.alive.len() > own {
            if self.left.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let others = state.running.iter().filter(|(thread, _)| **thread != me);
        let running = others.map(|(_, (service, method, since))| Running {
            service: service.name,
            method: method.name,
            elapsed: since.elapsed(),
        });
        running.collect()
    }

    /// Whether no thread is left.
    pub(super) fn all_left(&self) -> bool {
        self.state.lock().alive.is_empty()
    }
}

/// Takes note that a thread runs a method, until it is dropped.
pub(super) struct RunGuard<'a> {
    threads: &'a Threads,
    thread: ThreadId,
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.threads.state.lock().running.remove(&self.thread);
    }
}
