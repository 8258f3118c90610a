//! The locks of the crate, imported from here alone, so that a model checker can take their place.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
