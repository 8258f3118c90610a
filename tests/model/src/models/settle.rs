//! The end of a pool waits until the calls have been answered that somebody waits for.

use std::time::{Duration, Instant};

use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread::{self, JoinHandle};

use crate::service::in_flight::{CallFlag, CallId, InFlight};
use crate::service::load::{Limit, Weight};
use crate::sync::{has_no_time, time_is_over};
use crate::wire::{ContextId, Handle};

const CALLER: ContextId = ContextId(1);
const OTHER: ContextId = ContextId(2);
const LIMIT: Limit = Limit { calls: 100, bytes: 100 };

/// A call that has arrived.
#[derive(Clone)]
struct Call {
    calls: Arc<InFlight>,
    id: CallId,
    flag: std::sync::Arc<CallFlag>,
    /// Its answer has been sent.
    sent: Arc<AtomicBool>,
}

impl Call {
    fn arrive(calls: &Arc<InFlight>, caller: ContextId, handle: u32) -> Self {
        let (id, flag) = ((caller, Handle(handle)), std::sync::Arc::default());
        let call = Self { calls: calls.clone(), id, flag, sent: Arc::default() };
        calls.enter(id, &call.flag, (call.weight(), LIMIT)).expect("there is room");
        call
    }

    fn weight(&self) -> Weight {
        Weight { caller: self.id.0, service: 0, size: 1 }
    }

    /// Answers it on a thread of its own.
    fn answer(&self) -> JoinHandle<()> {
        let call = self.clone();
        thread::spawn(move || {
            call.calls.leave(call.id, &call.flag, (call.weight(), LIMIT));
            thread::yield_now();
            call.sent.store(true, Ordering::SeqCst);
            call.calls.answered();
        })
    }

    fn is_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Waits on a thread of its own, for all but the calls that wait for it; gives which of the others were
/// settled then: answered, or given up by their callers.
fn settling<const N: usize>(waited_for: [&Call; N], mine: &Call, hurries: bool) -> JoinHandle<[bool; N]> {
    let (waited_for, mine) = (waited_for.map(Call::clone), mine.clone());
    thread::spawn(move || {
        if hurries {
            has_no_time();
        }
        // Time passes only for those who have none.
        mine.calls.settle(Instant::now() + Duration::from_secs(3600), &[mine.id]);
        let settled = waited_for.each_ref().map(|call| call.is_sent() || call.flag.is_cancelled());
        assert!(settled.iter().all(|settled| *settled) || time_is_over());
        settled
    })
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Two calls are answered while two threads wait for that.
pub(super) fn answered() {
    let calls = Arc::new(InFlight::default());
    let [one, two, mine] = [1, 2, 3].map(|handle| Call::arrive(&calls, CALLER, handle));
    let settling = [(); 2].map(|()| settling([&one, &two], &mine, false));
    let answering = [one.answer(), two.answer()];
    for thread in settling {
        assert_eq!(thread.join().unwrap(), [true, true]);
    }
    join(answering);
    assert_eq!(calls.total().0, 1);
}

/// One is answered, the caller of one gives it up, and that of another is gone.
pub(super) fn given_up() {
    let calls = Arc::new(InFlight::default());
    let [one, two, mine] = [1, 2, 3].map(|handle| Call::arrive(&calls, CALLER, handle));
    let three = Call::arrive(&calls, OTHER, 1);
    let settling = settling([&one, &two, &three], &mine, false);
    let answering = one.answer();
    let (cancels, id) = (calls.clone(), two.id);
    let giving_up = thread::spawn(move || cancels.cancel(id));
    let goes = calls.clone();
    let going = thread::spawn(move || goes.cancel_all_of(&[OTHER]));
    assert_eq!(settling.join().unwrap(), [true; 3]);
    join([answering, giving_up, going]);
}

/// A caller gives up while somebody wants to be told of that.
pub(super) fn told() {
    let calls = Arc::new(InFlight::default());
    let call = Call::arrive(&calls, CALLER, 1);
    let (cancels, id) = (calls.clone(), call.id);
    let giving_up = thread::spawn(move || cancels.cancel(id));
    let told = Arc::new(AtomicBool::new(false));
    let tell = told.clone();
    call.flag.on_cancel(move || tell.store(true, Ordering::SeqCst));
    join([giving_up]);
    assert!(told.load(Ordering::SeqCst));
}

/// A thread that has no time for that leaves, and another one goes on waiting.
pub(super) fn no_time() {
    let calls = Arc::new(InFlight::default());
    let [one, two, mine] = [1, 2, 3].map(|handle| Call::arrive(&calls, CALLER, handle));
    let (hurried, patient) = (settling([&one, &two], &mine, true), settling([&one, &two], &mine, false));
    let first = one.answer();
    hurried.join().unwrap();
    let second = two.answer();
    assert_eq!(patient.join().unwrap(), [true, true]);
    join([first, second]);
}
