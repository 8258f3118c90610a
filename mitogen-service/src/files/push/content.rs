//! The bytes of a file on their way through this context, read while they come.
//!
//! Small ones are kept in memory. Others go to a file without a name, on a disk and not in a file system of
//! memory where there is one, which the kernel frees with its last descriptor, whatever this process dies of.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::shelf::SMALL;
use crate::error::{CallError, Trace};
use crate::files::error::FileError;
use crate::files::hash::FileHash;
use crate::router::random_number;
use crate::sync::{Condvar, Mutex};
use crate::wire::Blob;

/// Where files without a name are made: where the user says, or where large files belong, or where all can.
const DIRECTORIES: [&str; 2] = ["/var/tmp", "/tmp"];

/// The bytes of one file. One writes them, any number read them.
pub(super) struct Content {
    size: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// How many bytes are there to be read.
    length: u64,
    /// How it came to its end.
    end: Option<Result<(), FileError>>,
    bytes: Bytes,
}

#[derive(Clone)]
enum Bytes {
    /// Nobody has begun to write.
    None,
    /// All of a small file, once it is whole.
    Memory(Blob),
    File(Arc<File>),
}

impl Content {
    /// Bytes that are to come.
    pub(super) fn new(size: u64) -> Arc<Self> {
        let state = State { length: 0, end: None, bytes: Bytes::None };
        Arc::new(Self { size, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Bytes that are there.
    pub(super) fn whole(bytes: Blob) -> Arc<Self> {
        let size = bytes.len() as u64;
        let state = State { length: size, end: Some(Ok(())), bytes: Bytes::Memory(bytes) };
        Arc::new(Self { size, state: Mutex::new(state), changed: Condvar::new() })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// All bytes of a small file.
    pub(super) fn blob(&self) -> Option<Blob> {
        match &self.state.lock().bytes {
            Bytes::Memory(blob) => Some(blob.clone()),
            Bytes::None | Bytes::File(_) => None,
        }
    }

    /// Fills a buffer from a place on with what is there, and waits until anything is; 0 at the end.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FileError> {
        if offset >= self.size {
            return Ok(0);
        }
        let (bytes, length) = {
            let mut state = self.state.lock();
            loop {
                match &state.end {
                    Some(Err(error)) => return Err(error.clone()),
                    None if state.length <= offset => self.changed.wait(&mut state),
                    _ => break,
                }
            }
            (state.bytes.clone(), state.length)
        };
        let there = usize::try_from(length - offset).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..there];
        match bytes {
            Bytes::Memory(blob) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                buffer.copy_from_slice(&blob[from..from + there]);
            }
            Bytes::File(file) => file
                .read_exact_at(buffer, offset)
                .map_err(|error| FileError::io("read", Path::new("the copy of a pushed file"), &error))?,
            Bytes::None => {}
        }
        Ok(there)
    }

    fn end(&self, result: Result<(), FileError>) {
        self.state.lock().end.get_or_insert(result);
        self.changed.notify_all();
    }
}

/// Writes a content.
pub(super) struct Writer {
    content: Arc<Content>,
    path: PathBuf,
    length: u64,
    hasher: Box<blake3::Hasher>,
    place: Place,
}

enum Place {
    Memory(Vec<u8>),
    File(Arc<File>),
}

impl Writer {
    /// Begins to write; `path` is for errors. A content of which this fails has failed.
    pub(super) fn begin(content: &Arc<Content>, path: &Path) -> Result<Self, FileError> {
        let place = if content.size <= SMALL {
            Place::Memory(Vec::new())
        } else {
            match open_unnamed() {
                Ok(file) => Place::File(Arc::new(file)),
                Err(error) => {
                    let error = FileError::errno("make a copy of", path, error);
                    content.end(Err(error.clone()));
                    return Err(error);
                }
            }
        };
        if let Place::File(file) = &place {
            content.state.lock().bytes = Bytes::File(file.clone());
        }
        let hasher = Box::default();
        Ok(Self { content: content.clone(), path: path.to_owned(), length: 0, hasher, place })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes are to come.
    pub(super) fn left(&self) -> u64 {
        self.content.size - self.length
    }

    /// The next bytes, no more than are left.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let Self { content, path, length, hasher, place } = self;
        if bytes.len() as u64 > content.size - *length {
            return Err(FileError::malformed(path, format!("there are more than {} bytes", content.size)));
        }
        match place {
            Place::Memory(memory) => memory.extend_from_slice(bytes),
            Place::File(file) => {
                file.write_all_at(bytes, *length).map_err(|error| FileError::io("write a copy of", path, &error))?;
            }
        }
        hasher.update(bytes);
        *length += bytes.len() as u64;
        if let Place::File(_) = place {
            content.state.lock().length = *length;
            content.changed.notify_all();
        }
        Ok(())
    }

