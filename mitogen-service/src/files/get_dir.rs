//! A directory of another context, brought here with all that lies beneath it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::FileError;
use super::get::Asked;
use super::listing::{Listed, ListedKind};
use super::options::{OnTransferred, TransferredDir, directory_options, transfer_options};
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
/// The destination must not be there yet, nor lie beneath the source. It is there as a whole or not at all: everything is
/// put together under another name, `.NAME.mitogen-..` in the same directory, which becomes the right one in one step. If
/// this process is killed in between, that is what is left. What others put there meanwhile stays, and the transfer
/// fails; but where the file system cannot tell names that are taken, as on NFS, an empty directory may be replaced that
/// comes to be there in the last moment.
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

impl<'a> GetDir<'a> {
    pub(super) fn new(context: Context, from: PathBuf, to: PathBuf) -> Self {
        Self { context, from, to, options: StoreOptions::of_transfer(), progress: None }
    }

    transfer_options!();
    directory_options!();

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
