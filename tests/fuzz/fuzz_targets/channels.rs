//! Any sequence of events at one receiver and at those who send to it, before a second opinion that
//! keeps everything in lists: CLAIM and CREDIT of any bytes, messages with and without a claim, beyond
//! the window and within it, claims that come and go, contexts that end.
//!
//! Who keeps the rules is never refused for want of credit, and has all of it back in the end. Who does
//! not keep them gets nothing that others would miss: the receiver never holds more than its bounds say.
//!
//! Input: the bounds, then events of a few bytes each.

#![no_main]
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};

use libfuzzer_sys::fuzz_target;
use mitogen_service::fuzzing::{Receiving, Refusal, Sending, channel_cost};
use mitogen_service_fuzz::{Bytes, play};

/// The receiver's own context.
const ME: u32 = 0;

/// Contexts 1 to 3 keep the rules, as does the receiver's own; 4 to 6 do as they like.
const HONEST: u32 = 4;
const CONTEXTS: u32 = 7;

const HANDLE: u32 = 70_000;
const TOKEN: u64 = 0x0123_4567_89ab_cdef;

/// What an account counts for beside its messages.
const OVERHEAD: u64 = 256;

/// An honest context, and what is on its way between it and the receiver, in order.
struct Peer {
    sending: Sending,
    has_claim: bool,
    /// What was sent and not given back.
    outstanding: u128,
    there: VecDeque<Sent>,
    back: VecDeque<Vec<u8>>,
}

enum Sent {
    Claim,
    Message(usize),
    Farewell,
}

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
}

struct World {
    receiving: Receiving,
    window: u64,
    senders: u64,
    respondent: Option<u32>,
    peers: BTreeMap<u32, Peer>,
    accounts: BTreeMap<u64, Account>,
    next_account: u64,
    queue: VecDeque<(u64, u64, u32)>,
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
        let peer = || Peer {
            sending: Sending::new(HANDLE, window),
            has_claim: false,
            outstanding: 0,
            there: VecDeque::new(),
            back: VecDeque::new(),
        };
        Self {
            receiving,
            window,
            senders,
            respondent,
            peers: (0..HONEST).map(|id| (id, peer())).collect(),
            accounts: BTreeMap::new(),
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
        match choice % 24 {
            0 => self.begin(honest),
            1..=4 => self.send(honest, length(input)),
            5..=9 => self.deliver(honest),
            10 => self.give_back(honest),
            11 => self.close(honest),
            12 => {
                let length = usize::from(input.u8() % 32);
                let _ = self.claim(hostile, input.take(length).to_vec());
            }
            13 => {
                let _ = self.claim(hostile, claim(HANDLE, TOKEN));
            }
            14 | 15 => {
                let _ = self.arrive(hostile, length(input));
            }
            16 => self.close_claim(hostile, who & 0x80 != 0),
            17 => {
                let length = usize::from(input.u8() % 32);
                self.forge_credit(honest, input.take(length));
            }
            18 => self.forge_credit(honest, &credit(HANDLE, input.u32())),
            19 => self.lose(u32::from(who) % CONTEXTS),
            20 => self.spoil(hostile),
            21 if who < 8 => self.finish(),
            21 | 22 => self.hold_or_release(who & 1 == 0),
            _ => self.take(),
        }
        self.agree();
    }

    // ---- what honest contexts do ----

    fn peer(&mut self, id: u32) -> &mut Peer {
        self.peers.get_mut(&id).expect("it is honest")
    }

    fn begin(&mut self, id: u32) {
        let peer = self.peer(id);
        if !peer.has_claim {
            peer.has_claim = true;
            peer.there.push_back(Sent::Claim);
        }
    }

    /// It sends if it has credit, by both counts.
    fn send(&mut self, id: u32, length: usize) {
        let window = u128::from(self.window);
        let peer = self.peer(id);
        if !peer.has_claim {
            return;
        }
        let cost = u128::from(channel_cost(length));
        let fits = peer.outstanding == 0 || peer.outstanding + cost <= window;
        assert_eq!(peer.sending.spend(length), fits, "{} of {window} are outstanding", peer.outstanding);
        if fits {
            peer.outstanding += cost;
            peer.there.push_back(Sent::Message(length));
        }
    }

