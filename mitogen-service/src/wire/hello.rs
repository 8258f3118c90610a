//! What both ends of a stream say before the first message, so that a mismatch is an error with a
//! name and not a corrupt stream.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic, `MGSV` |
//! | 4 | 2 | protocol version |
//! | 6 | 2 | 0, for later use; not looked at |
//! | 8 | 4 | feature bits |
//! | 12 | 4 | length of the body, at most 64 KiB |
//! | 16 | | body: a MessagePack map; unknown keys are passed over |
//!
//! All numbers are big endian. Both ends say `encodings` and `pid`; the parent also tells the child
//! who it is: `context_id`, `name`, `parents` (`[[id, name], ..]`, nearest first),
//! `max_message_size`, `unidirectional`, and where they are not as usual `log_level`, `keep_alive` or
//! `link_keep_alive`, `pool_size`, `receiver_window` and `senders_per_receiver`.
//!
//! This file must not know how a child is started, nor what a feature does.

use std::time::Duration;

use thiserror::Error;

use super::msgpack::{self, Cursor, MAX_DEPTH, Malformed, validate};
use super::{ContextId, Encoding};

/// The feature bit of a peer that understands CANCEL (handle 122).
pub(crate) const FEATURE_CANCEL: u32 = 1;

/// The feature bit of a peer that understands CREDIT and CLAIM (handles 123 and 124).
pub(crate) const FEATURE_CHANNELS: u32 = 2;

/// The feature bit of a peer that answers PING by PONG (handles 120 and 121).
pub(crate) const FEATURE_PING: u32 = 4;

/// The feature bit of a peer that has a link for bulk beside the other one, where both ends say so, and
/// understands BULK (handle 126).
pub(crate) const FEATURE_BULK: u32 = 8;

/// The features that this version of the crate has over any link.
pub(crate) const FEATURES: u32 = FEATURE_CANCEL | FEATURE_CHANNELS | FEATURE_PING;

/// Version of the protocol, which goes apart from that of the crate.
pub(crate) const PROTOCOL_VERSION: u16 = 1;

const MAGIC: &[u8; 4] = b"MGSV";

/// Bytes in front of the body.
const HEAD: usize = 16;

/// Longest body; even a tree a hundred levels deep with long names stays far below.
const MAX_BODY: usize = 64 * 1024;

/// The hello of one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Its protocol version.
    pub(crate) version: u16,
    /// What it understands beyond the first version, a bit each.
    pub(crate) features: u32,
    /// The encodings that it reads, by their numbers on the wire: some may be unknown here.
    pub(crate) encodings: Vec<u16>,
    /// The rest.
    pub(crate) body: HelloBody,
}

/// The part of a hello that depends on which end says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HelloBody {
    /// Process id, as it sees itself.
    pub(crate) pid: u32,
    /// From parent to child: who the child is.
    pub(crate) identity: Option<Identity>,
}

/// What a parent tells a child about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its id.
    pub(crate) context_id: ContextId,
    /// Its name.
    pub(crate) name: String,
    /// The contexts above it, nearest first; the last one is the root.
    pub(crate) parents: Vec<(ContextId, String)>,
    /// Largest payload in this tree, in bytes.
    pub(crate) max_message_size: u64,
    /// Whether siblings are kept apart.
    pub(crate) unidirectional: bool,
    /// How often each end of the stream, and of those below, looks for a sign of life of the other; in
    /// whole microseconds on the wire.
    pub(crate) keep_alive: Option<Duration>,
    /// The same for this stream alone, where `keep_alive` says nothing.
    pub(crate) link_keep_alive: Option<Duration>,
    /// How many threads the pool has that the child makes by itself, if the parent cares.
    pub(crate) pool_size: Option<u64>,
    /// Which log events it shall forward to the root: up to this level, from 1 to 5, 0 for none.
    pub(crate) log_level: u64,
    /// What the channels of this tree take.
    pub(crate) channels: ChannelBounds,
}

/// The bounds of channels, which both ends of each have to know: the same in a whole tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChannelBounds {
    /// What may be under way from one context to one receiver, in bytes; one message always may.
    pub(crate) window: u64,
    /// How many contexts may have a claim of one receiver.
    pub(crate) senders: u64,
}

impl Default for ChannelBounds {
    fn default() -> Self {
        Self { window: 1024 * 1024, senders: 256 }
    }
}

