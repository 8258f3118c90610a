//! What contexts may ask of each other: to send a file, and to take one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::FileError;
use super::get::Get;
use super::get_dir::GetDir;
use super::hash::FileHash;
use super::listing::{self, Listed};
use super::metadata::FileMetadata;
use super::options::Destination;
use super::put::{self, Put};
use super::put_dir::{self, PutDir};
use super::registered::{Registered, Registration};
use super::sending::{Job, Open, Sending};
use super::source::Source;
use super::target::Keep;
use super::threads::Threads;
use super::transfer::Known;
use crate::channel::Sender;
use crate::error::CallError;
use crate::router::{Context, Router, random_number};
use crate::service::{AllowAny, AllowParents, Caller, Reply, SerializedInvoker};
use crate::sync::Mutex;
use crate::wire::Blob;

/// Mitogen's name.
pub(super) const NAME: &str = "mitogen.service.FileService";

/// Sends files to other contexts, and takes files from its parents.
///
/// # For whoever wants a file
///
/// | | a file | a directory |
/// | --- | --- | --- |
/// | of another context, to here | [`get`](Self::get) | [`get_dir`](Self::get_dir) |
/// | of this process, to another context | [`put`](Self::put) | [`put_dir`](Self::put_dir) |
///
/// In a context below, nothing has to be prepared for that: the service is made there when it is first asked for.
///
/// ```no_run
/// use mitogen_service::{FileService, Router};
///
/// #[mitogen_service::main]
/// fn main(router: &Router) -> mitogen_service::Result<()> {
///     let host = router.ssh("db1").connect()?;
///     FileService::get(&host, "/etc/fstab", "fstab.db1").run()?;
///     FileService::put(&host, "sshd_config", "/etc/ssh/sshd_config").mode(true).run()?;
///     FileService::put_dir(&host, "site", "/srv/site.new").run()?;
///     Ok(())
/// }
/// ```
///
/// What comes to a path is there as a whole or not at all: it is written to a file without a name or under another
/// one in the same directory, its BLAKE3 hash is compared, and then it takes its place in one step. Whatever dies in
/// between leaves what was there. A file takes the place of one that is there; a directory does not.
///
/// # For whoever has the files
///
/// A parent may have any file that the process can read. All others, as children that fetch from their parent,
/// may have only what was registered, as a single path or as a prefix. For that the service is added to the
/// pool, and a clone of it is kept:
///
/// ```
/// use mitogen_service::{FileService, Pool, Router};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let router = Router::builder().build()?;
/// let files = FileService::new();
/// let pool = Pool::builder(&router).service(files.clone()).start()?;
/// files.register("/etc/hosts".into())?;
/// files.register_prefix("/usr/share".into())?;
/// // Children may now run `FileService::get(&parent, "/etc/hosts", ..)`.
/// # pool.close(std::time::Duration::from_secs(1));
/// # Ok(())
/// # }
/// ```
///
/// Nothing leads out of a prefix: no `..`, no symbolic link, no rename at the right moment, and none of the
/// links of `/proc`. Links that stay within it are followed where the kernel has `openat2`, and none where it
/// has not. A prefix is the directory that it was when it was registered, and so is the directory of a single
/// path. What is no regular file is refused, and opening it never waits.
///
/// # Order and bounds
///
/// On each stream one file is under way at a time, in the order in which they were asked for, with 1 MiB at most
/// that its receiver has not taken. A receiver that takes nothing for two seconds lets those behind it pass, and keeps a
/// thread: 32 may do so on a stream, and 256 on all streams, but for one of each; beyond that its transfer ends.
/// 4,096 transfers may wait; a file is opened when its turn comes.
///
/// What parents put into a context, and the directories of it that they have listed, takes a thread each there. 32 of
/// these are under way at a time, and 4,096 more wait for their turn. Beyond both bounds, and where there is no thread,
/// the answer is [`CallError::Overloaded`](crate::CallError::Overloaded).
#[derive(Clone, Default)]
pub struct FileService {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    registered: Mutex<Registered>,
    sending: Arc<Sending>,
    threads: Arc<Threads>,
}

/// How a file is fetched: what a [`Get`] asks the service for. Programs that use one need not make it.
///
/// ```
/// # use mitogen_service::FetchOptions;
/// let options = FetchOptions { hash: true, ..FetchOptions::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchOptions {
    /// Whether the hash of the whole file is told at its end.
    #[serde(default)]
    pub hash: bool,
    /// How many bytes of it are there already.
    #[serde(default)]
    pub known: u64,
    /// The hash of those. If the file does not begin so, all of it is sent.
    #[serde(default)]
    pub known_hash: Option<FileHash>,
    /// A directory that the path begins in and must not lead out of. Only parents may say this.
    #[serde(default)]
    pub beneath: Option<Blob>,
}

