//! What can be in a select.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::Select;
use super::event::{Body, Event, EventKind};
use super::gathering::Source;
use super::key::Key;
use super::members::Got;
use crate::channel::call::Call;
use crate::channel::mailbox::{After, Next, Notify};
use crate::channel::receiver::Receiver;
use crate::error::CallError;
use crate::router::Context;

/// One of those that a select waits for. Called under the lock of the select, except for `watch`.
pub(super) trait Member: Send {
    /// Takes an event, and runs no code of a user.
    fn take(&mut self) -> Got<Taken>;

    /// From now on this is called for each event; gives how many there are already.
    fn watch(&mut self, notify: Option<Notify>) -> usize;

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

impl Source for Box<dyn Member> {
    type Item = Taken;

    fn take(&mut self) -> Got<Taken> {
        (**self).take()
    }
}

/// An event on its way out of one select or several.
pub(super) struct Taken {
    /// The keys inside of the select that it is taken from, innermost first.
    keys: Vec<Key>,
    what: What,
    /// What is to be done without locks.
    after: Option<After>,
    /// Members that have given their last event, dropped without locks.
    removed: Vec<Box<dyn Member>>,
}

enum What {
    Message(Body, Sender),
    Answer(Box<dyn Any + Send>, Option<Context>),
    Ended(CallError),
}

/// Finds the context that has sent a message.
type Sender = Box<dyn FnOnce() -> Context + Send>;

impl Taken {
    fn new(what: What) -> Self {
        Self { keys: Vec::new(), what, after: None, removed: Vec::new() }
    }

    /// With the member whose last event this was.
    pub(super) fn with_removed(mut self, removed: Option<Box<dyn Member>>) -> Self {
        self.removed.extend(removed);
        self
    }

    /// What the user gets. Without locks.
    pub(super) fn into_event(self, key: Key) -> Event {
        let Self { keys, what, after, removed } = self;
        if let Some(after) = after {
            after.run();
        }
        drop(removed);
        let mut path: Vec<_> = keys.into_iter().chain([key]).collect();
        let key = path.remove(0);
        path.reverse();
        let (caller, kind, body) = match what {
            What::Message(body, sender) => (Some(sender()), EventKind::Message, body),
            What::Answer(call, callee) => (callee, EventKind::Answer, Body::Answer(call)),
            What::Ended(why) => (None, EventKind::Ended(why), Body::Ended),
        };
        Event::new(key, path, caller, kind, body)
    }
}

impl<T: 'static> Member for Receiver<T> {
    fn take(&mut self) -> Got<Taken> {
        match self.mailbox().try_next() {
            Next::Message(message, after) => {
                let (mailbox, source) = (self.mailbox().clone(), message.header.src_id);
                let sender = Box::new(move || mailbox.core().context(source));
                let what = What::Message(Body::Message(self.mailbox().clone(), message), sender);
                Got::Item(Taken { after: Some(after), ..Taken::new(what) })
            }
            Next::Ended(why) => Got::Last(Taken::new(What::Ended(why))),
            Next::Nothing => Got::Nothing,
        }
    }

    fn watch(&mut self, notify: Option<Notify>) -> usize {
        self.mailbox().set_notify(notify)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl<T: Send + 'static> Member for Call<T> {
    fn take(&mut self) -> Got<Taken> {
        // It wakes once, so being asked means that it is ready, unless this was the look when it came.
        let callee = self.callee();
        match self.take_if_ready() {
            Some(call) => Got::Last(Taken::new(What::Answer(Box::new(call), callee))),
            None => Got::Nothing,
        }
    }

    fn watch(&mut self, notify: Option<Notify>) -> usize {
        let waker = notify.map_or_else(|| Waker::noop().clone(), |notify| Waker::from(Arc::new(Notifying(notify))));
        usize::from(self.is_ready_or_wakes(&waker))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Tells a select by the way that tasks are woken.
struct Notifying(Notify);

impl Wake for Notifying {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

impl Member for Select {
    fn take(&mut self) -> Got<Taken> {
        let Some((key, mut taken)) = self.take_nested() else { return Got::Nothing };
        taken.keys.push(key);
        Got::Item(taken)
    }

    fn watch(&mut self, notify: Option<Notify>) -> usize {
        self.set_notify(notify)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

mod sealed {
    pub trait Sealed {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "nobody else can name the trait")]
        fn into_member(self) -> Box<dyn super::Member>;
    }
}

/// What can be a member of a [`Select`]: a [`Receiver`], a [`Call`], or another [`Select`].
pub trait Selectable: sealed::Sealed {}

impl<T: 'static> Selectable for Receiver<T> {}
impl<T: Send + 'static> Selectable for Call<T> {}
impl Selectable for Select {}

#[expect(private_interfaces, reason = "nobody else can name the trait")]
impl<T: 'static> sealed::Sealed for Receiver<T> {
    fn into_member(self) -> Box<dyn Member> {
        Box::new(self)
    }
}

#[expect(private_interfaces, reason = "nobody else can name the trait")]
impl<T: Send + 'static> sealed::Sealed for Call<T> {
    fn into_member(self) -> Box<dyn Member> {
        Box::new(self)
    }
}

#[expect(private_interfaces, reason = "nobody else can name the trait")]
impl sealed::Sealed for Select {
    fn into_member(self) -> Box<dyn Member> {
        Box::new(self)
    }
}

/// A member that was taken out of a [`Select`]; dropping it closes or cancels it.
///
/// ```
/// use mitogen_service::{Router, Select};
///
/// # fn main() -> mitogen_service::Result<()> {
/// let router = Router::builder().build()?;
/// let select = Select::new();
/// select.add(router.receiver::<u32>(), "numbers")?;
/// let removed = select.remove("numbers").unwrap();
/// let removed = removed.into_receiver::<String>().unwrap_err();
/// assert!(removed.into_receiver::<u32>().unwrap().is_empty());
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it closes or cancels what was removed"]
pub struct Removed {
    member: Box<dyn Any + Send>,
}

impl Removed {
    pub(super) fn new(member: Box<dyn Member>) -> Self {
        Self { member: member.into_any() }
    }

    /// The receiver, if it was one of `T`.
    ///
    /// # Errors
    /// Itself, if it was something else.
    pub fn into_receiver<T: 'static>(self) -> Result<Receiver<T>, Self> {
        self.into()
    }

    /// The call, if it was one with a `T` as its result.
    ///
    /// # Errors
    /// Itself, if it was something else.
    pub fn into_call<T: 'static>(self) -> Result<Call<T>, Self> {
        self.into()
    }

    /// The select, if it was one.
    ///
    /// # Errors
    /// Itself, if it was something else.
    pub fn into_select(self) -> Result<Select, Self> {
        self.into()
    }

    fn into<M: 'static>(self) -> Result<M, Self> {
        self.member.downcast::<M>().map(|member| *member).map_err(|member| Self { member })
    }
}

impl fmt::Debug for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Removed")
    }
}
