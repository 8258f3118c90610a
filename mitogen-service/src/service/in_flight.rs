//! The calls that have arrived and are not answered, so that they can be cancelled and bounded.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Instant;

use super::by_caller::ByCaller;
use super::descriptor::{MethodDescriptor, ServiceDescriptor};
use super::load::{Full, Limit, Load, ServiceKey, Weight};
use crate::hash::SmallState;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
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
    /// Whom to tell that the caller has given up.
    told: OnceLock<Told>,
}

struct Told(Box<dyn Fn() + Send + Sync>);

/// A call, as its caller names it: where the answer goes.
pub(crate) type CallId = (ContextId, Handle);

/// The calls that are not answered.
#[derive(Default)]
pub(crate) struct InFlight {
    state: Mutex<State>,
    keys: SmallState,
    /// How many have left and may still be sending their answers.
    answering: AtomicUsize,
    /// How many wait by [`settle`](Self::settle); nobody but them needs to be woken.
    settling: AtomicUsize,
    /// Signalled to them when a call has been answered, or its caller is gone.
    settled: Condvar,
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

    /// Nobody waits for the answer any more. Calls whoever wants to know, so no lock may be held.
    fn cancel(&self) {
        // Of this and `on_cancel`, the one whose turn with the flag comes second sees what the other one has done.
        self.cancelled.swap(true, Ordering::SeqCst);
        if let Some(Told(told)) = self.told.get() {
            told();
        }
    }

    /// Calls this when the caller says that it does not wait any more, or is gone; at once if it has. That may be on
    /// the thread that reads, and more than once. Nobody tells when a deadline is over. For one alone of each call.
    pub(crate) fn on_cancel(&self, told: impl Fn() + Send + Sync + 'static) {
        let is_first = self.told.set(Told(Box::new(told))).is_ok();
        debug_assert!(is_first, "somebody else is told of this call already");
        if self.cancelled.fetch_or(false, Ordering::SeqCst)
            && let Some(Told(told)) = self.told.get()
        {
            told();
        }
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst) || self.is_late()
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

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
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

    /// The call is about to be answered: it counts no more, so that its caller may make another one as
    /// soon as it has the answer. A caller that uses a handle twice loses only its own means to cancel.
    ///
    /// [`answered`](Self::answered) is to follow when the answer has been sent.
    pub(crate) fn leave(&self, id: CallId, flag: &Arc<CallFlag>, (weight, limit): (Weight, Limit)) {
        let mut state = self.state.lock();
        state.load.leave(weight, limit);
        if state.calls.get(&id).is_some_and(|entered| Arc::ptr_eq(entered, flag)) {
            state.calls.remove(&id);
        }
        self.answering.fetch_add(1, Ordering::SeqCst);
    }

    /// The answer of a call that has left was sent.
    pub(crate) fn answered(&self) {
        self.answering.fetch_sub(1, Ordering::SeqCst);
        self.news();
    }

    /// The caller does not wait for this call any more.
    pub(crate) fn cancel(&self, id: CallId) {
        let flag = self.state.lock().calls.get(&id).cloned();
        if let Some(flag) = flag {
            flag.cancel();
        }
        self.news();
    }

    /// These callers are gone, and do not wait for any of their calls.
    pub(crate) fn cancel_all_of(&self, callers: &[ContextId]) {
        let flags: Vec<_> = {
            let state = self.state.lock();
            callers.iter().flat_map(|caller| state.calls.of(*caller).cloned()).collect()
        };
        flags.iter().for_each(|flag| flag.cancel());
        self.news();
    }

