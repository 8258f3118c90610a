//! Dead messages: what is sent when nothing more will come, or when a message could not be
//! delivered.
//!
//! The payload is the MessagePack array `[code, text]`; a plain UTF-8 text under the legacy
//! encoding, as Mitogen sends it, is understood as well. The texts are Mitogen's. This file must
//! not know who sends a dead message, or when.

use bytes::Bytes;

use super::msgpack::{self, Cursor, Malformed};
use super::{ContextId, Encoding, Handle, Message};

/// Longest reason that is sent or believed, in bytes. Longer ones are cut: they come from any hop,
/// and end in logs.
const MAX_TEXT: usize = 4096;

/// Stands for a reason that cannot be read.
const UNREADABLE: &str = "dead message whose reason cannot be read";

/// Stands for a reason that was left out; the words are Mitogen's.
const NO_REASON: &str = "Channel closed by remote end.";

/// Why a message is dead, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum DeadCode {
    /// None of the others, or one that a later version added.
    Other = 0,
    /// No way leads to the destination.
    NoRoute = 1,
    /// The destination has no such handle (any more).
    InvalidHandle = 2,
    /// The handle's policy said no.
    Refused = 3,
    /// A reply did not come from the context that was asked.
    UnexpectedContext = 4,
    /// Siblings may not talk in this tree.
    Unidirectional = 5,
    /// The message is larger than any message may be.
    TooLarge = 6,
    /// The context that was asked is gone.
    Disconnected = 7,
    /// The local router has ended.
    RouterClosed = 8,
    /// The sender said that this was all.
    SenderClosed = 9,
    /// A bound was reached; the message was not delivered.
    Overloaded = 10,
    /// A bound was reached, and an answer was not passed on: its method has run.
    AnswerLost = 11,
}

impl DeadCode {
    fn from_number(number: u64) -> Self {
        match number {
            1 => Self::NoRoute,
            2 => Self::InvalidHandle,
            3 => Self::Refused,
            4 => Self::UnexpectedContext,
            5 => Self::Unidirectional,
            6 => Self::TooLarge,
            7 => Self::Disconnected,
            8 => Self::RouterClosed,
            9 => Self::SenderClosed,
            10 => Self::Overloaded,
            11 => Self::AnswerLost,
            _ => Self::Other,
        }
    }
}

/// Why a message is dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeadReason {
    /// For programs.
    pub(crate) code: DeadCode,
    /// For people.
    pub(crate) text: String,
}

