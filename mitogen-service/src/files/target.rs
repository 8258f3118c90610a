//! A file that is to be written: absent, or what it was, until it is whole.
//!
//! The bytes go to a file without a name, or where the file system has none such to another name in the same directory.
//! At the end that takes the place of the right one, in one step. The directory is held by a handle, so both names are in
//! the same one whatever is renamed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::FileError;
use super::metadata::{self, FileMetadata};
use super::transfer::{Prefix, Sink};
use crate::error::{CallError, Trace};
use crate::router::random_number;

/// The longest part of a name that is used in the other one: all of it must fit into 255 bytes.
const MAX_KEPT: usize = 200;

/// What a file shall have of the one that it is a copy of, and how sure it shall be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keep {
    pub(super) mode: bool,
    pub(super) owner: bool,
    pub(super) times: bool,
    pub(super) fsync: bool,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    /// What it is called until it is whole, or right before.
    other: OsString,
    /// It is called so: else it goes with this process, however that ends.
    is_named: bool,
    file: File,
    /// What was written is left there if this comes to nothing, to be gone on from.
    resumes: bool,
    finished: bool,
}

impl Target {
    /// Begins a file, or goes on with what is left of an earlier one.
    pub(super) fn open(path: &Path, resumes: bool) -> Result<Self, FileError> {
        let slash = path.as_os_str().as_bytes().ends_with(b"/");
        let (Some(name), Some(parent)) = (path.file_name().filter(|_| !slash), path.parent()) else {
            return Err(FileError::invalid(format!("'{}' names no file: say what it shall be called", path.display())));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let error = |action| move |error| FileError::errno(action, path, error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(CWD, parent, flags, Mode::empty()).map_err(error("open the directory of"))?;
        let open = match resumes {
            true => open_partial,
            false => open_without_name,
        };
        Self::open_by(open, directory, (name, path), resumes)
    }

    /// Begins a file in an open directory that is itself removed if this comes to nothing. So it has the other name from
    /// the first, which costs less.
    pub(super) fn open_at(directory: OwnedFd, name: &OsStr, path: &Path) -> Result<Self, FileError> {
        Self::open_by(open_new, directory, (name, path), false)
    }

    fn open_by(
        open: fn(&OwnedFd, &OsStr) -> Result<Opened, Errno>,
        directory: OwnedFd,
        (name, path): (&OsStr, &Path),
        resumes: bool,
    ) -> Result<Self, FileError> {
        let error = |action| move |error| FileError::errno(action, path, error);
        let there = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
        if there.is_ok_and(|there| FileType::from_raw_mode(there.st_mode).is_dir()) {
            return Err(error("replace")(Errno::ISDIR));
        }
        let Opened { other, is_named, file } = open(&directory, name).map_err(|errno| match errno {
            Errno::AGAIN => FileError::invalid(format!("another transfer to '{}' is under way", path.display())),
            errno => error("create")(errno),
        })?;
        let (path, name) = (path.to_owned(), name.to_owned());
        Ok(Self { path, directory, name, other, is_named, file: file.into(), resumes, finished: false })
    }

    /// What is there of an earlier transfer, hashed.
    pub(super) fn prefix(&self) -> Result<Prefix, FileError> {
        if !self.resumes {
            return Ok(Prefix::empty(false));
        }
        let length = self.file.metadata().map_err(|error| FileError::io("look at", &self.path, &error))?.len();
        let read = |buffer: &mut [u8], offset| {
            self.file.read_at(buffer, offset).map_err(|error| FileError::io("read", &self.path, &error))
        };
        Prefix::of(length, read)
    }

    /// It is whole: takes its name. From now on nothing is left to go on from.
    pub(super) fn finish(self, metadata: &FileMetadata, keep: Keep) -> Result<(), FileError> {
        self.finish_if(metadata, keep, &|| true)
    }

    /// The same if it is still wanted when all else is done.
    pub(super) fn finish_if(
        mut self,
        metadata: &FileMetadata,
        keep: Keep,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<(), FileError> {
        if keep.owner || keep.fsync {
            // Who has given a file away may not name it any more; and what has been synced is what has a name.
            self.name_it()?;
        }
        self.dress(metadata, keep)?;
        if keep.fsync {
            rustix::fs::fsync(&self.file).map_err(|error| self.failed("sync", error))?;
        }
        if !is_wanted() {
            return Err(unwanted());
        }
        // Only a rename replaces what is there.
        self.name_it()?;
        rustix::fs::renameat(&self.directory, &self.other, &self.directory, &self.name)
            .map_err(|error| self.failed("replace", error))?;
        self.finished = true;
        if keep.fsync {
            rustix::fs::fsync(&self.directory).map_err(|error| self.failed("sync the directory of", error))?;
        }
        Ok(())
    }

    /// It gets the other name, if it has none.
    fn name_it(&mut self) -> Result<(), FileError> {
        if !self.is_named {
            rustix::fs::linkat(CWD, handle(&self.file), &self.directory, &self.other, AtFlags::SYMLINK_FOLLOW)
                .map_err(|error| self.failed("create", error))?;
            self.is_named = true;
        }
        Ok(())
    }

    fn failed(&self, action: &str, error: Errno) -> FileError {
        FileError::errno(action, &self.path, error)
    }

    fn dress(&self, metadata: &FileMetadata, keep: Keep) -> Result<(), FileError> {
        dress(&self.file, metadata, keep).map_err(|(action, error)| self.failed(action, error))
    }
}

/// Nobody waits for it any more, and so will learn of it.
pub(super) fn unwanted() -> FileError {
    let reason = "whoever has sent it does not wait any more".to_owned();
    FileError::Call(CallError::Cancelled { reason, trace: Trace::default() })
}

/// Gives a file or a directory its mode, owner and times; or tells what could not be done.
pub(super) fn dress(file: impl AsFd, metadata: &FileMetadata, keep: Keep) -> Result<(), (&'static str, Errno)> {
    if keep.owner {
        let (uid, gid) = metadata.owner_here();
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|error| ("set the owner of", error))?;
    }
    // After the owner, whose change takes bits away.
    let mode = match keep {
        Keep { mode: true, owner: true, .. } => metadata.mode & 0o7777,
        // To run as its owner and group was said of others than it has now.
        Keep { mode: true, .. } => metadata.mode & 0o1777,
        Keep { .. } => metadata.mode & 0o777 & !umask(),
    };
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|error| ("set the mode of", error))?;
    if keep.times {
        let time = |moment| {
            let (tv_sec, nanos) = metadata::parts(moment);
            Timespec { tv_sec, tv_nsec: nanos.into() }
        };
        let times = Timestamps { last_access: time(metadata.atime), last_modification: time(metadata.mtime) };
        rustix::fs::futimens(&file, &times).map_err(|error| ("set the times of", error))?;
    }
    Ok(())
}

impl Drop for Target {
    fn drop(&mut self) {
        let is_empty = || self.file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if self.is_named && !self.finished && (!self.resumes || is_empty()) {
            // If it cannot be removed it is left, under a name that nobody takes for the file.
            let _ = rustix::fs::unlinkat(&self.directory, &self.other, AtFlags::empty());
        }
    }
}

impl Sink for Target {
    fn begin(&mut self, offset: u64) -> Result<(), FileError> {
        let error = |error: std::io::Error| FileError::io("write", &self.path, &error);
        self.file.set_len(offset).map_err(error)?;
        std::io::Seek::seek(&mut self.file, std::io::SeekFrom::Start(offset)).map_err(error)?;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|error| FileError::io("write", &self.path, &error))
    }
}

