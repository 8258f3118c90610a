//! The sending end of a channel: the shell around [`Outgoing`], shared by all senders for one receiver.

use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;

use super::call::{closed, not_begun, refusal};
use super::outgoing::{Begin, Outgoing};
use super::registry::Registry;
use super::window::{self, BULK_FROM, Spending};
use crate::error::{CallError, Trace};
use crate::io::{LeftToOthers, Patience, Stream, cork};
use crate::router::{Context, Core, Death, Delivery, Listener};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::{Bulk, Claim, ContextId, DeadCode, DeadReason, Encoding, Handle, Message};

/// Sends to one receiver. Dropping the last of those who share it says that this was all.
pub(super) struct Outbox {
    registry: Arc<Registry>,
    context: Context,
    handle: Handle,
    token: u64,
    /// Kept by the registry as well, since credit may come when this is gone. Locked after the state.
    window: Arc<Mutex<Spending>>,
    state: Mutex<State>,
    /// There is credit, or the end has come.
    changed: Condvar,
}

struct State {
    outgoing: Outgoing,
    /// Where this context hears of the end of the other one, and of refusals.
    watch: Option<Handle>,
    /// A thread that waits for credit reads what comes.
    reads: bool,
    /// What ends its wait.
    reader: Option<Waker>,
}

/// How long to wait for credit and for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Forever,
    Until(Instant),
    /// Until then for credit; for ever for room in the stream, which is closed if it makes no progress.
    ForCredit(Instant),
    Not,
}

impl Wait {
    /// When to wait for credit no longer.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Until(deadline) | Self::ForCredit(deadline) => Some(deadline),
            Self::Forever | Self::Not => None,
        }
    }
}

impl Outbox {
    /// One that has not claimed yet.
    pub(super) fn new(
        registry: &Arc<Registry>,
        (context, handle): (&Context, Handle),
        token: u64,
        window: Arc<Mutex<Spending>>,
        after_bulk: bool,
    ) -> Arc<Self> {
        let mut outgoing = Outgoing::default();
        if after_bulk {
            // What an earlier one has sent there may be on its way still, and must not be overtaken.
            outgoing.want_bulk(|| true);
        }
        Arc::new(Self {
            window,
            registry: registry.clone(),
            context: context.clone(),
            handle,
            token,
            state: Mutex::new(State { outgoing, watch: None, reads: false, reader: None }),
            changed: Condvar::new(),
        })
    }

    /// Introduces this context to the receiver. Data may follow directly, since it takes the same way.
    pub(super) fn claim(self: &Arc<Self>) {
        if let Err(why) = self.try_claim() {
            self.closed_by_receiver(why);
        }
    }

    fn try_claim(self: &Arc<Self>) -> Result<(), CallError> {
        let (core, context) = (self.core(), &self.context);
        if let Some(death) = context.death().filter(|_| !context.is_connected()) {
            return Err(Death::clone(&death).into_call_error());
        }
        let watch = Arc::new(Watch(Arc::downgrade(self)));
        let watch = core.await_uncounted(context.id(), watch).ok_or_else(|| closed(context))?;
        self.state.lock().watch = Some(watch);
        let claim = Claim { handle: self.handle, token: self.token }.encode();
        // The place for an answer makes every hop tell the receiver of the end of this context, and
        // this context of what becomes of the claim.
        let message = Message::new(Encoding::MessagePack, context.id(), Handle::CLAIM, watch, claim.into());
        core.send(message, Patience::Reserve).map_err(|reason| refusal(context, 0, reason))?;
        let farewell = self.state.lock().outgoing.claimed();
        self.news();
        if farewell {
            self.say_farewell();
        }
        Ok(())
    }

