//! The receiving end of a channel: the shell around [`Inbox`], which gives it a handle, a lock and
//! those who wait.
//!
//! Messages are delivered on the thread that reads, which only queues them and wakes somebody. Nothing
//! is sent, woken or called under the lock.

use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use super::call::{closed, given_up, refusal};
use super::inbox::{Claimants, Closed, Grant, Inbox, NoClaim, NotTaken, Taken, Way};
use super::registry::{Registry, offence};
use super::window;
use crate::error::{CallError, RECEIVER_CLOSED as CLOSED, Trace};
use crate::io::{LeftToOthers, Patience, Stream, cork};
use crate::router::{Context, Core, Death, Delivery, Listener, random_number};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::{ContextId, Credit, CreditNews, DeadCode, DeadReason, Encoding, FEATURE_CHANNELS, Handle, Message};

/// What a context is told that has no right to send.
const NOT_FROM_HERE: &str = "the receiver does not take messages from this context";

/// What a sender is told whose messages cannot be what the receiver takes.
const SPOILED: &str = "a message could not be decoded";

/// Called when there is something to be taken, without any lock.
pub(super) type Notify = Arc<dyn Fn() + Send + Sync>;

/// What all handles of one receiver share.
pub(super) struct Mailbox {
    core: Arc<Core>,
    registry: Arc<Registry>,
    handle: Handle,
    token: u64,
    state: Mutex<State>,
    /// A message has come, or the end.
    arrived: Condvar,
}

struct State {
    inbox: Inbox<Message>,
    /// Whom to tell beside those who wait.
    notify: Option<Notify>,
    /// Where the end of the only context is heard of that may send.
    watch: Option<Handle>,
    /// The handle for bulk, once somebody has asked for it.
    bulk: Option<Handle>,
    /// The link for bulk that something has come over last: a thread that waits reads it by itself.
    link: Weak<Stream>,
    /// How much has come over links for bulk.
    from_link: u64,
    reading: Reading,
}

/// Whether a thread that waits for a message reads the link for bulk.
enum Reading {
    Nobody,
    /// One does, and is not waiting in the kernel.
    Busy,
    /// One does, and is woken by this.
    Waiting(Waker),
}

/// What a mailbox has for somebody who asks.
pub(super) enum Next {
    Message(Message, After),
    /// Nothing more will come.
    Ended(CallError),
    /// Nothing yet.
    Nothing,
}

/// What is to be done about a message that was taken, as soon as no lock is held.
#[must_use]
pub(super) struct After(Option<(Arc<Mailbox>, Option<Grant>, Option<Handle>)>);

impl After {
    /// Gives the sender its credit back.
    pub(super) fn run(self) {
        let Some((mailbox, grant, unwatch)) = self.0 else { return };
        mailbox.give_back(grant);
        mailbox.unwatch(unwatch);
    }
}

impl Mailbox {
    /// A receiver that nobody has a sender of yet. At a closed router it has ended.
    pub(super) fn open(core: &Arc<Core>) -> Arc<Self> {
        let registry = Registry::of(core);
        let token = random_number();
        let new = |handle| {
            let inbox = Inbox::new(core.identity().id, token, core.identity().channels);
            Arc::new(Self {
                core: core.clone(),
                registry: registry.clone(),
                handle,
                token,
                state: Mutex::new(State {
                    inbox,
                    notify: None,
                    watch: None,
                    bulk: None,
                    link: Weak::new(),
                    from_link: 0,
                    reading: Reading::Nobody,
                }),
                arrived: Condvar::new(),
            })
        };
        let Some(mailbox) = core.open(new) else {
            let mailbox = new(Handle::NONE);
            mailbox.finish(closed(&mailbox.myself()));
            return mailbox;
        };
        registry.add_mailbox(mailbox.handle, &mailbox);
        mailbox
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle
    }

    pub(super) fn token(&self) -> u64 {
        self.token
    }

    /// The context that the receiver is in.
    pub(super) fn myself(&self) -> Context {
        self.core.context(self.core.identity().id)
    }

    /// Takes messages of one context alone from now on, and ends with it.
    pub(super) fn restrict(self: &Arc<Self>, context: &Context) {
        self.state.lock().inbox.restrict(context.id());
        let watch = Arc::new(RespondentWatch(Arc::downgrade(self)));
        let Some(watch) = self.core.await_uncounted(context.id(), watch) else { return };
        let mut state = self.state.lock();
        let ended = state.inbox.end().is_some();
        let unwanted = if ended { Some(watch) } else { state.watch.replace(watch) };
        drop(state);
        self.unwatch(unwanted);
        // Looked at after the watch is there: an end that comes between is told twice.
        if !context.is_connected() {
            let death = context.death().map(|death| Death::clone(&death));
            self.finish(death.unwrap_or_else(|| Death::disconnected(context.name())).into_call_error());
        }
    }

