//! The channels of one router: its receivers, and those of others that it sends to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use super::mailbox::Mailbox;
use super::outbox::Outbox;
use super::window::Spending;
use crate::error::RECEIVER_CLOSED;
use crate::io::Patience;
use crate::router::{Access, Context, Core, Death, Delivery, Listener};
use crate::sync::{Condvar, Mutex};
use crate::wire::{
    Bulk, Claim, ContextId, Credit, CreditNews, DeadCode, DeadReason, Encoding, FEATURE_CHANNELS, Handle, Message,
};

/// Finds receivers and senders by what messages say of them.
#[derive(Default)]
pub(super) struct Registry {
    mailboxes: Mutex<HashMap<Handle, Weak<Mailbox>>>,
    /// By the handle first, so that those who name a receiver of another context are found.
    outboxes: Mutex<BTreeMap<Key, Line>>,
    /// An outbox has left.
    left: Condvar,
}

type Key = (Handle, ContextId);

/// What there is of one receiver in another context, or in this one as its own senders see it.
struct Line {
    place: Place,
    /// What is on its way there. It outlives the outbox until everything was given back, so that credit
    /// that comes late is not taken for that of the next one.
    window: Arc<Mutex<Spending>>,
    /// Some of it went over the link for bulk.
    bulk: bool,
}

/// The one outbox for a receiver.
enum Place {
    Here(Weak<Outbox>),
    /// It is saying that it has closed. A new claim has to come after that.
    Leaving,
    /// It has left, and credit is still to come; the end of the receiver's context is heard of there.
    Gone(Option<Handle>),
}

impl Registry {
    /// That of a router.
    pub(super) fn of(core: &Core) -> Arc<Self> {
        core.attached(|| {
            let registry = Arc::<Self>::default();
            // Refused only by a router that is closed, where nothing comes any more.
            core.listen(Handle::CREDIT, Access::Any, Arc::new(Credits(registry.clone())));
            core.listen(Handle::CLAIM, Access::Any, Arc::new(Claims(registry.clone())));
            core.listen(Handle::BULK, Access::Any, Arc::new(Bulks(registry.clone())));
            registry
        })
    }

    pub(super) fn add_mailbox(&self, handle: Handle, mailbox: &Arc<Mailbox>) {
        self.mailboxes.lock().insert(handle, Arc::downgrade(mailbox));
    }

    /// `false` if it was not there any more.
    pub(super) fn remove_mailbox(&self, handle: Handle) -> bool {
        self.mailboxes.lock().remove(&handle).is_some()
    }

    /// The receiver of this process with this handle.
    pub(super) fn mailbox(&self, handle: Handle) -> Option<Arc<Mailbox>> {
        self.mailboxes.lock().get(&handle).and_then(Weak::upgrade)
    }

