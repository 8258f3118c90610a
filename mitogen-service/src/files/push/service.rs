//! What contexts may ask of each other, and what a program writes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use super::book::Version;
use super::content::Content;
use super::hub::{Hub, Outlet, targets};
use super::offer::PushOffer;
use super::pushed::PushedFile;
use super::run::Push;
use super::snapshot::too_late;
use crate::error::{CallError, Trace};
use crate::files::error::FileError;
use crate::files::hash::FileHash;
use crate::files::threads::Threads;
use crate::latch::Latch;
use crate::router::{Context, Death, Delivery, Listener, Router};
use crate::service::{AllowParents, Caller, Reply, SerializedInvoker, ServiceScope};
use crate::wire::{Blob, Paths};

/// Mitogen's name.
pub(in crate::files) const NAME: &str = "mitogen.service.PushFileService";

/// Pushes files down the tree: each link is crossed once for each version of a file, however many contexts
/// behind it want it.
///
/// [`push`](Self::push) brings files of this process to any contexts below. There they are kept, under the path
/// that they have here, and [`get`](Self::get) finds them, or waits for them. Nothing has to be set up for that, not
/// even a pool here: in the contexts below the service is made when something is pushed.
///
/// ```no_run
/// use std::time::Duration;
///
/// use mitogen_service::{AllowParents, FileError, PushFileService, Router, service};
///
/// #[derive(Default)]
/// struct Installer;
///
/// #[service(activate)]
/// impl Installer {
///     #[expose(policy = AllowParents)]
///     fn install(&self, router: &Router) -> Result<(), FileError> {
///         PushFileService::get(router, "app.conf", Duration::from_secs(60))?.save("/etc/app.conf")
///     }
/// }
///
/// #[mitogen_service::main]
/// fn main(router: &Router) -> mitogen_service::Result<()> {
///     let hosts = [router.ssh("web1").connect()?, router.ssh("web2").connect()?];
///     for (host, result) in PushFileService::push(router, ["app.conf"]).to(&hosts).run() {
///         match result {
///             Ok(()) => Installer::stub(&host).install().wait()?,
///             Err(error) => eprintln!("{host}: {error}"),
///         }
///     }
///     Ok(())
/// }
/// ```
///
/// # What is sent
///
/// A file is read once, and what was read goes to all contexts, whatever becomes of the file meanwhile. It is read
/// again if its size, its times or its inode have changed, and sent again only if its BLAKE3 hash has. Each context
/// that it goes through compares the hash, keeps the bytes, and begins to pass them on while they come. Files of up to
/// 64 KiB travel in one message; larger ones as a stream that waits for its receiver.
///
/// Contexts do not wait for each other: each has its own result, and one that is dead or slow holds up only those behind
/// it. What is larger than the bounds below goes at the pace of the slowest, since it is kept until all have it.
///
/// # Bounds
///
/// A context keeps up to 64 KiB small files in memory, 16 MiB and 4,096 of them; larger ones are in files without
/// names in `TMPDIR`, `/var/tmp` or `/tmp`, 1 GiB and 256 of them. One file is taken whatever its size. What nobody
/// needs any more makes room, the least recently used first, and crosses a link again if it is pushed again. What was
/// pushed to the context itself stays, so that a `get` finds it, until the same path is pushed again or is
/// [forgotten](crate::PushFileServiceStub::forget). If it takes all the room, whoever pushes more there gets
/// [`CallError::Overloaded`](crate::CallError::Overloaded).
#[derive(Default)]
pub struct PushFileService {
    /// That of the router in which it is, for its end.
    hub: OnceLock<(Weak<Hub>, Router)>,
    /// For pushing on behalf of others, which waits.
    threads: Arc<Threads>,
}

/// All methods come to their end at once, and are run in the order in which they arrive: a neighbour offers a file
/// with its bytes first, and then without them.
#[crate::service(name = "mitogen.service.PushFileService", invoker = SerializedInvoker, crate = crate)]
impl PushFileService {
    #[on_start]
    fn on_start(&self, scope: &ServiceScope) -> Result<(), CallError> {
        let router = scope.router().clone();
        // It starts once.
        let _ = self.hub.set((Arc::downgrade(&Hub::of(&router)), router));
        Ok(())
    }

