//! The bytes of a pushed file through a channel, at both ends.
//!
//! Its size and its hash are known before. So there are only the bytes, none of the messages empty, until
//! there are as many; or, if they cannot all come, an empty one and behind it the reason.

use std::path::Path;

use super::book::Version;
use super::content::{Content, Writer};
use crate::channel::{Receiver, Sender};
use crate::error::CallError;
use crate::files::error::FileError;
use crate::files::source::Buffers;
use crate::wire::msgpack::{MAX_DEPTH, validate};
use crate::wire::{Blob, value};

/// Sends a file, as fast as it comes and the other end takes it. That knows best what becomes of it, so a
/// channel that ends is no error here.
pub(super) fn send(content: &Content, chunk: usize, data: &Sender<Blob>) {
    let mut buffers = Buffers::new(chunk);
    let mut offset = 0;
    while offset < content.size() {
        let mut buffer = buffers.take();
        match content.read(&mut buffer, offset) {
            Ok(read) => {
                offset += read as u64;
                if data.send(buffers.lend(buffer, read).into()).is_err() {
                    return;
                }
            }
            Err(error) => {
                let mut reason = Vec::new();
                // An error always has an encoding.
                let _ = value::encode(&error, &mut reason);
                let _ = data.send(Blob::default()).and_then(|()| data.send(reason.into()));
                return;
            }
        }
    }
}

/// Takes a file.
pub(super) fn receive(receiver: &Receiver<Blob>, version: &Version, mut writer: Writer) -> Result<(), FileError> {
    match take(receiver, version, &mut writer) {
        Ok(()) => writer.finish(Some(version.hash)).map(drop),
        Err(error) => Err(writer.fail(error)),
    }
}

fn take(receiver: &Receiver<Blob>, version: &Version, writer: &mut Writer) -> Result<(), FileError> {
    let path = &version.path;
    while writer.left() > 0 {
        let bytes = next(receiver, version, writer.length())?;
        if bytes.is_empty() {
            let reason = next(receiver, version, writer.length())?;
            return Err(decode(path, &reason)?);
        }
        writer.write(&bytes)?;
    }
    Ok(())
}

fn next(receiver: &Receiver<Blob>, version: &Version, received: u64) -> Result<Blob, FileError> {
    receiver.recv().map_err(|cause: CallError| FileError::Interrupted {
        path: version.path.clone(),
        expected: version.metadata.size,
        received,
        cause: Box::new(cause),
    })
}

fn decode(path: &Path, raw: &[u8]) -> Result<FileError, FileError> {
    validate(raw, MAX_DEPTH).map_err(|error| FileError::malformed(path, error.to_string()))?;
    value::decode(raw).map_err(|error| FileError::malformed(path, format!("{}: {}", error.got, error.reason)))
}
