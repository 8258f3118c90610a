//! One file through a channel of bytes, at both ends.
//!
//! The first message tells at which offset the bytes begin; then come those, none of the messages empty; then
//! an empty one, and a last one that says how it went. So the end of a file, the end of whoever sends it and
//! a file that became shorter can never be taken for each other. `docs/protocol.md` has the bytes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::FileError;
use super::hash::FileHash;
use super::options::{OnProgress, Progress};
use super::source::{Became, Buffers, CHUNK, Source};
use crate::channel::Receiver;
use crate::error::{CallError, Trace};
use crate::wire::msgpack::{MAX_DEPTH, validate};
use crate::wire::{Blob, value};

/// The first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) offset: u64,
}

/// The last message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Trailer {
    /// What went wrong, if something did.
    pub(super) error: Option<FileError>,
    /// The file is longer than it was.
    pub(super) has_grown: bool,
    /// The hash of the whole file, if it was asked for.
    hash: Option<FileHash>,
}

/// The encoding of a message.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Blob, CallError> {
    let mut out = Vec::new();
    let encode = |value::EncodeError(reason)| CallError::Encode {
        what: "a message of a file".to_owned(),
        reason,
        trace: Trace::default(),
    };
    value::encode(value, &mut out).map_err(encode)?;
    Ok(out.into())
}

/// Reads a message that belongs to what goes to this path.
pub(super) fn decode<T: for<'a> Deserialize<'a>>(path: &Path, raw: &[u8]) -> Result<T, FileError> {
    validate(raw, MAX_DEPTH).map_err(|error| FileError::malformed(path, error.to_string()))?;
    value::decode(raw).map_err(|error| FileError::malformed(path, format!("{}: {}", error.got, error.reason)))
}

/// A beginning of a file that is known, and what its hash is computed from.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefix {
    pub(super) length: u64,
    /// Of these bytes; nothing if nobody wants to know.
    pub(super) hasher: Option<Box<blake3::Hasher>>,
}

impl Prefix {
    /// Of no bytes.
    pub(super) fn empty(hashed: bool) -> Self {
        Self { length: 0, hasher: hashed.then(Box::default) }
    }

    /// The first `length` bytes, read by `read`.
    pub(super) fn of(
        length: u64,
        mut read: impl FnMut(&mut [u8], u64) -> Result<usize, FileError>,
    ) -> Result<Self, FileError> {
        let mut prefix = Self::empty(true);
        let mut buffer = vec![0; CHUNK];
        while prefix.length < length {
            let wanted = usize::try_from(length - prefix.length).unwrap_or(CHUNK).min(CHUNK);
            let read = read(&mut buffer[..wanted], prefix.length)?;
            if read == 0 {
                break;
            }
            prefix.add(&buffer[..read]);
        }
        Ok(prefix)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    pub(super) fn hash(&self) -> Option<FileHash> {
        self.hasher.as_deref().map(FileHash::finish)
    }
}

/// What another context has of a file already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) length: u64,
    pub(super) hash: FileHash,
}

/// Where to begin: behind what the other side has, if that is how the file begins.
pub(super) fn begin(source: &Source, known: Option<Known>, hashed: bool) -> Result<Prefix, FileError> {
    let Some(known) = known.filter(|known| known.length > 0 && known.length <= source.size()) else {
        return Ok(Prefix::empty(hashed));
    };
    let mut own = Prefix::of(known.length, |buffer, offset| source.read(buffer, offset))?;
    if own.length != known.length || own.hash() != Some(known.hash) {
        return Ok(Prefix::empty(hashed));
    }
    own.hasher = own.hasher.filter(|_| hashed);
    Ok(own)
}

/// Hands over one message, behind which so much of the file is sent. What it fails with ends the transfer.
pub(super) type HandOver<'a> = &'a mut dyn FnMut(Blob, u64) -> Result<(), CallError>;

/// Sends a file from where `prefix` ends, and tells how that went.
pub(super) fn send(source: &Source, prefix: Prefix, chunk: usize, send: HandOver<'_>) -> Result<Trailer, CallError> {
    let size = source.size();
    send(encode(&Start { offset: prefix.length })?, prefix.length)?;
    let trailer = match send_bytes(source, prefix, chunk, send) {
        Ok(trailer) => trailer,
        Err(Stopped::Sending(error)) => return Err(error),
        Err(Stopped::Reading(error)) => Trailer { error: Some(error), ..Trailer::default() },
    };
    send(Blob::default(), size)?;
    send(encode(&trailer)?, size)?;
    Ok(trailer)
}