impl ChannelBounds {
    /// What is to be told: what is not as usual.
    fn unusual(self) -> impl Iterator<Item = (&'static str, u64)> {
        let usual = Self::default();
        let all =
            [("receiver_window", self.window, usual.window), ("senders_per_receiver", self.senders, usual.senders)];
        all.into_iter().filter(|(_, value, usual)| value != usual).map(|(key, value, _)| (key, value))
    }
}

/// The two ends cannot talk.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HelloError {
    /// Something else than this SDK is writing.
    #[error(
        "the other end does not speak the protocol of mitogen-service, it begins with \"{got}\"; \
         check that the same program runs there, and enters its children first thing in `main`, and that \
         nothing (a login script, a banner) writes to the connection before it"
    )]
    BadMagic {
        /// Its first bytes, sixteen at most, escaped.
        got: String,
    },
    /// The other end is older or newer.
    #[error(
        "protocol versions differ: this end speaks version {ours}, the other end version {theirs}; \
         run programs built with the same version of mitogen-service at both ends"
    )]
    Version {
        /// Version of this end.
        ours: u16,
        /// Version of the other end.
        theirs: u16,
    },
    /// The hello is longer than any can be.
    #[error(
        "the other end announces a hello of {got} bytes, more than the {max} allowed; check what \
         runs there"
    )]
    TooLarge {
        /// The announced length of the body.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// The body cannot be read.
    #[error(
        "the hello of the other end cannot be read, though both ends speak protocol version \
         {PROTOCOL_VERSION}; run the same program at both ends"
    )]
    Malformed(#[from] Malformed),
    /// There is no encoding that both ends read.
    #[error(
        "no common encoding: this end needs MessagePack (4d50), the other end reads \
         {theirs:04x?}; run a program there that reads it"
    )]
    NoCommonEncoding {
        /// What the other end reads.
        theirs: Vec<u16>,
    },
}

impl Hello {
    /// What a child says.
    pub(crate) fn of_child(features: u32, pid: u32) -> Self {
        Self::ours(features, HelloBody { pid, identity: None })
    }

    /// What a parent says.
    pub(crate) fn of_parent(features: u32, pid: u32, identity: Identity) -> Self {
        Self::ours(features, HelloBody { pid, identity: Some(identity) })
    }

    /// The hello as it stands on the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let body = self.encode_body();
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut hello = Vec::with_capacity(HEAD + body.len());
        hello.extend_from_slice(MAGIC);
        hello.extend_from_slice(&self.version.to_be_bytes());
        hello.extend_from_slice(&[0, 0]);
        hello.extend_from_slice(&self.features.to_be_bytes());
        hello.extend_from_slice(&length.to_be_bytes());
        hello.extend_from_slice(&body);
        hello
    }

    fn ours(features: u32, body: HelloBody) -> Self {
        let encodings = [Encoding::MessagePack, Encoding::Binary, Encoding::Legacy];
        Self { version: PROTOCOL_VERSION, features, encodings: encodings.map(Encoding::magic).to_vec(), body }
    }

    fn encode_body(&self) -> Vec<u8> {
        let identity = self.body.identity.as_ref();
        let mut body = Vec::new();
        let keys = identity.map_or(2, |identity| 7 + identity.optional_keys());
        msgpack::write_map_len(&mut body, keys);
        msgpack::write_str(&mut body, "encodings");
        msgpack::write_array_len(&mut body, self.encodings.len() as u32);
        for &encoding in &self.encodings {
            msgpack::write_uint(&mut body, encoding.into());
        }
        msgpack::write_str(&mut body, "pid");
        msgpack::write_uint(&mut body, self.body.pid.into());
        if let Some(identity) = identity {
            identity.encode(&mut body);
        }
        body
    }

    /// The hello whose `features` are known and whose body is this.
    fn decode(features: u32, body: &[u8]) -> Result<Self, HelloError> {
        let fields = Fields::read(body)?;
        let (encodings, body) = fields.finish()?;
        // Every context of a tree reads MessagePack: a hop cannot know what the destination of a
        // message reads.
        if !encodings.contains(&Encoding::MessagePack.magic()) {
            return Err(HelloError::NoCommonEncoding { theirs: encodings });
        }
        Ok(Self { version: PROTOCOL_VERSION, features, encodings, body })
    }
}

