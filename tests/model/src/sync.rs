//! The locks of the crate, as the model checker has them.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use shuttle::rand::{Rng, thread_rng};
pub(crate) use shuttle::sync::atomic;
pub(crate) use shuttle::thread::ThreadId;
pub(crate) use shuttle::thread_local;
use shuttle::{sync, thread};

#[derive(Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>, &'a sync::Mutex<T>);

#[derive(Default)]
pub(crate) struct Condvar(sync::Condvar);

/// What a wait with a bound tells.
pub(crate) struct WaitTimeoutResult(bool);

/// The calling thread.
pub(crate) fn this_thread() -> ThreadId {
    shuttle::thread::current().id()
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap()), &self.0)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|guard| MutexGuard(Some(guard), &self.0))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("the guard is given away only while it waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("the guard is given away only while it waits")
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        guard.0 = guard.0.take().map(|guard| self.0.wait(guard).unwrap());
    }

    /// For a thread that [has no time](has_no_time) the wait ends by itself, after others have had theirs. For
    /// all others time does not pass, so that a wait that nobody ends is a deadlock.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _deadline: Instant) -> WaitTimeoutResult {
        if !HAS_NO_TIME.with(Cell::get) {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        let lock = guard.1;
        drop(guard.0.take());
        let_time_pass();
        guard.0 = Some(lock.lock().unwrap());
        WaitTimeoutResult(true)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

shuttle::thread_local! {
    static HAS_NO_TIME: Cell<bool> = const { Cell::new(false) };
    static OVER: Cell<bool> = const { Cell::new(false) };
}

/// Whatever the calling thread waits for with a bound, its time will be over.
pub(crate) fn has_no_time() {
    HAS_NO_TIME.with(|hurry| hurry.set(true));
}

/// The time that the calling thread has for what it does is over after this.
pub(crate) fn let_time_pass() {
    for _ in 0..thread_rng().gen_range(0..6) {
        thread::yield_now();
    }
    OVER.with(|over| over.set(true));
}

/// Whether it is.
pub(crate) fn time_is_over() -> bool {
    OVER.with(Cell::get)
}