    /// The outbox for a receiver; it is made, and claims, if there is none.
    ///
    /// # Errors
    /// There is one that was given another token, and does not know yet which is right.
    pub(super) fn outbox(
        self: &Arc<Self>,
        (context, handle): (&Context, Handle),
        token: u64,
    ) -> Result<Arc<Outbox>, &'static str> {
        let key = (handle, context.id());
        let mut places = self.outboxes.lock();
        let mut window = Arc::new(Mutex::new(Spending::new(context.core().identity().channels.window)));
        let (mut replaced, mut watch, mut after_bulk) = (None, None, false);
        while let Some(line) = places.get(&key) {
            match &line.place {
                Place::Here(place) => match place.upgrade() {
                    Some(outbox) if outbox.token() == token => return Ok(outbox),
                    // It was refused. Dropped below, without the lock that its drop takes.
                    Some(outbox) if outbox.closed_reason().is_some() => {
                        replaced = Some(outbox);
                        break;
                    }
                    Some(outbox) => {
                        drop(places);
                        drop(outbox);
                        return Err("another sender for the same handle has another token");
                    }
                    None => self.left.wait(&mut places),
                },
                Place::Leaving => self.left.wait(&mut places),
                Place::Gone(gone) => {
                    (window, watch, after_bulk) = (line.window.clone(), *gone, line.bulk);
                    break;
                }
            }
        }
        let outbox = Outbox::new(self, (context, handle), token, window.clone(), after_bulk);
        places.insert(key, Line { place: Place::Here(Arc::downgrade(&outbox)), window, bulk: after_bulk });
        drop(places);
        drop(replaced);
        if let Some(watch) = watch {
            context.core().give_up(watch);
        }
        outbox.claim();
        Ok(outbox)
    }

    /// An outbox is being dropped: runs what it has to say, before another one for the same receiver
    /// can say anything. If credit is still to come, what is needed for that stays.
    pub(super) fn leave(self: &Arc<Self>, outbox: &Outbox, lingers: bool, farewell: impl FnOnce()) {
        let key = outbox.key();
        let registered = match self.outboxes.lock().get_mut(&key) {
            Some(line) if line.place.is(outbox) => {
                line.place = Place::Leaving;
                line.bulk |= outbox.has_used_bulk();
                true
            }
            // Another one has taken its place.
            _ => false,
        };
        farewell();
        if registered {
            let watch = lingers.then(|| self.watch_gone(outbox)).flatten();
            self.left_behind(key, watch, outbox.context());
        }
    }

    fn watch_gone(self: &Arc<Self>, outbox: &Outbox) -> Option<Handle> {
        let watch = Arc::new(GoneWatch { registry: Arc::downgrade(self), key: outbox.key() });
        outbox.context().core().await_uncounted(outbox.context().id(), watch)
    }

    /// An outbox has left.
    fn left_behind(&self, key: Key, watch: Option<Handle>, context: &Context) {
        let mut places = self.outboxes.lock();
        let idle = places.get(&key).is_none_or(|line| line.window.lock().is_idle());
        // Looked at after the watch is there: an end before that is not told to it.
        let forget = idle || watch.is_none() || !context.is_connected();
        if forget {
            places.remove(&key);
        } else if let Some(line) = places.get_mut(&key) {
            line.place = Place::Gone(watch);
        }
        drop(places);
        self.left.notify_all();
        if let Some(watch) = watch.filter(|_| forget) {
            context.core().give_up(watch);
        }
    }

    /// Credit has come; `false` if it is more than was sent, `None` if nothing is sent there.
    fn give_back(&self, key: Key, bytes: u64) -> (Option<bool>, Option<Handle>) {
        let mut places = self.outboxes.lock();
        let Some(line) = places.get(&key) else { return (None, None) };
        let right = line.window.lock().give_back(bytes);
        let idle = line.window.lock().is_idle();
        let outbox = match &line.place {
            Place::Here(outbox) => outbox.upgrade(),
            Place::Gone(watch) => {
                let watch = *watch;
                if idle {
                    places.remove(&key);
                }
                return (Some(right), watch.filter(|_| idle));
            }
            Place::Leaving => None,
        };
        drop(places);
        if let Some(outbox) = outbox {
            outbox.credit_came();
        }
        (Some(right), None)
    }

    /// The receiver takes no more; `None` if nothing is sent there.
    fn refused(&self, key: Key, reason: &str) -> (Option<bool>, Option<Handle>) {
        let mut places = self.outboxes.lock();
        let Some(line) = places.get(&key) else { return (None, None) };
        let (outbox, watch) = match &line.place {
            Place::Here(outbox) => (outbox.upgrade(), None),
            Place::Leaving => (None, None),
            Place::Gone(watch) => {
                let watch = *watch;
                places.remove(&key);
                (None, watch)
            }
        };
        drop(places);
        if let Some(outbox) = outbox {
            outbox.refused(reason);
        }
        (Some(true), watch)
    }

    /// Whether anything is sent to a handle of this number in any context.
    fn sends_to(&self, handle: Handle) -> bool {
        let all = (handle, ContextId::new(0))..=(handle, ContextId::new(u32::MAX));
        self.outboxes.lock().range(all).next().is_some()
    }
}

impl Place {
    fn is(&self, outbox: &Outbox) -> bool {
        matches!(self, Self::Here(place) if std::ptr::eq(place.as_ptr(), outbox))
    }
}

