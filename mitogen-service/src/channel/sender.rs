//! What a program sends values with.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::held;
use super::item;
use super::mailbox::Mailbox;
use super::outbox::{Outbox, Wait};
use super::registry::Registry;
use crate::error::{CallError, Trace};
use crate::router::{Core, decoding_core};
use crate::sync::Mutex;
use crate::wire::{ContextId, FEATURE_CHANNELS, Handle};

/// Sends values to a [`Receiver`](crate::Receiver), which may be in any context.
///
/// It may be an argument or a result of a service method, and part of one; the context that decodes it
/// may send. All senders of a context for the same receiver are one: when the last of them is dropped,
/// the receiver knows that nothing more comes from there.
///
/// A context may have 1 MiB on its way that the receiver has not taken yet, and always one message.
/// Beyond that [`send`](Self::send) waits. Values arrive in the order in which they were sent.
///
/// A [`Blob`](crate::Blob) travels as it is, without a copy; everything else as MessagePack.
///
/// ```
/// # fn main() -> mitogen_service::Result<()> {
/// let router = mitogen_service::Router::builder().build()?;
/// let receiver = router.receiver::<(u32, String)>();
/// let sender = receiver.sender();
/// sender.send((1, "one".to_owned()))?;
/// assert_eq!(receiver.recv()?, (1, "one".to_owned()));
/// receiver.close();
/// assert!(sender.is_closed());
/// # Ok(())
/// # }
/// ```
pub struct Sender<T> {
    link: Link,
    /// Takes a `T`, and holds none.
    item: PhantomData<fn(T)>,
}

#[derive(Clone)]
enum Link {
    /// The receiver is in this process.
    Own(Arc<Own>),
    /// The sender was decoded here.
    Foreign(Arc<Outbox>),
}

/// The senders of a receiver in this process that are clones of each other.
struct Own {
    mailbox: Arc<Mailbox>,
    /// Made at the first use: one that is only given away claims nothing.
    outbox: Mutex<Option<Arc<Outbox>>>,
}

impl<T> Sender<T> {
    pub(super) fn own(mailbox: &Arc<Mailbox>) -> Self {
        let own = Own { mailbox: mailbox.clone(), outbox: Mutex::new(None) };
        Self { link: Link::Own(Arc::new(own)), item: PhantomData }
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.closed_reason().is_some()
    }

    /// Why nothing can be sent any more, once that is so: the receiver was closed, its context has
    /// ended, or this sender was closed.
    pub fn closed_reason(&self) -> Option<CallError> {
        match &self.link {
            Link::Foreign(outbox) => outbox.closed_reason(),
            Link::Own(own) => {
                let outbox = own.outbox.lock().clone();
                outbox.and_then(|outbox| outbox.closed_reason()).or_else(|| own.mailbox.end_reason())
            }
        }
    }

    /// Says that this was all, for all senders of this context for the receiver. Values that are being
    /// sent by other threads are sent before that.
    pub fn close(&self) {
        match &self.link {
            Link::Foreign(outbox) => outbox.close(),
            Link::Own(own) => own.close(),
        }
    }

    /// The context that the receiver is in.
    pub(crate) fn destination(&self) -> ContextId {
        self.parts().0
    }

    /// What stands on the wire for it.
    fn parts(&self) -> (ContextId, Handle, u64) {
        match &self.link {
            Link::Own(own) => (own.mailbox.core().identity().id, own.mailbox.handle(), own.mailbox.token()),
            Link::Foreign(outbox) => (outbox.context().id(), outbox.handle(), outbox.token()),
        }
    }
}

