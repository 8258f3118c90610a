//! A file that was pushed to this context.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::book::Version;
use super::content::Content;
use crate::files::error::FileError;
use crate::files::hash::FileHash;
use crate::files::metadata::FileMetadata;
use crate::files::source::CHUNK;
use crate::files::target::{Keep, Target};
use crate::files::transfer::Sink;

/// A file that was pushed to this context, as it was at its source; given by
/// [`PushFileService::get`](crate::PushFileService::get).
///
/// It stays what it is while this is held, whatever is pushed later.
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
///         let pushed = PushFileService::get(router, "app.conf", Duration::from_secs(60))?;
///         pushed.save("/etc/app.conf")
///     }
/// }
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct PushedFile {
    version: Version,
    content: Arc<Content>,
}

impl PushedFile {
    pub(super) fn new((version, content): (Version, Arc<Content>)) -> Self {
        Self { version, content }
    }

    /// The path under which it was pushed: that of its source.
    pub fn path(&self) -> &Path {
        &self.version.path
    }

    /// What its source was: size, mode, owner, times.
    pub fn metadata(&self) -> &FileMetadata {
        &self.version.metadata
    }

    /// The hash of its bytes.
    pub fn hash(&self) -> FileHash {
        self.version.hash
    }

    /// Its bytes, in memory.
    ///
    /// # Errors
    /// [`FileError::Io`], if the copy that is kept of it cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.content.size()).unwrap_or(0));
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes its bytes somewhere.
    ///
    /// # Errors
    /// [`FileError::Io`], if that fails; a part may have been written.
    pub fn write_to(&self, to: &mut dyn Write) -> Result<(), FileError> {
        self.each(&mut |bytes| {
            to.write_all(bytes).map_err(|error| FileError::io("write the bytes of", self.path(), &error))
        })
    }

    /// Makes a file of it, with the permissions and the time of its source. The path gets the whole file or stays what
    /// it was.
    ///
    /// The bits that let a file run as its owner are left out, since its owner here is another one.
    ///
    /// # Errors
    /// [`FileError::Io`], [`FileError::Invalid`] if the path names no file.
    pub fn save(&self, to: impl AsRef<Path>) -> Result<(), FileError> {
        let mut target = Target::open(to.as_ref(), false)?;
        target.begin(0)?;
        self.each(&mut |bytes| target.write(bytes))?;
        target.finish(&self.version.metadata, Keep { mode: true, owner: false, times: true, fsync: false })
    }

    fn each(&self, take: &mut dyn FnMut(&[u8]) -> Result<(), FileError>) -> Result<(), FileError> {
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        loop {
            match self.content.read(&mut buffer, offset)? {
                0 => return Ok(()),
                read => {
                    take(&buffer[..read])?;
                    offset += read as u64;
                }
            }
        }
    }
}

impl fmt::Debug for PushedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version { path, metadata, hash } = &self.version;
        write!(f, "PushedFile({}, {} bytes, {hash})", path.display(), metadata.size)
    }
}