    // ---- taking ----

    /// Takes the next message, waiting for it until `deadline`, or for ever without one.
    pub(super) fn wait(self: &Arc<Self>, deadline: Option<Instant>) -> Result<Message, CallError> {
        cork::let_go();
        let mut state = self.state.lock();
        let (mut time_is_over, mut left_to_others) = (false, None);
        loop {
            match self.next(&mut state) {
                Next::Message(message, after) => {
                    drop(state);
                    after.run();
                    return Ok(message);
                }
                Next::Ended(why) => {
                    drop(state);
                    self.retire();
                    return Err(why);
                }
                Next::Nothing if time_is_over => return Err(given_up()),
                Next::Nothing => {}
            }
            if let Some(link) = self.link_to_read(&mut state) {
                drop(state);
                left_to_others = None;
                let goes_on = self.read(&link, deadline);
                state = self.state.lock();
                state.reading = Reading::Nobody;
                if !goes_on {
                    state.link = Weak::new();
                }
                time_is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
                continue;
            }
            let link = state.link.upgrade().filter(|_| left_to_others.is_none());
            if let Some(link) = link {
                drop(state);
                left_to_others = Some(LeftToOthers::new(link));
                state = self.state.lock();
                continue;
            }
            match deadline {
                None => self.arrived.wait(&mut state),
                Some(deadline) => time_is_over = self.arrived.wait_until(&mut state, deadline).timed_out(),
            }
        }
    }

    /// The link for bulk that a thread reads by itself that waits for a message, and has the read role of,
    /// so that no other thread has to be woken in between. One at a time, if nobody else reads there.
    fn link_to_read(&self, state: &mut State) -> Option<Arc<Stream>> {
        if !matches!(state.reading, Reading::Nobody) {
            return None;
        }
        let link = state.link.upgrade().filter(|link| link.try_join())?;
        state.reading = Reading::Busy;
        Some(link)
    }

    /// Reads until there is something for this receiver; `false` if that cannot be done here any more. What
    /// comes for others is theirs.
    fn read(&self, link: &Arc<Stream>, deadline: Option<Instant>) -> bool {
        let (own, received) = (self.state.lock().from_link, link.received());
        let goes_on = link.read_until(deadline, |waker| {
            let mut state = self.state.lock();
            let wanted = !state.inbox.is_empty() || state.inbox.end().is_some() || state.inbox.is_over();
            state.reading = match waker.filter(|_| !wanted) {
                Some(waker) => Reading::Waiting(waker.clone()),
                None => Reading::Busy,
            };
            wanted
        });
        let own = self.state.lock().from_link - own;
        link.leave_bulk(link.received() - received == own);
        goes_on
    }

    /// What there is at this moment. The caller may hold locks of its own that are taken before those
    /// of mailboxes.
    pub(super) fn try_next(self: &Arc<Self>) -> Next {
        let next = self.next(&mut self.state.lock());
        if matches!(next, Next::Ended(_)) {
            self.retire();
        }
        next
    }

    fn next(self: &Arc<Self>, state: &mut State) -> Next {
        if let Some(Taken { message, grant, unwatch }) = state.inbox.take() {
            let idle = grant.is_none() && unwatch.is_none();
            return Next::Message(message, After((!idle).then(|| (self.clone(), grant, unwatch))));
        }
        state.inbox.settle();
        state.inbox.end().map_or(Next::Nothing, |why| Next::Ended(why.clone()))
    }

    /// A message was not what the receiver takes: nothing more is taken from who has sent it.
    pub(super) fn spoiled(&self, source: ContextId, why: CallError) {
        let mut state = self.state.lock();
        let closed = state.inbox.spoil(source, why);
        self.dismissed(state, source, closed, SPOILED);
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().inbox.len()
    }

    /// Why nothing more will come. To ask is what ends a receiver that is over.
    pub(super) fn ask_end(&self) -> Option<CallError> {
        let mut state = self.state.lock();
        let ended = state.inbox.settle();
        let end = state.inbox.end().cloned();
        drop(state);
        if ended {
            self.retire();
        }
        end
    }

    /// The same for those who send, and do not end anything by asking.
    pub(super) fn end_reason(&self) -> Option<CallError> {
        self.state.lock().inbox.end().cloned()
    }