/// How a file is stored: what a [`Put`] tells the service. Programs that use one need not make it.
///
/// ```
/// # use mitogen_service::StoreOptions;
/// let options = StoreOptions { mode: true, ..StoreOptions::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOptions {
    /// Whether the hash of the whole file is compared.
    #[serde(default)]
    pub verify: bool,
    /// Whether what is left of an earlier transfer is gone on from, and what is left of this one is kept.
    #[serde(default)]
    pub resume: bool,
    /// Whether the file gets the mode of its source.
    #[serde(default)]
    pub mode: bool,
    /// Whether it gets the owner and the group of its source.
    #[serde(default)]
    pub owner: bool,
    /// Whether it gets the times of its source.
    #[serde(default)]
    pub times: bool,
    /// Whether it is on the disk before it takes its name.
    #[serde(default)]
    pub fsync: bool,
}

impl StoreOptions {
    /// What a transfer does unless it is told otherwise.
    pub(super) fn of_transfer() -> Self {
        Self { verify: true, ..Self::default() }
    }

    pub(super) fn keep(&self) -> Keep {
        Keep { mode: self.mode, owner: self.owner, times: self.times, fsync: self.fsync }
    }
}

/// A context is ready to take what was announced to it by
/// [`store`](FileServiceStub::store) or [`store_dir`](FileServiceStub::store_dir).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Where the bytes go.
    pub data: Sender<Blob>,
    /// How many are there already.
    pub known: u64,
    /// The hash of those.
    pub known_hash: Option<FileHash>,
}

#[crate::service(name = "mitogen.service.FileService", crate = crate)]
impl FileService {
    /// Lets all contexts fetch a file, by this name, which must be absolute.
    ///
    /// Symbolic links in the name are followed now and not again. The file need not be there yet, and may be
    /// replaced later; its directory may not.
    ///
    /// # Errors
    /// [`FileError::Io`], if the path is not absolute, its directory is not there, or 1,024 are registered.
    #[expose(policy = AllowParents)]
    pub fn register(&self, path: PathBuf) -> Result<(), FileError> {
        let registration = Registration::of_file(&path).map_err(|error| FileError::io("register", &path, &error))?;
        let added = self.inner.registered.lock().add_file(registration);
        added.map_err(|error| FileError::io("register", &path, &error))
    }

    /// Lets all contexts fetch what lies beneath a directory.
    ///
    /// # Errors
    /// [`FileError::Io`], if the path is not absolute, is no directory, or 1,024 are registered.
    #[expose(policy = AllowParents)]
    pub fn register_prefix(&self, path: PathBuf) -> Result<(), FileError> {
        let registration = Registration::of_prefix(&path).map_err(|error| FileError::io("register", &path, &error))?;
        let added = self.inner.registered.lock().add_prefix(registration);
        added.map_err(|error| FileError::io("register", &path, &error))
    }

    /// Takes back a path that was registered, as a file or as a prefix, and tells whether it was. Transfers that
    /// were asked for before go on.
    #[expose(policy = AllowParents)]
    pub fn unregister(&self, path: PathBuf) -> bool {
        self.inner.registered.lock().remove(&path)
    }

    /// Sends a file to a receiver of the caller's, after the answer.
    // In the order of arrival, which several threads would not keep; it only finds out whose turn it is.
    #[expose(policy = AllowAny, invoker = SerializedInvoker)]
    fn fetch(
        &self,
        path: PathBuf,
        sender: Sender<Blob>,
        #[arg(default)] options: FetchOptions,
        caller: &Caller,
        router: &Router,
        reply: Reply<FileMetadata>,
    ) {
        let requester = caller.context();
        if sender.destination() != requester.id() {
            return reply.send(Err(CallError::failed("sender= kwarg context must match requestee context")));
        }
        let FetchOptions { hash: hashed, known, known_hash, beneath } = options;
        let open: Open = match beneath {
            None if caller.has_parent_authority() => Box::new(move || Source::open(&path)),
            Some(top) if caller.has_parent_authority() => {
                let top = PathBuf::from(OsString::from_vec(top.into()));
                Box::new(move || Source::open_in(&top, &path))
            }
            _ => {
                let places = self.inner.registered.lock().places(&path);
                if places.is_empty() {
                    return reply.send(Err(FileError::NotRegistered { path }.into()));
                }
                Box::new(move || Source::open_beneath(&path, &places))
            }
        };
        let known = known_hash.map(|hash| Known { length: known, hash });
        let job = Job { id: random_number(), open, known, hashed, sender, requester, reply, watch: None };
        self.inner.sending.add(router, job);
    }