/// Hears of the end of a context that credit was to come from.
struct GoneWatch {
    registry: Weak<Registry>,
    key: Key,
}

impl Listener for GoneWatch {
    fn deliver(&self, _delivery: Delivery<'_>) {
        // Nobody was given this handle.
    }

    fn end(&self, _death: &Arc<Death>) {
        let Some(registry) = self.registry.upgrade() else { return };
        let mut places = registry.outboxes.lock();
        if places.get(&self.key).is_some_and(|line| matches!(line.place, Place::Gone(_))) {
            places.remove(&self.key);
        }
    }
}

/// The handle on which receivers give credit, or say that they have closed.
struct Credits(Arc<Registry>);

impl Listener for Credits {
    fn deliver(&self, delivery: Delivery<'_>) {
        let message = &delivery.message;
        let Ok(Credit { handle, news }) = Credit::decode(&message.payload) else {
            return offence(&delivery, "malformed message for handle 123");
        };
        // Found by who has sent it: nobody else gives credit for a receiver.
        let key = (handle, message.header.src_id);
        let (known, watch) = match news {
            CreditNews::Bytes(bytes) => self.0.give_back(key, bytes),
            CreditNews::Closed(reason) => self.0.refused(key, reason),
        };
        if let Some(watch) = watch {
            delivery.core.give_up(watch);
        }
        match known {
            Some(true) => {}
            Some(false) => offence(&delivery, "gave back more credit than it was sent"),
            None if self.0.sends_to(handle) => offence(&delivery, "gave credit for a receiver of somebody else"),
            // What was sent there is forgotten.
            None => {}
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}

/// The handle on which contexts claim receivers.
struct Claims(Arc<Registry>);

impl Listener for Claims {
    fn deliver(&self, delivery: Delivery<'_>) {
        let Delivery { core, message, .. } = &delivery;
        let source = message.header.src_id;
        let claim = Claim::decode(&message.payload).ok();
        let Some(claim) = claim.filter(|_| core.neighbour_has(source, FEATURE_CHANNELS)) else {
            return offence(&delivery, "malformed message for handle 124");
        };
        match self.0.mailbox(claim.handle) {
            Some(mailbox) => mailbox.claimed(&delivery, claim.token),
            // It has closed while its sender was on the way.
            None => {
                core.refuse(message, core.identity().id, &DeadReason::new(DeadCode::InvalidHandle, RECEIVER_CLOSED));
            }
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}

/// The handle on which senders ask for a way for bulk, and say that nothing more comes but there.
struct Bulks(Arc<Registry>);

impl Listener for Bulks {
    fn deliver(&self, delivery: Delivery<'_>) {
        let Delivery { core, message, .. } = &delivery;
        let Some(bulk) = Bulk::decode(&message.payload).ok().filter(|_| !message.is_dead()) else {
            return offence(&delivery, "malformed message for handle 126");
        };
        match bulk {
            Bulk::Ask(handle) => {
                let source = message.header.src_id;
                let bulk = self.0.mailbox(handle).and_then(|mailbox| mailbox.handle_for_bulk(source));
                let Some(bulk) = bulk else {
                    return core.refuse(
                        message,
                        core.identity().id,
                        &DeadReason::new(DeadCode::InvalidHandle, RECEIVER_CLOSED),
                    );
                };
                let (reply_to, payload) = (message.header.reply_to, Bulk::encode_reply(bulk).into());
                let answer = Message::new(Encoding::MessagePack, source, reply_to, Handle::NONE, payload);
                // If it cannot be sent its context is gone.
                let _ = core.send(answer, Patience::Reserve);
            }
            Bulk::Last(handle) => {
                if let Some(mailbox) = self.0.mailbox(handle) {
                    mailbox.last_but_bulk(message.header.src_id);
                }
            }
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}

/// Logs what the neighbour did that a message came from.
pub(super) fn offence(delivery: &Delivery<'_>, what: &str) {
    if let Some(stream) = delivery.ingress {
        delivery.core.log_offence(stream.id(), what);
    }
}
