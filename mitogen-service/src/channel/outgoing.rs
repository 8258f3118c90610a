//! What a context knows of a receiver that it sends to, without locks and threads.

use super::window::Spending;
use crate::error::CallError;

/// The sender's side of one claim.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    spending: Spending,
    /// The claim is on its way, and data may follow it.
    claimed: bool,
    /// The messages that have their credit and are not handed to the router yet.
    sending: usize,
    /// Why nothing more may be sent.
    closed: Option<CallError>,
    /// The receiver needs not be told any more that this end has closed.
    told: bool,
}

/// Whether a message may be sent.
#[derive(Debug, PartialEq)]
pub(super) enum Begin {
    /// Yes, and [`Outgoing::finish`] must follow.
    Go,
    /// Not yet.
    Wait,
    /// Never.
    Closed(CallError),
}

impl Outgoing {
    /// The claim has been sent: whatever follows arrives behind it. Tells whether the receiver is to
    /// be told of the end at once, which somebody has caused meanwhile.
    #[must_use]
    pub(super) fn claimed(&mut self) -> bool {
        self.claimed = true;
        self.farewell()
    }

    /// Asks for the credit of a message.
    pub(super) fn begin(&mut self, cost: u64) -> Begin {
        if let Some(why) = &self.closed {
            return Begin::Closed(why.clone());
        }
        if !self.claimed || !self.spending.spend(cost) {
            return Begin::Wait;
        }
        self.sending += 1;
        Begin::Go
    }

    /// The message was handed to the router; or was not, and its credit is free. Tells whether the
    /// receiver is to be told of the end, which had to wait for this message.
    #[must_use]
    pub(super) fn finish(&mut self, sent: bool, cost: u64) -> bool {
        self.sending -= 1;
        if !sent {
            // It was taken before, so there is as much.
            let _ = self.spending.give_back(cost);
        }
        self.farewell()
    }

    /// The receiver gives credit back; `false` if it is more than it was given.
    #[must_use]
    pub(super) fn grant(&mut self, bytes: u64) -> bool {
        self.spending.give_back(bytes)
    }

    /// This end closes. Tells whether the receiver is to be told now: not before what is being sent
    /// has left, since it would be taken for something that comes after the end.
    #[must_use]
    pub(super) fn close(&mut self, why: CallError) -> bool {
        self.closed.get_or_insert(why);
        self.farewell()
    }

    /// The receiver takes no more, or is gone.
    pub(super) fn closed_by_receiver(&mut self, why: CallError) {
        self.closed.get_or_insert(why);
        self.told = true;
    }

    /// Why nothing more can be sent.
    pub(super) fn closed_reason(&self) -> Option<&CallError> {
        self.closed.as_ref()
    }

    fn farewell(&mut self) -> bool {
        let due = self.claimed && self.closed.is_some() && self.sending == 0 && !self.told;
        self.told |= due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::window::WINDOW;

    fn why(text: &str) -> CallError {
        CallError::failed(text)
    }

    #[test]
    fn nothing_goes_in_front_of_the_claim() {
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.begin(1), Begin::Wait);
        assert!(!outgoing.claimed());
        assert_eq!(outgoing.begin(1), Begin::Go);
    }

    #[test]
    fn the_end_is_said_once_and_behind_everything() {
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.claimed());
        assert_eq!((outgoing.begin(1), outgoing.begin(1)), (Begin::Go, Begin::Go));
        assert!(!outgoing.close(why("closed")));
        assert_eq!(outgoing.begin(1), Begin::Closed(why("closed")));
        assert!(!outgoing.finish(true, 1));
        assert!(outgoing.finish(false, 1));
        assert!(!outgoing.close(why("again")));
        assert_eq!(outgoing.closed_reason(), Some(&why("closed")));
    }

    #[test]
    fn who_has_closed_is_not_told_of_the_end_and_the_first_reason_stays() {
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.claimed());
        outgoing.closed_by_receiver(why("receiver"));
        assert!(!outgoing.close(why("sender")));
        assert_eq!(outgoing.begin(1), Begin::Closed(why("receiver")));
        // The receiver may refuse the claim before it counts as sent.
        let mut outgoing = Outgoing::default();
        outgoing.closed_by_receiver(why("receiver"));
        assert!(!outgoing.claimed());
        // And somebody may close while it is being sent.
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.close(why("sender")));
        assert!(outgoing.claimed());
    }

    #[test]
    fn what_was_not_sent_gives_its_credit_back() {
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.claimed());
        assert_eq!(outgoing.begin(WINDOW), Begin::Go);
        assert_eq!(outgoing.begin(1), Begin::Wait);
        assert!(!outgoing.finish(false, WINDOW));
        assert_eq!(outgoing.begin(1), Begin::Go);
        assert!(!outgoing.grant(2) && outgoing.grant(1));
    }
}
