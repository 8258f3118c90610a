//! A context that keeps the rules, and what is on its way between it and the receiver.

use std::collections::VecDeque;

use mitogen_service::fuzzing::{Sending, channel_cost};

use crate::HANDLE;

/// Where the messages of a claim go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the receiver's handle.
    Main,
    /// It has asked for a handle for bulk, and sends nothing until it hears of that.
    Asked,
    /// To the handle for bulk.
    Bulk,
}

/// What it says, and how many ends it had heard of then.
pub(crate) struct Sent {
    pub(crate) what: What,
    pub(crate) heard: u32,
}

pub(crate) enum What {
    /// Its number.
    Claim(u32),
    Message(usize),
    Farewell,
    /// It wants a handle for bulk, for the claim of this number.
    Ask(u32),
    /// What follows comes over the links for bulk.
    Last,
}

/// What the receiver says to it.
pub(crate) enum Answer {
    Credit(Vec<u8>),
    /// Whether there is a handle for bulk for the claim of this number.
    Bulk(u32, bool),
    /// Nothing more is taken; the last claim that has arrived has this number.
    Closed(u32),
    /// The same, and the claim is none.
    Refused(u32),
}

pub(crate) struct Peer {
    window: u64,
    sending: Sending,
    claim: Option<Way>,
    /// The number of the last claim.
    number: u32,
    /// Something of the claim went over the links for bulk; and something of those before it that may still be
    /// on its way there.
    used_bulk: bool,
    after_bulk: bool,
    /// What was sent and not given back.
    outstanding: u128,
    /// What is on its way, in order on each of the links.
    pub(crate) main: VecDeque<Sent>,
    pub(crate) bulk: VecDeque<Sent>,
    pub(crate) back: VecDeque<Answer>,
    /// The number of the last claim that has arrived.
    pub(crate) arrived: u32,
    /// How many ends the receiver has told it of, and how many of them it has heard of: what it has sent before
    /// that may be refused.
    pub(crate) told: u32,
    heard: u32,
    /// An end has met a later claim. It does not say which one it is the end of, so that both ends may count
    /// differently until nothing is left of either.
    pub(crate) doubtful: bool,
    /// It has ended.
    pub(crate) gone: bool,
}

impl Peer {
    pub(crate) fn new(window: u64) -> Self {
        Self {
            window,
            sending: Sending::new(HANDLE, window),
            claim: None,
            number: 0,
            used_bulk: false,
            after_bulk: false,
            outstanding: 0,
            main: VecDeque::new(),
            bulk: VecDeque::new(),
            back: VecDeque::new(),
            arrived: 0,
            told: 0,
            heard: 0,
            doubtful: false,
            gone: false,
        }
    }

    // ---- what it does ----

    pub(crate) fn begin(&mut self) {
        if self.claim.is_some() || self.gone || self.heard < self.told {
            return;
        }
        self.claim = Some(Way::Main);
        self.number += 1;
        self.used_bulk = false;
        self.say(What::Claim(self.number));
        if self.after_bulk {
            self.ask();
        }
    }

    /// It has much to send.
    pub(crate) fn ask(&mut self) {
        if self.claim == Some(Way::Main) {
            self.claim = Some(Way::Asked);
            self.say(What::Ask(self.number));
        }
    }

    /// It sends if it has credit, by both counts.
    pub(crate) fn send(&mut self, length: usize) {
        let Some(way) = self.claim.filter(|way| *way != Way::Asked) else { return };
        let cost = u128::from(channel_cost(length));
        let fits = self.outstanding == 0
            || self.outstanding + cost.min(u128::from(self.window / 2)) <= u128::from(self.window);
        let spent = self.sending.spend(length);
        assert!(spent == fits || self.doubtful, "{} of {} are outstanding", self.outstanding, self.window);
        if !spent {
            return;
        }
        self.outstanding += cost;
        if way == Way::Bulk {
            self.used_bulk = true;
            self.say_behind_bulk(What::Message(length));
        } else {
            self.say(What::Message(length));
        }
    }

    pub(crate) fn close(&mut self) {
        if self.claim.take().is_none() {
            return;
        }
        if self.used_bulk {
            self.say_behind_bulk(What::Farewell);
            self.say(What::Last);
        } else {
            self.say(What::Farewell);
        }
        self.after_bulk = (self.after_bulk || self.used_bulk) && !self.sending.is_idle();
    }

    fn say(&mut self, what: What) {
        self.main.push_back(Sent { what, heard: self.heard });
    }

    fn say_behind_bulk(&mut self, what: What) {
        self.bulk.push_back(Sent { what, heard: self.heard });
    }

    // ---- what it hears ----

    /// Hears the next answer.
    pub(crate) fn hear(&mut self) {
        match self.back.pop_front() {
            None => {}
            Some(Answer::Credit(payload)) => self.credit(&payload),
            Some(Answer::Bulk(number, granted)) => {
                if number == self.number && self.claim == Some(Way::Asked) {
                    self.claim = Some(if granted { Way::Bulk } else { Way::Main });
                }
            }
            Some(end @ (Answer::Closed(number) | Answer::Refused(number))) => {
                self.heard += 1;
                self.doubtful |= number < self.number;
                if matches!(end, Answer::Closed(_)) {
                    self.close();
                }
                self.claim = None;
                self.sending = Sending::new(HANDLE, self.window);
                (self.outstanding, self.after_bulk) = (0, false);
            }
        }
    }

    fn credit(&mut self, payload: &[u8]) {
        let (bytes, right) = self.sending.credit(payload).expect("the receiver's own payload can be read");
        if self.doubtful {
            return;
        }
        assert!(right && bytes > 0, "{bytes} of {} that are outstanding", self.outstanding);
        self.outstanding -= u128::from(bytes);
        assert_eq!(self.sending.is_idle(), self.outstanding == 0);
        self.after_bulk &= self.claim.is_some() || !self.sending.is_idle();
    }

    /// Credit that somebody else gives counts at most as what it is: no more than was taken. Tells whether it
    /// counts.
    pub(crate) fn forged_credit(&mut self, payload: &[u8]) -> bool {
        let Some((bytes, right)) = self.sending.credit(payload) else { return false };
        assert!(right == (u128::from(bytes) <= self.outstanding) || self.doubtful, "{bytes} of {}", self.outstanding);
        right && bytes > 0
    }

    /// Nothing of it arrives any more.
    pub(crate) fn end(&mut self) {
        self.gone = true;
        self.claim = None;
        (self.main, self.bulk, self.back) = Default::default();
    }

    // ---- what is true of it ----

    /// Whether what it has said must be taken: it keeps the rules, and knew all that it had been told.
    pub(crate) fn is_right(&self, sent: &Sent) -> bool {
        sent.heard == self.told && !self.doubtful
    }

    /// Nothing is on its way, and the receiver does not know it.
    pub(crate) fn is_forgotten(&mut self) {
        if self.claim.is_none() {
            self.doubtful = false;
            self.sending = Sending::new(HANDLE, self.window);
            (self.outstanding, self.after_bulk) = (0, false);
        }
    }

    pub(crate) fn has_claim(&self) -> bool {
        self.claim.is_some()
    }

    /// Everything has arrived and was taken: it has all of its credit but for what is kept back.
    pub(crate) fn assert_outstanding(&self, kept: u128) {
        assert_eq!((self.outstanding, self.sending.is_idle()), (kept, kept == 0), "of what the receiver keeps back");
    }
}
