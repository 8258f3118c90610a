//! A directory of another context, brought here with all that lies beneath it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::FileError;
use super::get::Asked;
use super::listing::{Listed, ListedKind};
use super::service::{FileService, StoreOptions};
use super::transfer::Prefix;
use super::tree::Tree;
use crate::channel::{EventKind, Receiver, Select};
use crate::error::CallError;
use crate::router::{Context, Router};

/// How many files are asked for before the first of them has come: so many small ones cost one journey of the
/// link together, and each may hold a window.
const AHEAD: usize = 8;

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
pub(super) type OnTransferred<'a> = Box<dyn FnMut(&TransferredDir) + 'a>;

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

/// The setters that a directory has whatever its direction is.
macro_rules! setters_of_directories {
    ($type:ident) => {
        impl<'a> $type<'a> {
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

            /// Is called when another file is through, on the thread of `run`.
            pub fn progress(mut self, progress: impl FnMut(&TransferredDir) + 'a) -> Self {
                self.progress = Some(Box::new(progress));
                self
            }
        }
    };
}
pub(super) use setters_of_directories;

setters_of_directories!(GetDir);

impl<'a> GetDir<'a> {
    pub(super) fn new(context: Context, from: PathBuf, to: PathBuf) -> Self {
        let options = StoreOptions { verify: true, ..StoreOptions::default() };
        Self { context, from, to, options, progress: None }
    }

    /// Transfers the directory, and waits until that is done.
    ///
    /// # Errors
    /// All of [`FileError`], of the first file that could not be transferred. The destination is not there then.
    pub fn run(mut self) -> Result<TransferredDir, FileError> {
        let mut coming = Coming {
            context: &self.context,
            from: &self.from,
            tree: Tree::begin(&self.to)?,
            options: &self.options,
            progress: self.progress.take(),
            asked: VecDeque::new(),
            transferred: TransferredDir::default(),
        };
        let entries: Receiver<Vec<Listed>> = Router::borrowed(self.context.core()).receiver().from(&self.context);
        let call = FileService::stub(&self.context).list(self.from.clone(), entries.sender());
        // If the call is refused nobody closes the channel, so the answer is waited for beside it.
        let select = Select::new();
        select.add(entries, "entries").and_then(|()| select.add(call, "answer")).map_err(CallError::from)?;
        for event in &select {
            match &event.kind {
                EventKind::Message => {
                    let batch = event.decode::<Vec<Listed>>()?;
                    batch.iter().try_for_each(|entry| coming.take(entry))?;
                }
                EventKind::Answer => event.decode::<()>()?,
                // Closed in good order, if the answer says so too.
                EventKind::Ended(CallError::Cancelled { .. }) => {}
                EventKind::Ended(error) => return Err(FileError::Call(error.clone())),
            }
        }
        coming.finish()
    }
}

/// A directory on its way.
struct Coming<'a> {
    context: &'a Context,
    from: &'a Path,
    tree: Tree,
    options: &'a StoreOptions,
    progress: Option<OnTransferred<'a>>,
    /// The files that were asked for, and what they are called.
    asked: VecDeque<(PathBuf, Asked)>,
    transferred: TransferredDir,
}

impl Coming<'_> {
    fn take(&mut self, entry: &Listed) -> Result<(), FileError> {
        let name = Path::new(OsStr::from_bytes(&entry.path));
        match &entry.kind {
            ListedKind::Directory(metadata) => {
                self.tree.directory(name, metadata.clone())?;
                self.transferred.directories += 1;
            }
            ListedKind::Link(target) => {
                self.tree.link(name, target)?;
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
        let mut target = self.tree.file(&name)?;
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

    /// Takes the last files, and lets the directory be there.
    fn finish(mut self) -> Result<TransferredDir, FileError> {
        while !self.asked.is_empty() {
            self.receive_oldest()?;
        }
        self.tree.finish(self.options.keep())?;
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