impl<T: Serialize + 'static> Sender<T> {
    /// Sends a value; waits while the receiver has no room for it.
    ///
    /// # Errors
    /// * [`CallError::Dead`]: the receiver's context has ended, also while this waits.
    /// * [`CallError::Refused`]: the receiver was closed, or does not take values from here.
    /// * [`CallError::Cancelled`]: this sender was closed.
    /// * [`CallError::Encode`], [`CallError::TooLarge`]: this value cannot be sent; others can.
    pub fn send(&self, value: T) -> Result<(), CallError> {
        self.send_in(&value, Wait::Forever)
    }

    /// Sends a value if that takes no waiting.
    ///
    /// ```
    /// use mitogen_service::{Blob, CallError};
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let receiver = router.receiver::<Blob>();
    /// let sender = receiver.sender();
    /// // Nothing is there, so one is taken whatever its size.
    /// sender.try_send(vec![0; 2_000_000].into())?;
    /// assert!(matches!(sender.try_send("x".into()), Err(CallError::Overloaded { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError::Overloaded`] if there is no room, and those of [`send`](Self::send).
    pub fn try_send(&self, value: T) -> Result<(), CallError> {
        self.send_in(&value, Wait::Not)
    }

    /// Sends a value; waits for room for `timeout` at most, in the receiver and in the stream that
    /// leads there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mitogen_service::{Blob, CallError};
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let receiver = router.receiver::<Blob>();
    /// let sender = receiver.sender();
    /// sender.send(vec![0; 2_000_000].into())?;
    /// let late = sender.send_timeout("x".into(), Duration::from_millis(5));
    /// assert!(matches!(late, Err(CallError::DeadlineExceeded { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError::DeadlineExceeded`] when the time is over: the value was not sent, and others can be.
    /// Those of [`send`](Self::send).
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), CallError> {
        let deadline = Instant::now().checked_add(timeout);
        self.send_in(&value, deadline.map_or(Wait::Forever, Wait::Until))
    }

    /// Sends a value; waits for the receiver to take what is under way for `timeout` at most, and for room in the
    /// stream as long as [`send`](Self::send) does.
    ///
    /// # Errors
    /// [`CallError::DeadlineExceeded`] when the receiver takes nothing: the value was not sent. Those of `send`.
    pub(crate) fn send_unless_stalled(&self, value: &T, timeout: Duration) -> Result<(), CallError> {
        let deadline = Instant::now().checked_add(timeout);
        self.send_in(value, deadline.map_or(Wait::Forever, Wait::ForCredit))
    }

    fn send_in(&self, value: &T, wait: Wait) -> Result<(), CallError> {
        let (encoding, payload) = item::encode(value)?;
        match &self.link {
            Link::Foreign(outbox) => outbox.send(encoding, payload, wait),
            Link::Own(own) => own.outbox()?.send(encoding, payload, wait),
        }
    }
}

impl Own {
    /// The way to the receiver, which is the same as for others: it has a claim and a window.
    fn outbox(&self) -> Result<Arc<Outbox>, CallError> {
        if let Some(outbox) = self.outbox.lock().clone() {
            return Ok(outbox);
        }
        if let Some(ended) = self.mailbox.end_reason() {
            return Err(ended);
        }
        let (context, handle) = (self.mailbox.myself(), self.mailbox.handle());
        // The receiver's own token is never the wrong one.
        let outbox = self.mailbox.registry().outbox((&context, handle), self.mailbox.token());
        let outbox = outbox.map_err(|reason| CallError::Refused {
            reason: reason.to_owned(),
            context: context.name().to_owned(),
            trace: Trace::default(),
        })?;
        // Another thread may have been faster; both have the same one.
        Ok(self.outbox.lock().get_or_insert(outbox).clone())
    }

    fn close(&self) {
        if let Ok(outbox) = self.outbox() {
            outbox.close();
        }
        self.mailbox.own_senders_closed();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { link: self.link.clone(), item: PhantomData }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        let (context, handle, _) = self.parts();
        write!(f, "Sender(to {handle} of {context})")
    }
}

/// As `[context id, handle, token]`.
impl<T> Serialize for Sender<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.link {
            Link::Own(own) => held::own(&own.mailbox),
            Link::Foreign(outbox) => held::foreign(outbox),
        }
        self.parts().serialize(serializer)
    }
}

/// Only inside a dispatcher, a call or a receiver, which know the router that it sends through. The
/// context claims the receiver by it.
impl<'de, T> Deserialize<'de> for Sender<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = <(ContextId, Handle, u64)>::deserialize(deserializer)?;
        let core = decoding_core().ok_or_else(|| {
            serde::de::Error::custom("a `Sender` can be decoded only as an argument or a result of a service call")
        })?;
        let link = decode(&core, parts).map_err(serde::de::Error::custom)?;
        Ok(Self { link, item: PhantomData })
    }
}

fn decode(core: &Arc<Core>, (id, handle, token): (ContextId, Handle, u64)) -> Result<Link, &'static str> {
    if handle < Handle::FIRST_DYNAMIC {
        return Err("a `Sender` names a handle that no receiver has");
    }
    if !core.neighbour_has(id, FEATURE_CHANNELS) {
        return Err("a `Sender` is of no use here: the neighbour on the way to its receiver knows no channels");
    }
    let registry = Registry::of(core);
    let outbox = registry.outbox((&core.context(id), handle), token)?;
    // The claims of the receiver's own context count only if they came in a message, and not if the
    // program uses a sender that it has from the receiver.
    let own = registry.mailbox(handle).filter(|mailbox| id == core.identity().id && mailbox.token() == token);
    if let Some(mailbox) = own {
        mailbox.own_sender_decoded();
    }
    Ok(Link::Foreign(outbox))
}