impl Identity {
    fn encode(&self, body: &mut Vec<u8>) {
        msgpack::write_str(body, "context_id");
        msgpack::write_uint(body, self.context_id.get().into());
        msgpack::write_str(body, "name");
        msgpack::write_str(body, &self.name);
        msgpack::write_str(body, "parents");
        msgpack::write_array_len(body, self.parents.len() as u32);
        for (id, name) in &self.parents {
            msgpack::write_array_len(body, 2);
            msgpack::write_uint(body, id.get().into());
            msgpack::write_str(body, name);
        }
        msgpack::write_str(body, "max_message_size");
        msgpack::write_uint(body, self.max_message_size);
        msgpack::write_str(body, "unidirectional");
        msgpack::write_bool(body, self.unidirectional);
        if self.log_level > 0 {
            msgpack::write_str(body, "log_level");
            msgpack::write_uint(body, self.log_level);
        }
        for (key, interval) in [("keep_alive", self.keep_alive), ("link_keep_alive", self.link_keep_alive)] {
            if let Some(interval) = interval {
                msgpack::write_str(body, key);
                msgpack::write_uint(body, u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1));
            }
        }
        if let Some(size) = self.pool_size {
            msgpack::write_str(body, "pool_size");
            msgpack::write_uint(body, size);
        }
        for (key, value) in self.channels.unusual() {
            msgpack::write_str(body, key);
            msgpack::write_uint(body, value);
        }
    }

    fn optional_keys(&self) -> u32 {
        let intervals = [self.keep_alive, self.link_keep_alive].map(|interval| interval.is_some());
        let others = [self.pool_size.is_some(), self.log_level > 0];
        intervals.into_iter().chain(others).map(u32::from).sum::<u32>() + self.channels.unusual().count() as u32
    }
}

/// The keys of a body that were found.
#[derive(Default)]
struct Fields {
    encodings: Option<Vec<u16>>,
    pid: Option<u32>,
    context_id: Option<u32>,
    name: Option<String>,
    parents: Option<Vec<(ContextId, String)>>,
    max_message_size: Option<u64>,
    unidirectional: Option<bool>,
    keep_alive: Option<u64>,
    channels: ChannelBounds,
    link_keep_alive: Option<u64>,
    pool_size: Option<u64>,
    log_level: Option<u64>,
}

impl Fields {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        validate(body, MAX_DEPTH)?;
        let mut cursor = Cursor::new(body);
        let mut fields = Self::default();
        for _ in 0..cursor.map_len()? {
            fields.read_pair(&mut cursor)?;
        }
        Ok(fields)
    }

    fn read_pair(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        match cursor.str()? {
            "encodings" => self.encodings = Some(read_encodings(cursor)?),
            "pid" => self.pid = Some(cursor.u32()?),
            "context_id" => self.context_id = Some(cursor.u32()?),
            "name" => self.name = Some(cursor.str()?.to_owned()),
            "parents" => self.parents = Some(read_parents(cursor)?),
            "max_message_size" => self.max_message_size = Some(cursor.uint()?),
            "unidirectional" => self.unidirectional = Some(cursor.bool()?),
            "keep_alive" => self.keep_alive = Some(cursor.uint()?),
            "receiver_window" => self.channels.window = cursor.uint()?,
            "senders_per_receiver" => self.channels.senders = cursor.uint()?,
            "link_keep_alive" => self.link_keep_alive = Some(cursor.uint()?),
            "log_level" => self.log_level = Some(cursor.uint()?),
            "pool_size" => self.pool_size = Some(cursor.uint()?),
            _ => drop(cursor.skip()?),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Vec<u16>, HelloBody), Malformed> {
        let encodings = found(self.encodings.take(), "the key \"encodings\" is missing")?;
        let pid = found(self.pid, "the key \"pid\" is missing")?;
        let identity = self.context_id.map(|id| self.identity(ContextId::new(id))).transpose()?;
        Ok((encodings, HelloBody { pid, identity }))
    }

    fn identity(self, context_id: ContextId) -> Result<Identity, Malformed> {
        Ok(Identity {
            context_id,
            name: found(self.name, "the key \"name\" is missing")?,
            parents: found(self.parents, "the key \"parents\" is missing")?,
            max_message_size: found(self.max_message_size, "the key \"max_message_size\" is missing")?,
            unidirectional: found(self.unidirectional, "the key \"unidirectional\" is missing")?,
            keep_alive: interval(self.keep_alive),
            link_keep_alive: interval(self.link_keep_alive),
            pool_size: self.pool_size.filter(|&size| size > 0),
            log_level: self.log_level.unwrap_or(0),
            channels: self.channels,
        })
    }
}

