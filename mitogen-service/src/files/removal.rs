//! Removing what lies in a directory that is held by a handle.
//!
//! Names are not believed: what has come to be under one meanwhile is somebody else's, and no link is followed.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

/// Removes all that lies in a directory, so many levels of it. What cannot be removed is left.
pub(super) fn empty(directory: BorrowedFd<'_>, levels: usize) {
    if let Ok(directory) = Dir::read_from(directory) {
        empty_opened(directory, levels);
    }
}

fn empty_opened(mut directory: Dir, levels: usize) {
    while let Some(Ok(entry)) = directory.read() {
        let Ok(here) = directory.fd() else { return };
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            remove_in(here, entry.file_name(), levels);
        }
    }
}

fn remove_in(here: BorrowedFd<'_>, name: &CStr, levels: usize) {
    let is_directory = unlinkat(here, name, AtFlags::empty()) == Err(Errno::ISDIR);
    let Some(levels) = levels.checked_sub(1).filter(|_| is_directory) else { return };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = openat(here, name, flags, Mode::empty()).and_then(Dir::new);
    if let Ok(inner) = inner {
        empty_opened(inner, levels);
    }
    let _ = unlinkat(here, name, AtFlags::REMOVEDIR);
}

/// Removes a directory that is empty, if it still has this name.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &std::ffi::OsStr, directory: BorrowedFd<'_>) {
    let (Ok(named), Ok(own)) = (statat(parent, name, AtFlags::SYMLINK_NOFOLLOW), fstat(directory)) else { return };
    // The kernel removes by name alone. Who is that fast loses an empty directory.
    if (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino) {
        let _ = unlinkat(parent, name, AtFlags::REMOVEDIR);
    }
}
