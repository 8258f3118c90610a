//! The locks of the crate, and the atomics and thread-locals of what is model-checked, imported from here
//! alone, so that a model checker can take their place.

pub(crate) use std::sync::atomic;

pub(crate) use std::thread::ThreadId;

pub(crate) use std::thread_local;

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};

/// The calling thread.
pub(crate) fn this_thread() -> ThreadId {
    std::thread::current().id()
}