    /// Says how many more bytes of a transfer are where they belong. Only its receiver may, and no more than was
    /// sent.
    ///
    /// Nothing waits for it: what may be under way is bounded by the channel, whose receiver gives credit back as
    /// it takes what has come.
    #[expose(policy = AllowAny)]
    fn acknowledge(&self, transfer: u64, size: i64, caller: &Caller) -> Result<(), FileError> {
        self.inner.sending.acknowledge(transfer, size, caller.context().id())
    }

    /// Takes a file from the context that `ready` leads to: says where its bytes go, and answers when it is there.
    #[expose(policy = AllowParents)]
    fn store(
        &self,
        path: PathBuf,
        metadata: FileMetadata,
        options: StoreOptions,
        ready: Sender<Stored>,
        router: &Router,
        reply: Reply<Option<FileHash>>,
    ) {
        let (order, own) = (put::Order { path, metadata, options }, router.clone());
        self.inner
            .threads
            .answer(router, reply, move |reply| put::take(&own, order, ready, reply.flag()).map_err(CallError::from));
    }

    /// Takes a directory with all that lies beneath it: says where that goes, and answers when it is there.
    #[expose(policy = AllowParents)]
    fn store_dir(
        &self,
        path: PathBuf,
        options: StoreOptions,
        ready: Sender<Stored>,
        router: &Router,
        reply: Reply<()>,
    ) {
        let own = router.clone();
        self.inner.threads.answer(router, reply, move |reply| {
            put_dir::take(&own, (&path, &options), ready, reply.flag()).map_err(CallError::from)
        });
    }

    /// Tells what lies beneath a directory, each directory before what lies in it, and answers when that was all.
    #[expose(policy = AllowParents)]
    fn list(&self, path: PathBuf, entries: Sender<Vec<Listed>>, router: &Router, reply: Reply<()>) {
        self.inner.threads.answer(router, reply, move |_| listing::list(&path, &entries).map_err(CallError::from));
    }

    #[on_shutdown]
    fn on_shutdown(&self) {
        self.inner.threads.stop();
        self.inner.sending.stop();
    }
}

impl FileService {
    /// A service with which nothing is registered. Clones of it are the same service.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many files are being sent at this moment.
    ///
    /// ```
    /// assert_eq!(mitogen_service::FileService::new().transfers(), 0);
    /// ```
    pub fn transfers(&self) -> usize {
        self.inner.sending.active()
    }

    /// Brings a file of another context here, to a path or into a writer. Nothing happens before [`Get::run`].
    ///
    /// A relative name of the source begins where the other process runs, and only parents may use one.
    ///
    /// ```
    /// use mitogen_service::{FileService, Pool, Router};
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().build()?;
    /// // That of this process itself; contexts below make one when they are asked.
    /// let pool = Pool::builder(&router).service(FileService::new()).start()?;
    /// let mut bytes = Vec::new();
    /// FileService::get(&router.myself(), "/etc/passwd", &mut bytes).run()?;
    /// assert!(bytes.starts_with(b"root:"));
    /// # pool.close(std::time::Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get<'a>(context: &Context, from: impl AsRef<Path>, to: impl Into<Destination<'a>>) -> Get<'a> {
        Get::new(context.clone(), from.as_ref().to_owned(), to.into())
    }

    /// Brings a directory of another context here, with all that lies beneath it. Nothing happens before
    /// [`GetDir::run`]. Only parents may.
    pub fn get_dir<'a>(context: &Context, from: impl AsRef<Path>, to: impl AsRef<Path>) -> GetDir<'a> {
        GetDir::new(context.clone(), from.as_ref().to_owned(), to.as_ref().to_owned())
    }

    /// Takes a file of this process to another context, of which this one must be a parent. Nothing happens before
    /// [`Put::run`].
    ///
    /// A relative name of the destination begins where the other process runs.
    pub fn put<'a>(context: &Context, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Put<'a> {
        Put::new(context.clone(), from.as_ref().to_owned(), to.as_ref().to_owned())
    }

    /// Takes a directory of this process to another context, of which this one must be a parent, with all that lies
    /// beneath it. Nothing happens before [`PutDir::run`].
    pub fn put_dir<'a>(context: &Context, from: impl AsRef<Path>, to: impl AsRef<Path>) -> PutDir<'a> {
        PutDir::new(context.clone(), from.as_ref().to_owned(), to.as_ref().to_owned())
    }
}

impl std::fmt::Debug for FileService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileService({} transfers)", self.transfers())
    }
}
