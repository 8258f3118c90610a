//! The calls that have arrived and are not answered, so that they can be cancelled and bounded.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::by_caller::ByCaller;
use super::descriptor::{MethodDescriptor, ServiceDescriptor};
use super::load::{Full, Limit, Load, ServiceKey, Weight};
use crate::hash::SmallState;
use crate::sync::Mutex;
use crate::wire::{ContextId, Handle};

/// What caller and callee agree on about one call.
#[derive(Debug, Default)]
pub(crate) struct CallFlag {
    cancelled: AtomicBool,
    /// The method's own code has begun to run.
    entered: AtomicBool,
    running: OnceLock<(&'static ServiceDescriptor, &'static MethodDescriptor)>,
    /// When the caller gives up.
    deadline: Option<Instant>,
}

/// A call, as its caller names it: where the answer goes.
pub(crate) type CallId = (ContextId, Handle);

/// The calls that are not answered.
#[derive(Default)]
pub(crate) struct InFlight {
    state: Mutex<State>,
    keys: SmallState,
}

#[derive(Default)]
struct State {
    /// Those whose callers wait, and may cancel.
    calls: ByCaller<Arc<CallFlag>>,
    load: Load,
}

impl CallFlag {
    /// A call whose caller gives up at some time, or never.
    pub(crate) fn new(deadline: Option<Instant>) -> Self {
        Self { deadline, ..Self::default() }
    }

    /// When the caller gives up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the caller has given up by now.
    pub(crate) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.is_late()
    }

    /// The method's own code begins to run.
    pub(crate) fn enter(&self) {
        self.entered.store(true, Ordering::Relaxed);
    }

    /// Whether the method's own code has begun to run.
    pub(crate) fn is_entered(&self) -> bool {
        self.entered.load(Ordering::Relaxed)
    }

    /// The call is given to this method.
    pub(crate) fn run(&self, service: &'static ServiceDescriptor, method: &'static MethodDescriptor) {
        // A call runs once; a second time could only say the same.
        let _ = self.running.set((service, method));
    }

    /// The names of the method that runs and of its service, empty before that.
    pub(crate) fn running(&self) -> (String, String) {
        self.running
            .get()
            .map_or_else(Default::default, |(service, method)| (method.name.to_owned(), service.name.to_owned()))
    }
}

impl InFlight {
    /// What stands for the name of a service.
    pub(crate) fn key(&self, service: &str) -> ServiceKey {
        self.keys.hash_one(service)
    }

    /// How many calls there are, and their bytes.
    pub(crate) fn total(&self) -> (usize, usize) {
        self.state.lock().load.total()
    }

    /// A call has arrived.
    pub(crate) fn enter(&self, id: CallId, flag: &Arc<CallFlag>, (weight, limit): (Weight, Limit)) -> Result<(), Full> {
        let mut state = self.state.lock();
        state.load.enter(weight, limit)?;
        if id.1 != Handle::NONE {
            state.calls.insert(id, flag.clone());
        }
        Ok(())
    }

    /// The call is answered. A caller that uses a handle twice loses only its own means to cancel.
    pub(crate) fn leave(&self, id: CallId, flag: &Arc<CallFlag>, (weight, limit): (Weight, Limit)) {
        let mut state = self.state.lock();
        state.load.leave(weight, limit);
        if state.calls.get(&id).is_some_and(|entered| Arc::ptr_eq(entered, flag)) {
            state.calls.remove(&id);
        }
    }

    /// The caller does not wait for this call any more.
    pub(crate) fn cancel(&self, id: CallId) {
        if let Some(flag) = self.state.lock().calls.get(&id) {
            flag.cancel();
        }
    }

    /// These callers are gone, and do not wait for any of their calls.
    pub(crate) fn cancel_all_of(&self, callers: &[ContextId]) {
        let state = self.state.lock();
        for caller in callers {
            state.calls.of(*caller).for_each(|flag| flag.cancel());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHT: (Weight, Limit) =
        (Weight { caller: ContextId::ROOT, service: 0, size: 1 }, Limit { calls: 100, bytes: 100 });

    #[test]
    fn just_the_named_calls_are_cancelled() {
        let calls = InFlight::default();
        let flags: [Arc<CallFlag>; 3] = std::array::from_fn(|_| Arc::default());
        let id = |context, handle| (ContextId::new(context), Handle::new(handle));
        for (flag, at) in flags.iter().zip([id(1, 1000), id(1, 1001), id(2, 1000)]) {
            calls.enter(at, flag, WEIGHT).unwrap();
        }
        calls.cancel(id(2, 1001));
        calls.cancel(id(1, 1001));
        assert_eq!(flags.each_ref().map(|flag| flag.is_cancelled()), [false, true, false]);
        calls.leave(id(2, 1000), &flags[2], WEIGHT);
        calls.cancel_all_of(&[ContextId::new(2)]);
        calls.cancel_all_of(&[ContextId::new(3), ContextId::new(1)]);
        assert_eq!(flags.each_ref().map(|flag| flag.is_cancelled()), [true, true, false]);
    }

    #[test]
    fn a_handle_used_twice_does_not_remove_the_other_call() {
        let calls = InFlight::default();
        let (first, second): (Arc<CallFlag>, Arc<CallFlag>) = Default::default();
        let id = (ContextId::new(1), Handle::new(1000));
        calls.enter(id, &first, WEIGHT).unwrap();
        calls.enter(id, &second, WEIGHT).unwrap();
        calls.leave(id, &first, WEIGHT);
        calls.cancel(id);
        assert!(second.is_cancelled());
    }
}
