//! What a program says of a transfer, and what it is told.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::hash::FileHash;
use super::metadata::FileMetadata;

/// Where a file goes: a path of this process, or anything that can be written to.
///
/// ```
/// use std::path::Path;
///
/// use mitogen_service::Destination;
///
/// let mut bytes = Vec::new();
/// let destinations = [Destination::from("copy"), Path::new("copy").into(), (&mut bytes).into()];
/// # assert_eq!(format!("{:?}", destinations[0]), "Path(\"copy\")");
/// ```
#[non_exhaustive]
pub enum Destination<'a> {
    /// A file that is to be there, or to be replaced.
    Path(PathBuf),
    /// Takes the bytes as they come. Whether all of them have come, and undamaged, is known when
    /// [`Get::run`](crate::Get::run) returns.
    Writer(&'a mut dyn Write),
}

impl fmt::Debug for Destination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Writer(_) => f.write_str("Writer(..)"),
        }
    }
}

impl<'a, W: Write> From<&'a mut W> for Destination<'a> {
    fn from(writer: &'a mut W) -> Self {
        Self::Writer(writer)
    }
}

macro_rules! from_path {
    ($($path:ty),*) => {
        $(impl From<$path> for Destination<'_> {
            fn from(path: $path) -> Self {
                Self::Path(path.into())
            }
        })*
    };
}

from_path!(PathBuf, &PathBuf, &Path, String, &String, &str);

/// How far a transfer has come.
///
/// ```no_run
/// use mitogen_service::FileService;
///
/// # fn main() -> mitogen_service::Result<()> {
/// # let router = mitogen_service::Router::builder().build()?;
/// let child = router.local().connect()?;
/// FileService::get(&child, "/var/log/messages", "messages")
///     .progress(|progress| eprint!("\r{} of {} bytes", progress.done, progress.total))
///     .run()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many bytes of the file are there.
    pub done: u64,
    /// How many it has.
    pub total: u64,
    /// How many were there already when the transfer began.
    pub resumed_at: u64,
}

/// A file that has been transferred.
///
/// ```
/// use mitogen_service::{FileHash, FileService, Pool, Router};
///
/// # fn main() -> mitogen_service::Result<()> {
/// let router = Router::builder().build()?;
/// let pool = Pool::builder(&router).service(FileService::new()).start()?;
/// let mut bytes = Vec::new();
/// let transferred = FileService::get(&router.myself(), "/etc/passwd", &mut bytes).run()?;
/// assert_eq!(transferred.metadata.size, bytes.len() as u64);
/// assert_eq!(transferred.hash, Some(FileHash::of(&bytes)));
/// # pool.close(std::time::Duration::from_secs(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// What the source was when it was opened.
    pub metadata: FileMetadata,
    /// How many bytes were there already when the transfer began, from one that was cut off.
    pub resumed_at: u64,
    /// The hash of the whole file, unless [`verify`](crate::Get::verify) was switched off.
    pub hash: Option<FileHash>,
    /// The source became longer meanwhile. What was transferred is what it had at first.
    pub has_grown: bool,
}

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

/// Who is told how far a transfer has come.
pub(super) type OnProgress<'a> = Box<dyn FnMut(&Progress) + 'a>;

/// Who is told how much there is already.
pub(super) type OnTransferred<'a> = Box<dyn FnMut(&TransferredDir) + 'a>;

/// The methods of every transfer.
macro_rules! transfer_options {
    () => {
        /// Whether the hash of each file is computed at both ends and compared, which it is by default.
        pub fn verify(mut self, verify: bool) -> Self {
            self.options.verify = verify;
            self
        }

        /// Whether what is transferred gets the permissions of its source as they are. By default it gets them less the
        /// umask, as a copy does.
        ///
        /// The bits that let a file run as its owner and its group, set-user-id and set-group-id, come only together
        /// with these, by [`owner`](Self::owner); the same goes for directories, where the latter hands the group on.
        pub fn mode(mut self, mode: bool) -> Self {
            self.options.mode = mode;
            self
        }

        /// Whether what is transferred gets the owner and the group of its source: those of the same names, or of
        /// the same numbers where there is no such name. This takes the right to do so. Not by default.
        pub fn owner(mut self, owner: bool) -> Self {
            self.options.owner = owner;
            self
        }

        /// Whether what is transferred gets the times of its source. Not by default.
        pub fn times(mut self, times: bool) -> Self {
            self.options.times = times;
            self
        }

        /// Whether what is transferred is on the disk before it takes its name, and the name before
        /// [`run`](Self::run) returns. Not by default: the destination may then be empty after a power cut, as with
        /// any file; not if a process dies.
        pub fn fsync(mut self, fsync: bool) -> Self {
            self.options.fsync = fsync;
            self
        }
    };
}

/// The methods of a transfer of one file, beside those.
macro_rules! file_options {
    () => {
        /// Whether a transfer that is cut off leaves what has come, as `.NAME.mitogen-part`, and one that finds such
        /// a beginning goes on behind it. The other side compares its hash with its own file first, and sends all
        /// of it if that begins in another way. Not by default.
        pub fn resume(mut self, resume: bool) -> Self {
            self.options.resume = resume;
            self
        }

        /// Is called at the beginning and whenever more of the file is there, on the thread of [`run`](Self::run).
        pub fn progress(mut self, progress: impl FnMut(&crate::files::Progress) + 'a) -> Self {
            self.progress = Some(Box::new(progress));
            self
        }
    };
}

/// The methods of a transfer of a directory, beside the first ones.
macro_rules! directory_options {
    () => {
        /// Is called when another file is through, on the thread of [`run`](Self::run).
        pub fn progress(mut self, progress: impl FnMut(&crate::files::TransferredDir) + 'a) -> Self {
            self.progress = Some(Box::new(progress));
            self
        }
    };
}

pub(super) use {directory_options, file_options, transfer_options};
