//! Payloads of service calls and their replies.
//!
//! A call is the MessagePack array `[service, method, meta, {argument: value}]`, in this order, so
//! that everything a policy needs is read before any argument. A reply is `[0, value]` or `[1, call
//! error]`.
//!
//! This file must not know what a service is; arguments, values and errors stay as they are
//! written.

use super::Meta;
use super::msgpack::{self, Cursor, MAX_DEPTH, Malformed, validate};

/// A service call, taken apart but not decoded. All of it has been validated and may be handed to
/// serde.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallEnvelope<'a> {
    /// Name of the service.
    pub(crate) service: &'a str,
    /// Name of the method.
    pub(crate) method: &'a str,
    /// Remaining time, chain of calls and the like: nil or a map, as it is written.
    pub(crate) meta: &'a [u8],
    /// A map from argument name to value, as it is written.
    pub(crate) args: &'a [u8],
}

/// The beginning of a service call. Its meta has not been validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// Name of the service.
    pub(crate) service: &'a str,
    /// Name of the method.
    pub(crate) method: &'a str,
    /// As it is written.
    pub(crate) meta: &'a [u8],
}

impl<'a> CallEnvelope<'a> {
    /// Takes a call apart.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        cursor.array_of(4)?;
        let (service, method) = (cursor.str()?, cursor.str()?);
        let meta_at = cursor.position();
        let meta = read_meta(&mut cursor)?;
        validate_within(meta, meta_at)?;
        // The arguments, and nothing behind them: each byte is looked at once.
        let args = validate_within(cursor.rest(), cursor.position())?;
        cursor.expect_map()?;
        Ok(Self { service, method, meta, args })
    }

    /// The beginning of a call, read without a look at its arguments.
    pub(crate) fn head(payload: &'a [u8]) -> Result<Head<'a>, Malformed> {
        let mut cursor = Cursor::new(payload);
        cursor.array_of(4)?;
        let (service, method) = (cursor.str()?, cursor.str()?);
        Ok(Head { service, method, meta: cursor.skip()? })
    }
}

/// Checks what lies within an array, at this position of the payload.
fn validate_within(value: &[u8], position: usize) -> Result<&[u8], Malformed> {
    let within = |error: Malformed| Malformed { at: position + error.at, ..error };
    validate(value, MAX_DEPTH - 1).map_err(within)?;
    Ok(value)
}

/// Nil or a map, as it is written.
fn read_meta<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let whole = cursor.rest();
    let map = cursor.nil_or(Cursor::raw_map)?;
    Ok(map.unwrap_or(&whole[..1]))
}

/// Writes a service call: first the names, then for each argument its name and, into the buffer,
/// its value.
#[derive(Debug)]
pub(crate) struct EnvelopeWriter {
    payload: Vec<u8>,
}

/// What a call without large arguments needs, so that its buffer is allocated once.
const USUAL_CALL: usize = 256;

impl EnvelopeWriter {
    /// A call with exactly `arg_count` arguments.
    pub(crate) fn new(service: &str, method: &str, meta: &Meta, arg_count: usize) -> Self {
        let mut payload = Vec::with_capacity(USUAL_CALL);
        Self::write_head(&mut payload, service, method, meta);
        msgpack::write_map_len(&mut payload, u32::try_from(arg_count).unwrap_or(u32::MAX));
        Self { payload }
    }

    /// The payload of a call whose arguments are encoded already, as one whole map.
    pub(crate) fn with_args(service: &str, method: &str, meta: &Meta, args: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(USUAL_CALL + args.len());
        Self::write_head(&mut payload, service, method, meta);
        payload.extend_from_slice(args);
        payload
    }

    /// Writes the name of an argument. Its value, exactly one, has to be written into
    /// [`EnvelopeWriter::buffer`] next.
    pub(crate) fn arg_name(&mut self, name: &str) {
        msgpack::write_str(&mut self.payload, name);
    }

    /// Where the value of the argument just named is appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.payload
    }

    /// The payload.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.payload
    }

    fn write_head(payload: &mut Vec<u8>, service: &str, method: &str, meta: &Meta) {
        msgpack::write_array_len(payload, 4);
        msgpack::write_str(payload, service);
        msgpack::write_str(payload, method);
        meta.encode(payload);
    }
}

const REPLY_OK: u64 = 0;
const REPLY_ERR: u64 = 1;

/// Begins a reply that is a success; its value, exactly one, has to follow.
pub(crate) fn reply_ok_prefix(to: &mut Vec<u8>) {
    msgpack::write_array_len(to, 2);
    msgpack::write_uint(to, REPLY_OK);
}

/// Begins a reply that is a failure; the call error has to follow.
pub(crate) fn reply_err_prefix(to: &mut Vec<u8>) {
    msgpack::write_array_len(to, 2);
    msgpack::write_uint(to, REPLY_ERR);
}

