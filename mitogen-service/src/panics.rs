//! Panics of users' code, kept away from ours.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a user's code. A panic has been reported by the panic hook; its payload is given, and is to
/// be let go of by [`discard`].
///
/// What a panic leaves behind in a service is the business of its methods, which share it behind
/// `&self` as they do after any other panic.
pub(crate) fn guard<R>(run: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(run))
}

/// Runs a user's code whose panic is nobody's business.
pub(crate) fn contain(run: impl FnOnce()) {
    if let Err(panic) = guard(run) {
        discard(panic);
    }
}

/// Drops what somebody has panicked with: a user's value, whose drop may panic again.
pub(crate) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = guard(|| drop(panic)) {
        // It could go on like this for ever.
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(Bomb);
        }
    }

    #[test]
    fn a_panic_whose_payload_panics_is_contained() {
        contain(|| std::panic::panic_any(Bomb));
    }
}
