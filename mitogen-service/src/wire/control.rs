//! Payloads of the SDK's own handles: routes, context ids, channels, cancelling and shutting down.
//!
//! | handle | payload |
//! | --- | --- |
//! | `ADD_ROUTE` | `[id, name]` |
//! | `DEL_ROUTE` | `[id, death]`, where `death` is nil or a map; `[id, death, true]` if it comes over both links |
//! | `ALLOCATE_ID` | nothing; the reply is `[start, end]`, the end not included |
//! | `CANCEL` | the handle that the caller no longer listens on |
//! | `CREDIT` | `[handle, bytes]`, or `[handle, nil, reason]` of a receiver that takes no more |
//! | `CLAIM` | `[handle, token]` |
//! | `BULK` | `[handle]`, and the reply is the handle for bulk; `[handle, nil]` at the end of a claim |
//! | `FORWARD_LOG` | `[level, target, path, text]` |
//! | `SHUTDOWN` | `[milliseconds of grace]` |
//!
//! This file must not know who may send these, nor what they do.

use std::time::Duration;

use super::msgpack::{self, Cursor, MAX_DEPTH, Malformed, validate};
use super::{ContextId, Handle, dead};

/// A context appeared below the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddRoute<'a> {
    /// Its id.
    pub(crate) id: ContextId,
    /// Its name.
    pub(crate) name: &'a str,
}

impl<'a> AddRoute<'a> {
    /// The payload that says so.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.name.len() + 11);
        msgpack::write_array_len(&mut payload, 2);
        msgpack::write_uint(&mut payload, self.id.get().into());
        msgpack::write_str(&mut payload, self.name);
        payload
    }

    /// Reads it back.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        cursor.array_of(2)?;
        let route = Self { id: ContextId::new(cursor.u32()?), name: cursor.str()? };
        cursor.end()?;
        Ok(route)
    }
}

/// A log event of a context, on its way to the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForwardLog<'a> {
    /// From 1, an error, to 5, a trace.
    pub(crate) level: u8,
    /// What the event calls itself, most often by the path of a module.
    pub(crate) target: &'a str,
    /// The names of the contexts from the root to this one.
    pub(crate) path: &'a str,
    /// What it says, with its fields.
    pub(crate) text: &'a str,
}

impl<'a> ForwardLog<'a> {
    /// The payload that says so.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.target.len() + self.path.len() + self.text.len() + 17);
        msgpack::write_array_len(&mut payload, 4);
        msgpack::write_uint(&mut payload, self.level.into());
        for text in [self.target, self.path, self.text] {
            msgpack::write_str(&mut payload, text);
        }
        payload
    }

    /// Reads it back.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        cursor.array_of(4)?;
        let level = u8::try_from(cursor.uint()?).ok().filter(|level| (1..=5).contains(level));
        let level = level.ok_or(Malformed { what: "a level is 1 to 5", at: 0 })?;
        let event = Self { level, target: cursor.str()?, path: cursor.str()?, text: cursor.str()? };
        cursor.end()?;
        Ok(event)
    }
}

/// A context is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DelRoute<'a> {
    /// Its id.
    pub(crate) id: ContextId,
    /// How it ended, if anybody saw: a MessagePack map as it is written.
    pub(crate) death: Option<&'a [u8]>,
    /// It is told over the link for bulk as well, and holds when both have come.
    pub(crate) twice: bool,
}

impl<'a> DelRoute<'a> {
    /// The payload that says so.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.death.map_or(1, <[u8]>::len) + 6);
        msgpack::write_array_len(&mut payload, if self.twice { 3 } else { 2 });
        msgpack::write_uint(&mut payload, self.id.get().into());
        match self.death {
            Some(death) => payload.extend_from_slice(death),
            None => msgpack::write_nil(&mut payload),
        }
        if self.twice {
            msgpack::write_bool(&mut payload, true);
        }
        payload
    }

    /// Reads it back. `death` may be handed to serde: it has been validated.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        validate(payload, MAX_DEPTH)?;
        let mut cursor = Cursor::new(payload);
        let length = cursor.array_len()?;
        let id = ContextId::new(cursor.u32()?);
        let death = cursor.nil_or(Cursor::raw_map)?;
        let twice = match length {
            2 => false,
            3 => cursor.bool()?,
            _ => return Err(Malformed { what: "the end of a context is told in two or three parts", at: 0 }),
        };
        Ok(Self { id, death, twice })
    }
}

/// A block of context ids that the root gave away: `start` and all below `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdBlock {
    /// The first.
    pub(crate) start: u32,
    /// One behind the last. Invariant of a decoded block: `0 < start < end`.
    pub(crate) end: u32,
}

impl IdBlock {
    /// The payload of the reply.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(11);
        msgpack::write_array_len(&mut payload, 2);
        msgpack::write_uint(&mut payload, self.start.into());
        msgpack::write_uint(&mut payload, self.end.into());
        payload
    }

    /// Reads it back.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        cursor.array_of(2)?;
        let (start, end) = (cursor.u32()?, cursor.u32()?);
        cursor.end()?;
        if start == ContextId::ROOT.get() || start >= end {
            return Err(Malformed { what: "a block of ids is empty or holds the root's", at: 0 });
        }
        Ok(Self { start, end })
    }
}