    /// From now on this is called for each event; gives how many there are already.
    pub(super) fn set_notify(&self, notify: Option<Notify>) -> usize {
        let mut state = self.state.lock();
        let end = state.inbox.end().is_some() || state.inbox.is_over();
        let events = state.inbox.len() + usize::from(end);
        let previous = std::mem::replace(&mut state.notify, notify);
        drop(state);
        drop(previous);
        events
    }

    // ---- who may send ----

    /// A context introduces itself. On the thread that reads.
    pub(super) fn claimed(self: &Arc<Self>, delivery: &Delivery<'_>, token: u64) {
        let (core, message) = (&self.core, &delivery.message);
        let source = message.header.src_id;
        let claimed = self.state.lock().inbox.claim(source, token);
        let number = match claimed {
            Ok(Some(number)) => number,
            // The account of an earlier claim goes on, and with it the watch.
            Ok(None) => return,
            Err(NoClaim::TooMany) => {
                let most = core.identity().channels.senders;
                let reason = format!("the receiver has as many senders as one may have ({most})");
                return self.tell(source, None, CreditNews::Closed(&reason));
            }
            Err(NoClaim::Ended(_)) => return self.tell(source, None, CreditNews::Closed(CLOSED)),
            Err(no @ (NoClaim::WrongToken | NoClaim::Stranger | NoClaim::Twice)) => {
                offence(delivery, no.text());
                let reason = DeadReason::new(DeadCode::Refused, NOT_FROM_HERE);
                return core.refuse(message, core.identity().id, &reason);
            }
        };
        let watch = ClaimWatch { mailbox: Arc::downgrade(self), claimant: core.context(source), number };
        // At a router that is closed there is none, and the receiver is told of that.
        if let Some(watch) = core.await_uncounted(source, Arc::new(watch)) {
            let wanted = self.state.lock().inbox.watch(number, watch);
            self.unwatch((!wanted).then_some(watch));
        }
    }

    /// The handle to which a context that has claimed may send much; `None` for others.
    pub(super) fn handle_for_bulk(self: &Arc<Self>, source: ContextId) -> Option<Handle> {
        let state = self.state.lock();
        if !state.inbox.is_claimed_by(source) {
            return None;
        }
        if state.bulk.is_some() {
            return state.bulk;
        }
        drop(state);
        let (mut opened, mailbox) = (None, self.clone());
        self.core.open(|handle| {
            opened = Some(handle);
            Arc::new(BulkEnd(mailbox))
        });
        let mut state = self.state.lock();
        let unwanted = if state.bulk.is_some() || state.inbox.end().is_some() { opened } else { None };
        if unwanted.is_none() {
            state.bulk = opened;
        }
        let bulk = state.bulk;
        drop(state);
        self.unwatch(unwanted);
        bulk
    }

    /// A context sends nothing more for this claim but what is on the links for bulk.
    pub(super) fn last_but_bulk(&self, source: ContextId) {
        let mut state = self.state.lock();
        let closed = state.inbox.last_but_bulk(source);
        self.claim_closed(state, closed);
    }

    /// Keeps the receiver from ending.
    pub(super) fn hold(&self) {
        self.state.lock().inbox.hold();
    }

    /// Undoes one [`hold`](Self::hold).
    pub(super) fn release(&self) {
        let mut state = self.state.lock();
        let over = state.inbox.release();
        self.over(state, over);
    }

    /// A sender was decoded in this process, and has claimed.
    pub(super) fn own_sender_decoded(&self) {
        self.state.lock().inbox.own_sender_decoded();
    }

    /// The owner's own senders have sent all that they will.
    pub(super) fn own_senders_closed(&self) {
        let mut state = self.state.lock();
        let over = state.inbox.own_senders_closed();
        self.over(state, over);
    }

    /// A claim has come to its end, as its context knows.
    fn claim_closed(&self, state: MutexGuard<'_, State>, closed: Option<Closed>) {
        let Some(Closed { watch, grant, over }) = closed else { return };
        self.over(state, over);
        self.give_back(grant);
        self.unwatch(watch);
    }

    /// A claim was closed from this end, and its context is told.
    fn dismissed(&self, state: MutexGuard<'_, State>, source: ContextId, closed: Option<Closed>, reason: &str) {
        // Both ends count from 0 then, so that nothing is given back.
        let Some(Closed { watch, over, grant: _ }) = closed else { return };
        self.over(state, over);
        self.unwatch(watch);
        self.tell(source, None, CreditNews::Closed(reason));
    }