/// A reply to a service call, taken apart but not decoded. All of it has been validated and may be
/// handed to serde.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// The method's result, as it is written.
    Ok(&'a [u8]),
    /// The call error, as it is written.
    Err(&'a [u8]),
}

impl<'a> Reply<'a> {
    /// Takes a reply apart.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        cursor.array_of(2)?;
        let kind = cursor.uint()?;
        let value = validate_within(cursor.rest(), cursor.position())?;
        match kind {
            REPLY_OK => Ok(Self::Ok(value)),
            REPLY_ERR => Ok(Self::Err(value)),
            _ => Err(Malformed { what: "a reply is neither a success nor a failure", at: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `files::Files.read_file(path = "/x")` without meta.
    const CALL: &[u8] = b"\x94\xacfiles::Files\xa9read_file\xc0\x81\xa4path\xa2/x";

    #[test]
    fn a_call_stands_on_the_wire_byte_for_byte() {
        let mut call = EnvelopeWriter::new("files::Files", "read_file", &Meta::default(), 1);
        call.arg_name("path");
        msgpack::write_str(call.buffer(), "/x");
        assert_eq!(call.finish(), CALL);
        let expected =
            CallEnvelope { service: "files::Files", method: "read_file", meta: b"\xc0", args: b"\x81\xa4path\xa2/x" };
        assert_eq!(CallEnvelope::decode(CALL), Ok(expected));
    }

    #[test]
    fn the_head_of_a_call_is_read_without_its_arguments() {
        let meta = Meta { time: Some(std::time::Duration::from_micros(5)), chain: Vec::new() };
        let call = EnvelopeWriter::new("s", "m", &meta, 0).finish();
        assert_eq!(call, b"\x94\xa1s\xa1m\x81\xa4time\x05\x80");
        assert_eq!(CallEnvelope::decode(&call).unwrap().meta, b"\x81\xa4time\x05");
        for rest in [&b"\x80"[..], b"", b"\xc1\xc1"] {
            let cut = [b"\x94\xa1s\xa1m\x81\xa4time\x05", rest].concat();
            let head = CallEnvelope::head(&cut).unwrap();
            assert_eq!((head.service, head.method, head.meta), ("s", "m", &b"\x81\xa4time\x05"[..]));
        }
        assert!(CallEnvelope::head(b"\x94\xa1s\xa1m\x81").is_err());
    }

    #[test]
    fn what_is_no_call_is_refused_with_its_place() {
        let bad: [(&[u8], &str); 8] = [
            (b"", "malformed payload at byte 0: the payload ends inside a value"),
            (b"\x93\xa1s\xa1m\xc0", "malformed payload at byte 0: an array has the wrong length"),
            (b"\x94\x01\xa1m\xc0\x80", "malformed payload at byte 1: a string is expected"),
            (b"\x94\xa1s\xc4\x01m\xc0\x80", "malformed payload at byte 3: a string is expected"),
            (b"\x94\xa1s\xa1m\x05\x80", "malformed payload at byte 5: a map is expected"),
            (b"\x94\xa1s\xa1m\xc0\x90", "malformed payload at byte 6: a map is expected"),
            (b"\x94\xa1s\xa1m\xc0\x80\xc0", "malformed payload at byte 7: something follows the value"),
            (b"\x94\xa1s\xa1m\xc0\x81\xa1a\xc1", "malformed payload at byte 9: reserved marker 0xc1"),
        ];
        for (payload, text) in bad {
            assert_eq!(CallEnvelope::decode(payload).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn a_reply_stands_on_the_wire_byte_for_byte() {
        let mut ok = Vec::new();
        reply_ok_prefix(&mut ok);
        msgpack::write_uint(&mut ok, 5);
        assert_eq!(ok, [0x92, 0x00, 0x05]);
        assert_eq!(Reply::decode(&ok), Ok(Reply::Ok(&[0x05])));

        let mut err = Vec::new();
        reply_err_prefix(&mut err);
        msgpack::write_str(&mut err, "no");
        assert_eq!(err, b"\x92\x01\xa2no");
        assert_eq!(Reply::decode(&err), Ok(Reply::Err(b"\xa2no")));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let bad: [&[u8]; 6] =
            [b"", b"\x92\x00", b"\x92\x02\xc0", b"\x92\xff\xc0", b"\x93\x00\xc0\xc0", b"\x92\x00\xc0\xc0"];
        for payload in bad {
            assert!(Reply::decode(payload).is_err(), "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn a_damaged_call_is_read_or_refused(at in 0..CALL.len(), byte: u8) {
            let mut call = CALL.to_vec();
            call[at] = byte;
            if let Ok(envelope) = CallEnvelope::decode(&call) {
                prop_assert_eq!(envelope.args.as_ptr_range().end, call.as_ptr_range().end);
            }
            let _ = Reply::decode(&call);
        }

        #[test]
        fn a_call_cut_short_is_refused(length in 0..CALL.len()) {
            prop_assert!(CallEnvelope::decode(&CALL[..length]).is_err());
        }
    }
}
