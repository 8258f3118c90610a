//! Waiting for many receivers and calls at once.
//!
//! A select owns its members. Each tells it of every event by the member's number, in the order of
//! arrival; whoever gets an event takes the next number and asks that member. A number may turn out to
//! be stale, and is passed over then.
//!
//! Locks: that of a select is taken before those of its members, and members speak to their select
//! without any lock.

mod event;
mod gathering;
mod key;
mod member;
mod members;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use event::{Event, EventKind};
pub use key::Key;
pub use member::{Removed, Selectable};

use super::call::given_up;
use super::mailbox::Notify;
use crate::error::{CallError, Error, Result, SELECT_CLOSED, Trace};
use crate::io::cork;
use gathering::Gathering;
use member::{Member, Taken};
use members::Next;

/// What those are told who wait for nothing; it begins with Mitogen's words.
const EMPTY: &str = "Cannot get(), Select instance is empty: nothing could ever come; add a receiver, a call or another \
                     select first (one that has come to its end is a member no more)";

/// Waits for many receivers, calls and other selects at once, and gives their events in the order of
/// arrival.
///
/// It owns what it is given: [`remove`](Self::remove) gives it back, and what is in it when it is
/// dropped is closed or cancelled. Members come and go at any time, also while other threads wait. Each
/// event goes to one of the threads that wait.
///
/// A receiver that ends gives one [`EventKind::Ended`] after its messages and is no member any more; a
/// call gives one [`EventKind::Answer`].
///
/// ```
/// use mitogen_service::{Call, EventKind, Router, Select};
///
/// # fn main() -> mitogen_service::Result<()> {
/// let router = Router::builder().build()?;
/// let words = router.receiver::<String>();
/// words.sender().send("hello".to_owned())?;
///
/// let select = Select::new();
/// select.add(words, "words")?;
/// select.add(Call::ready(Ok(7)), 2)?;
/// for _ in 0..2 {
///     let event = select.get()?;
///     match event.kind {
///         EventKind::Message => assert_eq!(event.decode::<String>()?, "hello"),
///         _ => {
///             assert_eq!(event.key, 2);
///             assert_eq!(event.decode::<i32>()?, 7);
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Select {
    shared: Arc<Gathering<Box<dyn Member>>>,
}

impl Select {
    /// A select without members.
    pub fn new() -> Self {
        Self::with(false)
    }