    /// Where the receiver is.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle
    }

    pub(super) fn token(&self) -> u64 {
        self.token
    }

    pub(super) fn key(&self) -> (Handle, ContextId) {
        (self.handle, self.context.id())
    }

    fn core(&self) -> &Arc<Core> {
        self.context.core()
    }

    /// Sends a message when there is credit for it and room in the stream.
    pub(super) fn send(self: &Arc<Self>, encoding: Encoding, payload: Bytes, wait: Wait) -> Result<(), CallError> {
        let (length, max) = (payload.len(), self.core().identity().max_message_size);
        if length > max {
            return Err(refusal(&self.context, length, DeadReason::too_large(max)));
        }
        let cost = window::cost(length);
        let bulk = self.begin(cost, length, wait)?;
        let message = Message::new(encoding, self.context.id(), bulk.unwrap_or(self.handle), Handle::NONE, payload);
        let patience = match wait {
            Wait::Forever | Wait::ForCredit(_) => Patience::Wait,
            Wait::Until(deadline) => Patience::Until(deadline),
            Wait::Not => Patience::Refuse,
        };
        // No lock is held: others may send meanwhile, and the broker may hear of credit.
        let sent = match bulk {
            Some(_) => self.core().send_bulk(message, patience),
            None => self.core().send(message, patience),
        };
        let (farewell, asks) = {
            let outgoing = &mut self.state.lock().outgoing;
            (outgoing.finish(sent.is_ok(), cost, &mut self.window.lock()), outgoing.is_to_ask())
        };
        if farewell {
            self.say_farewell();
        }
        if asks {
            self.ask_for_bulk();
        }
        sent.map_err(|reason| self.not_sent(reason, wait))
    }

    /// Takes credit, and waits for it. Gives the handle for bulk if the message is to go there.
    fn begin(self: &Arc<Self>, cost: u64, length: usize, wait: Wait) -> Result<Option<Handle>, CallError> {
        let has_bulk = || self.core().has_bulk(self.context.id());
        let mut state = self.state.lock();
        let (mut time_is_over, mut left_to_others) = (wait == Wait::Not, None);
        if length >= BULK_FROM && !time_is_over {
            state.outgoing.want_bulk(has_bulk);
        }
        loop {
            match state.outgoing.begin(cost, &mut self.window.lock()) {
                Begin::Go => return Ok(state.outgoing.bulk()),
                Begin::Closed(why) => return Err(why),
                Begin::Wait => state.outgoing.want_bulk(has_bulk),
            }
            if state.outgoing.is_to_ask() {
                drop(state);
                self.ask_for_bulk();
                state = self.state.lock();
                continue;
            }
            if time_is_over {
                return Err(out_of_time(wait));
            }
            cork::let_go();
            if let Some(link) = self.link_to_read(&mut state) {
                drop(state);
                left_to_others = None;
                self.read(&link, cost, wait);
                state = self.state.lock();
                state.reads = false;
                time_is_over = wait.deadline().is_some_and(|deadline| deadline <= Instant::now());
                continue;
            }
            if left_to_others.is_none() {
                drop(state);
                // The stream may be gone, and its news may have come while the lock was not held.
                left_to_others = Some(self.core().stream_toward(self.context.id()).map(LeftToOthers::new));
                state = self.state.lock();
                continue;
            }
            match wait.deadline() {
                Some(deadline) => time_is_over = self.changed.wait_until(&mut state, deadline).timed_out(),
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// The stream that credit comes over, with its read role, for a thread that sends much and waits: it
    /// reads by itself, where another one would have to be woken to wake it. One at a time, if nobody else
    /// reads there.
    fn link_to_read(&self, state: &mut State) -> Option<Arc<Stream>> {
        if state.reads || state.outgoing.used_bulk().is_none() {
            return None;
        }
        let link = self.core().stream_toward(self.context.id()).filter(|link| link.try_join())?;
        state.reads = true;
        Some(link)
    }

    /// Reads until there may be credit for a message of this cost.
    fn read(&self, link: &Arc<Stream>, cost: u64, wait: Wait) {
        link.read_until(wait.deadline(), |waker| {
            let mut state = self.state.lock();
            let wanted = state.outgoing.is_worth_asking(cost, &self.window.lock());
            state.reader = waker.filter(|_| !wanted).cloned();
            wanted
        });
        link.leave_with_credit();
    }

    /// Wakes those who wait; they ask again.
    fn news(&self) {
        let reader = self.state.lock().reader.take();
        self.changed.notify_all();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Asks the receiver for a handle for bulk.
    fn ask_for_bulk(self: &Arc<Self>) {
        let core = self.core();
        let answer = Arc::new(BulkAnswer(Arc::downgrade(self)));
        let Some(answer) = core.await_uncounted(self.context.id(), answer) else {
            return self.bulk_answered(None);
        };
        let payload = Bulk::Ask(self.handle).encode().into();
        let message = Message::new(Encoding::MessagePack, self.context.id(), Handle::BULK, answer, payload);
        if core.send(message, Patience::Reserve).is_err() && core.give_up(answer) {
            self.bulk_answered(None);
        }
    }

    fn bulk_answered(&self, handle: Option<Handle>) {
        self.state.lock().outgoing.answered(handle);
        self.news();
    }

    fn not_sent(&self, reason: DeadReason, wait: Wait) -> CallError {
        // Others may go on with the credit that this message has given back.
        self.news();
        if reason.code == DeadCode::Overloaded && wait != Wait::Forever {
            return out_of_time(wait);
        }
        let why = refusal(&self.context, 0, reason);
        self.closed_by_receiver(why.clone());
        why
    }

    /// Closes this end.
    pub(super) fn close(&self) {
        let farewell = self.state.lock().outgoing.close(sender_closed());
        self.closed(farewell);
    }

    fn closed(&self, farewell: bool) {
        self.news();
        if farewell {
            self.say_farewell();
        }
    }

    /// Why nothing more can be sent, once that is so.
    pub(super) fn closed_reason(&self) -> Option<CallError> {
        self.state.lock().outgoing.closed_reason().cloned()
    }

    /// There may be credit. The lock orders this after a waiter's look at the window and before its
    /// sleep.
    pub(super) fn credit_came(&self) {
        self.news();
    }

    /// The receiver takes no more. It is told of the end all the same: it may have meant an earlier
    /// claim, and hold another one of this context.
    pub(super) fn refused(&self, reason: &str) {
        let context = self.context.name().to_owned();
        let why = CallError::Refused { reason: reason.to_owned(), context, trace: Trace::default() };
        let farewell = self.state.lock().outgoing.refused(why);
        self.closed(farewell);
    }

    fn closed_by_receiver(&self, why: CallError) {
        let mut state = self.state.lock();
        state.outgoing.closed_by_receiver(why);
        self.unwatch(state);
        self.news();
    }

    fn say_farewell(&self) {
        let bulk = self.state.lock().outgoing.used_bulk();
        let dead = Message::dead(self.context.id(), bulk.unwrap_or(self.handle), &DeadReason::sender_closed());
        // If it cannot be sent, the receiver's context is gone.
        match bulk {
            None => drop(self.core().send(dead, Patience::Reserve)),
            Some(_) => {
                let _ = self.core().send_bulk(dead, Patience::Reserve);
                // The end of the claim has its place among the claims of others, whose senders this one
                // may have kept; they are not on the link for bulk.
                self.core().post(self.context.id(), Handle::BULK, Bulk::Last(self.handle).encode());
            }
        }
        self.unwatch(self.state.lock());
    }

    /// Whether messages went over the link for bulk.
    pub(super) fn has_used_bulk(&self) -> bool {
        self.state.lock().outgoing.used_bulk().is_some()
    }

    fn unwatch(&self, mut state: MutexGuard<'_, State>) {
        let watch = state.watch.take();
        drop(state);
        if let Some(watch) = watch {
            self.core().give_up(watch);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let outgoing = &mut self.state.get_mut().outgoing;
        let (farewell, lingers) = (outgoing.close(sender_closed()), outgoing.lingers());
        self.registry.clone().leave(self, lingers, || {
            if farewell {
                self.say_farewell();
            }
        });
        self.unwatch(self.state.lock());
    }
}

/// Hears of the end of the receiver's context, and of a claim that does not arrive or is refused.
struct Watch(Weak<Outbox>);

impl Listener for Watch {
    fn deliver(&self, delivery: Delivery<'_>) {
        let Some(outbox) = self.0.upgrade() else { return };
        let reason = delivery.message.dead_reason().unwrap_or_else(DeadReason::refused);
        outbox.closed_by_receiver(refusal(&outbox.context, 0, reason));
    }

    fn end(&self, death: &Arc<Death>) {
        if let Some(outbox) = self.0.upgrade() {
            outbox.closed_by_receiver(Death::clone(death).into_call_error());
        }
    }
}

/// Gets the receiver's handle for bulk.
struct BulkAnswer(Weak<Outbox>);

impl Listener for BulkAnswer {
    fn deliver(&self, delivery: Delivery<'_>) {
        let Some(outbox) = self.0.upgrade() else { return };
        let message = &delivery.message;
        let handle = if message.is_dead() { None } else { Bulk::decode_reply(&message.payload).ok() };
        outbox.bulk_answered(handle.filter(|handle| *handle >= Handle::FIRST_DYNAMIC));
    }

    fn end(&self, _death: &Arc<Death>) {
        if let Some(outbox) = self.0.upgrade() {
            outbox.bulk_answered(None);
        }
    }
}

fn sender_closed() -> CallError {
    CallError::Cancelled { reason: DeadReason::sender_closed().text, trace: Trace::default() }
}

/// There was no credit or no room in the time that was given.
fn out_of_time(wait: Wait) -> CallError {
    if wait == Wait::Not {
        let what = "the receiver has no room for more".to_owned();
        return CallError::Overloaded { what, trace: Trace::default() };
    }
    not_begun()
}
