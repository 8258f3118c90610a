//! A file of this machine, read once, so that all contexts get the same whatever becomes of it meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::Stat;

use super::book::{Targets, Version};
use super::content::{Content, Writer};
use super::hub::{Hub, Outlet};
use crate::error::{CallError, DeadlineBy, Trace};
use crate::files::error::FileError;
use crate::files::hash::FileHash;
use crate::files::metadata::FileMetadata;
use crate::files::source::{Became, CHUNK, Source};
use crate::latch::Latch;
use crate::router::Router;

/// How old the last change of a file must be, or else a second one could leave the same times: some file systems
/// count whole seconds, and in twos.
const SETTLED: Duration = Duration::from_secs(3);

/// One state of a file. Whatever is done to it changes some of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }

    /// Whether the next change is sure to be seen.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(now.saturating_sub(SETTLED).as_secs()).unwrap_or(i64::MAX);
        self.modified.0 < seconds && self.changed.0 < seconds
    }
}

/// Has a file brought to contexts; it is read unless it is what it was when it was read last. Waits for room at most
/// until `deadline`.
pub(super) fn publish(
    (hub, router): (&Arc<Hub>, &Router),
    path: &Path,
    (targets, outlet): (Targets, Outlet),
    deadline: Option<Instant>,
) -> Result<(), FileError> {
    let source = Source::open(path)?;
    let identity = Identity::of(source.stat());
    if hub.tell(router, |book| book.publish_again(path, &identity, &targets, &outlet)) {
        return Ok(());
    }
    let turn = Arc::new(Latch::new());
    let ticket = hub.tell(router, |book| book.enter(source.size(), turn.clone()));
    let read = match turn.wait(deadline) {
        Some(go) => go.and_then(|()| read(&source)),
        None => Err(too_late()),
    };
    match read {
        Ok((content, hash, has_grown)) => {
            let metadata = FileMetadata::of(source.stat(), 0);
            let version = Version { path: path.to_owned(), metadata, hash };
            let identity = Some(identity).filter(|identity| identity.is_settled() && !has_grown);
            hub.tell(router, |book| book.publish(ticket, (&version, content), identity, targets, outlet));
            Ok(())
        }
        Err(error) => {
            hub.tell(router, |book| book.withdraw(ticket));
            Err(error)
        }
    }
}

/// Copies a file as long as it was when it was opened, and tells whether it has grown.
fn read(source: &Source) -> Result<(Arc<Content>, FileHash, bool), FileError> {
    let content = Content::new(source.size());
    let mut writer = Writer::begin(&content, source.path())?;
    let mut buffer = vec![0; CHUNK];
    while writer.left() > 0 {
        let wanted = usize::try_from(writer.left()).unwrap_or(CHUNK).min(CHUNK);
        let read = source.read(&mut buffer[..wanted], writer.length())?;
        if read == 0 {
            break;
        }
        writer.write(&buffer[..read])?;
    }
    let hash = writer.finish(None)?;
    match source.now()? {
        Became::Same => Ok((content, hash, false)),
        Became::Longer => Ok((content, hash, true)),
        Became::Shorter | Became::Other => Err(FileError::Changed { path: source.path().to_owned() }),
    }
}

pub(super) fn too_late() -> FileError {
    FileError::Call(CallError::DeadlineExceeded { by: DeadlineBy::Caller, trace: Trace::default() })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Reads a file to which something is done after it was opened.
    fn read_changed(change: impl FnOnce(&File)) -> Result<(Arc<Content>, FileHash, bool), FileError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "1234").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        // The clock of files may be coarse.
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let source = Source::open(&path).unwrap();
        change(&file);
        read(&source)
    }

    #[test]
    fn a_file_is_read_as_it_was_or_not_at_all() {
        let (content, hash, has_grown) = read_changed(|_| {}).unwrap();
        assert_eq!((content.blob().unwrap(), hash, has_grown), (b"1234".into(), FileHash::of(b"1234"), false));
        let (content, _, has_grown) = read_changed(|file| file.write_all_at(b"5", 4).unwrap()).unwrap();
        assert_eq!((content.blob().unwrap(), has_grown), (b"1234".into(), true));
        let truncated = read_changed(|file| file.set_len(3).unwrap()).unwrap_err();
        assert!(matches!(truncated, FileError::Truncated { expected: 4, received: 3, .. }), "{truncated:?}");
        let changed = read_changed(|file| file.write_all_at(b"x", 0).unwrap()).unwrap_err();
        assert!(matches!(changed, FileError::Changed { .. }), "{changed:?}");
    }

    #[test]
    fn what_was_changed_just_now_may_change_again_unseen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "1234").unwrap();
        // Its time is old, and yet it was changed just now.
        File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(!Identity::of(Source::open(&path).unwrap().stat()).is_settled());
    }
}
