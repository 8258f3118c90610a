//! Paths, which need not be UTF-8: a string where they are, `bin` where they are not.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::msgpack::{self, Cursor};
use super::value::{DecodeError, EncodeError};

/// Appends the encoding of a path.
pub fn encode<P: AsRef<Path> + ?Sized>(path: &P, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let path = path.as_ref();
    match path.to_str() {
        Some(text) => msgpack::write_str(out, text),
        None => msgpack::write_bin(out, path.as_os_str().as_bytes()),
    }
    Ok(())
}

/// Decodes a path.
pub fn decode(raw: &[u8]) -> Result<PathBuf, DecodeError> {
    decode_ref(raw).map(Path::to_owned)
}

/// Decodes a path without a copy.
pub fn decode_ref(raw: &[u8]) -> Result<&Path, DecodeError> {
    let bytes = Cursor::new(raw).str().map(str::as_bytes).or_else(|_| Cursor::new(raw).bytes());
    match bytes {
        Ok(bytes) => Ok(Path::new(OsStr::from_bytes(bytes))),
        Err(_) => Err(DecodeError { got: msgpack::kind(raw), reason: String::new() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_need_not_be_utf_8() {
        for bytes in [&b"/etc/hosts"[..], b"/tmp/\xff\xfe", b""] {
            let path = Path::new(OsStr::from_bytes(bytes));
            let mut out = Vec::new();
            encode(path, &mut out).unwrap();
            assert_eq!(decode_ref(&out).unwrap(), path);
        }
    }

    #[test]
    fn a_number_is_not_a_path() {
        assert_eq!(decode(&[5]).unwrap_err().got, "integer");
    }
}