    fn close(&mut self, id: u32) {
        let peer = self.peer(id);
        if std::mem::take(&mut peer.has_claim) {
            peer.there.push_back(Sent::Farewell);
        }
    }

    /// The next thing that it has sent arrives.
    fn deliver(&mut self, id: u32) {
        let Some(sent) = self.peer(id).there.pop_front() else { return };
        let taken = match sent {
            Sent::Claim => self.claim(id, claim(HANDLE, TOKEN)),
            Sent::Message(length) => self.arrive(id, length),
            Sent::Farewell => {
                self.close_claim(id, true);
                true
            }
        };
        if !taken {
            self.forget(id);
        }
    }

    /// A context has heard that the receiver takes no more from it; both count from 0 again.
    fn forget(&mut self, id: u32) {
        let window = self.window;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.sending = Sending::new(HANDLE, window);
        (peer.has_claim, peer.outstanding) = (false, 0);
        peer.there.clear();
        peer.back.clear();
    }

    /// The next credit arrives.
    fn give_back(&mut self, id: u32) {
        let peer = self.peer(id);
        let Some(payload) = peer.back.pop_front() else { return };
        let (bytes, right) = peer.sending.credit(&payload).expect("the receiver's own payload can be read");
        assert!(right && bytes > 0, "{bytes} of {} that are outstanding", peer.outstanding);
        peer.outstanding -= u128::from(bytes);
        assert_eq!(peer.sending.is_idle(), peer.outstanding == 0);
    }

    /// Somebody who has learned the handle gives credit, which counts at most as what it is: no more than
    /// was taken. It is as if the receiver had said so, and from then on this context is not honest.
    fn forge_credit(&mut self, id: u32, payload: &[u8]) {
        let peer = self.peer(id);
        let Some((bytes, right)) = peer.sending.credit(payload) else { return };
        assert_eq!(right, u128::from(bytes) <= peer.outstanding, "{bytes} of {}", peer.outstanding);
        if right && bytes > 0 {
            // Its count is wrong now; it begins anew as a context that the receiver does not know.
            self.lose(id);
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
        let lingering = self.account(source, State::Lingering);
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
            () if self.account(source, State::Open).is_some() => Err(Refusal::Twice),
            () if lingering.is_some() => Ok(None),
            () if !exact && granted == Err(Refusal::TooMany) => granted,
            () if too_many => Err(Refusal::TooMany),
            () => Ok(Some(self.next_account)),
        };
        assert_eq!(granted, expected, "{source}, {:?}", self.accounts);
        match granted {
            Ok(Some(number)) => {
                self.next_account += 1;
                self.accounts.insert(number, Account { source, state: State::Open, outstanding: 0, owed: 0 });
            }
            Ok(None) => self.set(lingering.expect("it goes on"), State::Open),
            Err(_) => return false,
        }
        self.claimed |= source != ME;
        true
    }

    /// Tells whether the message was taken.
    fn arrive(&mut self, source: u32, length: usize) -> bool {
        let number = self.next_message;
        self.next_message += 1;
        let taken = self.receiving.arrive(source, length, number);
        let cost = channel_cost(length);
        let Some(account) = self.account(source, State::Open) else {
            assert_eq!(taken, Err(Refusal::Unclaimed));
            return false;
        };
        let outstanding = self.accounts[&account].outstanding;
        if outstanding > 0 && outstanding + u128::from(cost) > u128::from(self.window) {
            assert_eq!(taken, Err(Refusal::BeyondWindow));
            assert!(source >= HONEST, "{source} keeps the rules, and has sent too much");
            self.cut(account);
            return false;
        }
        assert_eq!(taken, Ok(()));
        self.accounts.get_mut(&account).expect("it is open").outstanding += u128::from(cost);
        self.queue.push_back((account, cost, number));
        true
    }

