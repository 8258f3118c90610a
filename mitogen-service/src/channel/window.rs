//! How much may be under way between a sender and its receiver: the two ends of one window.
//!
//! Both ends count the same messages by the same rule, so that neither has to trust the other one: what
//! the sender has spent and was not given back is what the receiver holds and has not given back yet.
//! Plain numbers, without locks and without knowing what is sent.

/// What a small message costs beside its payload, so that empty ones are bounded as well.
const OVERHEAD: u64 = 64;

/// From this length on that makes no difference, and as many messages fit into a window as one expects.
const LARGE: u64 = 4096;

/// What a message with so many bytes of payload costs.
pub(super) fn cost(payload: usize) -> u64 {
    let payload = u64::try_from(payload).unwrap_or(u64::MAX);
    if payload < LARGE { payload + OVERHEAD } else { payload }
}

/// From this size on a message is a reason to use the link for bulk. Smaller ones are faster over the
/// other one, unless they are so many that their sender has to wait for credit.
pub(super) const BULK_FROM: usize = 16 * 1024;

/// Of how much the receiver may have taken all without giving it back, if more can come.
fn half(window: u64) -> u64 {
    window / 2
}

/// A message that costs more than half a window is asked for that alone: less may be outstanding for ever, since
/// the receiver does not give it back. And every bound of bytes admits one item when nothing else is there.
fn fits(window: u64, outstanding: u64, cost: u64) -> bool {
    outstanding == 0 || outstanding.saturating_add(cost.min(half(window))) <= window
}

/// The sender's end.
#[derive(Debug)]
pub(super) struct Spending {
    window: u64,
    /// What was sent and not given back.
    outstanding: u64,
}

impl Spending {
    /// A window of so many bytes, of which nothing is used.
    pub(super) fn new(window: u64) -> Self {
        Self { window, outstanding: 0 }
    }

    /// Takes what a message costs; `false` if it has to wait.
    pub(super) fn spend(&mut self, cost: u64) -> bool {
        let fits = fits(self.window, self.outstanding, cost);
        if fits {
            self.outstanding = self.outstanding.saturating_add(cost);
        }
        fits
    }

    /// Whether that would go well.
    pub(super) fn has(&self, cost: u64) -> bool {
        fits(self.window, self.outstanding, cost)
    }

    /// Whether everything was given back.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    /// The receiver gives back, or a message was not sent after all. `false` if that is more than was
    /// taken, which nobody who counts right gives.
    #[must_use]
    pub(super) fn give_back(&mut self, bytes: u64) -> bool {
        let left = self.outstanding.checked_sub(bytes);
        self.outstanding = left.unwrap_or(self.outstanding);
        left.is_some()
    }
}

/// The receiver's end.
#[derive(Debug)]
pub(super) struct Granting {
    window: u64,
    /// What has arrived and was not given back.
    outstanding: u64,
    /// The part of it that was consumed. Invariant: `owed <= outstanding`.
    owed: u64,
}

impl Granting {
    /// The same window at this end.
    pub(super) fn new(window: u64) -> Self {
        Self { window, outstanding: 0, owed: 0 }
    }

    /// A message has arrived; `false` if its sender had no right to send it.
    pub(super) fn arrive(&mut self, cost: u64) -> bool {
        let fits = fits(self.window, self.outstanding, cost);
        if fits {
            self.outstanding = self.outstanding.saturating_add(cost);
        }
        fits
    }

    /// A message was consumed; gives what is to be given back now, 0 for nothing.
    ///
    /// Half a window at a time, so that few messages go back and the sender need not stop, whose next message
    /// fits then whatever it costs. And all of it when nothing is left, unless more of the kind `flows`: a
    /// receiver that keeps up would give back each of many large messages by itself.
    pub(super) fn consume(&mut self, cost: u64, flows: bool) -> u64 {
        self.owed = self.owed.saturating_add(cost).min(self.outstanding);
        let is_due = self.owed >= half(self.window) || (!flows && self.is_drained());
        if is_due { self.settle() } else { 0 }
    }

    /// Gives all back that was consumed; 0 for nothing.
    pub(super) fn settle(&mut self) -> u64 {
        self.outstanding -= self.owed;
        std::mem::take(&mut self.owed)
    }

    /// What has arrived and was not consumed.
    pub(super) fn queued(&self) -> u64 {
        self.outstanding - self.owed
    }

