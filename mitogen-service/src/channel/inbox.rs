//! What a receiver knows: who may send to it, what has arrived, whether more can come. A plain state
//! machine over the type of its messages, without locks and threads.
//!
//! A context that was given a sender *claims* the receiver before it sends. Its messages are counted in
//! an *account*, which outlives the claim until the last of them has been taken, and goes on with the
//! next claim of the same context: its window is the same for both ends whatever claims come and go. The receiver is *over*
//! when somebody has claimed it, nobody has a claim any more, and nothing *holds* it open: a sender that
//! is on its way in the arguments of a call. It *ends* when somebody asks for more and it is over. So it
//! does not end while its owner still gives senders away, however quick the first of their users is.

use std::collections::{HashMap, VecDeque};

use super::window::{BULK_FROM, Granting};
use crate::error::{CHANNEL_CLOSED, CallError, Trace};
use crate::wire::{ChannelBounds, ContextId, Handle};

/// What an account counts for beside its messages, so that empty ones are bounded as well.
const OVERHEAD: u64 = 256;

/// The receiver's side of all its claims.
#[derive(Debug)]
pub(super) struct Inbox<M> {
    /// This context, whose own senders the owner of the receiver knows all of.
    me: ContextId,
    token: u64,
    bounds: ChannelBounds,
    /// The only context that may claim.
    respondent: Option<ContextId>,
    queue: VecDeque<Item<M>>,
    /// Those of claims that are open, and of closed ones of which something is queued.
    accounts: HashMap<u64, Account>,
    /// The accounts whose claims are open.
    open: HashMap<ContextId, u64>,
    /// The accounts whose contexts have closed their claims, and still get credit.
    lingering: HashMap<ContextId, u64>,
    /// What the other accounts hold: their contexts are gone, or get no more credit.
    left: u64,
    /// Whose claims were closed from this end: what was on its way from them is no offence. With each how many
    /// ends of claims are still to come over the links for bulk; below 0 if they have come first.
    dismissed: HashMap<ContextId, i32>,
    next: u64,
    holds: usize,
    /// Somebody has claimed, so that the last one to close ends the receiver.
    claimed: bool,
    /// Why a claim has ended that should not have: the first such reason.
    trouble: Option<CallError>,
    end: Option<CallError>,
    /// The end is that all senders have closed, and nothing else.
    orderly: bool,
}

#[derive(Debug)]
struct Item<M> {
    account: u64,
    cost: u64,
    /// It is one of many, as far as anybody can tell.
    flows: bool,
    message: M,
}

#[derive(Debug)]
struct Account {
    source: ContextId,
    granting: Granting,
    /// Where this context hears of the end of the other one.
    watch: Option<Handle>,
    /// The claim is open on the main links. It is over when it has ended there and on those for bulk, if
    /// the sender has used them.
    main: bool,
    /// How many ends are still to come over the links for bulk; below 0 if one has come first.
    bulk_ends: i32,
    /// How many more, of claims that were closed from this end: what comes before them is late.
    stale: i32,
}

impl Account {
    fn is_over(&self) -> bool {
        !self.main && self.bulk_ends <= 0 && self.stale == 0
    }
}

/// Over which links something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Main,
    Bulk,
}

/// Why a claim is not granted.
#[derive(Debug, PartialEq)]
pub(super) enum NoClaim {
    /// The token is not that of the receiver.
    WrongToken,
    /// The receiver belongs to another context.
    Stranger,
    /// The context has claimed before.
    Twice,
    /// As many as may be have claimed.
    TooMany,
    /// The receiver has ended.
    Ended(CallError),
}

/// Why a message is not taken.
#[derive(Debug, PartialEq)]
pub(super) enum NotTaken {
    /// It comes after an end that its sender has not heard of yet.
    Late,
    /// Its sender has no claim.
    Unclaimed,
    /// Its sender has sent more than its window allows.
    BeyondWindow,
}

/// A claim has come to its end.
#[derive(Debug, PartialEq)]
pub(super) struct Closed {
    /// What is not listened on any more.
    pub(super) watch: Option<Handle>,
    /// What is to be given back in front of that, for all that its context has sent.
    pub(super) grant: Option<Grant>,
    /// With it the receiver is over, and who waits for more is to ask again.
    pub(super) over: bool,
}

/// A message on its way out.
#[derive(Debug, PartialEq)]
pub(super) struct Taken<M> {
    pub(super) message: M,
    /// What is to be given back for it, and for others before it.
    pub(super) grant: Option<Grant>,
    /// What is not listened on any more after that.
    pub(super) unwatch: Option<Handle>,
}