    fn close_claim(&mut self, source: u32, in_order: bool) {
        let over = self.receiving.close(source, in_order);
        let Some(account) = self.account(source, State::Open) else {
            assert_eq!(over, None);
            return;
        };
        if in_order {
            self.set(account, State::Lingering);
        } else {
            self.cut(account);
        }
        assert_eq!(over, Some(self.is_over()));
    }

    /// A context ends, or credit for it was lost on its way.
    fn lose(&mut self, source: u32) {
        let account = self.account(source, State::Open).or(self.account(source, State::Lingering));
        if let Some(account) = account {
            let was_open = self.accounts[&account].state == State::Open;
            let over = self.receiving.close_number(account);
            self.cut(account);
            assert_eq!(over, Some(was_open && self.is_over()));
            assert_eq!(self.receiving.close_number(account), None, "once");
        }
        self.forget(source);
    }

    fn spoil(&mut self, source: u32) {
        let over = self.receiving.spoil(source);
        let account = self.account(source, State::Open);
        if let Some(account) = account {
            self.cut(account);
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
        let Some((account, cost, number)) = self.queue.pop_front() else {
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
        let is_drained = account_now.owed == account_now.outstanding;
        let due = if account_now.owed >= half || is_drained { account_now.owed } else { 0 };
        let (source, state) = (account_now.source, account_now.state);
        account_now.outstanding -= due;
        account_now.owed -= due;
        if is_drained && state != State::Open {
            self.accounts.remove(&account);
        }
        // Nobody gets credit who has not sent for it, and who is closed from this end gets none.
        let expected = (state != State::Cut && due > 0).then_some(source);
        assert_eq!(given.as_ref().map(|(source, _)| *source), expected);
        let Some((source, payload)) = given else { return };
        assert_eq!(Sending::new(HANDLE, u64::MAX).credit(&payload).map(|(bytes, _)| u128::from(bytes)), Some(due));
        if let Some(peer) = self.peers.get_mut(&source) {
            peer.back.push_back(payload);
        }
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
        (0..HONEST).for_each(|id| self.forget(id));
    }

    // ---- the second opinion ----

    fn account(&self, source: u32, state: State) -> Option<u64> {
        let found = |(_, account): &(&u64, &Account)| (account.source, account.state) == (source, state);
        self.accounts.iter().find(found).map(|(number, _)| *number)
    }

    fn cut(&mut self, account: u64) {
        self.set(account, State::Cut);
    }

    /// An account without a claim lasts as long as something of it is queued.
    fn set(&mut self, number: u64, state: State) {
        let account = self.accounts.get_mut(&number).expect("it is there");
        account.state = state;
        if state != State::Open && account.owed == account.outstanding {
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
            let messages = self.queue.iter().filter(|(owner, ..)| owner == number).count();
            assert!(messages == 1 || queued <= u128::from(self.window) || messages == 0, "{account:?}");
            queued.min(u128::from(self.window))
        });
        let held: u128 = bounded.sum();
        assert!(held <= u128::from(self.senders) * each, "{held} bytes of {} accounts", self.accounts.len());
        if self.window < u64::MAX / 16 {
            let most = u128::from(self.senders) * each / u128::from(OVERHEAD);
            assert!((self.accounts.len() as u128) <= most, "{} accounts", self.accounts.len());
        }
    }

    /// Everything arrives, is taken and given back: then those who keep the rules have all of their credit.
    fn settle(mut self) {
        for id in 0..HONEST {
            while !self.peer(id).there.is_empty() {
                self.deliver(id);
            }
        }
        while !self.queue.is_empty() {
            self.take();
        }
        for id in 0..HONEST {
            while !self.peer(id).back.is_empty() {
                self.give_back(id);
            }
            let peer = self.peer(id);
            assert!(peer.outstanding == 0 && peer.sending.is_idle(), "{id}: {} are lost", peer.outstanding);
        }
        self.agree();
        assert!(self.accounts.values().all(|account| account.state == State::Open && account.outstanding == 0));
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
