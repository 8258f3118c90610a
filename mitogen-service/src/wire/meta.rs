//! What a service call carries beside its names and its arguments.
//!
//! Nil, or a map of which all keys may be missing:
//!
//! | key | value |
//! | --- | --- |
//! | `time` | how many microseconds the caller still waits |
//! | `chain` | `[[context, handle, name], ..]`: the calls that wait for this one, outermost first |
//!
//! This file must not know what follows from them.

use std::time::Duration;

use super::msgpack::{self, Cursor, Malformed};
use super::{ContextId, Handle};

/// How many calls may wait for one another, each for the next.
pub(crate) const MAX_CHAIN: usize = 32;

/// The longest name of a call that is kept, in bytes.
const MAX_NAME: usize = 200;

const TIME: &str = "time";
const CHAIN: &str = "chain";

/// A call that waits for another one to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The context that has made it.
    pub(crate) context: ContextId,
    /// Where that context waits for the answer.
    pub(crate) handle: Handle,
    /// What was called, and where; for people.
    pub(crate) name: String,
}

/// What a call carries beside its names and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// How long the caller still waits.
    pub(crate) time: Option<Duration>,
    /// The calls that wait for this one, outermost first.
    pub(crate) chain: Vec<Link>,
}

impl Meta {
    /// Appends what is to stand in the call.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let keys = usize::from(self.time.is_some()) + usize::from(!self.chain.is_empty());
        if keys == 0 {
            return msgpack::write_nil(to);
        }
        msgpack::write_map_len(to, keys as u32);
        if let Some(time) = self.time {
            msgpack::write_str(to, TIME);
            msgpack::write_uint(to, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
        if !self.chain.is_empty() {
            msgpack::write_str(to, CHAIN);
            msgpack::write_array_len(to, self.chain.len() as u32);
            for link in &self.chain {
                msgpack::write_array_len(to, 3);
                msgpack::write_uint(to, link.context.get().into());
                msgpack::write_uint(to, link.handle.get().into());
                msgpack::write_str(to, &link.name);
            }
        }
    }

    /// Reads it back. A chain longer than any that is accepted is read no further than that.
    pub(crate) fn decode(raw: &[u8]) -> Result<Self, Malformed> {
        let mut meta = Self::default();
        let mut cursor = Cursor::new(raw);
        let Some(keys) = cursor.nil_or(Cursor::map_len)? else { return Ok(meta) };
        for _ in 0..keys {
            match cursor.str()? {
                TIME => meta.time = cursor.nil_or(Cursor::uint)?.map(Duration::from_micros),
                CHAIN => meta.chain = decode_chain(cursor.skip()?)?,
                _ => {
                    cursor.skip()?;
                }
            }
        }
        Ok(meta)
    }
}

fn decode_chain(raw: &[u8]) -> Result<Vec<Link>, Malformed> {
    let mut cursor = Cursor::new(raw);
    let links = cursor.nil_or(Cursor::array_len)?.unwrap_or(0).min(MAX_CHAIN + 1);
    let mut chain = Vec::with_capacity(links);
    for _ in 0..links {
        cursor.array_of(3)?;
        let (context, handle) = (ContextId::new(cursor.u32()?), Handle::new(cursor.u32()?));
        chain.push(Link { context, handle, name: cut(cursor.str()?).to_owned() });
    }
    Ok(chain)
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u32) -> Link {
        let (context, handle) = (ContextId::new(number), Handle::new(1000 + number));
        Link { context, handle, name: format!("Files.read in {number}") }
    }

    fn encoded(meta: &Meta) -> Vec<u8> {
        let mut raw = Vec::new();
        meta.encode(&mut raw);
        raw
    }

    #[test]
    fn what_is_written_is_read() {
        let time = Some(Duration::from_micros(1_500_000));
        for meta in [
            Meta::default(),
            Meta { time, chain: Vec::new() },
            Meta { time: None, chain: vec![link(1)] },
            Meta { time, chain: (0..MAX_CHAIN as u32).map(link).collect() },
        ] {
            assert_eq!(Meta::decode(&encoded(&meta)), Ok(meta));
        }
        assert_eq!(encoded(&Meta::default()), b"\xc0");
    }

    #[test]
    fn no_more_of_a_chain_is_read_than_shows_that_it_is_too_long() {
        let meta = Meta { time: None, chain: (0..1000).map(link).collect() };
        assert_eq!(Meta::decode(&encoded(&meta)).unwrap().chain.len(), MAX_CHAIN + 1);
        let long = Link { name: "é".repeat(1000), ..link(1) };
        let meta = Meta { time: None, chain: vec![long] };
        assert_eq!(Meta::decode(&encoded(&meta)).unwrap().chain[0].name, "é".repeat(100));
    }

    #[test]
    fn unknown_keys_are_passed_over_and_wrong_values_refused() {
        assert_eq!(Meta::decode(b"\x82\xa1x\x92\x01\x02\xa4time\x05").unwrap().time, Some(Duration::from_micros(5)));
        for wrong in [
            &b"\x01"[..],
            b"\x81\xa4time\xa1x",
            b"\x81\xa5chain\x05",
            b"\x81\xa5chain\x91\x92\x01\x02",
            b"\x81\x01\x02",
        ] {
            assert!(Meta::decode(wrong).is_err(), "{wrong:x?}");
        }
    }

    #[test]
    fn a_meta_that_ends_anywhere_is_refused() {
        let whole = encoded(&Meta { time: Some(Duration::from_secs(1)), chain: vec![link(1), link(2)] });
        for end in 0..whole.len() {
            assert!(Meta::decode(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}