/// Credit for a context.
#[derive(Debug, PartialEq)]
pub(super) struct Grant {
    pub(super) source: ContextId,
    pub(super) bytes: u64,
    pub(super) watch: Option<Handle>,
}

/// Whom a receiver that ends has to tell.
pub(super) type Claimants = Vec<(ContextId, Option<Handle>)>;

impl<M> Inbox<M> {
    /// The receiver of a context, to be claimed with this token.
    pub(super) fn new(me: ContextId, token: u64, bounds: ChannelBounds) -> Self {
        Self {
            me,
            token,
            bounds,
            respondent: None,
            queue: VecDeque::new(),
            accounts: HashMap::new(),
            open: HashMap::new(),
            lingering: HashMap::new(),
            left: 0,
            dismissed: HashMap::new(),
            next: 0,
            holds: 0,
            claimed: false,
            trouble: None,
            end: None,
            orderly: false,
        }
    }

    /// From now on only this context may claim.
    pub(super) fn restrict(&mut self, respondent: ContextId) {
        self.respondent = Some(respondent);
    }

    /// A context introduces itself; gives the number of its account if it is a new one.
    pub(super) fn claim(&mut self, source: ContextId, token: u64) -> Result<Option<u64>, NoClaim> {
        if token != self.token {
            return Err(NoClaim::WrongToken);
        }
        if let Some(end) = &self.end {
            return Err(NoClaim::Ended(end.clone()));
        }
        if self.respondent.is_some_and(|respondent| respondent != source) {
            return Err(NoClaim::Stranger);
        }
        if let Some(account) = self.open.get(&source).and_then(|number| self.accounts.get_mut(number)) {
            if account.main {
                return Err(NoClaim::Twice);
            }
            // The rest of the last one is still on the links for bulk.
            account.main = true;
            return Ok(None);
        }
        let lingering = self.lingering.remove(&source);
        if lingering.is_none() && !self.has_room() {
            return Err(NoClaim::TooMany);
        }
        self.open.insert(source, lingering.unwrap_or(self.next));
        let stale = self.dismissed.remove(&source).unwrap_or(0).max(0);
        self.claimed |= source != self.me;
        if let Some(account) = lingering.and_then(|number| self.accounts.get_mut(&number)) {
            account.main = true;
            return Ok(None);
        }
        let number = self.next;
        self.next += 1;
        let granting = Granting::new(self.bounds.window);
        self.accounts.insert(number, Account { source, granting, watch: None, main: true, bulk_ends: 0, stale });
        Ok(Some(number))
    }

    /// Whether there may be one account more. Each has a window; what is left of those that were closed
    /// from this end counts as it is.
    fn has_room(&self) -> bool {
        let each = self.bounds.window.saturating_add(OVERHEAD);
        let accounts = self.open.len() as u64 + self.lingering.len() as u64 + 1;
        let held = accounts.saturating_mul(each).saturating_add(self.left);
        // Where the bytes are without bound, the number still is not.
        accounts <= self.bounds.senders && held <= self.bounds.senders.saturating_mul(each)
    }

    /// The end of a claimant will be heard of there; `false` if its account is gone meanwhile.
    #[must_use]
    pub(super) fn watch(&mut self, number: u64, watch: Handle) -> bool {
        let Some(account) = self.accounts.get_mut(&number) else { return false };
        account.watch = Some(watch);
        let has = |accounts: &HashMap<ContextId, u64>| accounts.get(&account.source) == Some(&number);
        has(&self.open) || has(&self.lingering)
    }

    /// A message has come.
    pub(super) fn arrive(&mut self, (source, way): (ContextId, Way), cost: u64, message: M) -> Result<(), NotTaken> {
        let Some(&number) = self.open.get(&source) else {
            let late = self.end.is_some() || self.dismissed.contains_key(&source);
            return Err(if late { NotTaken::Late } else { NotTaken::Unclaimed });
        };
        let Some(account) = self.accounts.get_mut(&number) else { return Err(NotTaken::Unclaimed) };
        if way == Way::Bulk && account.stale > 0 {
            return Err(NotTaken::Late);
        }
        if !account.granting.arrive(cost) {
            return Err(NotTaken::BeyondWindow);
        }
        let flows = way == Way::Bulk && cost >= BULK_FROM as u64;
        self.queue.push_back(Item { account: number, cost, flows, message });
        Ok(())
    }

