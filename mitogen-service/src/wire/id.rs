//! Numbers that name things on the wire: contexts, and the handles inside a context.
//!
//! This file must not know what any handle does; it only knows which numbers are taken.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of a context: one process taking part in a tree.
///
/// Ids are handed out by the root, which is [`ContextId::ROOT`] itself, and are never given out
/// twice.
///
/// ```
/// use mitogen_service::ContextId;
///
/// let id = ContextId::new(7);
/// assert_eq!(id.get(), 7);
/// assert_eq!(id.to_string(), "7");
/// assert_eq!(ContextId::ROOT.get(), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContextId(u32);

impl ContextId {
    /// The root of every tree: the process that was started by the user.
    pub const ROOT: Self = Self(0);

    /// The id with this number.
    #[must_use]
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number of this id.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of an endpoint inside a context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Handle(u32);

/// Numbers below 120 are Mitogen's and mean what they mean there; 120 to 127 are ours.
#[expect(dead_code, reason = "all reserved numbers have their names, also those of what is not there yet")]
impl Handle {
    /// In `reply_to`: nobody waits for an answer.
    pub(crate) const NONE: Self = Self(0);
    /// Call a function by its name.
    pub(crate) const CALL_FUNCTION: Self = Self(101);
    /// A log record on its way to the root.
    pub(crate) const FORWARD_LOG: Self = Self(102);
    /// A context appeared below the sender.
    pub(crate) const ADD_ROUTE: Self = Self(103);
    /// A context is gone.
    pub(crate) const DEL_ROUTE: Self = Self(104);
    /// Ask the root for a block of context ids.
    pub(crate) const ALLOCATE_ID: Self = Self(105);
    /// End gracefully.
    pub(crate) const SHUTDOWN: Self = Self(106);
    /// The sender is about to leave its parent and live on.
    pub(crate) const DETACHING: Self = Self(109);
    /// Call a method of a service.
    pub(crate) const CALL_SERVICE: Self = Self(110);
    /// Is the other end of the stream alive? Empty.
    pub(crate) const PING: Self = Self(120);
    /// It is. Empty.
    pub(crate) const PONG: Self = Self(121);
    /// The caller no longer waits for a call.
    pub(crate) const CANCEL: Self = Self(122);
    /// A receiver grants its sender more bytes.
    pub(crate) const CREDIT: Self = Self(123);
    /// A sender introduces itself to the receiver whose handle it was given.
    pub(crate) const CLAIM: Self = Self(124);
    /// Whether the sender is busy reading its stream in a waiting thread.
    pub(crate) const POLL_HINT: Self = Self(125);
    /// A sender moves to the link for bulk, or says that there is nothing more on the other one.
    pub(crate) const BULK: Self = Self(126);
    /// Nobody: what goes there is a [filler](super::filler), and is thrown away by whoever reads it.
    pub(crate) const FILLER: Self = Self(127);
    /// In `reply_to`: the message is dead (Mitogen's `IS_DEAD`); nothing more will come.
    pub(crate) const DEAD: Self = Self(999);
    /// The first number for handles made at run time, so that none of them can look like
    /// [`Handle::DEAD`].
    pub(crate) const FIRST_DYNAMIC: Self = Self(1000);

    /// The highest number.
    pub(crate) const LAST: Self = Self(u32::MAX);

    /// The handle with this number.
    pub(crate) const fn new(handle: u32) -> Self {
        Self(handle)
    }

    /// The number of this handle.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_display_as_their_number() {
        assert_eq!(format!("{}/{}", ContextId::new(12), Handle::CALL_SERVICE), "12/110");
    }

    #[test]
    fn ids_serialize_as_their_number() {
        assert_eq!(rmp_serde::to_vec(&ContextId::new(300)).unwrap(), [0xcd, 0x01, 0x2c]);
        assert_eq!(rmp_serde::from_slice::<Handle>(&[0x6e]).unwrap(), Handle::CALL_SERVICE);
    }

    #[test]
    fn every_reserved_handle_lies_below_the_dynamic_ones() {
        assert!(Handle::FILLER < Handle::DEAD && Handle::DEAD < Handle::FIRST_DYNAMIC);
    }
}