    /// Pushes files of the process that is called to a context that is below it, or to itself.
    ///
    /// # Errors
    /// The first [`FileError`] of any of the files.
    #[expose(policy = AllowParents)]
    fn propagate_paths(&self, context: Context, paths: Paths, caller: &Caller, router: &Router, reply: Reply<()>) {
        self.propagate((caller, router), context, paths.into(), reply);
    }

    /// Pushes a file of the process that is called to a context that is below it, or to itself.
    ///
    /// # Errors
    /// All of [`FileError`].
    #[expose(policy = AllowParents)]
    fn propagate_to(&self, context: Context, path: PathBuf, caller: &Caller, router: &Router, reply: Reply<()>) {
        self.propagate((caller, router), context, vec![path], reply);
    }

    /// Takes a file, and brings it to contexts that are below, or to this one. What becomes of it is said through
    /// `offer.answers`.
    ///
    /// # Errors
    /// [`FileError::Damaged`], if `data` has another hash; [`FileError::Invalid`], if `offer.answers` leads elsewhere than to
    /// the caller.
    #[expose(policy = AllowParents)]
    fn store_and_forward(
        &self,
        path: PathBuf,
        data: Blob,
        offer: PushOffer,
        caller: &Caller,
        router: &Router,
    ) -> Result<(), FileError> {
        let got = FileHash::of(&data);
        if got != offer.hash || offer.metadata.size != data.len() as u64 {
            return Err(FileError::Damaged { path, expected: offer.hash.to_string(), got: got.to_string() });
        }
        accept((caller, router), path, Some(data), offer)
    }

    /// The same with a file that may be here already. If it is not, its bytes are asked for through `offer.answers`.
    ///
    /// # Errors
    /// [`FileError::Invalid`], if `offer.answers` leads elsewhere than to the caller.
    #[expose(policy = AllowParents)]
    fn forward(&self, path: PathBuf, offer: PushOffer, caller: &Caller, router: &Router) -> Result<(), FileError> {
        accept((caller, router), path, None, offer)
    }

    /// Gives up what was pushed to the context that is called under a path, and tells whether there was such a file.
    #[expose(policy = AllowParents)]
    fn forget(&self, path: PathBuf, router: &Router) -> bool {
        Hub::of(router).tell(router, |book| book.forget(&path))
    }

    #[on_shutdown]
    fn on_shutdown(&self) {
        self.threads.stop();
        let Some((hub, router)) = self.hub.get() else { return };
        if let Some(hub) = hub.upgrade() {
            hub.tell(router, |book| book.wake_all(&CallError::Stopped { trace: Trace::default() }.into()));
        }
    }
}

impl PushFileService {
    /// A service for a pool, where parents and other services of this process are to call it. Contexts that only have
    /// files pushed to them, and those that only [`push`](Self::push), need none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pushes files of this process to contexts below. Nothing happens before [`Push::run`].
    pub fn push<'a>(router: &Router, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Push<'a> {
        Push::new(router, paths.into_iter().map(Into::into).collect())
    }

    /// Pushes on a thread, since it takes its time.
    fn propagate(&self, (caller, router): (&Caller, &Router), context: Context, paths: Vec<PathBuf>, reply: Reply<()>) {
        let (own, deadline) = (router.clone(), caller.deadline());
        self.threads.answer(router, reply, move |_| {
            let mut push = Push::new(&own, paths).to([&context]);
            // Nobody waits for it longer than that, and others want the thread.
            if let Some(deadline) = deadline {
                push = push.timeout(deadline.saturating_duration_since(Instant::now()));
            }
            let pushed = push.run();
            pushed.into_iter().try_for_each(|(_, result)| result).map_err(CallError::from)
        });
    }