fn interval(micros: Option<u64>) -> Option<Duration> {
    micros.filter(|&micros| micros > 0).map(Duration::from_micros)
}

fn found<T>(value: Option<T>, missing: &'static str) -> Result<T, Malformed> {
    value.ok_or(Malformed { what: missing, at: 0 })
}

/// Numbers that no encoding can have are passed over: a later version may list something else
/// there.
fn read_encodings(cursor: &mut Cursor<'_>) -> Result<Vec<u16>, Malformed> {
    let mut encodings = Vec::new();
    for _ in 0..cursor.array_len()? {
        encodings.extend(u16::try_from(cursor.uint()?).ok());
    }
    Ok(encodings)
}

fn read_parents(cursor: &mut Cursor<'_>) -> Result<Vec<(ContextId, String)>, Malformed> {
    let mut parents = Vec::new();
    for _ in 0..cursor.array_len()? {
        cursor.array_of(2)?;
        parents.push((ContextId::new(cursor.u32()?), cursor.str()?.to_owned()));
    }
    Ok(parents)
}

/// Takes the hello of the other end from the pieces in which it arrives.
#[derive(Debug, Default)]
pub(crate) struct HelloDecoder {
    /// The hello so far, and nothing that follows it.
    seen: Vec<u8>,
}

impl HelloDecoder {
    /// A decoder that has seen nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream: the hello and how many of *these* bytes belonged to it,
    /// or `None` when all of them did and more are needed.
    ///
    /// # Errors
    ///
    /// As soon as the bytes show it: a wrong magic with the first byte that differs, whether or not
    /// more come.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<(Hello, usize)>, HelloError> {
        let in_head = self.take(bytes, HEAD);
        self.check_magic()?;
        self.check_version()?;
        let Some((features, length)) = self.announced()? else {
            return Ok(None);
        };
        let in_body = self.take(&bytes[in_head..], HEAD + length);
        match self.seen.get(HEAD..HEAD + length) {
            Some(body) => Ok(Some((Hello::decode(features, body)?, in_head + in_body))),
            None => Ok(None),
        }
    }

    /// How many more bytes certainly belong to the hello: reading just these leaves the first
    /// message to its stream.
    pub(crate) fn needed(&self) -> usize {
        let whole = match self.announced() {
            Ok(Some((_, length))) => HEAD + length,
            Ok(None) | Err(_) => HEAD,
        };
        whole.saturating_sub(self.seen.len()).max(1)
    }

    /// Keeps bytes until `upto` are there and tells how many it took.
    fn take(&mut self, bytes: &[u8], upto: usize) -> usize {
        let taken = upto.saturating_sub(self.seen.len()).min(bytes.len());
        self.seen.extend_from_slice(&bytes[..taken]);
        taken
    }

    fn check_magic(&self) -> Result<(), HelloError> {
        if self.seen.iter().zip(MAGIC).all(|(seen, magic)| seen == magic) {
            return Ok(());
        }
        let first = self.seen.get(..HEAD).unwrap_or(&self.seen);
        Err(HelloError::BadMagic { got: first.escape_ascii().to_string() })
    }

    /// Looked at before anything behind it, since another version may have another layout.
    fn check_version(&self) -> Result<(), HelloError> {
        match self.seen.get(4..6) {
            Some(&[high, low]) if u16::from_be_bytes([high, low]) != PROTOCOL_VERSION => {
                Err(HelloError::Version { ours: PROTOCOL_VERSION, theirs: u16::from_be_bytes([high, low]) })
            }
            _ => Ok(()),
        }
    }

    /// Feature bits and length of the body, once they are there.
    fn announced(&self) -> Result<Option<(u32, usize)>, HelloError> {
        let Some(&[f0, f1, f2, f3, l0, l1, l2, l3]) = self.seen.get(8..HEAD) else {
            return Ok(None);
        };
        let got = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if got > MAX_BODY {
            return Err(HelloError::TooLarge { got, max: MAX_BODY });
        }
        Ok(Some((u32::from_be_bytes([f0, f1, f2, f3]), got)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a child with pid 300 and the features 1 and 3 says.
    const CHILD: &[u8] = b"MGSV\x00\x01\x00\x00\x00\x00\x00\x05\x00\x00\x00\x1c\
        \x82\xa9encodings\x93\xcd\x4d\x50\xcd\x4d\x4b\xcd\x4d\x49\xa3pid\xcd\x01\x2c";

    fn parent() -> Hello {
        let identity = Identity {
            context_id: ContextId::new(2),
            name: "b".into(),
            parents: vec![(ContextId::new(1), "a".into()), (ContextId::ROOT, "r".into())],
            max_message_size: 1 << 27,
            unidirectional: true,
            keep_alive: None,
            channels: ChannelBounds::default(),
            link_keep_alive: None,
            pool_size: None,
            log_level: 0,
        };
        Hello::of_parent(0, 1, identity)
    }

    fn decode(bytes: &[u8]) -> Result<Option<(Hello, usize)>, HelloError> {
        HelloDecoder::new().feed(bytes)
    }

    /// A hello of version 1 with this body.
    fn with_body(body: &[u8]) -> Vec<u8> {
        let mut hello = b"MGSV\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        hello.extend_from_slice(&(body.len() as u32).to_be_bytes());
        hello.extend_from_slice(body);
        hello
    }

    #[test]
    fn what_a_parent_may_leave_out_comes_through() {
        let mut hello = parent();
        if let Some(identity) = &mut hello.body.identity {
            identity.keep_alive = Some(Duration::from_secs(1));
            identity.link_keep_alive = Some(Duration::from_secs(15));
            identity.pool_size = Some(7);
            identity.log_level = 4;
        }
        let bytes = hello.encode();
        assert_eq!(decode(&bytes), Ok(Some((hello, bytes.len()))));
    }

    #[test]
    fn a_childs_hello_stands_on_the_wire_byte_for_byte() {
        let hello = Hello::of_child(5, 300);
        assert_eq!(hello.encode().escape_ascii().to_string(), CHILD.escape_ascii().to_string());
        assert_eq!(decode(CHILD), Ok(Some((hello, CHILD.len()))));
    }

    #[test]
    fn a_parents_hello_stands_on_the_wire_byte_for_byte() {
        let body = b"\x87\xa9encodings\x93\xcd\x4d\x50\xcd\x4d\x4b\xcd\x4d\x49\xa3pid\x01\
            \xaacontext_id\x02\xa4name\xa1b\xa7parents\x92\x92\x01\xa1a\x92\x00\xa1r\
            \xb0max_message_size\xce\x08\x00\x00\x00\xaeunidirectional\xc3";
        let hello = parent().encode();
        assert_eq!(hello.escape_ascii().to_string(), with_body(body).escape_ascii().to_string());
        assert_eq!(decode(&hello), Ok(Some((parent(), hello.len()))));
    }

    #[test]
    fn keep_alive_is_said_behind_the_other_keys_and_only_if_it_is_on() {
        let mut hello = parent();
        let off = hello.encode();
        let say = |hello: &mut Hello, interval| {
            hello.body.identity.as_mut().unwrap().keep_alive = Some(interval);
            hello.encode()
        };
        let on = say(&mut hello, Duration::from_secs(15));
        assert_eq!(on.strip_suffix(b"\xaakeep_alive\xce\x00\xe4\xe1\xc0").unwrap().len(), off.len());
        assert_eq!(decode(&on), Ok(Some((hello.clone(), on.len()))));
        // As short or long as microseconds can say; 0 is off.
        let told = |bytes: &[u8]| decode(bytes).unwrap().unwrap().0.body.identity.unwrap().keep_alive;
        assert_eq!(told(&say(&mut hello, Duration::from_nanos(1))), Some(Duration::from_micros(1)));
        assert_eq!(told(&say(&mut hello, Duration::MAX)), Some(Duration::from_micros(u64::MAX)));
        let mut zero = say(&mut hello, Duration::from_micros(1));
        *zero.last_mut().unwrap() = 0;
        assert_eq!(told(&zero), None);
    }

    #[test]
    fn the_bounds_of_channels_are_said_where_they_are_not_as_usual() {
        let mut hello = parent();
        let usual = hello.encode();
        hello.body.identity.as_mut().unwrap().channels = ChannelBounds { window: 65_536, senders: 3 };
        let unusual = hello.encode();
        let said = b"\xafreceiver_window\xce\x00\x01\x00\x00\xb4senders_per_receiver\x03";
        assert_eq!(unusual.strip_suffix(said).unwrap().len(), usual.len());
        assert_eq!(decode(&unusual), Ok(Some((hello.clone(), unusual.len()))));
        hello.body.identity.as_mut().unwrap().channels.window = 1024 * 1024;
        let one = hello.encode();
        assert!(one.ends_with(b"\xc3\xb4senders_per_receiver\x03"));
        assert_eq!(decode(&one), Ok(Some((hello, one.len()))));
    }

    #[test]
    fn what_follows_the_hello_is_left_alone() {
        let mut stream = CHILD.to_vec();
        stream.extend_from_slice(b"MP and so on");
        assert_eq!(decode(&stream), Ok(Some((Hello::of_child(5, 300), CHILD.len()))));
    }

    #[test]
    fn unknown_keys_are_passed_over() {
        let body = b"\x83\xa6colour\x92\x01\x81\x02\x03\xa9encodings\x91\xcd\x4d\x50\xa3pid\x01";
        let (hello, _) = decode(&with_body(body)).unwrap().unwrap();
        assert_eq!((hello.encodings, hello.body.pid), (vec![0x4d50], 1));
    }

    #[test]
    fn the_first_wrong_byte_is_enough_and_control_bytes_are_escaped() {
        assert!(matches!(decode(b"MGX"), Err(HelloError::BadMagic { .. })));
        let error = decode(b"Last \x1b[1mlogin: Sun Nov 22").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the other end does not speak the protocol of mitogen-service, it begins with \
             \"Last \\x1b[1mlogin: \"; check that the same program runs there, and enters its \
             children first thing in `main`, and that nothing (a login script, a banner) writes to the connection before it"
        );
    }

    #[test]
    fn another_version_is_told_before_anything_behind_it_is_read() {
        let error = decode(b"MGSV\x00\x02").unwrap_err();
        assert_eq!(error, HelloError::Version { ours: 1, theirs: 2 });
        assert_eq!(
            error.to_string(),
            "protocol versions differ: this end speaks version 1, the other end version 2; \
             run programs built with the same version of mitogen-service at both ends"
        );
    }

    #[test]
    fn an_endless_hello_is_refused_when_it_is_announced() {
        let error = decode(b"MGSV\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01").unwrap_err();
        assert_eq!(error, HelloError::TooLarge { got: 65537, max: 65536 });
    }

    #[test]
    fn an_end_that_does_not_read_messagepack_is_refused() {
        let error = decode(&with_body(b"\x82\xa9encodings\x91\xcd\x4d\x4a\xa3pid\x01")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no common encoding: this end needs MessagePack (4d50), the other end reads [4d4a]; \
             run a program there that reads it"
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = decode(&with_body(b"\x81\xa3pid\x01")).unwrap_err();
        let HelloError::Malformed(malformed) = error else {
            panic!("{error:?}");
        };
        assert_eq!(malformed.what, "the key \"encodings\" is missing");
        let body = b"\x83\xa9encodings\x91\xcd\x4d\x50\xa3pid\x01\xaacontext_id\x02";
        assert!(matches!(decode(&with_body(body)), Err(HelloError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn a_hello_may_arrive_in_any_pieces(pieces in prop::collection::vec(1..40_usize, 1..200)) {
            let hello = parent().encode();
            let stream = [&hello[..], b"MP...and then the first message"].concat();
            let mut decoder = HelloDecoder::new();
            let (mut at, mut end) = (0, 0);
            for piece in pieces.into_iter().cycle() {
                end = (end + piece).min(stream.len());
                let found = decoder.feed(&stream[at..end]).unwrap();
                if let Some((decoded, consumed)) = found {
                    prop_assert_eq!(decoded, parent());
                    prop_assert_eq!(at + consumed, hello.len());
                    break;
                }
                at = end;
                prop_assert!(at < hello.len());
            }
        }

        #[test]
        fn any_bytes_are_a_hello_or_an_error(at in 0..CHILD.len(), bytes: [u8; 4]) {
            let mut hello = CHILD.to_vec();
            for (byte, new) in hello[at..].iter_mut().zip(bytes) {
                *byte = new;
            }
            let _ = decode(&hello);
        }
    }
}
