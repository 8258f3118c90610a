//! A file of this process, taken to another context.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::error::FileError;
use super::hash::FileHash;
use super::metadata::FileMetadata;
use super::options::{OnProgress, Progress, Transferred, file_options, transfer_options};
use super::service::{FileService, StoreOptions, Stored};
use super::source::{CHUNK, Source};
use super::target::Target;
use super::transfer::{self, Incoming, Known, Prefix, Trailer};
use crate::channel::{Call, EventKind, Receiver, Removed, Select, Sender};
use crate::error::CallError;
use crate::router::{Context, Router, random_number};
use crate::service::CallFlag;
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

impl<'a> Put<'a> {
    pub(super) fn new(context: Context, from: PathBuf, to: PathBuf) -> Self {
        Self { context, from, to, options: StoreOptions::of_transfer(), progress: None }
    }

    transfer_options!();
    file_options!();

    /// Transfers the file, and waits until the other context says that it is there.
    ///
    /// # Errors
    /// All of [`FileError`]. The destination is then what it was before; if the other context is gone, it is that or the
    /// whole new file. So it is if a deadline that this inherits from a method is over: the other context looks at it
    /// right before the file takes its name, and the answer may come too late all the same.
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
        let (Stored { data, known, known_hash }, call) = when_ready(&self.to, ready, call)?;
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
        let Trailer { error, has_grown, .. } = sent?;
        error.map_or(Ok(Transferred { metadata, resumed_at, hash, has_grown }), Err)
    }
}

/// Waits until the other context is ready to take what was announced to it.
///
/// If the call is refused, nobody has the sender that it was given, and so nobody closes `ready`: the answer is waited
/// for beside it.
pub(super) fn when_ready<T: fmt::Debug + DeserializeOwned + Send + 'static>(
    to: &Path,
    ready: Receiver<Stored>,
    call: Call<T>,
) -> Result<(Stored, Call<T>), FileError> {
    const READY: u64 = 0;
    const ANSWER: u64 = 1;
    let select = Select::new();
    select.add(ready, READY).and_then(|()| select.add(call, ANSWER)).map_err(CallError::from)?;
    let mut stored = None;
    loop {
        let event = select.get().map_err(FileError::Call)?;
        match event.kind {
            EventKind::Answer => {
                let answered = event.decode::<T>()?;
                return Err(FileError::malformed(to, format!("it was answered with {answered:?} at once")));
            }
            // The answer says why.
            EventKind::Ended(_) => {}
            EventKind::Message => stored = Some(event.decode::<Stored>().map_err(FileError::Call)?),
        }
        let call = stored.is_some().then(|| select.remove(ANSWER)).flatten();
        if let (Some(stored), Some(Ok(call))) = (stored.take(), call.map(Removed::into_call)) {
            return Ok((stored, call));
        }
    }
}

/// A file that a context is asked to take.
pub(super) struct Order {
    pub(super) path: PathBuf,
    pub(super) metadata: FileMetadata,
    pub(super) options: StoreOptions,
}

/// Says that this context is ready to take something, of which a beginning may be known.
///
/// Whoever is told may be gone by then, and would never send anything, nor close what it does not know of. So the
/// receiver is closed when the call is cancelled.
pub(super) fn say_ready(
    router: &Router,
    ready: Sender<Stored>,
    known: &Prefix,
    call: &CallFlag,
) -> Result<Arc<Receiver<Blob>>, FileError> {
    let receiver: Receiver<Blob> = router.receiver().from(&router.context_by_id(ready.destination()));
    let receiver = Arc::new(receiver);
    let waiting = Arc::downgrade(&receiver);
    call.on_cancel(move || {
        if let Some(receiver) = waiting.upgrade() {
            receiver.close();
        }
    });
    let known_hash = known.hash().filter(|_| known.length > 0);
    ready.send(Stored { data: receiver.sender(), known: known.length, known_hash }).map_err(FileError::Call)?;
    Ok(receiver)
}

/// Takes a file, unless nobody waits for that any more.
pub(super) fn take(
    router: &Router,
    order: Order,
    ready: Sender<Stored>,
    call: &CallFlag,
) -> Result<Option<FileHash>, FileError> {
    let Order { path, metadata, options } = order;
    let mut target = Target::open(&path, options.resume)?;
    let known = target.prefix()?;
    let receiver = say_ready(router, ready, &known, call)?;
    let incoming = Incoming { path: &path, size: metadata.size, known, verify: options.verify };
    let received = incoming.receive(&receiver, &mut target, &mut None)?;
    target.finish_if(&metadata, options.keep(), &|| !call.is_cancelled())?;
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
