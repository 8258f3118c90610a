//! The kernel: edges that are told once, and kept while nobody waits for them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use shuttle::sync::Arc;

use super::broker::BrokerHandle;
use crate::sync::{Condvar, Mutex, MutexGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Edge,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) token: u64,
    pub(crate) closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Any,
}

pub(crate) struct Events(usize);

/// What the system may say, which the model never does.
#[derive(Debug)]
pub(crate) struct Error;

/// The poller of the streams.
pub(crate) struct Poller(Arc<Kernel>);

/// All that anybody can wait for here: edges, jobs of the I/O thread, and bytes.
#[derive(Default)]
pub(crate) struct Kernel {
    state: Mutex<State>,
    changed: Condvar,
}

pub(crate) type Job = Box<dyn FnOnce(&BrokerHandle) + Send>;

#[derive(Default)]
pub(super) struct State {
    woken: bool,
    watched: BTreeMap<u64, Watched>,
    /// What the one stream that there may be has brought, which was not read yet.
    pub(super) input: Input,
    /// The I/O thread watches the poller.
    io_watches: bool,
    pub(super) jobs: Vec<Job>,
    pub(super) stopping: bool,
}

#[derive(Clone, Copy)]
struct Watched {
    interest: Interest,
    edge: bool,
}

/// The bytes of a stream.
#[derive(Default)]
pub(super) struct Input {
    pub(super) messages: Vec<usize>,
    pub(super) closed: bool,
    /// The waker of whoever reads was woken.
    pub(super) interrupted: bool,
}

/// What the I/O thread has to do.
pub(super) enum Work {
    Serve,
    Job(Job),
    Stop,
}

impl Kernel {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn changed(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn wait(&self, state: &mut MutexGuard<'_, State>) {
        self.changed.wait(state);
    }

    /// Something comes for the stream.
    pub(super) fn brings(&self, change: impl FnOnce(&mut Input)) {
        let mut state = self.lock();
        change(&mut state.input);
        for watched in state.watched.values_mut() {
            watched.edge |= watched.interest == Interest::Edge;
        }
        self.changed(state);
    }

    pub(super) fn io_watches(&self, wanted: bool) {
        let mut state = self.lock();
        state.io_watches = wanted;
        self.changed(state);
    }

    pub(super) fn next_work(&self) -> Work {
        let mut state = self.lock();
        loop {
            if state.io_watches && state.has_edge() {
                return Work::Serve;
            }
            if let Some(job) = state.jobs.pop() {
                return Work::Job(job);
            }
            if state.stopping {
                return Work::Stop;
            }
            self.wait(&mut state);
        }
    }
}

impl State {
    fn has_edge(&self) -> bool {
        self.woken || self.watched.values().any(|watched| watched.edge)
    }
}

impl Poller {
    pub(crate) const FDS: usize = 2;

    pub(crate) fn new(_: Wake) -> Result<Self, Error> {
        Ok(Self(Arc::default()))
    }

    pub(super) fn kernel(&self) -> &Arc<Kernel> {
        &self.0
    }

    pub(crate) fn add(&self, _: BorrowedFd<'_>, token: u64, interest: Interest) -> Result<(), Error> {
        self.0.lock().watched.insert(token, Watched { interest, edge: false });
        self.ask(token, interest);
        Ok(())
    }

    pub(crate) fn modify(&self, _: BorrowedFd<'_>, token: u64, interest: Interest) -> Result<(), Error> {
        self.ask(token, interest);
        Ok(())
    }

    fn ask(&self, token: u64, interest: Interest) {
        let mut state = self.0.lock();
        let is_readable = !state.input.messages.is_empty() || state.input.closed;
        if let Some(watched) = state.watched.get_mut(&token) {
            *watched = Watched { interest, edge: interest == Interest::Edge && is_readable };
        }
        self.0.changed(state);
    }

    pub(crate) fn delete(&self, _: BorrowedFd<'_>) {
        self.0.lock().watched.clear();
    }

    pub(crate) fn wake(&self) {
        let mut state = self.0.lock();
        state.woken = true;
        self.0.changed(state);
    }

    pub(crate) fn wait(
        &self,
        timeout: Option<Duration>,
        events: &mut Events,
        ready: &mut Vec<Happened>,
    ) -> Result<bool, Error> {
        let mut state = self.0.lock();
        while timeout.is_none() && !state.has_edge() {
            self.0.wait(&mut state);
        }
        let closed = state.input.closed;
        for (token, watched) in &mut state.watched {
            if ready.len() < events.0 && std::mem::take(&mut watched.edge) {
                ready.push(Happened { token: *token, closed });
            }
        }
        Ok(std::mem::take(&mut state.woken))
    }
}

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(capacity)
    }
}

impl From<Error> for std::io::Error {
    fn from(_: Error) -> Self {
        Self::other("the system does not work")
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        unreachable!("no descriptor is asked for")
    }
}