    /// Takes the next message.
    pub(super) fn take(&mut self) -> Option<Taken<M>> {
        let Item { account: number, cost, flows, message } = self.queue.pop_front()?;
        let mut taken = Taken { message, grant: None, unwatch: None };
        let Some(account) = self.accounts.get_mut(&number) else { return Some(taken) };
        let (source, watch) = (account.source, account.watch);
        let (open, lingering) = (self.open.get(&source) == Some(&number), self.lingering.get(&source) == Some(&number));
        let bytes = account.granting.consume(cost, open && flows);
        let drained = account.granting.is_drained();
        if (open || lingering) && bytes > 0 {
            taken.grant = Some(Grant { source, bytes, watch });
        }
        if !open && !lingering {
            self.left = self.left.saturating_sub(cost);
        }
        if drained && !open {
            self.accounts.remove(&number);
            if lingering {
                self.lingering.remove(&source);
                taken.unwatch = watch;
            } else {
                self.left = self.left.saturating_sub(OVERHEAD);
            }
        }
        Some(taken)
    }

    /// Whether a context has an open claim.
    pub(super) fn is_claimed_by(&self, source: ContextId) -> bool {
        self.open.get(&source).and_then(|number| self.accounts.get(number)).is_some_and(|account| account.main)
    }

    /// A context says over the main links that it has closed its claim, and that the end of it comes over
    /// those for bulk.
    pub(super) fn last_but_bulk(&mut self, source: ContextId) -> Option<Closed> {
        match self.open.get(&source).and_then(|number| self.accounts.get_mut(number)) {
            // One that was closed from this end has ended before the next one is claimed.
            Some(account) if account.main => {
                account.main = false;
                account.bulk_ends = account.bulk_ends.saturating_add(1);
                let over = account.is_over();
                if over { self.close(source, None) } else { None }
            }
            _ => {
                self.count_bulk_ends(source, 1);
                None
            }
        }
    }

    /// A context says that it has closed its claim, behind everything that it has sent this way.
    pub(super) fn closed_by_sender(&mut self, source: ContextId, way: Way) -> Option<Closed> {
        let Some(account) = self.open.get(&source).and_then(|number| self.accounts.get_mut(number)) else {
            if way == Way::Bulk {
                self.count_bulk_ends(source, -1);
            }
            return None;
        };
        match way {
            Way::Main => account.main = false,
            Way::Bulk if account.stale > 0 => account.stale -= 1,
            // Whoever says it more than once a claim has claimed so often as well, or spoils its own.
            Way::Bulk => account.bulk_ends = (account.bulk_ends - 1).max(-1),
        }
        let over = account.is_over();
        if over { self.close(source, None) } else { None }
    }

    /// An end of a claim came over one of both links, or is still to come, that was closed from this end. Those
    /// of others are of no claim.
    fn count_bulk_ends(&mut self, source: ContextId, more: i32) {
        if let Some(count) = self.dismissed.get_mut(&source) {
            *count = count.saturating_add(more);
        }
    }

    /// A context has closed its claim, or it ends for a reason that is somebody's trouble. `None` if it
    /// had none.
    pub(super) fn close(&mut self, source: ContextId, trouble: Option<CallError>) -> Option<Closed> {
        let number = self.open.remove(&source)?;
        if let Some(account) = self.accounts.get_mut(&number) {
            (account.main, account.bulk_ends, account.stale) = (false, 0, 0);
        }
        let (watch, grant) = self.settle_account(source, number, trouble.is_none());
        if self.trouble.is_none() {
            self.trouble = trouble;
        }
        Some(Closed { watch, grant, over: self.is_over() })
    }

    /// The context of an account is gone: no more will come from it, and it gets no more credit.
    pub(super) fn close_number(&mut self, number: u64, trouble: CallError) -> Option<Closed> {
        let source = self.accounts.get(&number)?.source;
        if self.open.get(&source) == Some(&number) {
            return self.close(source, Some(trouble));
        }
        if self.lingering.get(&source) == Some(&number) {
            // Its claim was closed in good order.
            self.lingering.remove(&source);
            let (watch, grant) = self.settle_account(source, number, false);
            return Some(Closed { watch, grant, over: false });
        }
        None
    }

    /// What becomes of an account without a claim; gives what is not listened on any more, and what is to be
    /// given back if there is `credit`.
    fn settle_account(&mut self, source: ContextId, number: u64, credit: bool) -> (Option<Handle>, Option<Grant>) {
        let Some(account) = self.accounts.get_mut(&number) else { return (None, None) };
        let watch = account.watch;
        if account.granting.is_drained() {
            let bytes = if credit { account.granting.settle() } else { 0 };
            self.accounts.remove(&number);
            return (watch, (bytes > 0).then_some(Grant { source, bytes, watch }));
        }
        if credit {
            self.lingering.insert(source, number);
            return (None, None);
        }
        self.left = self.left.saturating_add(account.granting.queued()).saturating_add(OVERHEAD);
        (watch, None)
    }

