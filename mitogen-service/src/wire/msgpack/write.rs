//! Writing the shapes that the runtime itself uses, each in its shortest form.

use rmp::encode;

/// Begins an array of `len` values, which have to follow.
pub(crate) fn write_array_len(to: &mut Vec<u8>, len: u32) {
    written(encode::write_array_len(to, len));
}

/// Begins a map of `len` pairs, which have to follow.
pub(crate) fn write_map_len(to: &mut Vec<u8>, len: u32) {
    written(encode::write_map_len(to, len));
}

/// Writes a string. Its length has to fit into 32 bits, as that of every message does.
pub(crate) fn write_str(to: &mut Vec<u8>, text: &str) {
    written(encode::write_str(to, text));
}

/// Writes an integer in its shortest form.
pub(crate) fn write_uint(to: &mut Vec<u8>, value: u64) {
    written(encode::write_uint(to, value));
}

/// Writes a byte string. Its length has to fit into 32 bits, as that of every message does.
pub(crate) fn write_bin(to: &mut Vec<u8>, bytes: &[u8]) {
    written(encode::write_bin(to, bytes));
}

/// Writes a truth value.
pub(crate) fn write_bool(to: &mut Vec<u8>, value: bool) {
    written(encode::write_bool(to, value));
}

/// Writes nil.
pub(crate) fn write_nil(to: &mut Vec<u8>) {
    written(encode::write_nil(to));
}

/// The encoder writes into any stream and so its result can tell of a failure; a vector has none.
fn written<T, E>(result: Result<T, E>) {
    drop(result);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Cursor;
    use super::*;

    #[test]
    fn writers_use_the_shortest_form() {
        let mut written = Vec::new();
        write_array_len(&mut written, 2);
        write_map_len(&mut written, 16);
        write_str(&mut written, "x");
        write_uint(&mut written, 127);
        write_uint(&mut written, 128);
        write_bin(&mut written, b"y");
        write_bool(&mut written, false);
        write_nil(&mut written);
        assert_eq!(written, b"\x92\xde\x00\x10\xa1x\x7f\xcc\x80\xc4\x01y\xc2\xc0");
    }

    proptest! {
        #[test]
        fn a_number_survives(value: u64) {
            let mut written = Vec::new();
            write_uint(&mut written, value);
            prop_assert_eq!(Cursor::new(&written).uint(), Ok(value));
        }
    }
}
