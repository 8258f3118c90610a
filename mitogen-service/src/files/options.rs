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
    /// Takes the bytes as they come.
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

/// Who is told how far a transfer has come.
pub(super) type OnProgress<'a> = Box<dyn FnMut(&Progress) + 'a>;