    /// This was all: gives its hash. What has another one than it should have is not to be used.
    pub(super) fn finish(mut self, expected: Option<FileHash>) -> Result<FileHash, FileError> {
        let got = FileHash::finish(&self.hasher);
        let result = match expected {
            _ if self.left() > 0 => {
                let (path, expected, received) = (self.path.clone(), self.content.size, self.length);
                Err(FileError::Truncated { path, expected, received })
            }
            Some(expected) if expected != got => {
                let (path, expected, got) = (self.path.clone(), expected.to_string(), got.to_string());
                Err(FileError::Damaged { path, expected, got })
            }
            _ => Ok(got),
        };
        if result.is_ok() {
            if let Place::Memory(memory) = &mut self.place {
                let mut state = self.content.state.lock();
                state.bytes = Bytes::Memory(std::mem::take(memory).into());
                state.length = self.length;
            }
            self.content.end(Ok(()));
        }
        result.map_err(|error| self.fail(error))
    }

    /// Nothing more will come, for this reason, which is given back.
    pub(super) fn fail(self, error: FileError) -> FileError {
        self.content.end(Err(error.clone()));
        error
    }
}

/// Whoever reads does not wait for one who has left.
impl Drop for Writer {
    fn drop(&mut self) {
        let reason = "whoever wrote it has left".to_owned();
        self.content.end(Err(FileError::Call(CallError::Cancelled { reason, trace: Trace::default() })));
    }
}

/// A file that only this process knows.
fn open_unnamed() -> Result<File, Errno> {
    let own = std::env::var_os("TMPDIR").filter(|directory| !directory.is_empty());
    let directories = own.into_iter().chain(DIRECTORIES.map(OsString::from));
    let mut why = Errno::NOENT;
    for directory in directories {
        match open_unnamed_in(Path::new(&directory)) {
            Ok(file) => return Ok(file),
            Err(error) => why = error,
        }
    }
    Err(why)
}

fn open_unnamed_in(directory: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    match openat(rustix::fs::CWD, directory, flags | OFlags::TMPFILE, mode) {
        Ok(file) => Ok(file.into()),
        // A file system or a kernel that knows no such files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
            let path = directory.join(format!(".mitogen-{:016x}", random_number()));
            let file = openat(rustix::fs::CWD, &path, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)?;
            unlinkat(rustix::fs::CWD, &path, AtFlags::empty())?;
            Ok(file.into())
        }
        Err(error) => Err(error),
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        write!(f, "Content({} of {}, {:?})", state.length, self.size, state.end)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LARGE: u64 = SMALL + 1000;

    fn read_all(content: &Content) -> Result<Vec<u8>, FileError> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 10_000]);
        loop {
            match content.read(&mut buffer, all.len() as u64)? {
                0 => return Ok(all),
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
    }

    #[test]
    fn what_is_written_is_read_meanwhile() {
        for size in [0, 1, SMALL, LARGE] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let content = Content::new(size);
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let content = content.clone();
                    thread::spawn(move || read_all(&content))
                })
                .collect();
            let mut writer = Writer::begin(&content, Path::new("x")).unwrap();
            bytes.chunks(7000).for_each(|bytes| writer.write(bytes).unwrap());
            assert_eq!(writer.left(), 0);
            assert_eq!(writer.finish(Some(FileHash::of(&bytes))), Ok(FileHash::of(&bytes)));
            readers.into_iter().for_each(|reader| assert!(reader.join().unwrap().unwrap() == bytes));
            assert_eq!(content.blob().is_some(), size <= SMALL);
            assert!(read_all(&content).unwrap() == bytes, "again");
        }
    }

    #[test]
    fn readers_learn_why_nothing_more_comes() {
        let write = |end: fn(Writer)| {
            let content = Content::new(LARGE);
            let reader = thread::spawn({
                let content = content.clone();
                move || read_all(&content)
            });
            let mut writer = Writer::begin(&content, Path::new("x")).unwrap();
            writer.write(b"something").unwrap();
            end(writer);
            reader.join().unwrap().unwrap_err()
        };
        assert!(matches!(write(drop), FileError::Call(CallError::Cancelled { .. })));
        let finish = |writer: Writer| drop(writer.finish(None));
        assert!(matches!(write(finish), FileError::Truncated { expected: LARGE, received: 9, .. }));
        let fail = |writer: Writer| drop(writer.fail(FileError::invalid("no")));
        assert_eq!(write(fail), FileError::invalid("no"));
    }

    #[test]
    fn bytes_of_another_hash_and_too_many_are_refused() {
        let content = Content::new(3);
        let mut writer = Writer::begin(&content, Path::new("x")).unwrap();
        assert!(matches!(writer.write(b"four"), Err(FileError::Malformed { .. })));
        writer.write(b"abc").unwrap();
        assert!(matches!(writer.finish(Some(FileHash::of(b"abd"))), Err(FileError::Damaged { .. })));
        assert!(read_all(&content).is_err() && content.blob().is_none());
    }
}