    /// Those who wait ask again if the receiver is over, which ends it.
    fn over(&self, state: MutexGuard<'_, State>, over: bool) {
        if over {
            self.wake(state, true);
        }
    }

    // ---- the end ----

    /// The owner wants nothing more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        let why = CallError::Cancelled { reason: CLOSED.to_owned(), trace: Trace::default() };
        let (claimants, dropped) = state.inbox.shut(why);
        self.finished(state, claimants);
        drop(dropped);
    }

    /// Nothing more can come.
    fn finish(&self, why: CallError) {
        let mut state = self.state.lock();
        if state.inbox.end().is_none() {
            let claimants = state.inbox.finish(why);
            self.finished(state, claimants);
        }
    }

    fn finished(&self, state: MutexGuard<'_, State>, claimants: Claimants) {
        self.wake(state, true);
        self.retire();
        for (source, watch) in claimants {
            self.unwatch(watch);
            self.tell(source, None, CreditNews::Closed(CLOSED));
        }
    }

    /// Gives back what the router keeps for this receiver.
    fn retire(&self) {
        // Once, since the number may belong to somebody else later.
        if self.registry.remove_mailbox(self.handle) {
            self.core.give_up(self.handle);
        }
        let (watch, bulk) = {
            let mut state = self.state.lock();
            (state.watch.take(), state.bulk.take())
        };
        self.unwatch(watch);
        self.unwatch(bulk);
    }

    fn unwatch(&self, watch: Option<Handle>) {
        if let Some(watch) = watch {
            self.core.give_up(watch);
        }
    }

    /// Gives a sender its credit back.
    fn give_back(&self, grant: Option<Grant>) {
        if let Some(Grant { source, bytes, watch }) = grant {
            self.tell(source, watch, CreditNews::Bytes(bytes));
        }
    }

    /// Tells a sender's context something about this receiver.
    fn tell(&self, source: ContextId, watch: Option<Handle>, news: CreditNews<'_>) {
        if !self.core.neighbour_has(source, FEATURE_CHANNELS) {
            return;
        }
        let payload = Credit { handle: self.handle, news }.encode().into();
        // A hop that cannot pass credit on says so at the watch: credit is not lost in silence.
        let reply_to = watch.unwrap_or(Handle::NONE);
        let message = Message::new(Encoding::MessagePack, source, Handle::CREDIT, reply_to, payload);
        // If it cannot be sent its context is gone, which is told.
        let _ = self.core.send(message, Patience::Reserve);
    }

    /// Lets go of the lock and wakes one who waits, or all of them.
    fn wake(&self, mut state: MutexGuard<'_, State>, all: bool) {
        let notify = state.notify.clone();
        let reader = match std::mem::replace(&mut state.reading, Reading::Busy) {
            Reading::Waiting(waker) => Some(waker),
            other => {
                state.reading = other;
                None
            }
        };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        if all {
            self.arrived.notify_all();
        } else {
            self.arrived.notify_one();
        }
        if let Some(notify) = notify {
            notify();
        }
    }

    // ---- what comes ----

    fn arrived(&self, delivery: &mut Delivery<'_>, way: Way) {
        let message = std::mem::replace(&mut delivery.message, empty());
        let source = message.header.src_id;
        let cost = window::cost(message.payload.len());
        let mut state = self.state.lock();
        if let Some(link) = delivery.bulk {
            state.from_link += 1;
            if !std::ptr::eq(state.link.as_ptr(), Arc::as_ptr(link)) {
                state.link = Arc::downgrade(link);
            }
        }
        match state.inbox.arrive((source, way), cost, message) {
            Ok(()) => self.wake(state, false),
            Err(NotTaken::Late) => {}
            Err(NotTaken::Unclaimed) => {
                drop(state);
                offence(delivery, "sent to a receiver that it has not claimed");
            }
            Err(NotTaken::BeyondWindow) => {
                let why = CallError::Overloaded {
                    what: format!("context {source} has sent more than its window allows"),
                    trace: Trace::default(),
                };
                let closed = state.inbox.dismiss(source, why);
                self.dismissed(state, source, closed, "more was sent than the window allows");
                offence(delivery, "sent more to a receiver than its window allows");
            }
        }
    }

    /// Says that nothing more will come from a context, which has said so itself or which a hop says.
    fn dead(&self, (source, way): (ContextId, Way), reason: DeadReason) {
        let mut state = self.state.lock();
        if reason.code == DeadCode::SenderClosed {
            let closed = state.inbox.closed_by_sender(source, way);
            return self.claim_closed(state, closed);
        }
        drop(state);
        let text = reason.text.clone();
        let why = refusal(&self.core.context(source), 0, reason);
        let mut state = self.state.lock();
        let closed = state.inbox.dismiss(source, why);
        self.dismissed(state, source, closed, &text);
    }
}

