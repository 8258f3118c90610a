//! Any sequence of events at one receiver and at those who send to it, before a second opinion that
//! keeps everything in lists: CLAIM and CREDIT of any bytes, messages with and without a claim, beyond
//! the window and within it, over the main links and over those for bulk, claims that come and go, that move to
//! the links for bulk or only say so, ends of claims that are said twice, by half or for nothing, contexts that
//! end.
//!
//! Who keeps the rules is never refused, whichever of its links is the faster one and whatever others do, and has
//! all of its credit back in the end. Who does not keep them gets nothing that others would miss: the receiver
//! never holds more than its bounds say, and nothing stays that was told by half.
//!
//! Input: the bounds, then events of a few bytes each.

#![no_main]
#![forbid(unsafe_code)]

#[path = "channels/peer.rs"]
mod peer;

use std::collections::{BTreeMap, VecDeque};

use libfuzzer_sys::fuzz_target;
use mitogen_service::fuzzing::{Credit, Receiving, Refusal, Sending, channel_cost};
use mitogen_service_fuzz::{Bytes, play};

use peer::{Answer, Peer, What};

/// The receiver's own context.
const ME: u32 = 0;

/// Contexts 1 to 3 keep the rules, as does the receiver's own; 4 to 6 do as they like.
const HONEST: u32 = 4;
const CONTEXTS: u32 = 7;

const HANDLE: u32 = 70_000;
const TOKEN: u64 = 0x0123_4567_89ab_cdef;

/// What an account counts for beside its messages.
const OVERHEAD: u64 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Closed by its context, which still gets credit.
    Lingering,
    /// Closed from this end, or its context is gone.
    Cut,
}

#[derive(Debug)]
struct Account {
    source: u32,
    state: State,
    /// What has arrived and was not given back, and the part of it that was taken.
    outstanding: u128,
    owed: u128,
    /// The claim has not ended on the main links.
    main: bool,
    /// How many ends are still to come over the links for bulk, below 0 if one was early; and how many of
    /// earlier claims, in front of which everything is late.
    bulk_ends: i64,
    stale: i64,
}

impl Account {
    fn is_over(&self) -> bool {
        !self.main && self.bulk_ends <= 0 && self.stale == 0
    }

    /// Whether everything was taken.
    fn is_drained(&self) -> bool {
        self.owed == self.outstanding
    }

    /// Gives all back that was taken.
    fn settle(&mut self) -> u128 {
        self.outstanding -= self.owed;
        std::mem::take(&mut self.owed)
    }
}

struct World {
    receiving: Receiving,
    window: u64,
    senders: u64,
    respondent: Option<u32>,
    peers: BTreeMap<u32, Peer>,
    accounts: BTreeMap<u64, Account>,
    /// Those whose claims were closed from this end, and how many ends are still to come from them over the
    /// links for bulk.
    dismissed: BTreeMap<u32, i64>,
    next_account: u64,
    queue: VecDeque<(u64, u64, bool, u32)>,
    next_message: u32,
    holds: usize,
    claimed: bool,
    ended: bool,
}

fn claim(handle: u32, token: u64) -> Vec<u8> {
    let mut payload = vec![0x92, 0xce];
    payload.extend(handle.to_be_bytes());
    payload.push(0xcf);
    payload.extend(token.to_be_bytes());
    payload
}

fn credit(handle: u32, bytes: u32) -> Vec<u8> {
    let mut payload = vec![0x92, 0xce];
    payload.extend(handle.to_be_bytes());
    payload.push(0xce);
    payload.extend(bytes.to_be_bytes());
    payload
}

impl World {
    fn new(input: &mut Bytes<'_>) -> Self {
        let window = [1000, 0, 200, 70_000, 1024 * 1024, u64::MAX / 4][usize::from(input.u8() % 6)];
        let bounds = input.u8();
        let senders = u64::from(bounds % 5) + 1;
        let mut receiving = Receiving::new((ME, HANDLE, TOKEN), window, senders);
        let respondent = (bounds & 0x80 != 0).then(|| u32::from(bounds >> 4 & 7) % CONTEXTS);
        if let Some(respondent) = respondent {
            receiving.restrict(respondent);
        }
        Self {
            receiving,
            window,
            senders,
            respondent,
            peers: (0..HONEST).map(|id| (id, Peer::new(window))).collect(),
            accounts: BTreeMap::new(),
            dismissed: BTreeMap::new(),
            next_account: 0,
            queue: VecDeque::new(),
            next_message: 0,
            holds: 0,
            claimed: false,
            ended: false,
        }
    }

