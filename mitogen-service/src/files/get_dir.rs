//! A directory of another context, brought here with all that lies beneath it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with, statat, symlinkat};
use rustix::io::Errno;

use super::beneath::walk;
use super::error::FileError;
use super::get::Asked;
use super::listing::{Listed, ListedKind};
use super::metadata::FileMetadata;
use super::service::{FileService, StoreOptions};
use super::target::{Target, dress, other_name};
use super::transfer::Prefix;
use crate::channel::Receiver;
use crate::error::CallError;
use crate::router::{Context, Router, random_number};

/// How many files are asked for before the first of them has come: so many small ones cost one journey of the
/// link together, and each may hold a window.
const AHEAD: usize = 8;

/// How many directories may lie in one, each of which is kept in mind.
const MAX_DIRECTORIES: usize = 1_000_000;

/// A directory of another context that is to come here; made by [`FileService::get_dir`].
///
/// The destination must not be there yet. It is there as a whole or not at all: everything is put together under
/// another name, `.NAME.mitogen-..` in the same directory, which becomes the right one in one step. If this process is
/// killed in between, that is what is left.
///
/// Symbolic links come as such, whatever they say, and are never followed, neither there nor here. FIFOs, sockets and
/// devices are left out, and counted.
///
/// ```no_run
/// use mitogen_service::{FileService, Router};
///
/// #[mitogen_service::main]
/// fn main(router: &Router) -> mitogen_service::Result<()> {
///     let host = router.ssh("db1").connect()?;
///     let etc = FileService::get_dir(&host, "/etc/nginx", "nginx.db1").mode(true).times(true).run()?;
///     println!("{} files, {} bytes", etc.files, etc.bytes);
///     Ok(())
/// }
/// ```
#[must_use = "nothing is transferred before `run`"]
pub struct GetDir<'a> {
    context: Context,
    from: PathBuf,
    to: PathBuf,
    options: StoreOptions,
    progress: Option<OnTransferred<'a>>,
}

/// Who is told how much there is already.
type OnTransferred<'a> = Box<dyn FnMut(&TransferredDir) + 'a>;

/// A directory that has been transferred, or the part of it that has.
///
/// ```no_run
/// # fn main() -> mitogen_service::Result<()> {
/// # let router = mitogen_service::Router::builder().build()?;
/// # let child = router.local().connect()?;
/// let transferred = mitogen_service::FileService::get_dir(&child, "/etc", "etc").run()?;
/// assert!(transferred.files > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferredDir {
    /// How many files there are.
    pub files: u64,
    /// How many directories, the first one included.
    pub directories: u64,
    /// How many symbolic links.
    pub links: u64,
    /// How many bytes the files have together.
    pub bytes: u64,
    /// How many FIFOs, sockets and devices were left out.
    pub left_out: u64,
}

impl<'a> GetDir<'a> {
    pub(super) fn new(context: Context, from: PathBuf, to: PathBuf) -> Self {
        let options = StoreOptions { verify: true, ..StoreOptions::default() };
        Self { context, from, to, options, progress: None }
    }

    /// Whether the hash of each file is computed at both ends and compared, which it is by default.
    pub fn verify(mut self, verify: bool) -> Self {
        self.options.verify = verify;
        self
    }

    /// Whether files and directories get all bits of their modes, and not only the permissions less the umask.
    pub fn mode(mut self, mode: bool) -> Self {
        self.options.mode = mode;
        self
    }

    /// Whether files and directories get their owners and groups, by name where there is such a name.
    pub fn owner(mut self, owner: bool) -> Self {
        self.options.owner = owner;
        self
    }

    /// Whether files and directories get their times.
    pub fn times(mut self, times: bool) -> Self {
        self.options.times = times;
        self
    }

    /// Whether everything is on the disk before the directory takes its name.
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.options.fsync = fsync;
        self
    }

    /// Is called when another file is there, on the thread of `run`.
    pub fn progress(mut self, progress: impl FnMut(&TransferredDir) + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Transfers the directory, and waits until that is done.
    ///
    /// # Errors
    /// All of [`FileError`], of the first file that could not be transferred. The destination is not there then.
    pub fn run(mut self) -> Result<TransferredDir, FileError> {
        let tree = Tree::begin(&self.to)?;
        let mut coming = Coming {
            context: &self.context,
            from: &self.from,
            tree: &tree,
            options: &self.options,
            progress: self.progress.take(),
            asked: VecDeque::new(),
            directories: Vec::new(),
            transferred: TransferredDir::default(),
        };
        let entries: Receiver<Vec<Listed>> = Router::borrowed(self.context.core()).receiver().from(&self.context);
        let call = FileService::stub(&self.context).list(self.from.clone(), entries.sender());
        loop {
            match entries.recv() {
                Ok(batch) => batch.iter().try_for_each(|entry| coming.take(entry))?,
                // Closed in good order, if the answer says so too.
                Err(CallError::Cancelled { .. }) => break,
                Err(error) => return Err(FileError::Call(error)),
            }
        }
        call.wait()?;
        let transferred = coming.finish()?;
        tree.finish(self.options.fsync)?;
        Ok(transferred)
    }
}

/// A directory under another name, until it is whole.
struct Tree {
    path: PathBuf,
    parent: OwnedFd,
    name: OsString,
    other: OsString,
    top: OwnedFd,
    finished: std::cell::Cell<bool>,
}

