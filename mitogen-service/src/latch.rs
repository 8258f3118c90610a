//! One value handed from one thread to another, or to a task.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::panics;
use crate::sync::{Condvar, Mutex};

/// A place for one value that somebody waits for. The first value stays, later ones are refused.
pub(crate) struct Latch<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    slot: Slot<T>,
    waker: Option<Waker>,
    /// Who waits is wanted for something else meanwhile.
    nudged: bool,
    /// Who waits can do something else meanwhile; otherwise it is not woken for that.
    helps: bool,
    /// Who waits shall look at something else, once.
    summoned: bool,
}

enum Slot<T> {
    Empty,
    Full(T),
    Taken,
}

impl<T> Latch<T> {
    /// A latch without a value.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State { slot: Slot::Empty, waker: None, nudged: false, helps: false, summoned: false }),
            filled: Condvar::new(),
        }
    }

    /// Puts the value and wakes who waits; tells whether this was the first one.
    pub(crate) fn put(&self, value: T) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.slot, Slot::Empty) {
            return false;
        }
        state.slot = Slot::Full(value);
        let waker = state.waker.take();
        drop(state);
        self.filled.notify_all();
        if let Some(waker) = waker {
            // A waker is a user's code.
            panics::contain(|| waker.wake());
        }
        true
    }

    /// Who waits, or shall wait, can do something else meanwhile, for which it is [nudged](Self::nudge).
    /// Until somebody says so nobody is woken for it, but it is remembered.
    pub(crate) fn offer_help(&self) {
        self.state.lock().helps = true;
    }

    /// Wakes who waits, or shall wait, to do something else meanwhile.
    pub(crate) fn nudge(&self) {
        let mut state = self.state.lock();
        if !matches!(state.slot, Slot::Empty) {
            return;
        }
        state.nudged = true;
        if !state.helps {
            return;
        }
        // It stays: whoever it belongs to may not look anew before the value is there.
        let waker = state.waker.clone();
        drop(state);
        self.filled.notify_all();
        if let Some(waker) = waker {
            panics::contain(|| waker.wake());
        }
    }

    /// Wakes who waits in [`wait_unless_called`](Self::wait_unless_called), or will do so next.
    pub(crate) fn summon(&self) {
        self.state.lock().summoned = true;
        self.filled.notify_all();
    }

    /// Takes the value, waiting for it until `deadline`, or for ever without one.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<T> {
        self.wait_and(deadline, None)
    }

    /// The same, and does `meanwhile` without the lock whenever somebody has [nudged](Self::nudge).
    pub(crate) fn wait_and(&self, deadline: Option<Instant>, mut meanwhile: Option<&mut dyn FnMut()>) -> Option<T> {
        let mut state = self.state.lock();
        state.helps |= meanwhile.is_some();
        loop {
            if let Some(value) = state.take() {
                return Some(value);
            }
            if let Some(meanwhile) = &mut meanwhile
                && std::mem::take(&mut state.nudged)
            {
                drop(state);
                meanwhile();
                state = self.state.lock();
                continue;
            }
            match deadline {
                None => self.filled.wait(&mut state),
                Some(deadline) => {
                    if self.filled.wait_until(&mut state, deadline).timed_out() {
                        return state.take();
                    }
                }
            }
        }
    }

    /// Takes the value if it is there.
    pub(crate) fn take(&self) -> Option<T> {
        self.state.lock().take()
    }

    /// Whether somebody has [nudged](Self::nudge) since this was asked last.
    pub(crate) fn take_nudge(&self) -> bool {
        std::mem::take(&mut self.state.lock().nudged)
    }

    /// Takes the value, waiting for it until `deadline`, and no longer than until somebody
    /// [summons](Self::summon) or [nudges](Self::nudge).
    pub(crate) fn wait_unless_called(&self, deadline: Option<Instant>) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(value) = state.take() {
                return Some(value);
            }
            if std::mem::take(&mut state.summoned) || state.is_wanted() {
                return None;
            }
            match deadline {
                None => self.filled.wait(&mut state),
                Some(deadline) => {
                    if self.filled.wait_until(&mut state, deadline).timed_out() {
                        return state.take();
                    }
                }
            }
        }
    }

    /// Whether whoever waits elsewhere for the value has something to do: the value is there, or
    /// somebody has [nudged](Self::nudge). If not, leaves word whom to wake.
    pub(crate) fn is_wanted_or_wakes(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.slot, Slot::Empty) || state.is_wanted() {
            return true;
        }
        // A task's waker that was left before is a user's, and is dropped without the lock.
        let previous = state.waker.replace(waker.clone());
        drop(state);
        drop(previous);
        false
    }

    /// Nobody is to be woken. Tells whether the value is there or was taken.
    pub(crate) fn forget_waker(&self) -> bool {
        let mut state = self.state.lock();
        let waker = state.waker.take();
        let is_full = !matches!(state.slot, Slot::Empty);
        drop(state);
        drop(waker);
        is_full
    }

    /// Takes the value, or leaves word whom to wake. The last waker left is the one that is woken.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<T> {
        // A waker is a user's code, so it is cloned and dropped without the lock.
        let waker = context.waker().clone();
        let mut state = self.state.lock();
        if let Some(value) = state.take() {
            drop(state);
            return Poll::Ready(value);
        }
        let previous = state.waker.replace(waker);
        drop(state);
        drop(previous);
        Poll::Pending
    }

    /// Whether the value is there to be taken, or was taken.
    pub(crate) fn is_full(&self) -> bool {
        !matches!(self.state.lock().slot, Slot::Empty)
    }

    /// Whether the value is there to be taken, or was taken; if not, leaves word whom to wake.
    pub(crate) fn is_full_or_wakes(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.state.lock();
        if !matches!(state.slot, Slot::Empty) {
            drop(state);
            return true;
        }
        let previous = state.waker.replace(waker);
        drop(state);
        drop(previous);
        false
    }
}

