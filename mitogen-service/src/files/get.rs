//! A file of another context, brought here.

use std::fmt;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::FileError;
use super::metadata::FileMetadata;
use super::options::{Destination, OnProgress, Transferred, file_options, transfer_options};
use super::service::{FetchOptions, FileService, StoreOptions};
use super::target::Target;
use super::transfer::{Incoming, Prefix, Received, Sink};
use crate::channel::{Call, Receiver};
use crate::router::{Context, Router};
use crate::wire::Blob;

/// A file of another context that is to come here; made by [`FileService::get`].
///
/// ```no_run
/// use mitogen_service::{FileService, Router};
///
/// #[mitogen_service::main]
/// fn main(router: &Router) -> mitogen_service::Result<()> {
///     let host = router.ssh("db1").connect()?;
///     let dump = FileService::get(&host, "/var/backups/dump", "dump")
///         .resume(true)
///         .times(true)
///         .progress(|progress| eprint!("\r{}/{}", progress.done, progress.total))
///         .run()?;
///     println!("{} bytes, {:?}", dump.metadata.size, dump.hash);
///     Ok(())
/// }
/// ```
#[must_use = "nothing is transferred before `run`"]
pub struct Get<'a> {
    context: Context,
    from: PathBuf,
    to: Destination<'a>,
    options: StoreOptions,
    progress: Option<OnProgress<'a>>,
}

impl<'a> Get<'a> {
    pub(super) fn new(context: Context, from: PathBuf, to: Destination<'a>) -> Self {
        Self { context, from, to, options: StoreOptions::of_transfer(), progress: None }
    }

    transfer_options!();
    file_options!();

    /// Transfers the file, and waits until that is done.
    ///
    /// # Errors
    /// All of [`FileError`]. A destination that is a path is then what it was before; a writer may have got a part
    /// of the file.
    pub fn run(mut self) -> Result<Transferred, FileError> {
        match &mut self.to {
            Destination::Path(path) => {
                let mut target = Target::open(path, self.options.resume)?;
                let known = target.prefix()?;
                let asked = Asked::new(&self.context, &self.from, None, known, self.options.verify);
                let transferred = asked.receive(&mut target, self.progress)?;
                target.finish(&transferred.metadata, self.options.keep())?;
                Ok(transferred)
            }
            Destination::Writer(writer) => {
                let StoreOptions { resume, mode, owner, times, fsync, verify } = self.options;
                if resume || mode || owner || times || fsync {
                    let what = "only a file can be resumed and synced, and have a mode, an owner and times: give a \
                                path as the destination";
                    return Err(FileError::invalid(what));
                }
                let mut sink = Written { writer: *writer, path: &self.from };
                let asked = Asked::new(&self.context, &self.from, None, Prefix::empty(verify), verify);
                asked.receive(&mut sink, self.progress)
            }
        }
    }
}

/// A file that was asked for and is to come.
pub(super) struct Asked {
    path: PathBuf,
    verify: bool,
    known: Prefix,
    receiver: Receiver<Blob>,
    call: Call<FileMetadata>,
}

impl Asked {
    /// Asks for a file, of which a beginning may be known; beneath a directory, if there is one, and else anywhere.
    pub(super) fn new(context: &Context, path: &Path, beneath: Option<&Path>, known: Prefix, verify: bool) -> Self {
        let receiver: Receiver<Blob> = Router::borrowed(context.core()).receiver().from(context);
        let known_hash = known.hash().filter(|_| known.length > 0);
        let beneath = beneath.map(|beneath| beneath.as_os_str().as_bytes().into());
        let options = FetchOptions { hash: verify, known: known.length, known_hash, beneath };
        let call = FileService::stub(context).fetch(path.to_owned(), receiver.sender(), options);
        Self { path: path.to_owned(), verify, known, receiver, call }
    }

    /// Waits for all of it.
    pub(super) fn receive(
        self,
        sink: &mut dyn Sink,
        mut progress: Option<OnProgress<'_>>,
    ) -> Result<Transferred, FileError> {
        let Self { path, verify, known, receiver, call } = self;
        let metadata = call.wait()?;
        let incoming = Incoming { path: &path, size: metadata.size, known, verify };
        let Received { resumed_at, hash, has_grown } = incoming.receive(&receiver, sink, &mut progress)?;
        Ok(Transferred { metadata, resumed_at, hash, has_grown })
    }
}

/// A writer as the place for a file.
struct Written<'a> {
    writer: &'a mut dyn Write,
    /// What is written to it.
    path: &'a Path,
}

impl Sink for Written<'_> {
    fn begin(&mut self, _offset: u64) -> Result<(), FileError> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.writer.write_all(bytes).map_err(|error| FileError::io("write the bytes of", self.path, &error))
    }
}

impl fmt::Debug for Get<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, from, to, options, .. } = self;
        f.debug_struct("Get")
            .field("context", context)
            .field("from", from)
            .field("to", to)
            .field("options", options)
            .finish_non_exhaustive()
    }
}