impl DeadReason {
    /// A reason in one's own words.
    pub(crate) fn new(code: DeadCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// `me`, the hop that gives up, knows no way to `dst`.
    pub(crate) fn no_route(dst: ContextId, me: ContextId) -> Self {
        Self::new(DeadCode::NoRoute, format!("no route to {dst}, my ID is {me}"))
    }

    /// The handle never existed, was closed, or has had its one message.
    pub(crate) fn invalid_handle() -> Self {
        Self::new(DeadCode::InvalidHandle, "invalid handle")
    }

    /// The handle's policy said no.
    pub(crate) fn refused() -> Self {
        Self::new(DeadCode::Refused, "refused by policy")
    }

    /// The handle belongs to a respondent, and this message came from someone else.
    pub(crate) fn unexpected_context() -> Self {
        Self::new(DeadCode::UnexpectedContext, "reply from unexpected context")
    }

    /// `via`, the hop that refuses, keeps `src` and `dst` apart.
    pub(crate) fn unidirectional(src: ContextId, dst: ContextId, via: ContextId) -> Self {
        let text = format!(
            "routing mode prevents forward of message from context {src} to context {dst} \
             via context {via}"
        );
        Self::new(DeadCode::Unidirectional, text)
    }

    /// The payload exceeds `max` bytes.
    pub(crate) fn too_large(max: usize) -> Self {
        Self::new(DeadCode::TooLarge, format!("message too large (max {max} bytes)"))
    }

    /// The context that was asked is gone.
    pub(crate) fn disconnected() -> Self {
        Self::new(DeadCode::Disconnected, "the respondent Context has disconnected")
    }

    /// The local router has ended. The spelling is Mitogen's.
    pub(crate) fn router_closed() -> Self {
        Self::new(DeadCode::RouterClosed, "Broker has exitted")
    }

    /// The sender said that this was all.
    pub(crate) fn sender_closed() -> Self {
        Self::new(DeadCode::SenderClosed, "Sender was explicitly closed")
    }

    /// `what` is full.
    pub(crate) fn overloaded(what: &str) -> Self {
        Self::new(DeadCode::Overloaded, format!("overloaded: {what}"))
    }

    /// An answer did not get through to the one who waits for it.
    pub(crate) fn answer_lost(what: &str) -> Self {
        Self::new(DeadCode::AnswerLost, format!("overloaded: the answer was lost on its way: {what}"))
    }

    /// The payload that says so.
    fn encode(&self) -> Vec<u8> {
        let text = cut(&self.text);
        let mut payload = Vec::with_capacity(text.len() + 5);
        msgpack::write_array_len(&mut payload, 2);
        msgpack::write_uint(&mut payload, self.code as u64);
        msgpack::write_str(&mut payload, text);
        payload
    }

    fn decode_array(payload: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        cursor.array_of(2)?;
        let code = DeadCode::from_number(cursor.uint()?);
        let text = cursor.str()?;
        cursor.end()?;
        Ok(Self::new(code, cut(text)))
    }

    fn decode_text(payload: &[u8]) -> Self {
        match std::str::from_utf8(payload) {
            Ok("") => Self::new(DeadCode::Other, NO_REASON),
            Ok(text) => Self::new(DeadCode::Other, cut(text)),
            Err(_) => Self::unreadable(),
        }
    }

    fn unreadable() -> Self {
        Self::new(DeadCode::Other, UNREADABLE)
    }
}

impl Message {
    /// Tells `handle` of `dst_id` that nothing more will come.
    pub(crate) fn dead(dst_id: ContextId, handle: Handle, reason: &DeadReason) -> Self {
        Self::new(Encoding::MessagePack, dst_id, handle, Handle::DEAD, Bytes::from(reason.encode()))
    }

