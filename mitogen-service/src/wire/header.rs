//! The 26 bytes in front of every payload, field for field those of Mitogen's stream protocol.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 2 | magic, which is also the encoding of the payload |
//! | 2 | 4 | `dst_id` |
//! | 6 | 4 | `src_id` |
//! | 10 | 4 | `auth_id` |
//! | 14 | 4 | `handle` |
//! | 18 | 4 | `reply_to` |
//! | 22 | 4 | `length` of the payload |
//!
//! All numbers are big endian. This file must not know where a header comes from or goes to.

use thiserror::Error;

use super::{ContextId, Handle};

/// How a payload is written; its number opens the header and so reveals a stream that lost its
/// frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub(crate) enum Encoding {
    /// "MI": the handle decides what the payload is. Mitogen uses it for its oldest messages.
    Legacy = 0x4d49,
    /// "MJ": a Python pickle. It is passed on but never read here.
    Pickle = 0x4d4a,
    /// "MK": raw bytes.
    Binary = 0x4d4b,
    /// "MP": MessagePack.
    MessagePack = 0x4d50,
}

impl Encoding {
    /// The number on the wire.
    pub(crate) const fn magic(self) -> u16 {
        self as u16
    }

    /// The encoding with this number on the wire.
    pub(crate) const fn from_magic(magic: u16) -> Option<Self> {
        match magic {
            0x4d49 => Some(Self::Legacy),
            0x4d4a => Some(Self::Pickle),
            0x4d4b => Some(Self::Binary),
            0x4d50 => Some(Self::MessagePack),
            _ => None,
        }
    }
}

/// The first two bytes of a header are no [`Encoding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("frame signature {got:#06x} is unknown")]
pub(crate) struct BadMagic {
    /// What they are instead.
    pub(crate) got: u16,
}

/// Everything a router has to know about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Header {
    /// How the payload is written.
    pub(crate) encoding: Encoding,
    /// Context that the message is for.
    pub(crate) dst_id: ContextId,
    /// Context that made the message, where replies go.
    pub(crate) src_id: ContextId,
    /// Context under whose authority the message acts.
    pub(crate) auth_id: ContextId,
    /// Endpoint inside the destination.
    pub(crate) handle: Handle,
    /// Endpoint inside the source that waits for a reply, or [`Handle::NONE`], or [`Handle::DEAD`].
    pub(crate) reply_to: Handle,
    /// Bytes of payload that follow.
    pub(crate) length: u32,
}

impl Header {
    /// Bytes of a header on the wire.
    pub(crate) const LEN: usize = 26;

    /// The header as it stands on the wire.
    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut frame = [0; Self::LEN];
        frame[..2].copy_from_slice(&self.encoding.magic().to_be_bytes());
        for (at, word) in self.words() {
            frame[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        frame
    }

    /// Reads a header back.
    ///
    /// # Errors
    ///
    /// The first two bytes are no known encoding. Every other bit pattern is a header.
    pub(crate) fn decode(frame: &[u8; Self::LEN]) -> Result<Self, BadMagic> {
        let got = u16::from_be_bytes([frame[0], frame[1]]);
        Ok(Self {
            encoding: Encoding::from_magic(got).ok_or(BadMagic { got })?,
            dst_id: ContextId::new(word(frame, 2)),
            src_id: ContextId::new(word(frame, 6)),
            auth_id: ContextId::new(word(frame, 10)),
            handle: Handle::new(word(frame, 14)),
            reply_to: Handle::new(word(frame, 18)),
            length: word(frame, 22),
        })
    }

    /// Whether this is a dead message: the endpoint it goes to will get nothing more.
    pub(crate) fn is_dead(&self) -> bool {
        self.reply_to == Handle::DEAD
    }

    /// The fields behind the magic with their offsets.
    fn words(&self) -> [(usize, u32); 6] {
        [
            (2, self.dst_id.get()),
            (6, self.src_id.get()),
            (10, self.auth_id.get()),
            (14, self.handle.get()),
            (18, self.reply_to.get()),
            (22, self.length),
        ]
    }
}

/// The big-endian number at `at`, one of the constant offsets above.
fn word(frame: &[u8; Header::LEN], at: usize) -> u32 {
    u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

#[cfg(test)]
pub(in crate::wire) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any header, with a payload of `length` bytes.
    pub(in crate::wire) fn any_header(length: u32) -> impl Strategy<Value = Header> {
        let encoding =
            prop::sample::select(vec![Encoding::Legacy, Encoding::Pickle, Encoding::Binary, Encoding::MessagePack]);
        (encoding, any::<[u32; 5]>()).prop_map(move |(encoding, [dst, src, auth, handle, reply])| Header {
            encoding,
            dst_id: ContextId::new(dst),
            src_id: ContextId::new(src),
            auth_id: ContextId::new(auth),
            handle: Handle::new(handle),
            reply_to: Handle::new(reply),
            length,
        })
    }

    #[test]
    fn a_header_stands_on_the_wire_as_in_mitogens_table() {
        let header = Header {
            encoding: Encoding::MessagePack,
            dst_id: ContextId::new(0x0102_0304),
            src_id: ContextId::new(5),
            auth_id: ContextId::ROOT,
            handle: Handle::CALL_SERVICE,
            reply_to: Handle::new(0xffff_ffff),
            length: 0x0001_0000,
        };
        let frame = [
            0x4d, 0x50, // "MP"
            0x01, 0x02, 0x03, 0x04, // dst_id
            0x00, 0x00, 0x00, 0x05, // src_id
            0x00, 0x00, 0x00, 0x00, // auth_id
            0x00, 0x00, 0x00, 0x6e, // handle
            0xff, 0xff, 0xff, 0xff, // reply_to
            0x00, 0x01, 0x00, 0x00, // length
        ];
        assert_eq!(header.encode(), frame);
        assert_eq!(Header::decode(&frame), Ok(header));
    }

    #[test]
    fn the_magics_are_two_letters() {
        let magics = [
            (Encoding::Legacy, b"MI"),
            (Encoding::Pickle, b"MJ"),
            (Encoding::Binary, b"MK"),
            (Encoding::MessagePack, b"MP"),
        ];
        for (encoding, letters) in magics {
            assert_eq!(encoding.magic().to_be_bytes(), *letters);
        }
    }

    #[test]
    fn every_number_is_an_encoding_or_none() {
        let known: Vec<u16> = (0..=u16::MAX).filter_map(Encoding::from_magic).map(Encoding::magic).collect();
        assert_eq!(known, [0x4d49, 0x4d4a, 0x4d4b, 0x4d50]);
    }

    #[test]
    fn an_unknown_magic_is_named() {
        let error = Header::decode(b"Last login: Sun Nov 22 04:").unwrap_err();
        assert_eq!(error, BadMagic { got: 0x4c61 });
        assert_eq!(error.to_string(), "frame signature 0x4c61 is unknown");
    }

    proptest! {
        #[test]
        fn any_header_survives_the_wire(header in any::<u32>().prop_flat_map(any_header)) {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn any_bytes_are_a_header_or_a_bad_magic(frame in any::<[u8; Header::LEN]>()) {
            if let Ok(header) = Header::decode(&frame) {
                prop_assert_eq!(header.encode(), frame);
            }
        }
    }
}
