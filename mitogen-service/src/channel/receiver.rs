//! What a program receives values with.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::item;
use super::mailbox::{Mailbox, Next};
use super::sender::Sender;
use crate::error::CallError;
use crate::router::{Context, Router};
use crate::wire::Message;

/// Gets values from any number of contexts, in the order of their arrival.
///
/// Made by [`Router::receiver`]. Give its [`sender`](Self::sender) to services, in an argument or a
/// result; whoever decodes one may send. What a context has sent and nobody has taken yet is bounded:
/// beyond 1 MiB its `send` waits.
///
/// It **ends** when at least one context was given a sender, all of them have dropped theirs, closed
/// them or ended themselves, and somebody waits for more or asks for the end. So give all senders away
/// before you begin to receive. A sender in the arguments of a call counts until the call is answered (of one
/// without an answer: until it was sent). What had arrived before the end is still delivered, and [`ended`](Self::ended) tells the reason.
///
/// Several threads may receive from one receiver: each value goes to one of them. Dropping it closes it.
///
/// ```
/// # fn main() -> mitogen_service::Result<()> {
/// let router = mitogen_service::Router::builder().build()?;
/// let receiver = router.receiver::<String>();
/// let sender = receiver.sender();
/// std::thread::spawn(move || {
///     sender.send("one".to_owned())?;
///     sender.send("two".to_owned())?;
///     // A sender of this same process has to say so.
///     sender.close();
///     Ok::<(), mitogen_service::CallError>(())
/// });
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), ["one", "two"]);
/// assert!(receiver.ended().is_some());
/// # Ok(())
/// # }
/// ```
pub struct Receiver<T> {
    mailbox: Arc<Mailbox>,
    /// Makes a `T`, and holds none.
    item: PhantomData<fn() -> T>,
}

impl Router {
    /// Makes a receiver of values that other contexts send.
    ///
    /// At a router that is closed it has ended from the start.
    ///
    /// ```no_run
    /// use mitogen_service::{AllowParents, CallError, Router, Sender, service};
    ///
    /// #[derive(Default)]
    /// struct Lines;
    ///
    /// #[service(activate)]
    /// impl Lines {
    ///     #[expose(policy = AllowParents)]
    ///     fn count_to(&self, end: u32, to: Sender<u32>) -> Result<(), CallError> {
    ///         (0..end).try_for_each(|number| to.send(number))
    ///     }
    /// }
    ///
    /// #[mitogen_service::main]
    /// fn main(router: &Router) -> mitogen_service::Result<()> {
    ///     let numbers = router.receiver::<u32>();
    ///     let child = router.local().connect()?;
    ///     let counting = Lines::stub(&child).count_to(1000, numbers.sender());
    ///     println!("the sum is {}", numbers.iter().sum::<u32>());
    ///     Ok(counting.wait()?)
    /// }
    /// ```
    pub fn receiver<T: DeserializeOwned + 'static>(&self) -> Receiver<T> {
        Receiver { mailbox: Mailbox::open(self.core()), item: PhantomData }
    }
}

impl<T: DeserializeOwned + 'static> Receiver<T> {
    /// Takes values of this context alone, and ends with it: [`ended`](Self::ended) then tells how it
    /// ended.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let mine = router.receiver::<u32>().from(&router.myself());
    /// mine.sender().send(7)?;
    /// assert_eq!(mine.recv()?, 7);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn from(self, context: &Context) -> Self {
        self.mailbox.restrict(context);
        self
    }

    /// A sender to give away, or to use in this process. Dropping it closes nothing.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let receiver = router.receiver::<u32>();
    /// receiver.sender().send(1)?;
    /// assert_eq!(receiver.recv()?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sender(&self) -> Sender<T> {
        Sender::own(&self.mailbox)
    }

    /// Waits for the next value.
    ///
    /// # Errors
    /// Why the receiver has [`ended`](Self::ended); [`CallError::Malformed`] for a message that is no
    /// `T`, whose sender is closed by that.
    pub fn recv(&self) -> Result<T, CallError> {
        let message = self.mailbox.wait(None)?;
        self.decode(message)
    }

    /// Waits for the next value, for `timeout` at most. A timeout leaves nothing behind.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mitogen_service::CallError;
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let receiver = router.receiver::<u32>();
    /// let nothing = receiver.recv_timeout(Duration::from_millis(1));
    /// assert!(matches!(nothing, Err(CallError::DeadlineExceeded { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError::DeadlineExceeded`] when the time is over, and those of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, CallError> {
        // A time too far away to be counted is no bound at all.
        let message = self.mailbox.wait(Instant::now().checked_add(timeout))?;
        self.decode(message)
    }

    /// The next value if one is there, or the error of [`recv`](Self::recv) if none can come; `None` if
    /// it would have to wait.
    pub fn try_recv(&self) -> Option<Result<T, CallError>> {
        match self.mailbox.try_next() {
            Next::Message(message, after) => {
                after.run();
                Some(self.decode(message))
            }
            Next::Ended(why) => Some(Err(why)),
            Next::Nothing => None,
        }
    }

    /// Gives the values as they come. Ends quietly when the receiver does, for whatever reason:
    /// [`ended`](Self::ended) tells it.
    pub fn iter(&self) -> Messages<'_, T> {
        Messages { receiver: self }
    }

    fn decode(&self, message: Message) -> Result<T, CallError> {
        decode(&self.mailbox, message)
    }
}

/// Decodes a message of a receiver. Who sends what cannot be decoded is not listened to any more.
pub(super) fn decode<T: DeserializeOwned + 'static>(mailbox: &Arc<Mailbox>, message: Message) -> Result<T, CallError> {
    let source = message.header.src_id;
    item::decode(mailbox.core(), message).map_err(|error| {
        let error = error.through(mailbox.core().context(source).name());
        mailbox.spoiled(source, error.clone());
        error
    })
}

impl<T> Receiver<T> {
    /// Why nothing more will come, once that is so; what has arrived before may still wait to be taken.
    ///
    /// If all senders have closed in good order it is [`CallError::Cancelled`] with the reason "Channel
    /// closed by remote end.", else what happened to the first that did not, such as
    /// [`CallError::Dead`] of its context.
    pub fn ended(&self) -> Option<CallError> {
        self.mailbox.ask_end()
    }

    /// Closes the receiver: what is queued is dropped, all who wait for it get
    /// [`CallError::Cancelled`], and its senders cannot send any more.
    pub fn close(&self) {
        self.mailbox.close();
    }

    /// How many values wait to be taken.
    pub fn len(&self) -> usize {
        self.mailbox.len()
    }

    /// Whether no value waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} waiting)", self.len())
    }
}

/// The values of a [`Receiver`], by reference.
#[derive(Debug)]
pub struct Messages<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The values of a [`Receiver`], which is closed with the iterator.
#[derive(Debug)]
pub struct IntoMessages<T> {
    receiver: Receiver<T>,
}

impl<T: DeserializeOwned + 'static> Iterator for Messages<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T: DeserializeOwned + 'static> Iterator for IntoMessages<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T: DeserializeOwned + 'static> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Messages<'a, T>;

    fn into_iter(self) -> Messages<'a, T> {
        self.iter()
    }
}

impl<T: DeserializeOwned + 'static> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoMessages<T>;

    fn into_iter(self) -> IntoMessages<T> {
        IntoMessages { receiver: self }
    }
}
