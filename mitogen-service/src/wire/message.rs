//! A message: header and payload.
//!
//! This file must not know how a payload is written or read, nor who may send what.

use std::fmt;

use bytes::Bytes;

use super::decoder::TINY;
use super::{ContextId, Encoding, Handle, Header};

/// One message on its way. Cloning it shares the payload.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Who, to whom, and under whose authority.
    pub(crate) header: Header,
    /// `header.length` bytes.
    pub(crate) payload: Bytes,
}

impl Message {
    /// A message of this context's own; `src_id` and `auth_id` are 0 until the router stamps them.
    ///
    /// A payload whose length does not fit into the header gets the largest length there is. No
    /// router lets it pass, since it judges [`Message::size`], which is always the true one.
    pub(crate) fn new(encoding: Encoding, dst_id: ContextId, handle: Handle, reply_to: Handle, payload: Bytes) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header =
            Header { encoding, dst_id, src_id: ContextId::ROOT, auth_id: ContextId::ROOT, handle, reply_to, length };
        Self { header, payload }
    }

    /// Lets a very small payload, which may share its memory with others, have its own.
    pub(crate) fn stand_alone(&mut self) {
        if (1..=TINY).contains(&self.payload.len()) {
            self.payload = Bytes::copy_from_slice(&self.payload);
        }
    }

    /// Whether the endpoint that it goes to will get nothing more.
    pub(crate) fn is_dead(&self) -> bool {
        self.header.is_dead()
    }

    /// Bytes of the whole frame on the wire.
    pub(crate) fn size(&self) -> usize {
        Header::LEN + self.payload.len()
    }
}

/// Payloads hold users' secrets and debug output ends in logs, so only the length is shown.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("header", &self.header)
            .field("payload", &format_args!("[{} bytes]", self.payload.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_message_has_the_length_of_its_payload_and_no_sender_yet() {
        let payload = Bytes::from_static(b"12345");
        let dst_id = ContextId::new(3);
        let message = Message::new(Encoding::Binary, dst_id, Handle::PING, Handle::NONE, payload);
        assert_eq!(message.header.length, 5);
        assert_eq!((message.header.src_id, message.header.auth_id), (ContextId::ROOT, ContextId::ROOT));
        assert_eq!(message.size(), 31);
        assert!(!message.is_dead());
    }

    #[test]
    fn debug_output_does_not_show_the_payload() {
        let payload = Bytes::from_static(b"hunter2");
        let message = Message::new(Encoding::Binary, ContextId::ROOT, Handle::PING, Handle::NONE, payload);
        let shown = format!("{message:?} {message:#?}");
        assert!(shown.contains("[7 bytes]"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }
}
