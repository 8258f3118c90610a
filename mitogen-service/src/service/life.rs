//! How far the life of a service has come: it starts before its first call, and is told of the end once.
//!
//! | phase | who changes it |
//! | --- | --- |
//! | `New` | whoever starts it first, to `Starting` |
//! | `Starting` | the same thread, to `Started`, or back to `New` if it did not start |
//! | `Started` | whoever tells of the end first, to `Ending` |
//! | `Ending` | the same thread, to `Over` |
//!
//! Whoever comes second waits until the first one is done: a service that is there under two names has
//! started under both, and nobody goes on and ends the process while a service still says farewell. A
//! thread never waits for itself, which a hook that closes its own pool would have it do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::sync::{Condvar, Mutex, MutexGuard, ThreadId, this_thread};

/// The life of one service.
#[derive(Default)]
pub(crate) struct Life {
    phase: Mutex<Phase>,
    changed: Condvar,
    /// It has been told of the end, or is being told; for those who only look.
    is_over: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    New,
    Starting(ThreadId),
    Started,
    Ending(ThreadId),
    Over,
}

/// What somebody has to do who wants something to have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// To do it.
    Do,
    /// Nothing: it has been done.
    Done,
    /// To wait for another thread that does it.
    Wait,
    /// To leave it: it comes too late, or this very thread is at it.
    Leave,
}

/// Why a service has not started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotStarted<E> {
    /// It says so itself.
    Failed(E),
    /// It has been told of the end already, or its own start asks for it to be started.
    TooLate,
}

impl Phase {
    /// What a thread has to do that wants the service to be started.
    fn start(self, me: ThreadId) -> Step {
        match self {
            Self::New => Step::Do,
            Self::Started => Step::Done,
            Self::Starting(other) if other != me => Step::Wait,
            Self::Starting(_) | Self::Ending(_) | Self::Over => Step::Leave,
        }
    }

    /// What a thread has to do that wants the service to be told of the end.
    fn end(self, me: ThreadId) -> Step {
        match self {
            Self::Started => Step::Do,
            Self::Over | Self::New => Step::Done,
            Self::Starting(other) | Self::Ending(other) if other != me => Step::Wait,
            Self::Starting(_) | Self::Ending(_) => Step::Leave,
        }
    }
}

impl Life {
    /// Sees to it that the service has started. `start` is called without a lock, must not unwind, and is
    /// called again by the next one if it fails.
    pub(crate) fn start<E>(&self, start: impl FnOnce() -> Result<(), E>) -> Result<(), NotStarted<E>> {
        let me = this_thread();
        let mut phase = self.phase.lock();
        loop {
            match phase.start(me) {
                Step::Do => break,
                Step::Done => return Ok(()),
                Step::Leave => return Err(NotStarted::TooLate),
                Step::Wait => self.changed.wait(&mut phase),
            }
        }
        *phase = Phase::Starting(me);
        drop(phase);
        let started = start();
        self.enter(if started.is_ok() { Phase::Started } else { Phase::New });
        started.map_err(NotStarted::Failed)
    }

    /// Sees to it that the service has been told of the end. `tell` is called without a lock, and must not
    /// unwind. If another thread tells it, waits for that until `deadline`; gives whether it is done.
    pub(crate) fn end(&self, deadline: Instant, tell: impl FnOnce()) -> bool {
        let me = this_thread();
        let mut phase = self.phase.lock();
        loop {
            match phase.end(me) {
                Step::Do => break,
                Step::Done => return true,
                Step::Leave => return false,
                Step::Wait => {
                    if self.changed.wait_until(&mut phase, deadline).timed_out() {
                        return phase.end(me) == Step::Done;
                    }
                }
            }
        }
        *phase = Phase::Ending(me);
        self.is_over.store(true, Ordering::SeqCst);
        drop(phase);
        tell();
        self.enter(Phase::Over);
        true
    }

    /// Whether the service has been told of the end, or is being told: nothing new begins in it.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Whether nobody has to wait any more until it has been told, or this very thread is telling it.
    pub(crate) fn needs_no_farewell(&self) -> bool {
        matches!(self.phase().end(this_thread()), Step::Done | Step::Leave)
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock()
    }

    fn enter(&self, phase: Phase) {
        *self.phase() = phase;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn each_phase_has_one_answer_to_those_who_start_and_to_those_who_end() {
        let me = this_thread();
        let other = thread::spawn(this_thread).join().unwrap();
        let table = [
            (Phase::New, Step::Do, Step::Done),
            (Phase::Starting(other), Step::Wait, Step::Wait),
            (Phase::Starting(me), Step::Leave, Step::Leave),
            (Phase::Started, Step::Done, Step::Do),
            (Phase::Ending(other), Step::Leave, Step::Wait),
            (Phase::Ending(me), Step::Leave, Step::Leave),
            (Phase::Over, Step::Leave, Step::Done),
        ];
        for (phase, start, end) in table {
            assert_eq!((phase.start(me), phase.end(me)), (start, end), "{phase:?}");
        }
    }

    #[test]
    fn it_starts_once_and_again_after_a_failure() {
        let life = Life::default();
        assert_eq!(life.start(|| Err("not yet")), Err(NotStarted::Failed("not yet")));
        assert_eq!(life.start(|| Ok::<_, ()>(())), Ok(()));
        assert_eq!(life.start(|| Err("once more")), Ok(()), "it is not asked again");
        assert!(life.end(soon(), || {}));
        assert_eq!(life.start(|| Ok::<_, ()>(())), Err(NotStarted::TooLate));
    }

    #[test]
    fn what_has_never_started_is_not_told_of_the_end() {
        let life = Life::default();
        assert!(life.end(soon(), || panic!("it has not started")));
        assert!(!life.is_over());
    }

    #[test]
    fn who_comes_second_waits_until_the_first_has_said_farewell() {
        let life = Life::default();
        life.start(|| Ok::<_, ()>(())).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let life = &life;
        thread::scope(|scope| {
            scope.spawn(move || {
                life.end(soon(), || {
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                });
            });
            has_begun.recv().unwrap();
            assert!(life.is_over() && !life.needs_no_farewell());
            assert!(!life.end(Instant::now(), || panic!("twice")), "it waits no longer than it may");
            let second = scope.spawn(|| life.end(soon(), || panic!("twice")));
            go.send(()).unwrap();
            assert!(second.join().unwrap());
        });
        assert!(life.needs_no_farewell());
    }

    #[test]
    fn a_farewell_does_not_wait_for_itself() {
        let life = Life::default();
        life.start(|| Ok::<_, ()>(())).unwrap();
        let mut inner = None;
        life.end(soon(), || inner = Some((life.needs_no_farewell(), life.end(soon(), || panic!("twice")))));
        assert_eq!(inner, Some((true, false)));
    }
}
