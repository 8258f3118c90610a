//! A source that is changed at every message of a transfer: what comes is what it was or what it is, or nothing.

use std::fs;
use std::path::Path;

use mitogen_service::FileError;
use mitogen_service_tests::{LONG, within};

use super::transfers::{GET, GET_BY_A_CHILD, GET_DIR, PUSH, PUT, PUT_DIR, Transfer, What};
use super::{ENOUGH, Round, Stage, bytes, contents};

/// What is done to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It loses all but its first bytes.
    Truncate,
    /// Another one gets its name.
    Replace,
    /// It is written to, and has another time, since the clock of files may be coarse.
    Overwrite,
    /// It gets longer.
    Grow,
}

impl Change {
    fn make(self, path: &Path, new: &Path) {
        let file = || fs::File::options().write(true).open(path).unwrap();
        match self {
            Self::Truncate => file().set_len(1000).unwrap(),
            Self::Replace => {
                fs::write(new, bytes(5000)).unwrap();
                fs::rename(new, path).unwrap();
            }
            Self::Overwrite => {
                use std::os::unix::fs::FileExt;
                file().write_all_at(b"other", 100_000).unwrap();
                file().set_modified(std::time::UNIX_EPOCH).unwrap();
            }
            Self::Grow => {
                use std::io::Write;
                fs::File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
            }
        }
    }

    /// Whether a transfer may fail with this because of it.
    fn explains(self, error: &FileError) -> bool {
        match self {
            Self::Truncate => matches!(error, FileError::Truncated { .. } | FileError::Changed { .. }),
            // The kernel changes the time before the length, and whoever looks in between sees a file of the same
            // length that was written to.
            Self::Overwrite | Self::Grow => matches!(error, FileError::Changed { .. }),
            Self::Replace => false,
        }
    }
}

/// Changes the source at each message of a transfer, in each way.
fn at_every_message(transfer: &'static Transfer) {
    within(5 * LONG, move || {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::new(dir.path());
        let changed = if transfer.what == What::File { stage.file() } else { stage.top().join("sub/large") };
        let before = fs::read(&changed).unwrap();
        let source = if transfer.what == What::File { stage.file() } else { stage.top() };
        // What is pushed is read before the first message, and sent to each context once.
        let is_push = transfer.name.contains("push");
        let mut peer = transfer.connect(&stage);
        let mut failures = [0; 4];
        for (number, change) in
            [Change::Truncate, Change::Replace, Change::Overwrite, Change::Grow].into_iter().enumerate()
        {
            for at in 1..=ENOUGH {
                fs::write(&changed, &before).unwrap();
                let (path, new) = (changed.clone(), dir.path().join("new"));
                let Round { result, to, has_happened, .. } =
                    transfer.run_with(&stage, &peer, at, |relay| relay.hook(at, move || change.make(&path, &new)));
                let what = format!("{change:?} at {at}: {result:?}, {:?}", to.others());
                let is_new = || to.path().exists() && contents(&to.path()) == contents(&source);
                match &result {
                    Ok(()) => assert!(to.is_whole() || is_new(), "{what}"),
                    Err(error) => assert!(change.explains(error) && to.is_as_before(), "{what}"),
                }
                // Both ends live on.
                assert!(to.others().is_empty(), "{what}");
                if is_push {
                    std::mem::replace(&mut peer, transfer.connect(&stage)).relay.end();
                }
                failures[number] += usize::from(result.is_err());
                if !has_happened {
                    assert!(at > 5, "there were {at} messages");
                    break;
                }
            }
        }
        println!("{}: {failures:?} transfers have failed", transfer.name);
        peer.relay.end();
        assert!(is_push || failures[0] > 0 && failures[2] > 0, "{failures:?}");
    });
}

#[test]
fn get() {
    at_every_message(&GET);
}

#[test]
fn get_by_a_child() {
    at_every_message(&GET_BY_A_CHILD);
}

#[test]
fn put() {
    at_every_message(&PUT);
}

#[test]
fn get_dir() {
    at_every_message(&GET_DIR);
}

#[test]
fn put_dir() {
    at_every_message(&PUT_DIR);
}

#[test]
fn push() {
    at_every_message(&PUSH);
}
