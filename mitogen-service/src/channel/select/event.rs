//! What a select gives.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::key::Key;
use crate::channel::call::Call;
use crate::channel::mailbox::Mailbox;
use crate::channel::receiver;
use crate::error::{CallError, Trace};
use crate::router::Context;
use crate::sync::Mutex;
use crate::wire::Message;

/// Something has come from a member of a [`Select`](crate::Select).
#[non_exhaustive]
pub struct Event {
    /// The key of the member; of the innermost one if selects are members of selects.
    pub key: Key,
    /// The keys of the selects that it came through, outermost first; empty for a member of the select
    /// that was asked.
    pub path: Vec<Key>,
    /// Who has sent it, if anybody has.
    pub caller: Option<Context>,
    /// What it is.
    pub kind: EventKind,
    /// Taken by whoever decodes it.
    body: Mutex<Body>,
}

/// What has come.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A receiver has got a message; see [`Event::decode`].
    Message,
    /// A call has its answer, or has failed; see [`Event::decode`].
    Answer,
    /// A receiver has ended, for this reason, and is no member any more.
    Ended(CallError),
}

/// What is decoded if somebody wants it.
pub(super) enum Body {
    Message(Arc<Mailbox>, Message),
    /// A `Call<T>` that has its answer.
    Answer(Box<dyn Any + Send>),
    Ended,
    Taken,
}

impl Event {
    pub(super) fn new(key: Key, path: Vec<Key>, caller: Option<Context>, kind: EventKind, body: Body) -> Self {
        Self { key, path, caller, kind, body: Mutex::new(body) }
    }

    /// The message or the answer, which can be had once.
    ///
    /// `T` must be that of the [`Receiver`](crate::Receiver) or the [`Call`] that was added.
    ///
    /// # Errors
    /// Why the call has failed; why the receiver has ended, if that is what the event tells;
    /// [`CallError::Malformed`] for what is no `T`; [`CallError::Cancelled`] if it was taken before.
    pub fn decode<T: DeserializeOwned + 'static>(&self) -> Result<T, CallError> {
        let body = std::mem::replace(&mut *self.body.lock(), Body::Taken);
        match body {
            Body::Message(mailbox, message) => receiver::decode(&mailbox, message),
            Body::Answer(call) => match call.downcast::<Call<T>>() {
                Ok(call) => call.wait(),
                Err(_) => Err(another_type::<T>()),
            },
            Body::Taken => {
                let reason = "what the event holds was taken before".to_owned();
                Err(CallError::Cancelled { reason, trace: Trace::default() })
            }
            Body::Ended => match self.kind.clone() {
                EventKind::Ended(why) => Err(why),
                // `kind` is the user's to change.
                EventKind::Message | EventKind::Answer => Err(another_type::<T>()),
            },
        }
    }
}

fn another_type<T>() -> CallError {
    let reason = format!("the event holds no {}", std::any::type_name::<T>());
    CallError::Malformed { reason, trace: Trace::default() }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, path, caller, kind, body: _ } = self;
        f.debug_struct("Event")
            .field("key", key)
            .field("path", path)
            .field("caller", caller)
            .field("kind", kind)
            .finish_non_exhaustive()
    }
}
