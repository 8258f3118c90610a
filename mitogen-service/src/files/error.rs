//! What can go wrong with a file on its way.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{CallError, Error};
use crate::service::failure::{ByTypedSource, Failure};

/// Why a file was not transferred. The destination is then what it was before.
///
/// The service's own errors are of this type too, so that a program learns the same of a file here and of
/// one in another context.
///
/// ```
/// use mitogen_service::FileError;
///
/// /// Whether the same may go well at another time.
/// fn may_be_tried_again(error: &FileError) -> bool {
///     match error {
///         FileError::Interrupted { .. } | FileError::Truncated { .. } | FileError::Changed { .. } => true,
///         _ => false,
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FileError {
    /// The caller is no parent of the context, and nobody has registered the path there.
    #[error("Path '{}' is not registered with FileService.", path.display())]
    NotRegistered {
        /// The path as it was asked for.
        #[serde(with = "path")]
        path: PathBuf,
    },
    /// It is a directory, a FIFO, a device or a socket.
    #[error("'{}' is not a regular file.", path.display())]
    NotRegular {
        /// The path as it was asked for.
        #[serde(with = "path")]
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {action} '{}': {what}", path.display())]
    Io {
        /// What was attempted.
        action: String,
        /// With which file.
        #[serde(with = "path")]
        path: PathBuf,
        /// The number of the error, where there is one.
        errno: Option<i32>,
        /// What the system said.
        what: String,
    },
    /// The file became shorter while it was read.
    #[error(
        "'{}' was truncated during transfer. Expected {expected} bytes, received {received}.", path.display()
    )]
    Truncated {
        /// The path as it was asked for.
        #[serde(with = "path")]
        path: PathBuf,
        /// The size that it had at first.
        expected: u64,
        /// What there was of it.
        received: u64,
    },
    /// The file was written to while it was read, so what came is neither the old nor the new one.
    #[error("'{}' was changed while transfer was in progress", path.display())]
    Changed {
        /// The path as it was asked for.
        #[serde(with = "path")]
        path: PathBuf,
    },
    /// The transfer came to an end before the file did: the other side closed it, or is gone.
    #[error(
        "'{}': receiver was closed early, the other context may be shutting down. Expected {expected} bytes, \
         received {received}: {cause}", path.display()
    )]
    Interrupted {
        /// The path as it was asked for.
        #[serde(with = "path")]
        path: PathBuf,
        /// The size of the file.
        expected: u64,
        /// What had come of it.
        received: u64,
        /// What happened, such as [`CallError::Dead`].
        cause: Box<CallError>,
    },
    /// What has come is not what was sent.
    #[error("'{}' was damaged on its way: its hash is {got}, and should be {expected}", path.display())]
    Damaged {
        /// The path as it was asked for.
        #[serde(with = "path")]
        path: PathBuf,
        /// The hash of what was sent.
        expected: String,
        /// The hash of what has come.
        got: String,
    },
    /// The other side does not keep to the protocol.
    #[error("the transfer of '{}' makes no sense: {what}", path.display())]
    Malformed {
        /// The path as it was asked for.
        #[serde(with = "path")]
        path: PathBuf,
        /// What was wrong.
        what: String,
    },
    /// What was asked for cannot work.
    #[error("{what}")]
    Invalid {
        /// What is wrong, and what to do instead.
        what: String,
    },
    /// The call that asks for the transfer failed.
    #[error(transparent)]
    Call(CallError),
}

impl FileError {
    pub(super) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let (action, path) = (action.to_owned(), path.to_owned());
        Self::Io { action, path, errno: error.raw_os_error(), what: error.to_string() }
    }

    pub(super) fn errno(action: &str, path: &Path, error: Errno) -> Self {
        Self::io(action, path, &error.into())
    }

    pub(super) fn malformed(path: &Path, what: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), what: what.into() }
    }

    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }

    /// What the system said, as an error of the standard library has it.
    ///
    /// ```
    /// # use mitogen_service::{FileError, FileService, Pool, Router};
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = Router::builder().build()?;
    /// # let pool = Pool::builder(&router).service(FileService::new()).start()?;
    /// let error = FileService::get(&router.myself(), "/not/there", &mut Vec::new()).run().unwrap_err();
    /// assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
    /// # pool.close(std::time::Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { errno: Some(errno), .. } => Some(io::Error::from_raw_os_error(*errno).kind()),
            Self::Io { errno: None, .. } => Some(io::ErrorKind::Other),
            _ => None,
        }
    }
}

/// An error of the service is what it was there.
impl From<CallError> for FileError {
    fn from(error: CallError) -> Self {
        error.decode().unwrap_or(Self::Call(error))
    }
}

impl From<FileError> for CallError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Call(error) => error,
            other => (&&&&Failure(&other)).to_call_error(),
        }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        Self::Call(error.into())
    }
}

/// Paths that need not be a text, as bytes.
mod path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::wire::Blob;

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(path.as_os_str().as_bytes())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(OsString::from_vec(Blob::deserialize(deserializer)?.into()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_same_behind_a_call() {
        let error = FileError::NotRegistered { path: "/x".into() };
        let call = CallError::from(error.clone());
        assert_eq!(call.to_string(), "Path '/x' is not registered with FileService.");
        assert_eq!(FileError::from(call), error);
        let other = CallError::failed("x");
        assert_eq!(CallError::from(FileError::from(other.clone())), other);
    }

    #[test]
    fn the_path_of_an_error_need_not_be_a_text() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/\xff")).to_owned();
        let error = FileError::NotRegular { path };
        assert_eq!(FileError::from(CallError::from(error.clone())), error);
    }
}
