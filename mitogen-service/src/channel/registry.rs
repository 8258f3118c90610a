//! The channels of one router: its receivers, and those of others that it sends to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use super::mailbox::{CLOSED, Mailbox};
use super::outbox::Outbox;
use crate::router::{Access, Context, Core, Death, Delivery, Listener};
use crate::sync::{Condvar, Mutex};
use crate::wire::{Claim, ContextId, Credit, DeadCode, DeadReason, FEATURE_CHANNELS, Handle};

/// Finds receivers and senders by what messages say of them.
#[derive(Default)]
pub(super) struct Registry {
    mailboxes: Mutex<HashMap<Handle, Weak<Mailbox>>>,
    /// By the handle first, so that those who name a receiver of another context are found.
    outboxes: Mutex<BTreeMap<(Handle, ContextId), Place>>,
    /// An outbox has left.
    left: Condvar,
}

/// The one outbox for a receiver.
enum Place {
    Here(Weak<Outbox>),
    /// It is saying that it has closed. A new claim has to come after that.
    Leaving,
}

impl Registry {
    /// That of a router.
    pub(super) fn of(core: &Core) -> Arc<Self> {
        core.attached(|| {
            let registry = Arc::<Self>::default();
            // Refused only by a router that is closed, where nothing comes any more.
            core.listen(Handle::CREDIT, Access::Any, Arc::new(Credits(registry.clone())));
            core.listen(Handle::CLAIM, Access::Any, Arc::new(Claims(registry.clone())));
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
        let replaced = loop {
            match places.get(&key) {
                None => break None,
                Some(Place::Here(place)) => match place.upgrade() {
                    Some(outbox) if outbox.token() == token => return Ok(outbox),
                    // It was refused. Dropped below, without the lock that its drop takes.
                    Some(outbox) if outbox.closed_reason().is_some() => break Some(outbox),
                    Some(outbox) => {
                        drop(places);
                        drop(outbox);
                        return Err("another sender for the same handle has another token");
                    }
                    None => self.left.wait(&mut places),
                },
                Some(Place::Leaving) => self.left.wait(&mut places),
            }
        };
        let outbox = Outbox::new(self, context, handle, token);
        places.insert(key, Place::Here(Arc::downgrade(&outbox)));
        drop(places);
        drop(replaced);
        outbox.claim();
        Ok(outbox)
    }

    /// An outbox is being dropped: runs what it has to say, before another one for the same receiver
    /// can say anything.
    pub(super) fn leave(&self, outbox: &Outbox, farewell: impl FnOnce()) {
        let key = outbox.key();
        let registered = match self.outboxes.lock().get_mut(&key) {
            Some(place) if place.is(outbox) => {
                *place = Place::Leaving;
                true
            }
            // Another one has taken its place.
            _ => false,
        };
        farewell();
        if registered {
            self.outboxes.lock().remove(&key);
            self.left.notify_all();
        }
    }

    fn outbox_of(&self, handle: Handle, context: ContextId) -> Option<Arc<Outbox>> {
        match self.outboxes.lock().get(&(handle, context)) {
            Some(Place::Here(outbox)) => outbox.upgrade(),
            _ => None,
        }
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

/// The handle on which receivers give credit, or say that they have closed.
struct Credits(Arc<Registry>);

impl Listener for Credits {
    fn deliver(&self, delivery: Delivery<'_>) {
        let message = &delivery.message;
        let Ok(Credit { handle, news }) = Credit::decode(&message.payload) else {
            return offence(&delivery, "malformed message for handle 123");
        };
        // Found by who has sent it: nobody else gives credit for a receiver.
        match self.0.outbox_of(handle, message.header.src_id) {
            Some(outbox) if !outbox.hear(news) => offence(&delivery, "gave back more credit than it was sent"),
            Some(_) => {}
            None if self.0.sends_to(handle) => offence(&delivery, "gave credit for a receiver of somebody else"),
            // The sender has been dropped meanwhile.
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
            None => core.refuse(message, core.identity().id, &DeadReason::new(DeadCode::InvalidHandle, CLOSED)),
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