impl<T> State<T> {
    /// Whether who waits has something else to do that it can do.
    fn is_wanted(&self) -> bool {
        self.nudged && self.helps
    }

    fn take(&mut self) -> Option<T> {
        match self.slot {
            Slot::Full(_) => match std::mem::replace(&mut self.slot, Slot::Taken) {
                Slot::Full(value) => Some(value),
                Slot::Empty | Slot::Taken => None,
            },
            Slot::Empty | Slot::Taken => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_value_is_handed_over_once() {
        let latch = Latch::new();
        assert!(latch.put(1));
        assert!(!latch.put(2));
        assert_eq!(latch.wait(None), Some(1));
        assert!(!latch.put(3));
        assert_eq!(latch.wait(Some(Instant::now())), None);
    }

    #[test]
    fn a_waiting_thread_is_woken() {
        let latch = Arc::new(Latch::new());
        let waiting = std::thread::spawn({
            let latch = latch.clone();
            move || latch.wait(None)
        });
        latch.put("value");
        assert_eq!(waiting.join().unwrap(), Some("value"));
    }

    #[test]
    fn who_waits_is_woken_to_do_something_else_and_waits_on() {
        let latch = Latch::new();
        latch.nudge();
        let mut nudges = 0;
        let mut meanwhile = || {
            nudges += 1;
            if nudges < 3 { latch.nudge() } else { assert!(latch.put(7)) }
        };
        assert_eq!(latch.wait_and(None, Some(&mut meanwhile)), Some(7));
        assert_eq!(nudges, 3);
        latch.nudge();
        assert_eq!(
            latch.wait_and(Some(Instant::now()), Some(&mut || unreachable!())),
            None,
            "there is nothing to wait for"
        );
    }

    #[test]
    fn who_can_do_nothing_else_is_not_woken_for_it() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (latch, count) = (Latch::<u8>::new(), Arc::new(Count(AtomicUsize::new(0))));
        let waker = Waker::from(count.clone());
        assert!(!latch.is_wanted_or_wakes(&waker));
        latch.nudge();
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert!(!latch.is_wanted_or_wakes(&waker));
        latch.offer_help();
        assert!(latch.is_wanted_or_wakes(&waker), "it is remembered");
        latch.nudge();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_is_summoned_looks_up_once() {
        let latch = Latch::<u8>::new();
        latch.summon();
        assert_eq!(latch.wait_unless_called(None), None);
        assert_eq!(latch.wait_unless_called(Some(Instant::now())), None, "the time is over");
        latch.nudge();
        latch.offer_help();
        assert_eq!(latch.wait_unless_called(None), None);
        assert!(latch.take_nudge() && !latch.take_nudge());
        latch.put(7);
        assert_eq!(latch.wait_unless_called(None), Some(7));
    }

    #[test]
    fn a_timeout_leaves_the_latch_as_it_was() {
        let latch = Latch::new();
        assert_eq!(latch.wait(Some(Instant::now() + Duration::from_millis(1))), None::<u8>);
        latch.put(1);
        assert_eq!(latch.wait(Some(Instant::now())), Some(1));
    }
}
