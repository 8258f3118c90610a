//! What lies beneath a directory.
//!
//! Each directory is opened beneath the first one, without following links, when its turn comes, so that as
//! many descriptors are held as one needs, and nothing outside is listed whatever is renamed meanwhile.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::beneath::walk;
use super::error::FileError;
use super::metadata::FileMetadata;
use crate::channel::Sender;
use crate::wire::Blob;

/// How many entries travel in one message.
const BATCH: usize = 256;

/// How many directories may wait to be listed.
const MAX_PENDING: usize = 1_000_000;

/// Something that lies beneath a directory, as [`list`](crate::FileServiceStub::list) tells of it to a
/// [`GetDir`](crate::GetDir).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name from that directory on, which need not be a text.
    pub path: Blob,
    /// What it is.
    pub kind: ListedKind,
}

/// What kind of thing lies beneath a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ListedKind {
    /// A directory, which comes before what lies in it.
    Directory(Box<FileMetadata>),
    /// A regular file, which is to be fetched.
    File,
    /// A symbolic link, and what it says.
    Link(Blob),
    /// A FIFO, a socket or a device.
    Other,
}

/// Sends all that lies beneath a directory, itself first, under an empty name.
pub(super) fn list(path: &Path, entries: &Sender<Vec<Listed>>) -> Result<(), FileError> {
    let mut batch = Vec::new();
    each(&open(path)?, path, &mut |name, kind| {
        batch.push(Listed { path: name.as_os_str().as_bytes().into(), kind });
        if batch.len() >= BATCH {
            entries.send(std::mem::take(&mut batch)).map_err(FileError::Call)?;
        }
        Ok(())
    })?;
    entries.send(batch).map_err(FileError::Call)?;
    entries.close();
    Ok(())
}

/// Opens a directory that is to be listed.
pub(super) fn open(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(rustix::fs::CWD, path, flags, Mode::empty()).map_err(|error| FileError::errno("list", path, error))
}

/// Tells of all that lies beneath a directory, each directory before what lies in it, and itself first, under an
/// empty name. `path` is for errors.
pub(super) fn each(
    top: &OwnedFd,
    path: &Path,
    tell: &mut dyn FnMut(&Path, ListedKind) -> Result<(), FileError>,
) -> Result<(), FileError> {
    let mut pending = vec![PathBuf::new()];
    while let Some(name) = pending.pop() {
        let failed = |error| FileError::errno("list", &path.join(&name), error);
        // Behind the slash nothing but a directory is opened.
        let inside = if name.as_os_str().is_empty() { PathBuf::from(".") } else { name.join("") };
        let directory = match walk(top.as_fd(), &inside) {
            Ok(directory) => directory,
            // It was there a moment ago.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if name != Path::new("") => continue,
            Err(error) => return Err(failed(error)),
        };
        let stat = rustix::fs::fstat(&directory).map_err(failed)?;
        tell(&name, ListedKind::Directory(Box::new(FileMetadata::of(&stat, 0))))?;
        for entry in Dir::read_from(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let entry = entry.file_name();
            if matches!(entry.to_bytes(), b"." | b"..") {
                continue;
            }
            let below = name.join(OsStr::from_bytes(entry.to_bytes()));
            let stat = match statat(&directory, entry, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(failed(error)),
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if pending.len() < MAX_PENDING => {
                    pending.push(below);
                    continue;
                }
                FileType::Directory => return Err(failed(Errno::TOOBIG)),
                FileType::RegularFile => ListedKind::File,
                FileType::Symlink => match readlinkat(&directory, entry, Vec::new()) {
                    Ok(target) => ListedKind::Link(target.to_bytes().into()),
                    Err(Errno::NOENT | Errno::INVAL) => continue,
                    Err(error) => return Err(failed(error)),
                },
                _ => ListedKind::Other,
            };
            tell(&below, kind)?;
        }
    }
    Ok(())
}
