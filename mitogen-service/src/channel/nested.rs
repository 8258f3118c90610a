//! A thread that waits for an answer, and is needed meanwhile.
//!
//! Whoever has called this context may wait for a thread that itself waits for them: A calls B, and
//! B's method calls A back. The waiting thread then runs that call, and no other.

use std::cell::RefCell;
use std::sync::Arc;

use crate::router::Core;
use crate::wire::Handle;

/// What a waiting thread can do meanwhile, as the pool that it belongs to knows it.
pub(crate) trait Helper: Send + Sync {
    /// The router that the thread works for.
    fn core(&self) -> &Arc<Core>;

    /// Runs a call that is needed for the answer on this handle; `false` if there is none.
    fn run_one(&self, handle: Handle) -> bool;
}

thread_local! {
    static HELPER: RefCell<Option<Arc<dyn Helper>>> = const { RefCell::new(None) };
}

/// Runs the work of a thread that helps while it waits.
pub(crate) fn helping(helper: Arc<dyn Helper>, work: impl FnOnce()) {
    HELPER.set(Some(helper));
    work();
    HELPER.set(None);
}

/// How this thread may help while it waits for an answer to a call of this router.
pub(super) fn helper(core: &Arc<Core>) -> Option<Arc<dyn Helper>> {
    HELPER.with_borrow(|helper| helper.clone().filter(|helper| Arc::ptr_eq(helper.core(), core)))
}