/// The payload of `CANCEL`: the caller no longer listens on `reply_to`.
pub(crate) fn encode_cancel(reply_to: Handle) -> Vec<u8> {
    let mut payload = Vec::with_capacity(5);
    msgpack::write_uint(&mut payload, reply_to.get().into());
    payload
}

/// The handle that the caller no longer listens on.
pub(crate) fn decode_cancel(payload: &[u8]) -> Result<Handle, Malformed> {
    let mut cursor = Cursor::new(payload);
    let reply_to = Handle::new(cursor.u32()?);
    cursor.end()?;
    Ok(reply_to)
}

/// What a receiver tells a context that sends to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credit<'a> {
    /// The receiver's handle.
    pub(crate) handle: Handle,
    /// What it says.
    pub(crate) news: CreditNews<'a>,
}

/// What a receiver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreditNews<'a> {
    /// So much of what was sent has been taken.
    Bytes(u64),
    /// Nothing more is taken, for this reason.
    Closed(&'a str),
}

impl<'a> Credit<'a> {
    /// The payload that says so.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(16);
        match self.news {
            CreditNews::Bytes(bytes) => {
                msgpack::write_array_len(&mut payload, 2);
                msgpack::write_uint(&mut payload, self.handle.get().into());
                msgpack::write_uint(&mut payload, bytes);
            }
            CreditNews::Closed(reason) => {
                msgpack::write_array_len(&mut payload, 3);
                msgpack::write_uint(&mut payload, self.handle.get().into());
                msgpack::write_nil(&mut payload);
                msgpack::write_str(&mut payload, dead::cut(reason));
            }
        }
        payload
    }

    /// Reads it back.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        let length = cursor.array_len()?;
        let handle = Handle::new(cursor.u32()?);
        let news = match (length, cursor.nil_or(Cursor::uint)?) {
            (2, Some(bytes)) => CreditNews::Bytes(bytes),
            (3, None) => CreditNews::Closed(dead::cut(cursor.str()?)),
            _ => return Err(Malformed { what: "credit is neither an amount nor a reason", at: 0 }),
        };
        cursor.end()?;
        Ok(Self { handle, news })
    }
}

/// A context introduces itself to a receiver that it was given the sender of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The receiver's handle.
    pub(crate) handle: Handle,
    /// What only those know who were given the sender.
    pub(crate) token: u64,
}

impl Claim {
    /// The payload that says so.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(15);
        msgpack::write_array_len(&mut payload, 2);
        msgpack::write_uint(&mut payload, self.handle.get().into());
        msgpack::write_uint(&mut payload, self.token);
        payload
    }

    /// Reads it back.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        cursor.array_of(2)?;
        let claim = Self { handle: Handle::new(cursor.u32()?), token: cursor.uint()? };
        cursor.end()?;
        Ok(claim)
    }
}

/// What a sender says of the link for bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// It has much for the receiver with this handle, and asks for another handle for that.
    Ask(Handle),
    /// Nothing more comes for this handle, and the claim ends at the other one.
    Last(Handle),
}

impl Bulk {
    /// The payload that says so.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(7);
        let (Self::Ask(handle) | Self::Last(handle)) = self;
        let last = matches!(self, Self::Last(_));
        msgpack::write_array_len(&mut payload, if last { 2 } else { 1 });
        msgpack::write_uint(&mut payload, handle.get().into());
        if last {
            msgpack::write_nil(&mut payload);
        }
        payload
    }

    /// Reads it back.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        let length = cursor.array_len()?;
        let handle = Handle::new(cursor.u32()?);
        let bulk = match length {
            1 => Self::Ask(handle),
            2 if cursor.nil_or(Cursor::uint)?.is_none() => Self::Last(handle),
            _ => return Err(Malformed { what: "a word about bulk is neither a question nor an end", at: 0 }),
        };
        cursor.end()?;
        Ok(bulk)
    }

    /// The payload of the reply to [`Bulk::Ask`].
    pub(crate) fn encode_reply(handle: Handle) -> Vec<u8> {
        let mut payload = Vec::with_capacity(5);
        msgpack::write_uint(&mut payload, handle.get().into());
        payload
    }

    /// The handle for bulk.
    pub(crate) fn decode_reply(payload: &[u8]) -> Result<Handle, Malformed> {
        let mut cursor = Cursor::new(payload);
        let handle = Handle::new(cursor.u32()?);
        cursor.end()?;
        Ok(handle)
    }
}