/// Why no more of a file is sent.
enum Stopped {
    Sending(CallError),
    Reading(FileError),
}

fn send_bytes(source: &Source, mut prefix: Prefix, chunk: usize, send: HandOver<'_>) -> Result<Trailer, Stopped> {
    let size = source.size();
    let truncated = |received| FileError::Truncated { path: source.path().to_owned(), expected: size, received };
    let mut buffers = Buffers::new(chunk);
    while prefix.length < size {
        let mut buffer = buffers.take();
        let wanted = usize::try_from(size - prefix.length).unwrap_or(chunk).min(chunk);
        let read = source.read(&mut buffer[..wanted], prefix.length).map_err(Stopped::Reading)?;
        if read == 0 {
            return Err(Stopped::Reading(truncated(prefix.length)));
        }
        prefix.add(&buffer[..read]);
        send(buffers.lend(buffer, read).into(), prefix.length).map_err(Stopped::Sending)?;
    }
    let error = match source.now().map_err(Stopped::Reading)? {
        Became::Same => None,
        Became::Longer => return Ok(Trailer { error: None, has_grown: true, hash: prefix.hash() }),
        Became::Shorter => Some(truncated(size)),
        Became::Other => Some(FileError::Changed { path: source.path().to_owned() }),
    };
    Ok(Trailer { error, has_grown: false, hash: prefix.hash() })
}

/// Takes the bytes of a file.
pub(super) trait Sink {
    /// Where the bytes begin: at 0, or at the end of what was said to be known.
    fn begin(&mut self, offset: u64) -> Result<(), FileError>;

    /// The next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError>;
}

/// What has come.
pub(super) struct Received {
    pub(super) resumed_at: u64,
    pub(super) hash: Option<FileHash>,
    pub(super) has_grown: bool,
}

/// A file that is to come.
pub(super) struct Incoming<'a> {
    /// As it is called where it comes from.
    pub(super) path: &'a Path,
    pub(super) size: u64,
    /// What is there of it.
    pub(super) known: Prefix,
    /// Whether the hash is looked at.
    pub(super) verify: bool,
}

impl Incoming<'_> {
    /// Takes the whole file. Anything else is an error, with which `sink` is not to be believed in.
    pub(super) fn receive(
        self,
        receiver: &Receiver<Blob>,
        sink: &mut dyn Sink,
        progress: &mut Option<OnProgress<'_>>,
    ) -> Result<Received, FileError> {
        let Self { path, size, known, verify } = self;
        let interrupted = |received, cause: CallError| FileError::Interrupted {
            path: path.to_owned(),
            expected: size,
            received,
            cause: Box::new(cause),
        };
        let first = receiver.recv().map_err(|cause| interrupted(0, cause))?;
        let Start { offset } = decode(path, &first)?;
        let mut got = match offset {
            0 => Prefix::empty(verify),
            _ if offset == known.length && offset <= size => {
                Prefix { hasher: known.hasher.filter(|_| verify), ..known }
            }
            _ => return Err(FileError::malformed(path, format!("it begins at {offset}"))),
        };
        sink.begin(offset)?;
        loop {
            if let Some(progress) = progress {
                progress(&Progress { done: got.length, total: size, resumed_at: offset });
            }
            let bytes = receiver.recv().map_err(|cause| interrupted(got.length, cause))?;
            if bytes.is_empty() {
                break;
            }
            if bytes.len() as u64 > size - got.length {
                return Err(FileError::malformed(path, format!("there are more than {size} bytes")));
            }
            got.add(&bytes);
            sink.write(&bytes)?;
        }
        let last = receiver.recv().map_err(|cause| interrupted(got.length, cause))?;
        let trailer: Trailer = decode(path, &last)?;
        if let Some(error) = trailer.error {
            return Err(error);
        }
        if got.length != size {
            return Err(FileError::malformed(path, format!("{} bytes of {size} have come", got.length)));
        }
        let hash = got.hash();
        match (hash, trailer.hash) {
            (None, _) => {}
            (Some(_), None) => return Err(FileError::malformed(path, "it has no hash")),
            (Some(got), Some(expected)) if got == expected => {}
            (Some(got), Some(expected)) => {
                let (path, expected, got) = (path.to_owned(), expected.to_string(), got.to_string());
                return Err(FileError::Damaged { path, expected, got });
            }
        }
        Ok(Received { resumed_at: offset, hash, has_grown: trailer.has_grown })
    }
}