/// A file that is to take another name than its own.
struct Opened {
    other: OsString,
    is_named: bool,
    file: OwnedFd,
}

/// A file that has no name until it is whole, where the file system knows such files and `/proc` is there to name it by.
/// Nobody may open it by its name before it is known who may.
fn open_without_name(directory: &OwnedFd, name: &OsStr) -> Result<Opened, Errno> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, ".", flags, Mode::RUSR | Mode::WUSR);
    let Ok(file) = opened.and_then(|file| can_be_named(&file).map(|()| file)) else { return open_new(directory, name) };
    Ok(Opened { other: new_name(name), is_named: false, file })
}

/// Whether a file without a name can have one later.
fn can_be_named(file: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::accessat(CWD, handle(file), Access::EXISTS, AtFlags::empty())
}

/// What a file is called that is open.
fn handle(file: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn new_name(name: &OsStr) -> OsString {
    other_name(name, &format!("{:016x}.tmp", random_number()))
}

/// A file of which only this process knows the name, and which only this user may read before it is known who
/// else may.
fn open_new(directory: &OwnedFd, name: &OsStr) -> Result<Opened, Errno> {
    let other = new_name(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, &other, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(Opened { other, is_named: true, file })
}

/// What is left of an earlier transfer, or a new one.
///
/// The name is known to everybody, so in a directory that others may write to it may be theirs, or another
/// name of a file that is not to be touched: then it is not used.
fn open_partial(directory: &OwnedFd, name: &OsStr) -> Result<Opened, Errno> {
    let other = other_name(name, "part");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, &other, flags, Mode::RUSR | Mode::WUSR)?;
    let stat = rustix::fs::fstat(&file)?;
    let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
    if !is_file || stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_nlink != 1 {
        return Err(Errno::EXIST);
    }
    // Another transfer to the same name may be under way.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    // Or it was, until just now, and this is the whole file.
    let there = rustix::fs::statat(directory, &other, AtFlags::SYMLINK_NOFOLLOW);
    if !there.is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino)) {
        return Err(Errno::AGAIN);
    }
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    Ok(Opened { other, is_named: true, file })
}

/// `.NAME.mitogen-ENDING`.
pub(super) fn other_name(name: &OsStr, ending: &str) -> OsString {
    let mut other = OsString::from(".");
    let bytes = name.as_bytes();
    other.push(OsStr::from_bytes(&bytes[..bytes.len().min(MAX_KEPT)]));
    if bytes.len() > MAX_KEPT {
        // Two long names must not have the same other one.
        other.push(".");
        other.push(&super::hash::FileHash::of(bytes).to_string()[..16]);
    }
    other.push(".mitogen-");
    other.push(ending);
    other
}

/// Which permissions new files of this process do not get. To ask the system would change it for a moment, for
/// all threads.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    umask.and_then(|umask| u32::from_str_radix(umask.trim(), 8).ok()).unwrap_or(0o077)
}