    /// A select that lets each member go after one event of it.
    ///
    /// ```
    /// use mitogen_service::{Call, Select};
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let select = Select::oneshot();
    /// for number in 0..3 {
    ///     select.add(Call::ready(Ok(number)), number)?;
    /// }
    /// let sum: i32 = select.iter().map(|event| event.decode::<i32>().unwrap()).sum();
    /// assert_eq!(sum, 3);
    /// assert!(select.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn oneshot() -> Self {
        Self::with(true)
    }

    fn with(oneshot: bool) -> Self {
        Self { shared: Arc::new(Gathering::new(oneshot)) }
    }

    /// Adds a receiver, a call or another select, under a key that its events will have. What it has
    /// received before counts.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a member has this key already, or the select was closed. What should have
    /// been added is dropped then, and the select is as it was.
    pub fn add(&self, source: impl Selectable, key: impl Into<Key>) -> Result<()> {
        let key = key.into();
        let shown = key.to_string();
        let number = self.shared.reserve(key).map_err(|why| cannot_add(&shown, why))?;
        let mut member = source.into_member();
        let shared = Arc::downgrade(&self.shared);
        let tell = move || {
            if let Some(shared) = shared.upgrade() {
                shared.ready(number);
            }
        };
        let events = member.watch(Some(Arc::new(tell)));
        if self.shared.insert(number, member, events) { Ok(()) } else { Err(cannot_add(&shown, SELECT_CLOSED)) }
    }

    /// Takes a member out, with everything that it has received and that was not got.
    pub fn remove(&self, key: impl Into<Key>) -> Option<Removed> {
        let mut member = self.shared.remove(&key.into())?;
        member.watch(None);
        Some(Removed::new(member))
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// [`CallError::Failed`] "Cannot get(), Select instance is empty: .." when there are no members, also if
    /// the last one goes while this waits; [`CallError::Cancelled`] when the select is closed.
    pub fn get(&self) -> std::result::Result<Event, CallError> {
        self.wait(None)
    }

    /// Waits for the next event, for `timeout` at most.
    ///
    /// # Errors
    /// [`CallError::DeadlineExceeded`] when the time is over, and those of [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> std::result::Result<Event, CallError> {
        // A time too far away to be counted is no bound at all.
        self.wait(Instant::now().checked_add(timeout))
    }

    /// The next event if there is one, or an error of [`get`](Self::get); `None` if it would have to
    /// wait.
    pub fn try_get(&self) -> Option<std::result::Result<Event, CallError>> {
        event_of(self.shared.next())
    }

    /// Gives the events as they come, until there are no members.
    pub fn iter(&self) -> Events<'_> {
        Events { select: self }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops all members and wakes all who wait. Nothing can be added any more.
    pub fn close(&self) {
        drop(self.shared.close());
    }

    /// From now on this is called, without any lock, for each event; gives how many there are already,
    /// at most. For those who serve many selects, and ask by [`try_get`](Self::try_get).
    pub(crate) fn set_notify(&self, notify: Option<Notify>) -> usize {
        self.shared.set_notify(notify)
    }

    /// Takes an event for a select that this one is a member of.
    fn take_nested(&self) -> Option<(Key, Taken)> {
        match self.shared.next() {
            Next::Item { key, item, removed } => Some((key, item.with_removed(removed))),
            Next::Nothing | Next::Empty | Next::Closed => None,
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> std::result::Result<Event, CallError> {
        cork::let_go();
        event_of(self.shared.wait(deadline)).unwrap_or_else(|| Err(given_up()))
    }
}

/// What the user gets; `None` if there is nothing. Without locks.
fn event_of(next: Next<Taken, Box<dyn Member>>) -> Option<std::result::Result<Event, CallError>> {
    match next {
        Next::Item { key, item, removed } => Some(Ok(item.with_removed(removed).into_event(key))),
        Next::Nothing => None,
        Next::Empty => Some(Err(Error::Invalid { what: EMPTY.to_owned() }.into())),
        Next::Closed => Some(Err(CallError::Cancelled { reason: SELECT_CLOSED.to_owned(), trace: Trace::default() })),
    }
}

/// What is in it goes with its owner. Whoever tells it of an event, which may be the I/O thread, may know
/// the rest for a little longer, and shall not be the one who drops what belongs to a user.
impl Drop for Select {
    fn drop(&mut self) {
        self.close();
    }
}

impl Default for Select {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Select({} members)", self.len())
    }
}

/// The events of a [`Select`].
#[derive(Debug)]
pub struct Events<'a> {
    select: &'a Select,
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.select.get().ok()
    }
}

impl<'a> IntoIterator for &'a Select {
    type Item = Event;
    type IntoIter = Events<'a>;

    fn into_iter(self) -> Events<'a> {
        self.iter()
    }
}

fn cannot_add(key: &str, why: &str) -> Error {
    Error::Invalid { what: format!("Cannot add `{key}`: {why}") }
}

#[cfg(test)]
mod tests {
    use super::super::Call;
    use super::*;

    /// Tells when it is dropped.
    struct Tells(Arc<()>);

    #[test]
    fn what_is_in_a_select_goes_with_it_and_not_with_whoever_tells_it_of_an_event() {
        let select = Select::new();
        let alive = Arc::new(());
        select.add(Call::ready(Ok(Tells(alive.clone()))), "call").unwrap();
        // As the I/O thread has it for a moment.
        let telling = select.shared.clone();
        drop(select);
        assert_eq!(Arc::strong_count(&alive), 1);
        telling.ready(0);
    }

    impl Drop for Tells {
        fn drop(&mut self) {
            assert!(Arc::strong_count(&self.0) > 1);
        }
    }
}
