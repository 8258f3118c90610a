//! Plain bytes as `bin`, in one piece.

use super::msgpack;
use super::value::EncodeError;

/// Appends the encoding of bytes.
pub fn encode<B: AsRef<[u8]> + ?Sized>(bytes: &B, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    msgpack::write_bin(out, bytes.as_ref());
    Ok(())
}