    fn event(&mut self, input: &mut Bytes<'_>) {
        let choice = input.u8();
        let who = input.u8();
        let (honest, hostile) = (u32::from(who) % HONEST, HONEST + u32::from(who) % (CONTEXTS - HONEST));
        match choice % 32 {
            0 => self.begin(honest),
            1..=4 | 31 => self.peer(honest).send(length(input)),
            5..=8 => self.deliver(honest, false),
            9 | 29 => self.deliver(honest, true),
            10 | 28 => self.hear(honest),
            11 => self.peer(honest).close(),
            12 => {
                let length = usize::from(input.u8() % 32);
                let _ = self.claim(hostile, input.take(length).to_vec());
            }
            13 => {
                let _ = self.claim(hostile, claim(HANDLE, TOKEN));
            }
            14 | 15 => {
                let _ = self.arrive(hostile, choice % 2 == 1, length(input));
            }
            16 => self.close_claim(hostile, who & 0x80 != 0),
            17 => {
                let length = usize::from(input.u8() % 32);
                self.forge_credit(honest, input.take(length));
            }
            18 => self.forge_credit(honest, &credit(HANDLE, input.u32())),
            19 => self.end(hostile),
            20 => self.spoil(u32::from(who) % CONTEXTS),
            21 if who < 8 => self.finish(),
            21 | 22 => self.hold_or_release(who & 1 == 0),
            24 => self.peer(honest).ask(),
            25 => self.last_but_bulk(hostile),
            26 => drop(self.may_send_bulk(hostile)),
            27 => self.lose_credit(u32::from(who) % CONTEXTS),
            _ => self.take(),
        }
        self.agree();
    }

    // ---- what honest contexts do ----

    fn peer(&mut self, id: u32) -> &mut Peer {
        self.peers.get_mut(&id).expect("it is honest")
    }

    fn begin(&mut self, id: u32) {
        let known = self.is_known(id);
        let peer = self.peer(id);
        if !known && peer.main.is_empty() && peer.bulk.is_empty() && peer.back.is_empty() {
            peer.is_forgotten();
        }
        peer.begin();
    }

    /// The next thing that it has sent over one of its links arrives.
    fn deliver(&mut self, id: u32, bulk: bool) {
        let ended = self.ended;
        let peer = self.peer(id);
        let Some(sent) = (if bulk { &mut peer.bulk } else { &mut peer.main }).pop_front() else { return };
        let is_right = peer.is_right(&sent) && !ended;
        let taken = match sent.what {
            What::Claim(number) => {
                self.peer(id).arrived = number;
                // It may be refused for the sake of others, which it is told.
                let _ = self.claim(id, claim(HANDLE, TOKEN));
                true
            }
            What::Message(length) => self.arrive(id, bulk, length),
            What::Farewell => {
                self.close_claim(id, bulk);
                true
            }
            What::Last => {
                self.last_but_bulk(id);
                true
            }
            What::Ask(number) => {
                let granted = self.may_send_bulk(id);
                self.peer(id).back.push_back(Answer::Bulk(number, granted));
                granted
            }
        };
        assert!(taken || !is_right, "{id} keeps the rules");
    }

    fn hear(&mut self, id: u32) {
        self.peer(id).hear();
    }

    fn is_known(&self, id: u32) -> bool {
        self.account(id, State::Open).or(self.account(id, State::Lingering)).is_some()
    }

