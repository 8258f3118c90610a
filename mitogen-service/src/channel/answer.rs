//! Waiting for an answer, and reading it.
//!
//! Whoever waits for an answer takes the read role of the stream that brings it if that is free, waits for
//! the role otherwise, and completes the calls of others as well while it reads. It looks up whenever it is
//! [nudged](Latch::nudge), to do what the answer needs.
//!
//! Whoever reads nothing but what is for others for a while *steps back*: it gives the role away and waits
//! for its answer without reading. A quick call would otherwise be answered by way of the thread of a slow
//! one, which has to be woken for it, for as long as the slow one lasts.

use std::task::Waker;
use std::time::{Duration, Instant};

use crate::io::Reading;
use crate::latch::Latch;

/// How long a caller reads what is for others, counted from the first time on.
const FOR_OTHERS: Duration = Duration::from_millis(1);

/// The stream that an answer comes over, as the one sees it who waits for the answer.
pub(super) trait Link {
    /// Whether the time is over.
    fn is_over(&self) -> bool;

    /// Asks for the read role.
    fn join(&self) -> Reading;

    /// Wants it no more; `false` if it is the caller's own already, or there is none any more.
    fn quit(&self) -> bool;

    /// Whether there is none any more.
    fn is_ended(&self) -> bool;

    /// Reads until `is_done`; `false` if that cannot be done here any more.
    fn read_until(&self, deadline: Option<Instant>, is_done: impl FnMut(Option<&Waker>) -> bool) -> bool;

    /// Gives the role back.
    fn leave_reading(&self);

    /// Lets others read.
    fn attend(&self);

    /// What time it is.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Waits for the value until `deadline`, and does `meanwhile` whenever somebody has nudged.
pub(super) fn read_and_wait<T>(
    latch: &Latch<T>,
    link: &impl Link,
    deadline: Option<Instant>,
    mut meanwhile: Option<&mut dyn FnMut()>,
) -> Option<T> {
    if meanwhile.is_some() {
        latch.offer_help();
    }
    loop {
        if let Some(value) = latch.take() {
            return Some(value);
        }
        if latch.take_nudge()
            && let Some(meanwhile) = &mut meanwhile
        {
            meanwhile();
            continue;
        }
        if link.is_over() {
            return None;
        }
        let is_reader = match link.join() {
            Reading::Own => true,
            Reading::Others => {
                let value = latch.wait_unless_called(deadline);
                // If it does not wait in the queue any more the role has been handed over to it.
                let is_reader = !link.quit() && !link.is_ended();
                if value.is_some() {
                    if is_reader {
                        link.leave_reading();
                    }
                    return value;
                }
                is_reader
            }
            Reading::Nobody => return latch.wait_and(deadline, meanwhile),
        };
        if is_reader && !read(latch, link, deadline) {
            if let Some(value) = latch.take() {
                return Some(value);
            }
            link.attend();
            return latch.wait_and(deadline, meanwhile);
        }
    }
}

/// Reads until there is something to look at; `false` if others shall do so from now on.
fn read<T>(latch: &Latch<T>, link: &impl Link, deadline: Option<Instant>) -> bool {
    // Set as soon as something was read that was for others: it is asked again whether it is done.
    let (mut has_waited, mut reads_since, mut steps_back) = (false, None, false);
    let goes_on = link.read_until(deadline, |waker| match waker {
        Some(waker) => {
            if has_waited {
                let now = link.now();
                steps_back = now.duration_since(*reads_since.get_or_insert(now)) >= FOR_OTHERS;
            }
            has_waited = true;
            steps_back || latch.is_wanted_or_wakes(waker)
        }
        None => latch.forget_waker(),
    });
    link.leave_reading();
    goes_on && !steps_back
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A stream of which somebody else has the role, until the time of the caller is over.
    struct Others<'a> {
        latch: &'a Latch<u8>,
        /// What comes in the very moment in which the caller gives up.
        comes: fn(&Latch<u8>),
        is_own: Cell<bool>,
        told: RefCell<Vec<&'static str>>,
    }

