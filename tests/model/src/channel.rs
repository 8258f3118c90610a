//! What the shells name of the crate's `channel`.

pub(crate) mod mailbox {
    pub(crate) type Notify = std::sync::Arc<dyn Fn() + Send + Sync>;
}

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{CallError, Trace};
use crate::sync::{Condvar, Mutex};

/// A sender whose receiver takes things, or takes nothing for a while.
pub(crate) struct Sender<T> {
    shared: Arc<Shared>,
    of: PhantomData<fn(T)>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    taken: usize,
    stalls: bool,
    closed: bool,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), of: PhantomData }
    }
}

impl<T> Sender<T> {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() }), of: PhantomData }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state.lock().closed
    }

    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    pub(crate) fn stall(&self) {
        self.change(|state| state.stalls = true);
    }

    pub(crate) fn resume(&self) {
        self.change(|state| state.stalls = false);
    }

    pub(crate) fn taken(&self) -> usize {
        self.shared.state.lock().taken
    }

    pub(crate) fn wait_until_closed(&self) {
        let mut state = self.shared.state.lock();
        while !state.closed {
            self.shared.changed.wait(&mut state);
        }
    }

    pub(crate) fn send(&self, _: T) -> Result<(), CallError> {
        let mut state = self.shared.state.lock();
        while state.stalls && !state.closed {
            self.shared.changed.wait(&mut state);
        }
        state.take()
    }

    /// Time passes whenever nothing is taken.
    pub(crate) fn send_unless_stalled(&self, _: &T, _: Duration) -> Result<(), CallError> {
        let mut state = self.shared.state.lock();
        if state.stalls && !state.closed {
            drop(state);
            shuttle::thread::yield_now();
            return Err(CallError::DeadlineExceeded { trace: Trace::default() });
        }
        state.take()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state.lock());
        self.shared.changed.notify_all();
    }
}

impl State {
    fn take(&mut self) -> Result<(), CallError> {
        if self.closed {
            return Err(CallError::Failed);
        }
        self.taken += 1;
        Ok(())
    }
}
