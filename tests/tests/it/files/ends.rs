//! Whoever ends in the middle of a transfer, or takes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mitogen_service::{
    AllowParents, Blob, Call, CallError, Context, FetchOptions, FileError, FileMetadata, FileService, Receiver, Router,
    service,
};
use mitogen_service_tests::{LONG, Watched};

use super::{Dir, SIZE, below};
use crate::bench::{Bench, Worker};
use crate::file_service_test::{Fetcher, Server};

#[test]
fn a_server_that_is_killed_leaves_the_destination_as_it_was() {
    let bench = Bench::new();
    let (dir, source, _) = Dir::with(4 * SIZE);
    let to = dir.path("to");
    // At the beginning, and at each of the messages of the first window and after.
    for at in 0..12 {
        let hop = bench.child("hop");
        let contexts = [bench.child("near"), below(&hop, "far")];
        for context in contexts {
            let process = Watched::new(Worker::stub(&context).pid().wait_timeout(LONG).unwrap());
            let get = FileService::get(&context, &source, &to);
            let mut calls = 0;
            let run = get.progress(|_| {
                if calls == at {
                    process.kill();
                }
                calls += 1;
            });
            let error = run.run().unwrap_err();
            let FileError::Interrupted { expected, received, cause, .. } = &error else { panic!("{error:?}") };
            assert!(matches!(**cause, CallError::Dead { .. }), "{cause:?}");
            assert!(*expected == 4 * SIZE as u64 && received < expected);
            assert_eq!(dir.names(), ["source"]);
        }
        hop.kill().unwrap();
    }
}

#[test]
fn a_target_that_is_killed_has_the_old_file() {
    let bench = Bench::new();
    let (dir, source, _) = Dir::with(4 * SIZE);
    let to = dir.path("to");
    fs::write(&to, "old").unwrap();
    for at in 0..8 {
        let child = bench.child("child");
        let process = Watched::new(Worker::stub(&child).pid().wait_timeout(LONG).unwrap());
        let mut calls = 0;
        let put = FileService::put(&child, &source, &to).progress(|_| {
            if calls == at {
                process.kill();
            }
            calls += 1;
        });
        let error = put.run().unwrap_err();
        assert!(matches!(error, FileError::Call(CallError::Dead { .. })), "{error:?}");
        assert_eq!(fs::read(&to).unwrap(), b"old");
        if has_files_without_names(dir.0.path()) {
            assert_eq!(dir.names(), ["source", "to"]);
        }
    }
}

fn has_files_without_names(directory: &Path) -> bool {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    openat(CWD, directory, OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC, Mode::RUSR).is_ok()
}

#[test]
fn a_requester_that_ends_frees_its_transfers() {
    let server = Server::new();
    let (dir, source, _) = Dir::with(4 * SIZE);
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    let before = open_files(&source);
    let process = Watched::new(Worker::stub(&server.child).pid().wait_timeout(LONG).unwrap());
    // One is under way, and all others wait.
    let root = server.bench.root();
    Stuck::stub(&server.child).fetch(root, source.clone(), 20).wait_timeout(LONG).unwrap();
    assert_eq!(server.files.transfers(), 1);
    process.kill();
    // Another child has its turn, and its answer comes after what the first one left.
    let other = server.bench.child("other");
    Fetcher::stub(&other).fetch(server.bench.root(), source.clone()).wait_timeout(LONG).unwrap();
    server.bench.pool.close(LONG);
    assert_eq!(server.files.transfers(), 0);
    assert_eq!(open_files(&source), before);
}

fn open_files(path: &Path) -> usize {
    let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
    fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == path)).count()
}

/// Asks for files, and takes none.
#[derive(Default)]
pub(super) struct Stuck {
    kept: Mutex<Vec<Asked>>,
}

/// What is to come, and its announcement, if that is waited for.
type Asked = (Receiver<Blob>, Option<Call<FileMetadata>>);

#[service(activate)]
impl Stuck {
    /// Asks so many times, and comes back when the first of them begins to come.
    #[expose(policy = AllowParents)]
    fn fetch(&self, from: Context, path: PathBuf, times: usize, router: &Router) -> Result<u64, CallError> {
        let asked = (0..times).map(|_| {
            let receiver = router.receiver();
            let call = FileService::stub(&from).fetch(path.clone(), receiver.sender(), FetchOptions::default());
            (receiver, Some(call))
        });
        let mut asked: Vec<_> = asked.collect();
        let first = asked[0].1.take().unwrap().wait()?;
        self.kept.lock().unwrap().extend(asked);
        Ok(first.transfer)
    }

    /// Wants none of them any more.
    #[expose(policy = AllowParents)]
    fn give_up(&self) {
        self.kept.lock().unwrap().clear();
    }

    /// How many bytes come of the oldest one, until it ends.
    #[expose(policy = AllowParents)]
    fn take(&self) -> usize {
        let (receiver, _) = self.kept.lock().unwrap().remove(0);
        let start_and_trailer = receiver.iter().map(|blob| blob.len()).collect::<Vec<_>>();
        start_and_trailer.iter().filter(|length| **length > 1000).sum()
    }
}

#[test]
fn a_requester_that_takes_nothing_lets_others_pass() {
    let server = Server::new();
    let (dir, source, bytes) = Dir::with(4 * SIZE);
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    let (one, two) = (below(&server.child, "one"), below(&server.child, "two"));
    let stuck = Stuck::stub(&one);
    // All of them go over the stream of the child.
    stuck.fetch(server.bench.root(), source.clone(), 3).wait_timeout(LONG).unwrap();
    let fetched = Fetcher::stub(&two).fetch(server.bench.root(), source.clone()).wait_timeout(LONG).unwrap();
    assert!(fetched.1 == bytes);
    // Those that have stepped aside come to their end all the same.
    for _ in 0..3 {
        assert_eq!(stuck.take().wait_timeout(LONG).unwrap(), 4 * SIZE);
    }
}

#[test]
fn a_requester_that_gives_up_frees_its_transfers() {
    let server = Server::new();
    let (dir, source, _) = Dir::with(4 * SIZE);
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    let stuck = Stuck::stub(&server.child);
    stuck.fetch(server.bench.root(), source.clone(), 20).wait_timeout(LONG).unwrap();
    assert_eq!(server.files.transfers(), 1);
    stuck.give_up().wait_timeout(LONG).unwrap();
    server.fetch(&source).unwrap();
    assert_eq!(open_files(&source), 0);
}

#[test]
fn a_service_that_is_stopped_ends_all_transfers() {
    let server = Server::new();
    let (dir, source, _) = Dir::with(4 * SIZE);
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    let stuck = Stuck::stub(&server.child);
    stuck.fetch(server.bench.root(), source.clone(), 2).wait_timeout(LONG).unwrap();
    assert!(server.bench.pool.close(LONG).is_empty());
    // What had come before the end, and no trailer.
    assert!(stuck.take().wait_timeout(LONG).unwrap() < 2 * 1024 * 1024);
    assert_eq!(stuck.take().wait_timeout(LONG).unwrap(), 0);
}