    /// Whether everything that has arrived was consumed.
    pub(super) fn is_drained(&self) -> bool {
        self.owed == self.outstanding
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const WINDOW: u64 = 1024 * 1024;

    #[test]
    fn one_message_of_any_size_is_admitted_when_nothing_else_is_there() {
        let (mut spending, mut granting) = (Spending::new(WINDOW), Granting::new(WINDOW));
        for cost in [cost(usize::MAX), cost(0)] {
            assert!(spending.spend(cost) && granting.arrive(cost));
            assert!(!spending.spend(1) || cost < WINDOW);
            assert!(spending.give_back(granting.consume(cost, true)) || cost < WINDOW);
            spending = Spending::new(WINDOW);
        }
    }

    #[test]
    fn nobody_gives_back_more_than_was_taken() {
        let mut spending = Spending::new(WINDOW);
        assert!(spending.spend(100) && !spending.give_back(101) && spending.give_back(100));
        assert!(!spending.give_back(1));
    }

    #[test]
    fn credit_goes_back_by_half_windows_or_when_nothing_is_left_and_nothing_flows() {
        let mut granting = Granting::new(WINDOW);
        let cost = WINDOW / 4;
        assert!((0..4).all(|_| granting.arrive(cost)) && !granting.arrive(1));
        let given: Vec<_> = (0..4).map(|_| granting.consume(cost, true)).collect();
        assert_eq!(given, [0, WINDOW / 2, 0, WINDOW / 2]);
        assert!((0..2).all(|_| granting.arrive(1)));
        assert_eq!([granting.consume(1, true), granting.consume(1, false)], [0, 2]);
        assert!(granting.arrive(1));
        assert_eq!([granting.consume(1, true), granting.settle(), granting.settle()], [0, 1, 0]);
    }

    #[test]
    fn a_message_over_half_a_window_does_not_wait_for_what_is_not_given_back() {
        let (mut spending, mut granting) = (Spending::new(WINDOW), Granting::new(WINDOW));
        let little = WINDOW / 2 - 1;
        assert!(spending.spend(little) && granting.arrive(little) && granting.consume(little, true) == 0);
        assert!(spending.spend(5 * WINDOW) && granting.arrive(5 * WINDOW));
        assert!(!spending.spend(1) && !granting.arrive(1));
        assert!(spending.give_back(granting.consume(5 * WINDOW, true)) && spending.is_idle());
    }

    proptest! {
        /// Whatever is sent, arrives, is consumed and comes back, and however late: nothing is lost
        /// or counted twice, the receiver never finds fault with an honest sender, a sender may send
        /// anything once everything was consumed, and has everything back when it is the last.
        #[test]
        fn credit_is_neither_lost_nor_doubled(
            window in prop_oneof![Just(0), 0..1000_u64, Just(WINDOW), Just(u64::MAX)],
            steps in prop::collection::vec((0..4_u8, prop_oneof![0..1000_u64, 0..WINDOW * 2]), 1..300),
        ) {
            let (mut spending, mut granting) = (Spending::new(window), Granting::new(window));
            let (mut wire, mut queue, mut back) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
            let mut consumed = 0;
            for (step, size) in steps {
                match step {
                    0 => {
                        let before = spending.outstanding;
                        let may = before == 0 || before + (size + OVERHEAD).min(window / 2) <= window;
                        prop_assert_eq!(spending.spend(size + OVERHEAD), may);
                        if may {
                            wire.push_back(size + OVERHEAD);
                        }
                    }
                    1 => if let Some(cost) = wire.pop_front() {
                        prop_assert!(granting.arrive(cost));
                        queue.push_back(cost);
                    },
                    2 => if let Some(cost) = queue.pop_front() {
                        let given = granting.consume(cost, true);
                        consumed = if given > 0 { 0 } else { consumed + cost };
                        prop_assert!(consumed < (window / 2).max(1), "no more than half a window is kept back");
                        if given > 0 {
                            back.push_back(given);
                        }
                    },
                    _ => if let Some(given) = back.pop_front() {
                        prop_assert!(spending.give_back(given));
                    },
                }
                let under_way: u64 = wire.iter().sum::<u64>() + queue.iter().sum::<u64>() + back.iter().sum::<u64>();
                prop_assert_eq!(spending.outstanding, under_way + granting.owed);
            }
            for cost in wire {
                prop_assert!(granting.arrive(cost));
                queue.push_back(cost);
            }
            for cost in queue {
                back.push_back(granting.consume(cost, true));
            }
            prop_assert!(back.into_iter().all(|given| spending.give_back(given)));
            prop_assert!(spending.has(1) && spending.has(u64::MAX));
            prop_assert!(spending.give_back(granting.settle()));
            prop_assert_eq!(spending.outstanding, 0);
        }
    }
}