    /// An honest context is told of an end.
    fn tell(&mut self, id: u32, end: fn(u32) -> Answer) {
        if let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.gone) {
            peer.told += 1;
            peer.back.push_back(end(peer.arrived));
        }
    }

    /// Somebody who has learned the handle gives credit. It is as if the receiver had said so, and from then on
    /// this context is not honest.
    fn forge_credit(&mut self, id: u32, payload: &[u8]) {
        let peer = self.peer(id);
        if !peer.gone && peer.forged_credit(payload) {
            self.end(id);
        }
    }

    // ---- what arrives ----

    /// Tells whether the claim was granted.
    fn claim(&mut self, source: u32, payload: Vec<u8>) -> bool {
        let granted = self.receiving.claim(source, &payload);
        if granted == Err(Refusal::Malformed) {
            assert!(payload != claim(HANDLE, TOKEN));
            return false;
        }
        let (open, lingering) = (self.account(source, State::Open), self.account(source, State::Lingering));
        let each = u128::from(self.window) + u128::from(OVERHEAD);
        let count = |state| self.accounts.values().filter(|account| account.state == state).count();
        let accounts = count(State::Open) + count(State::Lingering) + 1;
        let cut = self.accounts.values().filter(|account| account.state == State::Cut);
        let left: u128 = cut.map(|account| account.outstanding - account.owed + u128::from(OVERHEAD)).sum();
        // Sums of windows near the largest number are cut off there; the number of accounts still counts.
        let exact = self.window < u64::MAX / 16;
        let too_many = accounts as u128 > u128::from(self.senders)
            || exact && accounts as u128 * each + left > u128::from(self.senders) * each;
        let expected = match () {
            // The decoder has read the right handle, so the token is what it ends with.
            () if granted == Err(Refusal::WrongToken) => {
                assert!(!payload.ends_with(&TOKEN.to_be_bytes()));
                granted
            }
            () if self.ended => Err(Refusal::Ended),
            () if self.respondent.is_some_and(|respondent| respondent != source) => Err(Refusal::Stranger),
            () if open.is_some_and(|open| self.accounts[&open].main) => Err(Refusal::Twice),
            () if open.is_some() => Ok(None),
            () if lingering.is_some() => Ok(None),
            () if !exact && granted == Err(Refusal::TooMany) => granted,
            () if too_many => Err(Refusal::TooMany),
            () => Ok(Some(self.next_account)),
        };
        assert_eq!(granted, expected, "{source}, {:?}", self.accounts);
        match granted {
            Ok(Some(number)) => {
                self.next_account += 1;
                let stale = self.dismissed.remove(&source).unwrap_or(0).max(0);
                let account =
                    Account { source, state: State::Open, outstanding: 0, owed: 0, main: true, bulk_ends: 0, stale };
                self.accounts.insert(number, account);
            }
            Ok(None) => {
                let number = open.or(lingering).expect("it goes on");
                self.set(number, State::Open);
                self.change(number).main = true;
            }
            Err(refusal) => {
                let told = matches!(refusal, Refusal::TooMany | Refusal::Ended);
                self.tell(source, if told { Answer::Closed } else { Answer::Refused });
                return false;
            }
        }
        self.claimed |= source != ME;
        true
    }

    /// Tells whether the message was taken.
    fn arrive(&mut self, source: u32, bulk: bool, length: usize) -> bool {
        let number = self.next_message;
        self.next_message += 1;
        let taken = self.receiving.arrive(source, bulk, length, number);
        let cost = channel_cost(length);
        let Some(account) = self.account(source, State::Open) else {
            let late = self.ended || self.dismissed.contains_key(&source);
            assert_eq!(taken, Err(if late { Refusal::Late } else { Refusal::Unclaimed }));
            return false;
        };
        if bulk && self.accounts[&account].stale > 0 {
            assert_eq!(taken, Err(Refusal::Late));
            return false;
        }
        let outstanding = self.accounts[&account].outstanding;
        if outstanding > 0 && outstanding + u128::from(cost.min(self.window / 2)) > u128::from(self.window) {
            assert_eq!(taken, Err(Refusal::BeyondWindow));
            self.dismissed(account);
            return false;
        }
        assert_eq!(taken, Ok(()));
        self.change(account).outstanding += u128::from(cost);
        // One of many, as far as can be told.
        let flows = bulk && cost >= 16 * 1024;
        self.queue.push_back((account, cost, flows, number));
        true
    }

    /// A context closes its claim, over one of both links.
    fn close_claim(&mut self, source: u32, bulk: bool) {
        let over = self.receiving.close(source, bulk);
        let Some(number) = self.account(source, State::Open) else {
            if bulk {
                self.count_bulk_end(source, -1);
            }
            assert_eq!(over, None);
            return;
        };
        let account = self.change(number);
        match bulk {
            false => account.main = false,
            true if account.stale > 0 => account.stale -= 1,
            true => account.bulk_ends = (account.bulk_ends - 1).max(-1),
        }
        self.closed_in_order(number, over);
    }

    /// A context says that nothing more comes but over the links for bulk.
    fn last_but_bulk(&mut self, source: u32) {
        let over = self.receiving.last_but_bulk(source);
        let Some(number) = self.account(source, State::Open).filter(|number| self.accounts[number].main) else {
            self.count_bulk_end(source, 1);
            assert_eq!(over, None);
            return;
        };
        let account = self.change(number);
        account.main = false;
        account.bulk_ends += 1;
        self.closed_in_order(number, over);
    }

    /// The claim may have come to its end by that, or go on.
    fn closed_in_order(&mut self, number: u64, closed: Option<(bool, Option<Credit>)>) {
        if !self.accounts[&number].is_over() {
            assert_eq!(closed, None);
            return;
        }
        let (over, given) = closed.expect("that was the last of it");
        let account = self.change(number);
        (account.bulk_ends, account.stale) = (0, 0);
        let (source, due) = (account.source, if account.is_drained() { account.settle() } else { 0 });
        self.set(number, State::Lingering);
        assert_eq!(over, self.is_over());
        self.given((due > 0).then_some((source, due)), given);
    }

    /// What a context is to be given, and is.
    fn given(&mut self, expected: Option<(u32, u128)>, given: Option<Credit>) {
        let found = given.as_ref().map(|(source, payload)| {
            let (bytes, _) = Sending::new(HANDLE, u64::MAX).credit(payload).expect("the receiver's own can be read");
            (*source, u128::from(bytes))
        });
        assert_eq!(found, expected);
        let Some((source, payload)) = given else { return };
        if let Some(peer) = self.peers.get_mut(&source).filter(|peer| !peer.gone) {
            peer.back.push_back(Answer::Credit(payload));
        }
    }

    fn may_send_bulk(&self, source: u32) -> bool {
        let may = self.account(source, State::Open).is_some_and(|number| self.accounts[&number].main);
        assert_eq!(self.receiving.may_send_bulk(source), may);
        may
    }

    /// A context ends.
    fn end(&mut self, source: u32) {
        if let Some(account) = self.account(source, State::Open).or(self.account(source, State::Lingering)) {
            let was_open = self.accounts[&account].state == State::Open;
            let over = self.receiving.close_number(account);
            self.cut(account);
            assert_eq!(over, Some(was_open && self.is_over()));
            assert_eq!(self.receiving.close_number(account), None, "once");
        }
        if let Some(peer) = self.peers.get_mut(&source) {
            peer.end();
        }
    }

    /// Credit for a context was lost on its way.
    fn lose_credit(&mut self, source: u32) {
        let Some(account) = self.account(source, State::Open).or(self.account(source, State::Lingering)) else {
            return;
        };
        let over = self.receiving.dismiss_number(account);
        if self.accounts[&account].state == State::Open {
            self.dismissed(account);
            assert_eq!(over, Some(self.is_over()));
        } else {
            self.cut(account);
            self.tell(source, Answer::Closed);
            assert_eq!(over, Some(false));
        }
    }

    fn spoil(&mut self, source: u32) {
        let over = self.receiving.spoil(source);
        let account = self.account(source, State::Open);
        if let Some(account) = account {
            self.dismissed(account);
        }
        assert_eq!(over, account.map(|_| self.is_over()));
    }

    // ---- what the owner does ----

    fn hold_or_release(&mut self, hold: bool) {
        if hold {
            self.receiving.hold();
            self.holds += 1;
        } else if self.holds > 0 {
            self.holds -= 1;
            assert_eq!(self.receiving.release(), self.is_over());
        }
    }

    /// The next message comes out with its credit, or the end does.
    fn take(&mut self) {
        let Some((account, cost, flows, number)) = self.queue.pop_front() else {
            assert_eq!(self.receiving.take(), None);
            assert_eq!(self.receiving.settle(), self.is_over());
            self.ended |= self.is_over();
            return;
        };
        let (taken, given) = self.receiving.take().expect("it has arrived");
        assert_eq!(taken, number);
        let half = u128::from(self.window / 2);
        let account_now = self.accounts.get_mut(&account).expect("something of it was queued");
        account_now.owed += u128::from(cost);
        let (source, state) = (account_now.source, account_now.state);
        let is_drained = account_now.is_drained();
        let may_keep = state == State::Open && flows;
        let due = if account_now.owed >= half || is_drained && !may_keep { account_now.settle() } else { 0 };
        if is_drained && state != State::Open {
            self.accounts.remove(&account);
        }
        // Nobody gets credit who has not sent for it, and who is closed from this end gets none.
        self.given((state != State::Cut && due > 0).then_some((source, due)), given);
    }

    fn finish(&mut self) {
        let mut told = self.receiving.finish();
        told.sort_unstable();
        let mut expected: Vec<_> = self
            .accounts
            .values()
            .filter(|account| account.state != State::Cut)
            .map(|account| account.source)
            .collect();
        expected.sort_unstable();
        assert_eq!(told, expected);
        let accounts: Vec<_> = self.accounts.keys().copied().collect();
        accounts.into_iter().for_each(|account| self.cut(account));
        self.ended = true;
        told.into_iter().for_each(|id| self.tell(id, Answer::Closed));
    }

    // ---- the second opinion ----

    fn account(&self, source: u32, state: State) -> Option<u64> {
        let found = |(_, account): &(&u64, &Account)| (account.source, account.state) == (source, state);
        self.accounts.iter().find(found).map(|(number, _)| *number)
    }

    fn change(&mut self, number: u64) -> &mut Account {
        self.accounts.get_mut(&number).expect("it is there")
    }

    fn cut(&mut self, account: u64) {
        self.set(account, State::Cut);
    }

    /// A claim was closed from this end, which its context is told.
    fn dismissed(&mut self, number: u64) {
        let Account { source, bulk_ends, stale, .. } = self.accounts[&number];
        self.cut(number);
        if self.dismissed.len() as u64 >= self.senders {
            for id in std::mem::take(&mut self.dismissed).into_keys() {
                // What is late of them can be told no more from what they send afterwards.
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.doubtful = true;
                }
            }
        }
        self.dismissed.insert(source, bulk_ends + stale);
        self.tell(source, Answer::Closed);
    }

    /// Who was not closed from this end has no ends to come but those of its claim.
    fn count_bulk_end(&mut self, source: u32, more: i64) {
        if let Some(ends) = self.dismissed.get_mut(&source) {
            *ends += more;
        }
    }

    /// An account without a claim lasts as long as something of it is queued.
    fn set(&mut self, number: u64, state: State) {
        let account = self.accounts.get_mut(&number).expect("it is there");
        account.state = state;
        if state != State::Open && account.is_drained() {
            self.accounts.remove(&number);
        }
    }

    fn is_over(&self) -> bool {
        let open = self.accounts.values().any(|account| account.state == State::Open);
        !self.ended && self.claimed && !open && self.holds == 0
    }

    fn agree(&self) {
        assert_eq!(self.receiving.len(), self.queue.len());
        assert_eq!(self.receiving.has_ended(), self.ended);
        // What one context may have beyond the bound is one message.
        let each = u128::from(self.window) + u128::from(OVERHEAD);
        let bounded = self.accounts.iter().map(|(number, account)| {
            let queued = account.outstanding - account.owed;
            let costs = self.queue.iter().filter(|(owner, ..)| owner == number).map(|(_, cost, ..)| *cost);
            let others = queued - u128::from(costs.max().unwrap_or(0));
            assert!(others <= u128::from(self.window), "{account:?}");
            queued.min(u128::from(self.window))
        });
        let held: u128 = bounded.sum();
        assert!(held <= u128::from(self.senders) * each, "{held} bytes of {} accounts", self.accounts.len());
        if self.window < u64::MAX / 16 {
            let most = u128::from(self.senders) * each / u128::from(OVERHEAD);
            assert!((self.accounts.len() as u128) <= most, "{} accounts", self.accounts.len());
        }
    }

    /// Everything arrives, is taken and given back: then those who keep the rules have all of their credit, and
    /// nothing is left of what they have told by half.
    fn settle(mut self) {
        let is_quiet = |peer: &Peer| peer.main.is_empty() && peer.bulk.is_empty() && peer.back.is_empty();
        while !self.queue.is_empty() || !self.peers.values().all(is_quiet) {
            if !self.queue.is_empty() {
                self.take();
            }
            for id in 0..HONEST {
                self.deliver(id, true);
                self.deliver(id, false);
                self.hear(id);
            }
        }
        self.agree();
        assert!(self.accounts.values().all(|account| account.state == State::Open && account.is_drained()));
        for (id, peer) in self.peers.iter().filter(|(_, peer)| !peer.gone && !peer.doubtful) {
            let account = self.account(*id, State::Open).map(|number| &self.accounts[&number]);
            // Less than half a window may be kept back while more can come.
            let kept = account.map_or(0, |account| account.owed);
            assert!(kept == 0 || kept < u128::from(self.window / 2), "{kept} of {} are kept back", self.window);
            peer.assert_outstanding(kept);
            assert_eq!(account.is_some(), peer.has_claim(), "{id}: {account:?}");
            assert!(account.is_none_or(|account| account.main && account.bulk_ends == 0 && account.stale == 0));
            assert!(self.dismissed.get(id).is_none_or(|ends| *ends == 0), "{id}: {:?}", self.dismissed);
        }
    }
}

/// Small ones, some around the windows, and some larger than any.
fn length(input: &mut Bytes<'_>) -> usize {
    let length = usize::from(input.u16());
    match length {
        0..0xf000 => length,
        0xf000..0xff00 => (length - 0xf000) * 5000,
        _ => (1 << 40) + length,
    }
}

fuzz_target!(|input: &[u8]| {
    play(&mut Bytes::new(input), World::new, World::event).settle();
});