    impl Others<'_> {
        fn tell(&self, what: &'static str) {
            self.told.borrow_mut().push(what);
        }
    }

    impl Link for Others<'_> {
        fn is_over(&self) -> bool {
            self.is_own.get()
        }

        fn join(&self) -> Reading {
            self.tell("join");
            Reading::Others
        }

        fn quit(&self) -> bool {
            self.tell("quit");
            // It was handed over just now.
            self.is_own.set(true);
            (self.comes)(self.latch);
            false
        }

        fn is_ended(&self) -> bool {
            false
        }

        fn read_until(&self, _: Option<Instant>, mut is_done: impl FnMut(Option<&Waker>) -> bool) -> bool {
            self.tell("read");
            is_done(Some(Waker::noop()));
            is_done(None);
            true
        }

        fn leave_reading(&self) {
            self.tell("leave");
        }

        fn attend(&self) {
            self.tell("attend");
        }
    }

    fn wait(comes_before: Option<u8>, comes: fn(&Latch<u8>)) -> (Option<u8>, Vec<&'static str>) {
        let latch = Latch::new();
        let link = Others { latch: &latch, comes, is_own: Cell::new(false), told: RefCell::default() };
        if let Some(value) = comes_before {
            latch.put(value);
        } else {
            latch.summon();
        }
        let value = read_and_wait(&latch, &link, Some(Instant::now() + Duration::from_secs(60)), None);
        (value, link.told.into_inner())
    }

    /// A stream that brings one answer to others after the other, and this caller's own at last.
    struct Busy<'a> {
        latch: &'a Latch<u8>,
        brings: u32,
        /// The caller's own comes together with this one, if with any.
        own_with: Option<u32>,
        each_takes: Duration,
        began: Instant,
        time: Cell<Duration>,
        told: RefCell<Vec<&'static str>>,
    }

    impl Link for Busy<'_> {
        fn is_over(&self) -> bool {
            false
        }

        fn join(&self) -> Reading {
            Reading::Own
        }

        fn quit(&self) -> bool {
            unreachable!("it has the role")
        }

        fn is_ended(&self) -> bool {
            false
        }

        fn read_until(&self, _: Option<Instant>, mut is_done: impl FnMut(Option<&Waker>) -> bool) -> bool {
            for number in 0..self.brings {
                if self.own_with == Some(number) {
                    self.latch.put(6);
                }
                if is_done(Some(Waker::noop())) {
                    return true;
                }
                is_done(None);
                self.time.set(self.time.get() + self.each_takes);
            }
            self.latch.put(7);
            is_done(Some(Waker::noop()))
        }

        fn leave_reading(&self) {
            self.told.borrow_mut().push("leave");
        }

        fn attend(&self) {
            self.told.borrow_mut().push("attend");
            self.latch.put(8);
        }

        fn now(&self) -> Instant {
            self.began + self.time.get()
        }
    }

    fn busy(brings: u32, own_with: Option<u32>, each_takes: Duration) -> (Option<u8>, Vec<&'static str>) {
        let latch = Latch::new();
        let (began, time, told) = (Instant::now(), Cell::default(), RefCell::default());
        let link = Busy { latch: &latch, brings, own_with, each_takes, began, time, told };
        (read_and_wait(&latch, &link, None, None), link.told.into_inner())
    }

    #[test]
    fn a_caller_that_reads_for_others_only_steps_back() {
        assert_eq!(busy(100, None, FOR_OTHERS / 10), (Some(8), vec!["leave", "attend"]));
    }

    #[test]
    fn a_caller_reads_for_others_for_a_while() {
        assert_eq!(busy(10, None, FOR_OTHERS / 10), (Some(7), vec!["leave"]));
        assert_eq!(busy(1, None, FOR_OTHERS * 100), (Some(7), vec!["leave"]), "nothing came for others");
    }

    #[test]
    fn a_caller_that_has_its_answer_when_it_steps_back_asks_nobody_to_read() {
        assert_eq!(busy(100, Some(11), FOR_OTHERS / 10), (Some(6), vec!["leave"]));
    }

    #[test]
    fn a_caller_that_is_handed_the_role_when_its_time_is_over_gives_it_on() {
        assert_eq!(wait(None, |_| ()), (None, vec!["join", "quit", "read", "leave"]));
    }

    #[test]
    fn a_caller_that_is_handed_the_role_together_with_its_answer_gives_it_on() {
        let comes = |latch: &Latch<u8>| assert!(latch.put(7));
        assert_eq!(wait(None, comes), (Some(7), vec!["join", "quit", "read", "leave"]));
    }

    #[test]
    fn a_caller_that_has_its_answer_asks_for_nothing() {
        assert_eq!(wait(Some(7), |_| ()), (Some(7), vec![]));
    }
}
