//! A file of this process, taken to another context.

use std::fmt;
use std::path::PathBuf;

use super::error::FileError;
use super::get::setters;
use super::hash::FileHash;
use super::metadata::FileMetadata;
use super::options::{OnProgress, Progress, Transferred};
use super::service::{FileService, StoreOptions, Stored};
use super::source::{CHUNK, Source};
use super::target::Target;
use super::transfer::{self, Incoming, Known};
use crate::channel::{Receiver, Sender};
use crate::error::CallError;
use crate::router::{Context, Router, random_number};
use crate::service::Reply;
use crate::wire::Blob;

/// A file of this process that is to go to another context; made by [`FileService::put`].
///
/// ```no_run
/// use mitogen_service::{FileService, Router};
///
/// #[mitogen_service::main]
/// fn main(router: &Router) -> mitogen_service::Result<()> {
///     let host = router.ssh("db1").connect()?;
///     FileService::put(&host, "nginx.conf", "/etc/nginx/nginx.conf").mode(true).fsync(true).run()?;
///     Ok(())
/// }
/// ```
#[must_use = "nothing is transferred before `run`"]
pub struct Put<'a> {
    context: Context,
    from: PathBuf,
    to: PathBuf,
    options: StoreOptions,
    progress: Option<OnProgress<'a>>,
}

setters!(Put);

impl<'a> Put<'a> {
    pub(super) fn new(context: Context, from: PathBuf, to: PathBuf) -> Self {
        let options = StoreOptions { verify: true, ..StoreOptions::default() };
        Self { context, from, to, options, progress: None }
    }

    /// Transfers the file, and waits until the other context says that it is there.
    ///
    /// # Errors
    /// All of [`FileError`]. The destination is then what it was before; if the other context is gone, it is that,
    /// or the whole new file.
    pub fn run(mut self) -> Result<Transferred, FileError> {
        let source = Source::open(&self.from)?;
        let metadata = FileMetadata::of(source.stat(), random_number());
        let router = Router::borrowed(self.context.core());
        let ready: Receiver<Stored> = router.receiver().from(&self.context);
        let call = FileService::stub(&self.context).store(
            self.to.clone(),
            metadata.clone(),
            self.options.clone(),
            ready.sender(),
        );
        let Ok(Stored { data, known, known_hash }) = ready.recv() else {
            // The answer says why there is nothing to send to.
            let answered = call.wait()?;
            return Err(FileError::malformed(&self.to, format!("it was answered with {answered:?} at once")));
        };
        drop(ready);
        let known = known_hash.map(|hash| Known { length: known, hash });
        let prefix = transfer::begin(&source, known, self.options.verify)?;
        let resumed_at = prefix.length;
        let total = source.size();
        let chunk = CHUNK.min(router.core().identity().max_message_size);
        let sent = transfer::send(&source, prefix, chunk, &mut |blob, done| {
            data.send(blob)?;
            if let Some(progress) = &mut self.progress {
                progress(&Progress { done, total, resumed_at });
            }
            Ok(())
        });
        drop(data);
        // If sending has failed, the answer tells better why.
        let hash = call.wait()?;
        Ok(Transferred { metadata, resumed_at, hash, has_grown: sent? })
    }
}

/// A file that a context is asked to take.
pub(super) struct Order {
    pub(super) path: PathBuf,
    pub(super) metadata: FileMetadata,
    pub(super) options: StoreOptions,
}

/// Takes a file, on a thread of its own, since it takes its time.
pub(super) fn store(router: &Router, order: Order, ready: Sender<Stored>, reply: Reply<Option<FileHash>>) {
    let core = router.core().clone();
    let router = router.clone();
    // Should there be no thread, the reply is dropped with the closure, and says so.
    let _ = core.ledger().spawn("mitogen-files", move || {
        let stored = take(&router, order, ready);
        reply.send(stored.map_err(CallError::from));
    });
}

fn take(router: &Router, order: Order, ready: Sender<Stored>) -> Result<Option<FileHash>, FileError> {
    let Order { path, metadata, options } = order;
    let mut target = Target::open(&path, options.resume)?;
    let known = target.prefix()?;
    let receiver: Receiver<Blob> = router.receiver().from(&router.context_by_id(ready.destination()));
    let known_hash = known.hash().filter(|_| known.length > 0);
    ready.send(Stored { data: receiver.sender(), known: known.length, known_hash }).map_err(FileError::Call)?;
    drop(ready);
    let incoming = Incoming { path: &path, size: metadata.size, known, verify: options.verify };
    let received = incoming.receive(&receiver, &mut target, &mut None)?;
    target.finish(&metadata, options.keep())?;
    Ok(received.hash)
}

impl fmt::Debug for Put<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, from, to, options, .. } = self;
        f.debug_struct("Put")
            .field("context", context)
            .field("from", from)
            .field("to", to)
            .field("options", options)
            .finish_non_exhaustive()
    }
}
