//! A file that is read from its beginning to its end, with the memory that its bytes are read into.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use rustix::fs::{FileType, Mode, Stat, fstat, openat};
use rustix::io::Errno;

use super::beneath::{self, Directory};
use super::error::FileError;
use super::metadata;
use super::registered::Place;

/// How much of a file travels in one message. Twice as much takes more CPU time, and leaves the sender waiting for
/// credit more often.
pub(super) const CHUNK: usize = 128 * 1024;

/// How many buffers are kept to be used again: a window full of messages, and the one that is read into.
const SPARE: usize = 9;

/// A regular file, open for reading.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    path: PathBuf,
    /// What it was when it was opened.
    stat: Stat,
}

impl Source {
    /// What a path of this process means, for those who may read anything.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let opened = openat(rustix::fs::CWD, path, beneath::READ, Mode::empty());
        Self::new(path, opened.map_err(|error| Self::not_opened(path, error))?)
    }

    /// What is at one of these places, for those who may read only what lies beneath them.
    pub(super) fn open_beneath(path: &Path, places: &[Place]) -> Result<Self, FileError> {
        let mut outside = FileError::NotRegistered { path: path.to_owned() };
        for Place { directory, name } in places {
            match directory.open_beneath(name) {
                Ok(opened) => return Self::new(path, opened),
                // Whether there is anything outside is not for the caller to know.
                Err(Errno::XDEV | Errno::LOOP) => {}
                Err(error) => {
                    outside = Self::not_opened(path, error);
                    break;
                }
            }
        }
        Err(outside)
    }

    /// What a relative path means in a directory, for those who may read anything and want nothing outside of it.
    pub(super) fn open_in(top: &Path, path: &Path) -> Result<Self, FileError> {
        let opened = Directory::open(top).and_then(|directory| directory.open_beneath(path));
        Self::new(path, opened.map_err(|error| Self::not_opened(path, error))?)
    }

    /// What lies under this name in a directory, on the way to which no link is followed; `path` is for errors.
    pub(super) fn open_listed(top: BorrowedFd<'_>, name: &Path, path: &Path) -> Result<Self, FileError> {
        let opened = beneath::walk(top, name);
        Self::new(path, opened.map_err(|error| Self::not_opened(path, error))?)
    }

    fn not_opened(path: &Path, error: Errno) -> FileError {
        match error {
            // A socket.
            Errno::NXIO => FileError::NotRegular { path: path.to_owned() },
            _ => FileError::errno("open", path, error),
        }
    }

    fn new(path: &Path, opened: OwnedFd) -> Result<Self, FileError> {
        let stat = fstat(&opened).map_err(|error| FileError::errno("look at", path, error))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(FileError::NotRegular { path: path.to_owned() });
        }
        Ok(Self { file: opened.into(), path: path.to_owned(), stat })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn stat(&self) -> &Stat {
        &self.stat
    }

    pub(super) fn size(&self) -> u64 {
        metadata::size(&self.stat)
    }

    /// Fills a buffer from a place on, as far as the file goes.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FileError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::io("read", &self.path, &error)),
            }
        }
        Ok(filled)
    }

    /// What has become of the file since it was opened.
    pub(super) fn now(&self) -> Result<Became, FileError> {
        let now = fstat(&self.file).map_err(|error| FileError::errno("look at", &self.path, error))?;
        let written = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
        Ok(match metadata::size(&now).cmp(&self.size()) {
            std::cmp::Ordering::Less => Became::Shorter,
            std::cmp::Ordering::Greater => Became::Longer,
            std::cmp::Ordering::Equal if written(&now) != written(&self.stat) => Became::Other,
            std::cmp::Ordering::Equal => Became::Same,
        })
    }
}

/// What a file is, beside what it was when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    Same,
    Shorter,
    Longer,
    /// Of the same size, and written to.
    Other,
}

/// Buffers for the parts of a file. Each is used again as soon as nobody else has it any more: fresh memory
/// costs more than reading into it.
#[derive(Debug)]
pub(super) struct Buffers {
    size: usize,
    spare: VecDeque<Bytes>,
}

impl Buffers {
    pub(super) fn new(size: usize) -> Self {
        Self { size, spare: VecDeque::new() }
    }

    /// A buffer of the full size.
    pub(super) fn take(&mut self) -> BytesMut {
        // The one that was given away last is still in the cache, if it has come back already.
        let free = self.spare.iter().rposition(Bytes::is_unique).and_then(|at| self.spare.remove(at));
        free.and_then(|free| free.try_into_mut().ok()).unwrap_or_else(|| BytesMut::zeroed(self.size))
    }

    /// The first `length` bytes of a buffer, to be given away.
    pub(super) fn lend(&mut self, buffer: BytesMut, length: usize) -> Bytes {
        let whole = buffer.freeze();
        let part = whole.slice(..length);
        if self.spare.len() < SPARE {
            self.spare.push_back(whole);
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_it_has_come_back() {
        let mut buffers = Buffers::new(100);
        let first = buffers.take();
        let place = first.as_ptr();
        let lent = buffers.lend(first, 10);
        let second = buffers.take();
        assert_ne!(second.as_ptr(), place);
        drop(lent);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 100));
    }

    #[test]
    fn the_buffer_that_was_used_last_is_taken_first() {
        let mut buffers = Buffers::new(100);
        let taken = [(); 3].map(|()| buffers.take());
        let lent = taken.map(|buffer| buffers.lend(buffer, 1));
        let last = lent[2].as_ptr();
        drop(lent);
        assert_eq!(buffers.take().as_ptr(), last);
    }

    #[test]
    fn no_more_buffers_are_kept_than_a_window_needs() {
        let mut buffers = Buffers::new(1);
        let lent: Vec<_> = (0..3 * SPARE).map(|_| buffers.take()).collect();
        lent.into_iter().for_each(|buffer| drop(buffers.lend(buffer, 1)));
        assert_eq!(buffers.spare.len(), SPARE);
    }

    #[test]
    fn nothing_but_a_file_is_a_source_and_nothing_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [dir.path(), &fifo, &socket, Path::new("/dev/null"), Path::new("/dev/tty0")] {
            match Source::open(path) {
                Err(FileError::NotRegular { path: named }) => assert_eq!(named, path),
                // Not every machine has each device, and not everybody may open it.
                Err(FileError::Io { .. }) if path.starts_with("/dev") => {}
                other => panic!("{}: {other:?}", path.display()),
            }
        }
    }

    #[test]
    fn what_becomes_of_a_file_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let opened = || {
            std::fs::write(&path, "1234").unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            // The clock of files may be coarse.
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
            (Source::open(&path).unwrap(), file)
        };
        let (source, _) = opened();
        assert_eq!(source.now().unwrap(), Became::Same);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(source.now().unwrap(), Became::Same, "a file that is replaced can be read to its end");
        let (source, file) = opened();
        file.set_len(3).unwrap();
        assert_eq!(source.now().unwrap(), Became::Shorter);
        let (source, file) = opened();
        file.set_len(5).unwrap();
        assert_eq!(source.now().unwrap(), Became::Longer);
        let (source, file) = opened();
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(source.now().unwrap(), Became::Other);
    }
}
