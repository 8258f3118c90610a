//! Opening files beneath a directory, so that no name leads out of it.
//!
//! The kernel resolves the name against a handle of the directory, once, and what it has opened is all that
//! is looked at afterwards. So there is no moment between a check and a use at which a link could be put
//! in the way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// How often a name is resolved anew because something was renamed meanwhile.
const ATTEMPTS: usize = 16;

/// For reading, without waiting for anybody: opening a FIFO or a terminal would. What was opened must be
/// looked at before it is read.
pub(super) const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A directory, held by a handle: it stays the same one, whatever its name comes to mean.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

impl Directory {
    /// The directory that this name means now.
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(rustix::fs::CWD, path, flags, Mode::empty()).map(Self)
    }

    /// Opens what a relative name means, for reading; `XDEV` or `LOOP` if it leads out of the directory.
    pub(super) fn open_beneath(&self, name: &Path) -> Result<OwnedFd, Errno> {
        /// The kernel has no `openat2`.
        static MISSING: AtomicBool = AtomicBool::new(false);
        if MISSING.load(Ordering::Relaxed) {
            return walk(self.0.as_fd(), name);
        }
        match self.by_kernel(name) {
            Err(Errno::NOSYS) => {
                MISSING.store(true, Ordering::Relaxed);
                walk(self.0.as_fd(), name)
            }
            // Filters of system calls say this of those that they do not know.
            Err(Errno::PERM) => walk(self.0.as_fd(), name),
            result => result,
        }
    }

    fn by_kernel(&self, name: &Path) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut attempts = 0;
        loop {
            match openat2(&self.0, name, READ, Mode::empty(), resolve) {
                // Something was renamed, and the kernel cannot tell whether `..` has led out.
                Err(Errno::AGAIN) if attempts < ATTEMPTS => attempts += 1,
                // Somebody renames all the time.
                Err(Errno::AGAIN) => return Err(Errno::XDEV),
                result => return result,
            }
        }
    }
}

/// The same where the kernel cannot do it: one component after the other, and no symbolic links at all,
/// since whoever follows a link by itself has to do what the kernel does, and race with it.
///
/// A step upward goes back to the handle that it came by, and not to what `..` means by then.
pub(super) fn walk(top: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    let bytes = name.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(Errno::NOENT);
    }
    if bytes.len() >= libc::PATH_MAX as usize {
        return Err(Errno::NAMETOOLONG);
    }
    // A name without steps upward needs one of them at a time.
    let climbs = name.components().any(|component| component == Component::ParentDir);
    let mut passed: Vec<OwnedFd> = Vec::new();
    let mut components = name.components().peekable();
    let steps = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    while let Some(component) = components.next() {
        let here = passed.last().map_or(top, AsFd::as_fd);
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(passed.pop().ok_or(Errno::XDEV)?),
            Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
            Component::Normal(name) if components.peek().is_none() && !bytes.ends_with(b"/") => {
                return openat(here, name, READ | OFlags::NOFOLLOW, Mode::empty());
            }
            Component::Normal(name) => {
                let next = openat(here, name, steps, Mode::empty()).map_err(|error| not_passed(here, name, error))?;
                if !climbs {
                    passed.clear();
                }
                passed.push(next);
            }
        }
    }
    // It is a directory, which the caller will see.
    let here = passed.last().map_or(top, AsFd::as_fd);
    openat(here, ".", READ, Mode::empty())
}

/// A link in the way of a name is "not a directory" for the kernel, as a file is; it is told apart, as
/// `openat2` does.
fn not_passed(at: BorrowedFd<'_>, name: &std::ffi::OsStr, error: Errno) -> Errno {
    let is_link = || {
        let stat = rustix::fs::statat(at, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
    };
    if error == Errno::NOTDIR && is_link() == Some(true) { Errno::LOOP } else { error }
}

#[cfg(test)]
#[path = "beneath_tests.rs"]
mod tests;