/// What is left of a message that was taken out of its delivery.
fn empty() -> Message {
    Message::new(Encoding::Binary, ContextId::ROOT, Handle::NONE, Handle::NONE, bytes::Bytes::new())
}

impl NoClaim {
    fn text(&self) -> &'static str {
        match self {
            Self::WrongToken => "claimed a receiver with a wrong token",
            Self::Stranger => "claimed a receiver that is for another context",
            Self::Twice => "claimed a receiver twice",
            Self::TooMany | Self::Ended(_) => "claimed a receiver that takes no more",
        }
    }
}

impl Mailbox {
    fn take(&self, mut delivery: Delivery<'_>, way: Way) {
        let header = delivery.message.header;
        if let Some(reason) = delivery.message.dead_reason() {
            return self.dead((header.src_id, way), reason);
        }
        if header.reply_to != Handle::NONE {
            // Somebody asks something here, and shall not wait for ever.
            return self.core.refuse(&delivery.message, self.core.identity().id, &DeadReason::refused());
        }
        // It may wait long, and what is counted of it is its size.
        delivery.message.stand_alone();
        self.arrived(&mut delivery, way);
    }
}

/// The handle for bulk, where nothing comes but what was sent over the links for bulk.
struct BulkEnd(Arc<Mailbox>);

impl Listener for BulkEnd {
    fn deliver(&self, delivery: Delivery<'_>) {
        self.0.take(delivery, Way::Bulk);
    }

    fn end(&self, _death: &Arc<Death>) {
        // The receiver's own handle is told.
    }
}

impl Listener for Mailbox {
    fn deliver(&self, delivery: Delivery<'_>) {
        self.take(delivery, Way::Main);
    }

    fn end(&self, death: &Arc<Death>) {
        self.finish(Death::clone(death).into_call_error());
    }
}

/// Hears of the end of a claimant, and of credit that did not arrive there.
#[derive(Clone)]
struct ClaimWatch {
    mailbox: Weak<Mailbox>,
    /// Held, so that its end is known as soon as it has been told.
    claimant: Context,
    number: u64,
}

impl ClaimWatch {
    /// Credit has met the end of the claimant: a hop has no way there any more. What was sent before may still
    /// be on the links for bulk, and the end comes behind it, from that hop too. So this waits on for it.
    fn wait_on(&self, mailbox: &Mailbox) {
        if let Some(watch) = mailbox.core.await_uncounted(self.claimant.id(), Arc::new(self.clone())) {
            let wanted = mailbox.state.lock().inbox.watch(self.number, watch);
            mailbox.unwatch((!wanted).then_some(watch));
        }
        // Looked at after the watch is there: an end that comes between is told twice.
        if let Some(death) = self.claimant.death() {
            self.end(&death);
        }
    }
}

impl Listener for ClaimWatch {
    fn deliver(&self, delivery: Delivery<'_>) {
        let Some(mailbox) = self.mailbox.upgrade() else { return };
        let reason = delivery.message.dead_reason().unwrap_or_else(DeadReason::refused);
        if reason.code == DeadCode::NoRoute {
            return self.wait_on(&mailbox);
        }
        let why = refusal(&self.claimant, 0, reason);
        let mut state = mailbox.state.lock();
        let closed = state.inbox.dismiss_number(self.number, why);
        mailbox.dismissed(state, self.claimant.id(), closed, "credit was lost on its way");
    }

    fn end(&self, death: &Arc<Death>) {
        let Some(mailbox) = self.mailbox.upgrade() else { return };
        let mut state = mailbox.state.lock();
        let closed = state.inbox.close_number(self.number, Death::clone(death).into_call_error());
        mailbox.claim_closed(state, closed);
    }
}

/// Hears of the end of the only context that may send.
struct RespondentWatch(Weak<Mailbox>);

impl Listener for RespondentWatch {
    fn deliver(&self, _delivery: Delivery<'_>) {
        // Nobody was given this handle. What comes there by guessing is from the respondent itself.
    }

    fn end(&self, death: &Arc<Death>) {
        if let Some(mailbox) = self.0.upgrade() {
            mailbox.finish(Death::clone(death).into_call_error());
        }
    }
}
