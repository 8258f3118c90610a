//! What a context knows of a receiver that it sends to, without locks and threads.

use super::window::Spending;
use crate::error::CallError;
use crate::wire::Handle;

/// The sender's side of one claim.
///
/// The window is not a part of it: that of one claim goes on with the next one of the same receiver.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The claim is on its way, and data may follow it.
    claimed: bool,
    /// The messages that have their credit and are not handed to the router yet.
    sending: usize,
    /// Why nothing more may be sent.
    closed: Option<CallError>,
    /// The receiver needs not be told any more that this end has closed.
    told: bool,
    /// The receiver gives nothing back any more.
    over: bool,
    way: Way,
    used_bulk: Option<Handle>,
}

/// Where messages go: all of them one way, and from some time on another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    /// To the receiver's handle.
    #[default]
    Main,
    /// The same, and there is no other.
    MainOnly,
    /// The receiver is to be asked for a handle for bulk, as soon as nothing is being sent.
    Wanted,
    /// It was asked. Its answer tells that everything in front of the question has arrived, so that
    /// nothing can overtake it; until then nothing is sent.
    Asked,
    /// To the handle for bulk.
    Bulk(Handle),
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
    pub(super) fn begin(&mut self, cost: u64, window: &mut Spending) -> Begin {
        if let Some(why) = &self.closed {
            return Begin::Closed(why.clone());
        }
        if !self.claimed || matches!(self.way, Way::Wanted | Way::Asked) || !window.spend(cost) {
            return Begin::Wait;
        }
        self.sending += 1;
        self.used_bulk = self.bulk();
        Begin::Go
    }

    /// Whether [`begin`](Self::begin) would not say to wait.
    pub(super) fn is_worth_asking(&self, cost: u64, window: &Spending) -> bool {
        let may_send = self.claimed && !matches!(self.way, Way::Wanted | Way::Asked);
        self.closed.is_some() || (may_send && window.has(cost))
    }

    /// There is much to send. `is_there` tells whether there is a way for that.
    pub(super) fn want_bulk(&mut self, is_there: impl FnOnce() -> bool) {
        if self.way == Way::Main {
            self.way = if is_there() { Way::Wanted } else { Way::MainOnly };
        }
    }

    /// Whether the receiver is to be asked for a handle for bulk now, by who asks this.
    #[must_use]
    pub(super) fn is_to_ask(&mut self) -> bool {
        let due = self.way == Way::Wanted && self.claimed && self.sending == 0 && self.closed.is_none();
        if due {
            self.way = Way::Asked;
        }
        due
    }

    /// The receiver has given a handle for bulk, or has none.
    pub(super) fn answered(&mut self, handle: Option<Handle>) {
        self.way = handle.map_or(Way::MainOnly, Way::Bulk);
    }

    /// The handle for bulk, if messages go there.
    pub(super) fn bulk(&self) -> Option<Handle> {
        match self.way {
            Way::Bulk(handle) => Some(handle),
            _ => None,
        }
    }

    /// The same, if any message went there.
    pub(super) fn used_bulk(&self) -> Option<Handle> {
        self.used_bulk
    }

    /// The message was handed to the router; or was not, and its credit is free. Tells whether the
    /// receiver is to be told of the end, which had to wait for this message.
    #[must_use]
    pub(super) fn finish(&mut self, sent: bool, cost: u64, window: &mut Spending) -> bool {
        self.sending -= 1;
        if !sent {
            // It was taken before, so there is as much.
            let _ = window.give_back(cost);
        }
        self.farewell()
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
        self.over = true;
    }

    /// The receiver says that it takes no more, perhaps from an earlier claim, so that it is told of the
    /// end of this one as well: tells whether now.
    #[must_use]
    pub(super) fn refused(&mut self, why: CallError) -> bool {
        self.over = true;
        self.close(why)
    }

    /// Whether credit is still to come for what was sent.
    pub(super) fn lingers(&self) -> bool {
        self.claimed && !self.over
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

    const WINDOW: u64 = 1024 * 1024;

    fn why(text: &str) -> CallError {
        CallError::failed(text)
    }

    #[test]
    fn nothing_goes_in_front_of_the_claim() {
        let (mut outgoing, mut window) = (Outgoing::default(), Spending::new(WINDOW));
        assert_eq!(outgoing.begin(1, &mut window), Begin::Wait);
        assert!(!outgoing.claimed());
        assert_eq!(outgoing.begin(1, &mut window), Begin::Go);
    }

    #[test]
    fn the_end_is_said_once_and_behind_everything() {
        let (mut outgoing, mut window) = (Outgoing::default(), Spending::new(WINDOW));
        assert!(!outgoing.claimed());
        assert_eq!((outgoing.begin(1, &mut window), outgoing.begin(1, &mut window)), (Begin::Go, Begin::Go));
        assert!(!outgoing.close(why("closed")));
        assert_eq!(outgoing.begin(1, &mut window), Begin::Closed(why("closed")));
        assert!(!outgoing.finish(true, 1, &mut window));
        assert!(outgoing.finish(false, 1, &mut window));
        assert!(!outgoing.close(why("again")));
        assert_eq!(outgoing.closed_reason(), Some(&why("closed")));
    }

    #[test]
    fn who_has_closed_is_not_told_of_the_end_and_the_first_reason_stays() {
        let (mut outgoing, mut window) = (Outgoing::default(), Spending::new(WINDOW));
        assert!(!outgoing.claimed());
        outgoing.closed_by_receiver(why("receiver"));
        assert!(!outgoing.close(why("sender")));
        assert_eq!(outgoing.begin(1, &mut window), Begin::Closed(why("receiver")));
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
    fn credit_comes_after_the_own_end_and_not_after_the_receivers() {
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.claimed());
        assert!(outgoing.close(why("sender")) && outgoing.lingers());
        assert!(!outgoing.refused(why("receiver")) && !outgoing.lingers());
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.claimed());
        assert!(outgoing.refused(why("receiver")), "it may have meant another claim");
    }

    #[test]
    fn nothing_is_sent_between_the_question_for_bulk_and_its_answer() {
        let (mut outgoing, mut window) = (Outgoing::default(), Spending::new(WINDOW));
        outgoing.want_bulk(|| true);
        assert!(!outgoing.is_to_ask(), "not in front of the claim");
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.claimed());
        assert_eq!(outgoing.begin(1, &mut window), Begin::Go);
        outgoing.want_bulk(|| true);
        assert!(!outgoing.is_to_ask(), "something is being sent");
        assert_eq!(outgoing.begin(1, &mut window), Begin::Wait);
        assert!(!outgoing.finish(true, 1, &mut window));
        assert!(outgoing.is_to_ask() && !outgoing.is_to_ask());
        assert_eq!(outgoing.begin(1, &mut window), Begin::Wait);
        outgoing.answered(Some(Handle::new(1001)));
        assert_eq!(outgoing.used_bulk(), None);
        assert_eq!(outgoing.begin(1, &mut window), Begin::Go);
        assert_eq!((outgoing.bulk(), outgoing.used_bulk()), (Some(Handle::new(1001)), Some(Handle::new(1001))));
    }

    #[test]
    fn where_there_is_no_way_for_bulk_everything_goes_on() {
        let (mut outgoing, mut window) = (Outgoing::default(), Spending::new(WINDOW));
        assert!(!outgoing.claimed());
        outgoing.want_bulk(|| false);
        outgoing.want_bulk(|| true);
        assert!(!outgoing.is_to_ask());
        assert_eq!(outgoing.begin(1, &mut window), Begin::Go);
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.claimed());
        outgoing.want_bulk(|| true);
        assert!(outgoing.is_to_ask());
        outgoing.answered(None);
        assert_eq!(outgoing.begin(1, &mut window), Begin::Go);
        assert_eq!((outgoing.bulk(), outgoing.used_bulk()), (None, None));
    }

    #[test]
    fn what_was_not_sent_gives_its_credit_back() {
        let (mut outgoing, mut window) = (Outgoing::default(), Spending::new(WINDOW));
        assert!(!outgoing.claimed());
        assert_eq!(outgoing.begin(WINDOW, &mut window), Begin::Go);
        assert_eq!(outgoing.begin(1, &mut window), Begin::Wait);
        assert!(!outgoing.finish(false, WINDOW, &mut window));
        assert_eq!(outgoing.begin(1, &mut window), Begin::Go);
        assert!(!window.give_back(2) && window.give_back(1));
    }
}
