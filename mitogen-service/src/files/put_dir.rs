//! A directory of this process, taken to another context with all that lies beneath it.
//!
//! Everything goes through one channel, in the order in which it is found: of each file first its name, and then the
//! messages of a transfer of its own. So nothing waits for the other side but for room, and small files cost no journey.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::FileError;
use super::listing::{self, ListedKind};
use super::metadata::FileMetadata;
use super::options::{OnTransferred, TransferredDir, directory_options, transfer_options};
use super::put::{say_ready, when_ready};
use super::service::{FileService, StoreOptions, Stored};
use super::source::{CHUNK, Source};
use super::transfer::{self, Incoming, Prefix, decode, encode};
use super::tree::Tree;
use crate::channel::{Receiver, Sender};
use crate::router::{Context, Router};
use crate::service::CallFlag;
use crate::wire::Blob;

/// A directory of this process that is to go to another context; made by [`FileService::put_dir`].
///
/// It is what [`GetDir`](crate::GetDir) is in the other direction, with the same guarantees: the destination must not be
/// there yet nor lie beneath the source, and is there as a whole or not at all; symbolic links go as such and are never followed; FIFOs, sockets
/// and devices are left out, and counted.
///
/// ```no_run
/// use mitogen_service::{FileService, Router};
///
/// #[mitogen_service::main]
/// fn main(router: &Router) -> mitogen_service::Result<()> {
///     let host = router.ssh("web1").connect()?;
///     let site = FileService::put_dir(&host, "site", "/srv/site.new").mode(true).times(true).run()?;
///     println!("{} files, {} bytes", site.files, site.bytes);
///     Ok(())
/// }
/// ```
#[must_use = "nothing is transferred before `run`"]
pub struct PutDir<'a> {
    context: Context,
    from: PathBuf,
    to: PathBuf,
    options: StoreOptions,
    progress: Option<OnTransferred<'a>>,
}

impl<'a> PutDir<'a> {
    pub(super) fn new(context: Context, from: PathBuf, to: PathBuf) -> Self {
        Self { context, from, to, options: StoreOptions::of_transfer(), progress: None }
    }

    transfer_options!();
    directory_options!();

    /// Transfers the directory, and waits until the other context says that it is there.
    ///
    /// # Errors
    /// All of [`FileError`], of the first file that could not be transferred. The destination is not there then; if the
    /// other context is gone, it is not there or whole. So it is if a deadline that this inherits from a method is over:
    /// the other context looks at it right before the directory takes its name, and the answer may come too late all
    /// the same.
    pub fn run(mut self) -> Result<TransferredDir, FileError> {
        let top = listing::open(&self.from)?;
        let router = Router::borrowed(self.context.core());
        let ready: Receiver<Stored> = router.receiver().from(&self.context);
        let call = FileService::stub(&self.context).store_dir(self.to.clone(), self.options.clone(), ready.sender());
        let (Stored { data, .. }, call) = when_ready(&self.to, ready, call)?;
        let mut going = Going {
            data,
            chunk: CHUNK.min(router.core().identity().max_message_size),
            verify: self.options.verify,
            progress: self.progress.take(),
            transferred: TransferredDir::default(),
        };
        let sent = listing::each(&top, &self.from, &mut |name, kind| {
            let path = self.from.join(name);
            going.send(name, kind, || Source::open_listed(top.as_fd(), name, &path))
        });
        let sent = sent.and_then(|()| going.say(&Part::End));
        let Going { data, transferred, .. } = going;
        drop(data);
        let answer = call.wait();
        match sent {
            // If sending has failed, the answer tells better why.
            Ok(()) | Err(FileError::Call(_)) => answer?,
            Err(_) => {}
        }
        sent.map(|()| transferred)
    }
}

/// What is said of a directory on its way.
#[derive(Debug, Serialize, Deserialize)]
enum Part {
    /// A directory, which comes before what lies in it; the first one has no name.
    Directory { path: Blob, metadata: Box<FileMetadata> },
    /// A symbolic link, and what it says.
    Link { path: Blob, target: Blob },
    /// A file, whose messages come next.
    File { path: Blob, metadata: Box<FileMetadata> },
    /// That was all.
    End,
}

/// A directory on its way to another context.
struct Going<'a> {
    data: Sender<Blob>,
    chunk: usize,
    verify: bool,
    progress: Option<OnTransferred<'a>>,
    transferred: TransferredDir,
}

impl Going<'_> {
    fn say(&self, part: &Part) -> Result<(), FileError> {
        encode(part).and_then(|part| self.data.send(part)).map_err(FileError::Call)
    }

    fn send(
        &mut self,
        name: &Path,
        kind: ListedKind,
        open: impl FnOnce() -> Result<Source, FileError>,
    ) -> Result<(), FileError> {
        let path = Blob::from(name.as_os_str().as_bytes());
        match kind {
            ListedKind::Directory(metadata) => {
                self.say(&Part::Directory { path, metadata })?;
                self.transferred.directories += 1;
            }
            ListedKind::Link(target) => {
                self.say(&Part::Link { path, target })?;
                self.transferred.links += 1;
            }
            ListedKind::File => match open() {
                // It was there a moment ago.
                Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => {}
                source => self.send_file(path, &source?)?,
            },
            ListedKind::Other => self.transferred.left_out += 1,
        }
        Ok(())
    }

    fn send_file(&mut self, path: Blob, source: &Source) -> Result<(), FileError> {
        let metadata = Box::new(FileMetadata::of(source.stat(), 0));
        self.say(&Part::File { path, metadata })?;
        let hand_over = &mut |blob, _| self.data.send(blob);
        let sent = transfer::send(source, Prefix::empty(self.verify), self.chunk, hand_over);
        if let Some(error) = sent.map_err(FileError::Call)?.error {
            return Err(error);
        }
        self.transferred.files += 1;
        self.transferred.bytes += source.size();
        if let Some(progress) = &mut self.progress {
            progress(&self.transferred);
        }
        Ok(())
    }
}

/// Takes a directory, unless nobody waits for that any more.
pub(super) fn take(
    router: &Router,
    (path, options): (&Path, &StoreOptions),
    ready: Sender<Stored>,
    call: &CallFlag,
) -> Result<(), FileError> {
    let mut tree = Tree::begin(path)?;
    let (keep, verify) = (options.keep(), options.verify);
    let receiver = say_ready(router, ready, &Prefix::empty(false), call)?;
    loop {
        let part = receiver.recv().map_err(FileError::Call)?;
        match decode(path, &part)? {
            Part::Directory { path: name, metadata } => tree.directory(as_path(&name), metadata)?,
            Part::Link { path: name, target } => tree.link(as_path(&name), &target)?,
            Part::File { path: name, metadata } => {
                let name = as_path(&name);
                let mut target = tree.file(name)?;
                let incoming =
                    Incoming { path: &path.join(name), size: metadata.size, known: Prefix::empty(verify), verify };
                incoming.receive(&receiver, &mut target, &mut None)?;
                target.finish(&metadata, keep)?;
            }
            Part::End => return tree.finish_if(keep, &|| !call.is_cancelled()),
        }
    }
}

fn as_path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

impl fmt::Debug for PutDir<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, from, to, options, .. } = self;
        f.debug_struct("PutDir")
            .field("context", context)
            .field("from", from)
            .field("to", to)
            .field("options", options)
            .finish_non_exhaustive()
    }
}