impl Tree {
    fn begin(path: &Path) -> Result<Self, FileError> {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            let what = format!("'{}' names no directory: say what it shall be called", path.display());
            return Err(FileError::invalid(what));
        };
        let error = |action| move |error| FileError::errno(action, path, error);
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat(rustix::fs::CWD, parent, flags, Mode::empty()).map_err(error("open the directory of"))?;
        if statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(error("create")(Errno::EXIST));
        }
        let other = other_name(name, &format!("{:016x}.tmp", random_number()));
        mkdirat(&parent, &other, Mode::RWXU).map_err(error("create"))?;
        let top = openat(&parent, &other, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(error("create"))?;
        let (path, name) = (path.to_owned(), name.to_owned());
        Ok(Self { path, parent, name, other, top, finished: false.into() })
    }

    /// The directory that something lies in, and what it is called there. The names come from another context, so
    /// that nothing in them may lead out, nor anything that was put here because it has said so.
    fn place<'n>(&self, name: &'n Path) -> Result<(OwnedFd, &'n OsStr), FileError> {
        let is_plain = name.components().all(|component| matches!(component, Component::Normal(_)));
        let (Some(last), Some(parent), true) = (name.file_name(), name.parent(), is_plain) else {
            return Err(FileError::malformed(&self.path, format!("there is no name {name:?} in a directory")));
        };
        let parent = if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.join("") };
        let directory = walk(self.top.as_fd(), &parent).map_err(|error| self.failed("open", &parent, error))?;
        Ok((directory, last))
    }

    fn failed(&self, action: &str, name: &Path, error: Errno) -> FileError {
        FileError::errno(action, &self.path.join(name), error)
    }

    fn finish(&self, fsync: bool) -> Result<(), FileError> {
        let failed = |error| FileError::errno("create", &self.path, error);
        // If something has come to be there meanwhile, it stays.
        renameat_with(&self.parent, &self.other, &self.parent, &self.name, RenameFlags::NOREPLACE).map_err(failed)?;
        self.finished.set(true);
        if fsync {
            rustix::fs::fsync(&self.parent).map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.finished.get() {
            // It follows no links. What cannot be removed is left, under a name that nobody takes for the directory.
            let _ = std::fs::remove_dir_all(self.path.with_file_name(&self.other));
        }
    }
}

/// A directory on its way.
struct Coming<'a> {
    context: &'a Context,
    from: &'a Path,
    tree: &'a Tree,
    options: &'a StoreOptions,
    progress: Option<OnTransferred<'a>>,
    /// The files that were asked for, and what they are called.
    asked: VecDeque<(PathBuf, Asked)>,
    /// What the directories shall be when everything is in them.
    directories: Vec<(PathBuf, Box<FileMetadata>)>,
    transferred: TransferredDir,
}

impl Coming<'_> {
    fn take(&mut self, entry: &Listed) -> Result<(), FileError> {
        let name = Path::new(OsStr::from_bytes(&entry.path));
        match &entry.kind {
            ListedKind::Directory(metadata) => {
                if !name.as_os_str().is_empty() {
                    let (directory, last) = self.tree.place(name)?;
                    mkdirat(directory, last, Mode::RWXU).map_err(|error| self.tree.failed("create", name, error))?;
                }
                if self.directories.len() >= MAX_DIRECTORIES {
                    let what = format!("it has more than {MAX_DIRECTORIES} directories");
                    return Err(FileError::malformed(self.from, what));
                }
                self.directories.push((name.to_owned(), metadata.clone()));
                self.transferred.directories += 1;
            }
            ListedKind::Link(target) => {
                let (directory, last) = self.tree.place(name)?;
                let target = OsStr::from_bytes(target);
                symlinkat(target, directory, last).map_err(|error| self.tree.failed("create", name, error))?;
                self.transferred.links += 1;
            }
            ListedKind::File => {
                let asked = Asked::new(
                    self.context,
                    name,
                    Some(self.from),
                    Prefix::empty(self.options.verify),
                    self.options.verify,
                );
                self.asked.push_back((name.to_owned(), asked));
                if self.asked.len() >= AHEAD {
                    self.receive_oldest()?;
                }
            }
            ListedKind::Other => self.transferred.left_out += 1,
        }
        Ok(())
    }

    fn receive_oldest(&mut self) -> Result<(), FileError> {
        let Some((name, asked)) = self.asked.pop_front() else { return Ok(()) };
        let (directory, last) = self.tree.place(&name)?;
        let mut target = Target::open_at(directory, last, &self.tree.path.join(&name), false)?;
        let file = match asked.receive(&mut target, None) {
            // It was there when the directory was listed.
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => return Ok(()),
            file => file?,
        };
        target.finish(&file.metadata, self.options.keep())?;
        self.transferred.files += 1;
        self.transferred.bytes += file.metadata.size;
        if let Some(progress) = &mut self.progress {
            progress(&self.transferred);
        }
        Ok(())
    }

    /// Takes the last files, and makes the directories what they shall be, the innermost first: in one that may not be
    /// written to, nothing could be put.
    fn finish(mut self) -> Result<TransferredDir, FileError> {
        while !self.asked.is_empty() {
            self.receive_oldest()?;
        }
        let keep = self.options.keep();
        for (name, metadata) in self.directories.iter().rev() {
            let inside = if name.as_os_str().is_empty() { PathBuf::from(".") } else { name.join("") };
            let failed = |action, error| self.tree.failed(action, name, error);
            let directory = walk(self.tree.top.as_fd(), &inside).map_err(|error| failed("open", error))?;
            dress(&directory, metadata, keep).map_err(|(action, error)| failed(action, error))?;
            if keep.fsync {
                rustix::fs::fsync(&directory).map_err(|error| failed("sync", error))?;
            }
        }
        Ok(self.transferred)
    }
}

impl fmt::Debug for GetDir<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, from, to, options, .. } = self;
        f.debug_struct("GetDir")
            .field("context", context)
            .field("from", from)
            .field("to", to)
            .field("options", options)
            .finish_non_exhaustive()
    }
}