    /// Closes a claim from this end, whose context does not know of it yet.
    pub(super) fn dismiss(&mut self, source: ContextId, trouble: CallError) -> Option<Closed> {
        let account = self.accounts.get(self.open.get(&source)?)?;
        let bulk_ends = account.bulk_ends.saturating_add(account.stale);
        let closed = self.close(source, Some(trouble))?;
        if self.dismissed.len() as u64 >= self.bounds.senders {
            // So many can only be those who never stop; what they send is an offence then.
            self.dismissed.clear();
        }
        self.dismissed.insert(source, bulk_ends);
        Some(closed)
    }

    /// Closes what is left of the claim of an account from this end.
    pub(super) fn dismiss_number(&mut self, number: u64, trouble: CallError) -> Option<Closed> {
        let source = self.accounts.get(&number)?.source;
        if self.open.get(&source) == Some(&number) {
            return self.dismiss(source, trouble);
        }
        self.close_number(number, trouble)
    }

    /// A message of a context turned out to be nothing that the receiver takes. Its claim may have been
    /// closed since, and the receiver may have ended in good order; this is not what became of it then.
    pub(super) fn spoil(&mut self, source: ContextId, trouble: CallError) -> Option<Closed> {
        if self.orderly {
            self.orderly = false;
            self.end = Some(trouble.clone());
        }
        if self.open.contains_key(&source) {
            return self.dismiss(source, trouble);
        }
        self.trouble.get_or_insert(trouble);
        None
    }

    /// Keeps the receiver from ending.
    pub(super) fn hold(&mut self) {
        self.holds += 1;
    }

    /// Undoes one [`hold`](Self::hold); tells whether the receiver is over.
    pub(super) fn release(&mut self) -> bool {
        self.holds = self.holds.saturating_sub(1);
        self.is_over()
    }

    /// A sender was decoded in this context itself, and is a claimant like any other.
    pub(super) fn own_sender_decoded(&mut self) {
        self.claimed = true;
    }

    /// The owner says that its own senders have sent all that they will.
    pub(super) fn own_senders_closed(&mut self) -> bool {
        // Where they could not send, that says nothing.
        self.claimed |= self.respondent.is_none_or(|respondent| respondent == self.me);
        self.is_over()
    }

    /// Nothing more can come, for this reason; gives the claimants. What has arrived stays.
    pub(super) fn finish(&mut self, why: CallError) -> Claimants {
        self.end.get_or_insert(why);
        let open: Vec<_> = self.open.drain().chain(self.lingering.drain()).collect();
        let watch = |number| self.accounts.get(number).and_then(|account| account.watch);
        let claimants = open.iter().map(|(source, number)| (*source, watch(number))).collect();
        self.accounts.retain(|_, account| !account.granting.is_drained());
        claimants
    }

    /// The same, and nobody wants what has arrived; gives that too, to be dropped elsewhere.
    pub(super) fn shut(&mut self, why: CallError) -> (Claimants, Vec<M>) {
        let claimants = self.finish(why.clone());
        // Whoever asks from now on hears of this, whatever there was before.
        self.end = Some(why);
        self.orderly = false;
        self.accounts.clear();
        let dropped: Vec<_> = std::mem::take(&mut self.queue).into_iter().map(|item| item.message).collect();
        (claimants, dropped)
    }

    /// Why nothing more will come, once that is so; something may be queued still.
    pub(super) fn end(&self) -> Option<&CallError> {
        self.end.as_ref()
    }

    /// Whether no message waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Ends the receiver if it is over; tells whether it has just ended. For those who ask for more when
    /// nothing is queued, or for the end itself.
    pub(super) fn settle(&mut self) -> bool {
        let over = self.is_over();
        if over {
            self.orderly = self.trouble.is_none();
            self.end = Some(self.trouble.take().unwrap_or_else(all_closed));
        }
        over
    }

    /// Whether nobody can send any more, unless somebody is given a sender.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_none() && self.claimed && self.open.is_empty() && self.holds == 0
    }
}

fn all_closed() -> CallError {
    CallError::Cancelled { reason: CHANNEL_CLOSED.to_owned(), trace: Trace::default() }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