    /// Waits until the answers of all calls have been sent for which somebody waits, but for those of
    /// `mine`, which wait for the calling thread. Until `deadline` at most.
    pub(crate) fn settle(&self, deadline: Instant, mine: &[CallId]) {
        // Before the look at what there is: who changes it from now on looks at this afterwards.
        self.settling.fetch_add(1, Ordering::SeqCst);
        let mut state = self.state.lock();
        loop {
            let waiting = |(id, flag): &(CallId, &Arc<CallFlag>)| !mine.contains(id) && !flag.is_cancelled();
            let mut left = state.calls.iter().filter(waiting).peekable();
            if left.peek().is_none() && self.answering.load(Ordering::SeqCst) == 0 {
                break;
            }
            // Nobody tells when the time of a caller is over.
            let late = left.filter_map(|(_, flag)| flag.deadline()).min();
            let until = late.map_or(deadline, |late| late.min(deadline));
            if self.settled.wait_until(&mut state, until).timed_out() && until == deadline {
                break;
            }
        }
        drop(state);
        self.settling.fetch_sub(1, Ordering::SeqCst);
    }

    fn news(&self) {
        if self.settling.load(Ordering::SeqCst) > 0 {
            // The lock orders this after the look of those who wait, and before their sleep.
            drop(self.state.lock());
            self.settled.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
    fn whoever_wants_to_know_is_told_that_the_caller_does_not_wait_any_more() {
        let calls = InFlight::default();
        let flags: [Arc<CallFlag>; 2] = std::array::from_fn(|_| Arc::default());
        let told: [Arc<AtomicUsize>; 2] = std::array::from_fn(|_| Arc::default());
        let count = |told: &Arc<AtomicUsize>| {
            let told = told.clone();
            move || {
                told.fetch_add(1, Ordering::SeqCst);
            }
        };
        let id = |handle| (ContextId::new(1), Handle::new(handle));
        for (flag, at) in flags.iter().zip([id(1000), id(1001)]) {
            calls.enter(at, flag, WEIGHT).unwrap();
        }
        flags[0].on_cancel(count(&told[0]));
        assert_eq!(told[0].load(Ordering::SeqCst), 0);
        calls.cancel_all_of(&[ContextId::new(1)]);
        assert_eq!(told[0].load(Ordering::SeqCst), 1);
        flags[1].on_cancel(count(&told[1]));
        assert_eq!(told[1].load(Ordering::SeqCst), 1, "it is so already");
    }

    /// Lets a thread wait until all is settled, and gives how that begins: with the thread having looked.
    fn settles(calls: &Arc<InFlight>, mine: &'static [CallId]) -> std::thread::JoinHandle<()> {
        let waiting = calls.clone();
        let thread = std::thread::spawn(move || waiting.settle(Instant::now() + Duration::from_secs(20), mine));
        // Where nothing is waited for, or not for long, it may be over before this thread sees it begin.
        while calls.settling.load(Ordering::SeqCst) == 0 && !thread.is_finished() {
            std::thread::yield_now();
        }
        thread
    }

    #[test]
    fn the_end_waits_until_answers_have_been_sent_and_not_just_begun() {
        let calls = Arc::new(InFlight::default());
        let flags: [Arc<CallFlag>; 2] = std::array::from_fn(|_| Arc::default());
        let id = |handle| (ContextId::new(1), Handle::new(handle));
        for (flag, at) in flags.iter().zip([id(1000), id(1001)]) {
            calls.enter(at, flag, WEIGHT).unwrap();
        }
        let settled = settles(&calls, &[]);
        calls.leave(id(1000), &flags[0], WEIGHT);
        calls.cancel(id(1001));
        let soon = Instant::now() + Duration::from_millis(5);
        calls.settle(soon, &[]);
        assert!(Instant::now() >= soon && !settled.is_finished(), "one is cancelled, and one is being answered");
        calls.answered();
        settled.join().unwrap();
    }

    #[test]
    fn the_end_does_not_wait_for_calls_that_wait_for_it_or_whose_time_is_over() {
        const MINE: [CallId; 1] = [(ContextId::ROOT, Handle::FIRST_DYNAMIC)];
        let calls = Arc::new(InFlight::default());
        calls.enter(MINE[0], &Arc::default(), WEIGHT).unwrap();
        calls.enter((ContextId::ROOT, Handle::NONE), &Arc::default(), WEIGHT).unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        calls.enter((ContextId::new(1), Handle::new(1000)), &Arc::new(CallFlag::new(Some(soon))), WEIGHT).unwrap();
        settles(&calls, &MINE).join().unwrap();
        assert!(Instant::now() >= soon);
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