    /// The file that was pushed to this context under this path; waits for it for `timeout` at most.
    ///
    /// A method that waits here holds a thread of its pool. The service itself needs one to take the file, so if all
    /// wait, none arrives: it is better to push first, and then to call what needs the file.
    ///
    /// # Errors
    /// [`CallError::DeadlineExceeded`](crate::CallError::DeadlineExceeded) when the time is over;
    /// [`CallError::Dead`](crate::CallError::Dead) and [`CallError::Stopped`](crate::CallError::Stopped) when the
    /// parent's stream or this context ends; all that a transfer of the file can fail with, when one does.
    pub fn get(router: &Router, path: impl AsRef<Path>, timeout: Duration) -> Result<PushedFile, FileError> {
        get(&Router::borrowed(router.core()), path.as_ref(), timeout)
    }

    /// The file that was pushed to this context under this path, if it is there.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = mitogen_service::Router::builder().build()?;
    /// assert!(mitogen_service::PushFileService::find(&router, "app.conf").is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn find(router: &Router, path: impl AsRef<Path>) -> Option<PushedFile> {
        let (router, path) = (Router::borrowed(router.core()), path.as_ref());
        Hub::of(&router).tell(&router, |book| book.find(path)).map(PushedFile::new)
    }
}

fn accept(
    (caller, router): (&Caller, &Router),
    path: PathBuf,
    data: Option<Blob>,
    offer: PushOffer,
) -> Result<(), FileError> {
    let PushOffer { metadata, hash, contexts, answers } = offer;
    if answers.destination() != caller.context().id() {
        return Err(FileError::invalid("the sender of answers must lead to the caller"));
    }
    let size = metadata.size;
    // An empty file need not be asked for.
    let data = data.or_else(|| (size == 0 && hash == FileHash::of(b"")).then(Blob::default));
    let (sent, lacking) = (data.map(Content::whole), Content::new(size));
    let (version, targets) = (Version { path, metadata, hash }, targets(router, contexts));
    Hub::of(router).tell(router, |book| book.accept(version, targets, Outlet::Above(answers), sent, lacking));
    Ok(())
}

/// Somebody who waits for a file.
pub(super) struct Waiting(Latch<Result<(Version, Arc<Content>), FileError>>);

fn get(router: &Router, path: &Path, timeout: Duration) -> Result<PushedFile, FileError> {
    let hub = Hub::of(router);
    let waiting = Arc::new(Waiting(Latch::new()));
    let (found, number) = hub.tell(router, |book| match book.find(path) {
        Some(found) => (Some(found), 0),
        None => (None, book.wait_for(path, waiting.clone())),
    });
    if let Some(found) = found {
        return Ok(PushedFile::new(found));
    }
    let core = router.core();
    // From whom files come: nobody else's end is of interest.
    let source = core.identity().parents.first().map_or(core.identity().id, |(id, _)| *id);
    let end = core.await_uncounted(source, waiting.clone());
    let deadline = Instant::now().checked_add(timeout);
    let arrived = match end {
        Some(_) => waiting.0.wait(deadline),
        None => Some(Err(CallError::Stopped { trace: Trace::default() }.into())),
    };
    if let Some(end) = end {
        core.give_up(end);
    }
    hub.tell(router, |book| book.give_up(path, number));
    arrived.unwrap_or_else(|| Err(too_late())).map(PushedFile::new)
}

impl Waiting {
    pub(super) fn put(&self, result: Result<(Version, Arc<Content>), FileError>) {
        self.0.put(result);
    }
}

impl Listener for Waiting {
    fn deliver(&self, _delivery: Delivery<'_>) {}

    fn end(&self, death: &Arc<Death>) {
        self.put(Err(FileError::Call(Death::clone(death).into_call_error())));
    }
}

impl std::fmt::Debug for PushFileService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hub = self.hub.get().and_then(|(hub, _)| hub.upgrade());
        let (files, bytes, waiting) = hub.map_or((0, 0, 0), |hub| hub.usage());
        write!(f, "PushFileService({files} files, {bytes} bytes, {waiting} waiting)")
    }
}
