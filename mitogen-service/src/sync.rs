//! The locks of the crate, imported from here alone, so that a model checker can take their place.

pub(crate) use std::thread::ThreadId;

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};

/// The calling thread.
pub(crate) fn this_thread() -> ThreadId {
    std::thread::current().id()
}
