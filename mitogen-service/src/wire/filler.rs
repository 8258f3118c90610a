//! What stands in front of a large message on a link for bulk, so that its payload begins where a line of the caches
//! does in the memory of the kernel: what begins at odd places is copied more slowly, by a tenth and more.
//!
//! It is a frame like any other, so that it can be left out everywhere, and cut off anywhere.

use bytes::Bytes;

use super::{ContextId, Encoding, Handle, Header, Message};

/// The length of a line of the caches.
pub(crate) const ALIGNMENT: usize = 64;

/// Filler and header of a message take one line together.
const LENGTH: usize = ALIGNMENT - 2 * Header::LEN;

/// A filler as it stands on the wire.
pub(crate) const FILLER: [u8; Header::LEN + LENGTH] = {
    let mut frame = [0; Header::LEN + LENGTH];
    let magic = Encoding::Binary.magic().to_be_bytes();
    (frame[0], frame[1]) = (magic[0], magic[1]);
    frame[17] = Handle::FILLER.get() as u8;
    frame[25] = LENGTH as u8;
    frame
};

impl Header {
    /// Whether this is what stands in front of a filler's payload.
    pub(super) fn is_filler(&self) -> bool {
        self.handle == Handle::FILLER && self.length as usize == LENGTH
    }
}

impl Message {
    /// The same as a message.
    pub(crate) fn filler() -> Self {
        let payload = Bytes::from_static(&[0; LENGTH]);
        Self::new(Encoding::Binary, ContextId::ROOT, Handle::FILLER, Handle::NONE, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_frame_that_takes_a_line_together_with_a_header() {
        let message = Message::filler();
        assert_eq!([&message.header.encode()[..], &message.payload].concat(), FILLER);
        assert_eq!(FILLER.len() + Header::LEN, ALIGNMENT);
    }
}