    /// Why this message is dead, or `None` when it is not. A dead message with a broken payload is
    /// dead all the same.
    pub(crate) fn dead_reason(&self) -> Option<DeadReason> {
        if !self.is_dead() {
            return None;
        }
        Some(match self.header.encoding {
            Encoding::MessagePack => {
                DeadReason::decode_array(&self.payload).unwrap_or_else(|_| DeadReason::unreadable())
            }
            Encoding::Legacy => DeadReason::decode_text(&self.payload),
            Encoding::Pickle | Encoding::Binary => DeadReason::unreadable(),
        })
    }
}

/// At most [`MAX_TEXT`] bytes of `text`, ending between two characters.
pub(super) fn cut(text: &str) -> &str {
    if text.len() <= MAX_TEXT {
        return text;
    }
    // A character has at most four bytes, so this looks at no more than four offsets.
    let end = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [DeadCode; 12] = [
        DeadCode::Other,
        DeadCode::NoRoute,
        DeadCode::InvalidHandle,
        DeadCode::Refused,
        DeadCode::UnexpectedContext,
        DeadCode::Unidirectional,
        DeadCode::TooLarge,
        DeadCode::Disconnected,
        DeadCode::RouterClosed,
        DeadCode::SenderClosed,
        DeadCode::Overloaded,
        DeadCode::AnswerLost,
    ];

    fn dead(encoding: Encoding, payload: &[u8]) -> DeadReason {
        let payload = Bytes::copy_from_slice(payload);
        Message::new(encoding, ContextId::ROOT, Handle::new(1000), Handle::DEAD, payload).dead_reason().unwrap()
    }

    #[test]
    fn a_dead_message_stands_on_the_wire_byte_for_byte() {
        let message = Message::dead(ContextId::new(7), Handle::new(1000), &DeadReason::refused());
        assert!(message.is_dead());
        let head = [
            0x4d, 0x50, // "MP"
            0, 0, 0, 7, // dst_id
            0, 0, 0, 0, // src_id, stamped later
            0, 0, 0, 0, // auth_id, stamped later
            0, 0, 0x03, 0xe8, // handle
            0, 0, 0x03, 0xe7, // reply_to: 999
            0, 0, 0, 20, // length
        ];
        assert_eq!(message.header.encode(), head);
        assert_eq!(message.payload[..], *b"\x92\x03\xb1refused by policy");
        assert_eq!(message.dead_reason(), Some(DeadReason::refused()));
    }

    #[test]
    fn the_texts_are_mitogens() {
        let [dst, me, via] = [1234, 0, 3].map(ContextId::new);
        let texts = [
            (DeadReason::no_route(dst, me), "no route to 1234, my ID is 0"),
            (DeadReason::invalid_handle(), "invalid handle"),
            (DeadReason::refused(), "refused by policy"),
            (DeadReason::unexpected_context(), "reply from unexpected context"),
            (
                DeadReason::unidirectional(dst, me, via),
                "routing mode prevents forward of message from context 1234 to context 0 \
                 via context 3",
            ),
            (DeadReason::too_large(128), "message too large (max 128 bytes)"),
            (DeadReason::disconnected(), "the respondent Context has disconnected"),
            (DeadReason::router_closed(), "Broker has exitted"),
            (DeadReason::sender_closed(), "Sender was explicitly closed"),
            (DeadReason::overloaded("pool queue"), "overloaded: pool queue"),
        ];
        for (reason, text) in texts {
            assert_eq!(reason.text, text);
        }
    }

    #[test]
    fn every_code_survives_the_wire() {
        for code in ALL {
            assert_eq!(DeadCode::from_number(code as u64), code);
        }
        for number in [12, 255, 256, u64::MAX] {
            assert_eq!(DeadCode::from_number(number), DeadCode::Other);
        }
    }

    #[test]
    fn an_unknown_code_keeps_its_text() {
        let reason = dead(Encoding::MessagePack, b"\x92\x63\xa3new");
        assert_eq!(reason, DeadReason::new(DeadCode::Other, "new"));
    }

    #[test]
    fn mitogens_plain_text_is_understood() {
        let reason = dead(Encoding::Legacy, b"invalid handle");
        assert_eq!(reason, DeadReason::new(DeadCode::Other, "invalid handle"));
        assert_eq!(dead(Encoding::Legacy, b"").text, NO_REASON);
    }

    #[test]
    fn a_broken_reason_is_still_a_dead_message() {
        let broken: [(Encoding, &[u8]); 6] = [
            (Encoding::MessagePack, b""),
            (Encoding::MessagePack, b"\x92\x03"),
            (Encoding::MessagePack, b"\x92\x03\xa1xy"),
            (Encoding::MessagePack, b"\x92\x03\xdb\xff\xff\xff\xff"),
            (Encoding::Legacy, b"\xff"),
            (Encoding::Pickle, b"\x80\x02."),
        ];
        for (encoding, payload) in broken {
            assert_eq!(dead(encoding, payload), DeadReason::unreadable());
        }
    }

    #[test]
    fn a_message_that_lives_has_no_reason() {
        let message = Message::new(Encoding::Legacy, ContextId::ROOT, Handle::PING, Handle::NONE, Bytes::new());
        assert_eq!(message.dead_reason(), None);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_at_both_ends() {
        let long = "€".repeat(MAX_TEXT);
        let message =
            Message::dead(ContextId::ROOT, Handle::new(1000), &DeadReason::new(DeadCode::Other, long.clone()));
        assert_eq!(message.payload.len(), 1 + 1 + 3 + 4095);
        assert_eq!(message.dead_reason().unwrap().text, "€".repeat(1365));
        assert_eq!(dead(Encoding::Legacy, long.as_bytes()).text, "€".repeat(1365));
    }

    proptest! {
        #[test]
        fn any_payload_gives_a_bounded_reason(payload: Vec<u8>) {
            for encoding in [Encoding::MessagePack, Encoding::Legacy] {
                prop_assert!(dead(encoding, &payload).text.len() <= MAX_TEXT);
            }
        }
    }
}