/// The payload of `SHUTDOWN`: end within `grace`, which is rounded down to milliseconds.
pub(crate) fn encode_shutdown(grace: Duration) -> Vec<u8> {
    let mut payload = Vec::with_capacity(10);
    msgpack::write_array_len(&mut payload, 1);
    msgpack::write_uint(&mut payload, u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
    payload
}

/// How long ending may take.
pub(crate) fn decode_shutdown(payload: &[u8]) -> Result<Duration, Malformed> {
    let mut cursor = Cursor::new(payload);
    cursor.array_of(1)?;
    let grace = Duration::from_millis(cursor.uint()?);
    cursor.end()?;
    Ok(grace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn routes_stand_on_the_wire_byte_for_byte() {
        let add = AddRoute { id: ContextId::new(300), name: "a" };
        assert_eq!(add.encode(), b"\x92\xcd\x01\x2c\xa1a");
        assert_eq!(AddRoute::decode(&add.encode()), Ok(add));
        let del = DelRoute { id: ContextId::new(300), death: None, twice: false };
        assert_eq!(del.encode(), b"\x92\xcd\x01\x2c\xc0");
        assert_eq!(DelRoute::decode(&del.encode()), Ok(del));
    }

    #[test]
    fn a_log_event_stands_on_the_wire_byte_for_byte() {
        let event = ForwardLog { level: 3, target: "a", path: "b", text: "c" };
        assert_eq!(event.encode(), b"\x94\x03\xa1a\xa1b\xa1c");
        assert_eq!(ForwardLog::decode(&event.encode()), Ok(event));
        for bad in [&b"\x94\x00\xa1a\xa1b\xa1c"[..], b"\x94\x06\xa1a\xa1b\xa1c", b"\x93\x03\xa1a\xa1b"] {
            assert!(ForwardLog::decode(bad).is_err());
        }
    }

    #[test]
    fn how_a_context_died_is_passed_on_as_it_is_written() {
        let death = Some(&b"\x81\xa6signal\x0b"[..]);
        let del = DelRoute { id: ContextId::new(1), death, twice: false };
        assert_eq!(del.encode(), b"\x92\x01\x81\xa6signal\x0b");
        assert_eq!(DelRoute::decode(&del.encode()), Ok(del));
    }

    #[test]
    fn a_death_is_a_map_or_nothing() {
        assert!(DelRoute::decode(b"\x92\x01\xa1x").is_err());
        assert!(DelRoute::decode(b"\x92\x01\x81\xc1\x00").is_err());
    }

    #[test]
    fn a_block_of_ids_has_ids_and_not_the_roots() {
        let block = IdBlock { start: 2, end: 1002 };
        assert_eq!(block.encode(), b"\x92\x02\xcd\x03\xea");
        assert_eq!(IdBlock::decode(&block.encode()), Ok(block));
        for bad in [[0, 5], [5, 5], [6, 5]] {
            assert!(IdBlock::decode(&[0x92, bad[0], bad[1]]).is_err());
        }
        assert!(IdBlock::decode(b"\x92\x01\xcf\x00\x00\x00\x01\x00\x00\x00\x00").is_err());
    }

    #[test]
    fn cancel_and_shutdown_stand_on_the_wire_byte_for_byte() {
        assert_eq!(encode_cancel(Handle::new(1000)), b"\xcd\x03\xe8");
        assert_eq!(decode_cancel(b"\xcd\x03\xe8"), Ok(Handle::new(1000)));
        assert_eq!(encode_shutdown(Duration::from_secs(3)), b"\x91\xcd\x0b\xb8");
        assert_eq!(decode_shutdown(b"\x91\xcd\x0b\xb8"), Ok(Duration::from_secs(3)));
        assert_eq!(decode_shutdown(&encode_shutdown(Duration::MAX)), Ok(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn credit_and_claim_stand_on_the_wire_byte_for_byte() {
        let handle = Handle::new(1000);
        for (news, bytes) in [
            (CreditNews::Bytes(300), &b"\x92\xcd\x03\xe8\xcd\x01\x2c"[..]),
            (CreditNews::Closed("x"), b"\x93\xcd\x03\xe8\xc0\xa1x"),
        ] {
            let credit = Credit { handle, news };
            assert_eq!(credit.encode(), bytes);
            assert_eq!(Credit::decode(bytes), Ok(credit));
        }
        for bad in [&b"\x92\xcd\x03\xe8\xc0"[..], b"\x93\xcd\x03\xe8\x05\xa1x", b"\x91\x01", b"\x92\x01\x02\x03"] {
            assert!(Credit::decode(bad).is_err());
        }
        let claim = Claim { handle, token: u64::MAX };
        assert_eq!(claim.encode(), b"\x92\xcd\x03\xe8\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(Claim::decode(&claim.encode()), Ok(claim));
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..32)) {
            if let Ok(route) = AddRoute::decode(&payload) {
                let again = route.encode();
                prop_assert_eq!(AddRoute::decode(&again), Ok(route));
            }
            if let Ok(route) = DelRoute::decode(&payload) {
                let again = route.encode();
                prop_assert_eq!(DelRoute::decode(&again), Ok(route));
            }
            if let Ok(credit) = Credit::decode(&payload) {
                let again = credit.encode();
                prop_assert_eq!(Credit::decode(&again), Ok(credit));
            }
            if let Ok(claim) = Claim::decode(&payload) {
                prop_assert_eq!(Claim::decode(&claim.encode()), Ok(claim));
            }
            let _ = (IdBlock::decode(&payload), decode_cancel(&payload), decode_shutdown(&payload));
        }
    }
}
