//! Files between contexts: whole or not at all, in their turn, and whoever ends.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use mitogen_service::{
    AllowParents, Blob, Call, CallError, Context, FetchOptions, FileError, FileHash, FileMetadata, FileService, Listed,
    ListedKind, Receiver, Router, Sender, service,
};
use mitogen_service_tests::{LONG, Watched};
use tempfile::TempDir;

use crate::bench::{Bench, Worker};
use crate::file_service_test::{Fetcher, Server};

/// Larger than what may be under way, and no multiple of anything.
const SIZE: usize = 5 * 1024 * 1024 + 4321;

/// Bytes of which no two parts are alike.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = (0..size / 8 + 1).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(size);
    bytes
}

/// A directory with a file of this size.
struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(size: usize) -> (Self, PathBuf, Vec<u8>) {
        let (dir, bytes) = (Self::new(), noise(size));
        let source = dir.path("source");
        fs::write(&source, &bytes).unwrap();
        (dir, source, bytes)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn below(context: &Context, name: &str) -> Context {
    Worker::stub(context).start_child(name.to_owned()).wait_timeout(LONG).unwrap()
}

// ---- what comes ----

#[test]
fn files_of_all_sizes_come_from_children_with_nothing_set_up() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    for size in [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 1024 * 1024, SIZE] {
        let (dir, source, bytes) = Dir::with(size);
        for context in [&child, &grandchild, &bench.root()] {
            if *context == bench.root() {
                let _ = bench.pool.add(FileService::new());
            }
            let mut got = Vec::new();
            let transferred = FileService::get(context, &source, &mut got).run().unwrap();
            assert!(got == bytes, "{context}: {size}");
            assert_eq!(transferred.hash, Some(FileHash::of(&bytes)));
            let to = dir.path("to");
            let transferred = FileService::get(context, &source, &to).verify(false).run().unwrap();
            assert_eq!(transferred.hash, None);
            assert!(fs::read(&to).unwrap() == bytes, "{context}: {size}");
            assert_eq!(dir.names(), ["source", "to"]);
        }
    }
}

#[test]
fn files_are_taken_to_children() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    for size in [0, 1, SIZE] {
        let (dir, source, bytes) = Dir::with(size);
        for context in [&child, &grandchild] {
            let to = dir.path("to");
            let mut told = Vec::new();
            let put = FileService::put(context, &source, &to).progress(|progress| told.push(progress.done));
            let transferred = put.run().unwrap();
            assert!(fs::read(&to).unwrap() == bytes);
            assert_eq!(transferred.hash, Some(FileHash::of(&bytes)));
            assert!(told.is_sorted() && told.last() == Some(&(size as u64)), "{told:?}");
            FileService::put(context, &source, &to).verify(false).fsync(true).run().unwrap();
            assert_eq!(dir.names(), ["source", "to"]);
        }
    }
}

#[test]
fn only_parents_take_files_anywhere_and_have_any_file() {
    let server = Server::new();
    let (dir, source, _) = Dir::with(10);
    let register = Fetcher::stub(&server.child).register(server.bench.root(), dir.path(""));
    assert!(matches!(register.wait_timeout(LONG), Err(CallError::Unauthorized { .. })));
    server.assert_unregistered(source.to_str().unwrap());
    // A root does not make the service because a child asks.
    let bench = Bench::new();
    let child = bench.child("child");
    let fetched = Fetcher::stub(&child).fetch(bench.root(), source).wait_timeout(LONG);
    assert!(matches!(fetched, Err(CallError::NotActivated { .. })), "{fetched:?}");
}

#[test]
fn mode_owner_and_times_come_where_they_are_asked_for() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, _) = Dir::with(100);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&source, Some(12345), Some(54321)).unwrap();
    }
    fs::set_permissions(&source, fs::Permissions::from_mode(0o4751)).unwrap();
    let then = std::time::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    fs::File::open(&source).unwrap().set_modified(then).unwrap();
    for put in [false, true] {
        let (plain, same) = (dir.path("plain"), dir.path("same"));
        if put {
            FileService::put(&child, &source, &plain).run().unwrap();
            FileService::put(&child, &source, &same).mode(true).owner(true).times(true).run().unwrap();
        } else {
            FileService::get(&child, &source, &plain).run().unwrap();
            FileService::get(&child, &source, &same).mode(true).owner(true).times(true).run().unwrap();
        }
        let (source, plain, same) =
            (fs::metadata(&source).unwrap(), plain.metadata().unwrap(), same.metadata().unwrap());
        assert_eq!(plain.mode() & 0o7022, 0, "{:o}", plain.mode());
        assert_eq!(same.mode(), source.mode());
        assert_eq!((same.uid(), same.gid()), (source.uid(), source.gid()));
        assert_eq!(same.modified().unwrap(), then);
        assert_ne!(plain.modified().unwrap(), then);
    }
}

#[test]
fn a_path_that_is_no_text_and_a_long_name_are_as_good() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let child = bench.child("child");
    let dir = Dir::new();
    let odd = dir.0.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe\n"));
    let long = dir.path(&"x".repeat(255));
    fs::write(&odd, "odd").unwrap();
    FileService::get(&child, &odd, &long).run().unwrap();
    assert_eq!(fs::read(&long).unwrap(), b"odd");
    FileService::put(&child, &long, &odd).resume(true).run().unwrap();
    let missing = dir.0.path().join(std::ffi::OsStr::from_bytes(b"\xfe"));
    let error = FileService::get(&child, &missing, &mut io::sink()).run().unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::NotFound));
    assert!(matches!(error, FileError::Io { path, .. } if path == missing));
}

// ---- what does not come ----

#[test]
fn what_is_no_file_is_refused_at_once_and_keeps_nobody() {
    let server = Server::new();
    let dir = Dir::new();
    let fifo = dir.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let socket = dir.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    server.files.register_prefix("/dev".into()).unwrap();
    // More of them than the pool has threads.
    for _ in 0..5 {
        for path in [&fifo, &socket, dir.0.path(), Path::new("/dev/null"), Path::new("/dev/zero")] {
            let error = server.fetch(path).unwrap_err();
            assert_eq!(error.to_string(), format!("'{}' is not a regular file.", path.display()));
        }
    }
}

#[test]
fn nothing_leads_out_of_a_prefix() {
    let server = Server::new();
    let dir = Dir::new();
    let path = |name: &str| dir.path(name);
    fs::create_dir_all(path("top/sub")).unwrap();
    fs::write(path("secret"), "secret").unwrap();
    fs::write(path("top/sub/file"), "inside").unwrap();
    symlink("../secret", path("top/link")).unwrap();
    symlink(path("secret"), path("top/absolute")).unwrap();
    symlink("..", path("top/up")).unwrap();
    symlink("/", path("top/root")).unwrap();
    symlink("/proc/self/root", path("top/magic")).unwrap();
    symlink(path("secret"), path("top/sub/not-yet")).unwrap();
    server.files.register_prefix(path("top")).unwrap();
    server.files.register_prefix("/proc".into()).unwrap();
    let root_pid = std::process::id();
    let out = [
        path("top/../secret"),
        path("top/link"),
        path("top/absolute"),
        path("top/up/secret"),
        path("top/sub/../../secret"),
        path(&format!("top/root/{}", path("secret").display())),
        path(&format!("top/magic/{}", path("secret").display())),
        path("top/sub/not-yet"),
        format!("/proc/self/root/{}", path("secret").display()).into(),
        format!("/proc/{root_pid}/root/{}", path("secret").display()).into(),
        format!("/proc/{root_pid}/cwd/Cargo.toml").into(),
        format!("/proc/{root_pid}/exe").into(),
        path("topp/secret"),
        path("top").with_file_name("secret"),
        "secret".into(),
        "".into(),
    ];
    for out in out {
        server.assert_unregistered(out.to_str().unwrap());
    }
    assert_eq!(server.fetch(path("top/sub/../sub/file")).unwrap().1, b"inside"[..]);
    // What is registered is the directory, and not its name.
    fs::rename(path("top"), path("was")).unwrap();
    symlink(dir.0.path(), path("top")).unwrap();
    assert!(server.fetch(path("top/secret")).is_err());
    assert_eq!(server.fetch(path("top/sub/file")).unwrap().1, b"inside"[..]);
    assert!(server.files.unregister(path("top")));
    server.assert_unregistered(path("top/sub/file").to_str().unwrap());
}

#[test]
fn a_path_that_is_registered_is_one_file_of_one_directory() {
    let server = Server::new();
    let (dir, source, bytes) = Dir::with(10);
    symlink(&source, dir.path("link")).unwrap();
    server.files.register(dir.path("link")).unwrap();
    server.files.register(dir.path("later")).unwrap();
    assert_eq!(server.fetch(dir.path("link")).unwrap().1, bytes);
    server.assert_unregistered(source.to_str().unwrap());
    assert_eq!(server.fetch(dir.path("later")).unwrap_err().io_kind(), Some(io::ErrorKind::NotFound));
    fs::write(dir.path("later"), "now").unwrap();
    assert_eq!(server.fetch(dir.path("later")).unwrap().1, b"now"[..]);
    // A link that comes later is not followed.
    fs::remove_file(dir.path("later")).unwrap();
    symlink("/etc/passwd", dir.path("later")).unwrap();
    server.assert_unregistered(dir.path("later").to_str().unwrap());
    assert!(server.files.unregister(dir.path("link")));
    assert!(!server.files.unregister(dir.path("link")));
    server.assert_unregistered(dir.path("link").to_str().unwrap());
}

#[test]
fn destinations_that_cannot_be_are_refused_before_anything_is_sent() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, _) = Dir::with(10);
    fs::create_dir(dir.path("dir")).unwrap();
    for to in [dir.path("dir"), dir.path("missing/file"), dir.path("dir/"), dir.path("source/file")] {
        FileService::get(&child, &source, &to).run().unwrap_err();
        FileService::put(&child, &source, &to).run().unwrap_err();
    }
    let error = FileService::get(&child, &source, &mut io::sink()).mode(true).run().unwrap_err();
    assert!(matches!(error, FileError::Invalid { .. }));
    assert_eq!(dir.names(), ["dir", "source"]);
    assert!(fs::read_dir(dir.path("dir")).unwrap().next().is_none());
}

// ---- a file that changes ----

/// Runs `change` when a part of a file has come, and gives what becomes of the transfer. The rest is read after
/// that, since it does not fit into what may be under way.
fn changed_on_the_way(change: impl FnOnce(&Path)) -> (Result<usize, FileError>, Dir) {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, bytes) = Dir::with(4 * SIZE);
    let to = dir.path("to");
    fs::write(&to, "old").unwrap();
    let mut change = Some(change);
    let get = FileService::get(&child, &source, &to);
    let transferred = get
        .progress(|progress| {
            if progress.done > 0
                && let Some(change) = change.take()
            {
                change(&source);
            }
        })
        .run();
    let result = transferred.map(|transferred| {
        assert!(fs::read(&to).unwrap() == bytes);
        usize::from(transferred.has_grown)
    });
    if result.is_err() {
        assert_eq!(fs::read(&to).unwrap(), b"old");
    }
    (result, dir)
}

fn open(path: &Path) -> fs::File {
    fs::File::options().write(true).open(path).unwrap()
}

#[test]
fn a_file_that_is_truncated_on_its_way_is_told_apart() {
    let (result, dir) = changed_on_the_way(|source| open(source).set_len(3 * SIZE as u64).unwrap());
    let Err(FileError::Truncated { expected, received, .. }) = &result else { panic!("{result:?}") };
    assert_eq!((*expected, *received), (4 * SIZE as u64, 3 * SIZE as u64));
    assert_eq!(dir.names(), ["source", "to"]);
}

#[test]
fn a_file_that_grows_on_its_way_comes_as_it_was() {
    let (result, _) = changed_on_the_way(|source| open(source).write_all_at(b"more", 4 * SIZE as u64).unwrap());
    assert_eq!(result, Ok(1));
}

#[test]
fn a_file_that_is_written_to_on_its_way_is_told_apart() {
    let (result, dir) = changed_on_the_way(|source| {
        let file = open(source);
        file.write_all_at(b"new", 4 * SIZE as u64 - 3).unwrap();
        // The clock of files may be coarse.
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    });
    assert!(matches!(result, Err(FileError::Changed { .. })), "{result:?}");
    assert_eq!(dir.names(), ["source", "to"]);
}

#[test]
fn a_file_that_is_replaced_on_its_way_comes_as_it_was() {
    let (result, _) = changed_on_the_way(|source| {
        let new = source.with_file_name("new");
        fs::write(&new, "new").unwrap();
        fs::rename(new, source).unwrap();
    });
    assert_eq!(result, Ok(0));
}

// ---- whoever ends ----

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
    }
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
struct Stuck {
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

// ---- acknowledgements ----

#[test]
fn an_acknowledgement_belongs_to_one_transfer_and_one_receiver() {
    let server = Server::new();
    let (dir, source, _) = Dir::with(4 * SIZE);
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    let root = server.bench.root();
    let transfer = Stuck::stub(&server.child).fetch(root.clone(), source, 1).wait_timeout(LONG).unwrap();
    let acknowledge = |context: &Context, transfer, size| {
        Fetcher::stub(context).acknowledge(root.clone(), transfer, size).wait_timeout(LONG)
    };
    let other = server.bench.child("other");
    for (context, transfer, size) in [
        (&server.child, transfer, -1),
        (&server.child, transfer, i64::MIN),
        (&server.child, transfer, i64::MAX),
        (&server.child, transfer, 4 * SIZE as i64),
        (&server.child, transfer ^ 1, 1),
        (&other, transfer, 1),
    ] {
        let error = FileError::from(acknowledge(context, transfer, size).unwrap_err());
        assert!(matches!(error, FileError::Invalid { .. }), "{size}: {error:?}");
    }
    acknowledge(&server.child, transfer, 0).unwrap();
    acknowledge(&server.child, transfer, 1000).unwrap();
    let error = acknowledge(&server.child, transfer, i64::MAX).unwrap_err();
    assert!(error.to_string().contains("unacked="), "{error}");
}

#[test]
fn a_file_is_sent_to_whoever_asks_and_to_nobody_else() {
    let server = Server::new();
    server.files.register_prefix("/etc".into()).unwrap();
    let receiver = server.bench.router.receiver::<Blob>();
    let fetch = Fetcher::stub(&server.child).fetch_for(server.bench.root(), "/etc/passwd".into(), receiver.sender());
    let error = fetch.wait_timeout(LONG).unwrap_err();
    assert_eq!(error.to_string(), "sender= kwarg context must match requestee context");
}

// ---- going on where one was cut off ----

#[test]
fn a_transfer_that_was_cut_off_goes_on() {
    let bench = Bench::new();
    let (dir, source, bytes) = Dir::with(4 * SIZE);
    let to = dir.path("to");
    for put in [false, true] {
        let child = bench.child("child");
        let process = Watched::new(Worker::stub(&child).pid().wait_timeout(LONG).unwrap());
        let run = |context: &Context, kill_at: u64| {
            let progress = |progress: &mitogen_service::Progress| {
                if progress.done >= kill_at {
                    process.kill();
                }
            };
            if put {
                FileService::put(context, &source, &to).resume(true).progress(progress).run()
            } else {
                FileService::get(context, &source, &to).resume(true).progress(progress).run()
            }
        };
        run(&child, 3 * SIZE as u64).unwrap_err();
        assert_eq!(dir.names(), [".to.mitogen-part", "source"]);
        let part = fs::metadata(dir.path(".to.mitogen-part")).unwrap();
        assert_eq!(part.mode() & 0o777, 0o600);
        let transferred = run(&bench.child("again"), u64::MAX).unwrap();
        assert_eq!(transferred.resumed_at, part.len());
        assert!(part.len() > SIZE as u64, "{}", part.len());
        assert_eq!(transferred.hash, Some(FileHash::of(&bytes)));
        assert!(fs::read(&to).unwrap() == bytes);
        assert_eq!(dir.names(), ["source", "to"]);
        fs::remove_file(&to).unwrap();
    }
}

#[test]
fn what_is_not_the_beginning_of_the_file_is_not_gone_on_from() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, bytes) = Dir::with(SIZE);
    let (to, part) = (dir.path("to"), dir.path(".to.mitogen-part"));
    let mut other = bytes[..SIZE / 2].to_vec();
    other[1000] ^= 1;
    for beginning in [other, noise(SIZE + 1), vec![0; 2 * SIZE]] {
        for put in [false, true] {
            fs::write(&part, &beginning).unwrap();
            let transferred = if put {
                FileService::put(&child, &source, &to).resume(true).verify(false).run().unwrap()
            } else {
                FileService::get(&child, &source, &to).resume(true).run().unwrap()
            };
            assert_eq!(transferred.resumed_at, 0);
            assert!(fs::read(&to).unwrap() == bytes);
            assert_eq!(dir.names(), ["source", "to"]);
        }
    }
    // All of it is there already.
    fs::write(&part, &bytes).unwrap();
    assert_eq!(FileService::get(&child, &source, &to).resume(true).run().unwrap().resumed_at, SIZE as u64);
    // It may be another name of a file that is not to be touched, or a link to one.
    fs::hard_link(&source, &part).unwrap();
    FileService::get(&child, &source, &to).resume(true).run().unwrap_err();
    fs::remove_file(&part).unwrap();
    symlink(&source, &part).unwrap();
    FileService::get(&child, &source, &to).resume(true).run().unwrap_err();
    assert!(fs::read(&source).unwrap() == bytes);
}

#[test]
fn two_transfers_do_not_go_on_from_the_same_beginning() {
    let bench = Bench::new();
    let child = bench.child("child");
    let (dir, source, bytes) = Dir::with(SIZE);
    let to = dir.path("to");
    let mut second = None;
    let first = FileService::get(&child, &source, &to).resume(true).progress(|_| {
        second.get_or_insert_with(|| FileService::get(&child, &source, &to).resume(true).run());
    });
    first.run().unwrap();
    let error = second.unwrap().unwrap_err();
    assert!(error.to_string().contains("is under way"), "{error}");
    assert!(fs::read(&to).unwrap() == bytes);
}

// ---- turns ----

/// Asks for many files at once, and tells in which order they came.
#[derive(Default)]
struct Crowd;

#[service(activate)]
impl Crowd {
    /// The numbers of the files in the order in which their turns came.
    #[expose(policy = AllowParents)]
    fn fetch(&self, from: Context, dir: PathBuf, files: usize, router: &Router) -> Result<Vec<usize>, CallError> {
        let asked = (0..files).map(|number| {
            let receiver = router.receiver::<Blob>();
            let path = dir.join(number.to_string());
            let call = FileService::stub(&from).fetch(path, receiver.sender(), FetchOptions::default());
            (Some(receiver), call)
        });
        let (mut receivers, calls): (Vec<_>, Vec<_>) = asked.unzip();
        std::thread::scope(|scope| {
            let turns = mitogen_service::as_completed(calls).map(|(number, metadata)| {
                let (metadata, receiver) = (metadata?, receivers[number].take().unwrap());
                scope.spawn(move || {
                    let bytes: usize = receiver.iter().map(|blob| blob.len()).filter(|length| *length > 1000).sum();
                    assert_eq!(bytes as u64, metadata.size);
                });
                Ok(number)
            });
            turns.collect()
        })
    }
}

#[test]
fn two_hundred_fetches_of_twenty_children_take_turns() {
    const CHILDREN: usize = 20;
    const FILES: usize = 10;
    let server = Server::new();
    let dir = Dir::new();
    for number in 0..FILES {
        fs::write(dir.path(&number.to_string()), vec![number as u8; 3 * 1024 * 1024]).unwrap();
    }
    server.files.register_prefix(dir.0.path().to_owned()).unwrap();
    let children: Vec<_> = (0..CHILDREN).map(|number| server.bench.child(&number.to_string())).collect();
    let began = std::time::Instant::now();
    let calls: Vec<_> = children
        .iter()
        .map(|child| Crowd::stub(child).fetch(server.bench.root(), dir.0.path().to_owned(), FILES))
        .collect();
    let mut ends = Vec::new();
    for (_, order) in mitogen_service::as_completed(calls) {
        // In arrival order within one child.
        assert_eq!(order.unwrap(), (0..FILES).collect::<Vec<_>>());
        ends.push(began.elapsed());
    }
    println!(
        "the first of {CHILDREN} children had its {FILES} files after {:?}, the last after {:?}",
        ends[0],
        ends[CHILDREN - 1]
    );
    // Had they been served one after the other, the first would have waited for a twentieth of the time.
    assert!(ends[0] * 3 > ends[CHILDREN - 1], "{ends:?}");
    assert_eq!(server.files.transfers(), 0);
}

// ---- memory ----

/// How much memory a process holds, and the most that it has held, in KiB.
fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Fetches a large file from a child of a child in a process that does nothing else, so that its peak is its own.
#[test]
fn four_gibibytes_take_little_memory_at_both_ends() {
    const ALONE: &str = "MITOGEN_SERVICE_TEST_FOUR_GIB";
    const NAME: &str = "files::four_gibibytes_take_little_memory_at_both_ends";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").stdin(std::process::Stdio::null());
        let output = alone.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        println!("{text}");
        return;
    }
    let bench = Bench::new();
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    let dir = Dir::new();
    let source = dir.path("sparse");
    fs::File::create(&source).unwrap().set_len(4 << 30).unwrap();
    // Whatever is made once.
    FileService::get(&far, "/etc/passwd", &mut io::sink()).verify(false).run().unwrap();
    let pids = [std::process::id(), Worker::stub(&hop).pid().wait().unwrap(), Worker::stub(&far).pid().wait().unwrap()];
    let idle = pids.map(|pid| memory(pid).0);
    let transferred = FileService::get(&far, &source, &mut io::sink()).verify(false).run().unwrap();
    assert_eq!(transferred.metadata.size, 4 << 30);
    for ((pid, idle), who) in pids.into_iter().zip(idle).zip(["root", "hop", "source"]) {
        let peak = memory(pid).1;
        println!("{who}: {idle} KiB idle, {peak} KiB at most");
        assert!(peak < idle + 32 * 1024, "{who}: {idle} KiB idle, {peak} KiB at most");
    }
}

// ---- a full disk ----

/// Runs a test in a copy of this process that has a small file system of its own, if that can be had, which is the
/// place for temporary files if `is_for_temporary`.
pub(crate) fn with_a_small_disk(test: &str, is_for_temporary: bool, body: impl Fn(&Path)) {
    const DISK: &str = "MITOGEN_SERVICE_TEST_DISK";
    if let Some(disk) = std::env::var_os(DISK) {
        return body(Path::new(&disk));
    }
    let dir = Dir::new();
    let script = "mount -t tmpfs -o size=2m tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let mut copy = std::process::Command::new("unshare");
    copy.args(["-m", "sh", "-c", script, "sh"]).arg(dir.0.path()).arg(std::env::current_exe().unwrap());
    copy.args(["--exact", test, "--nocapture"]).env(DISK, dir.0.path()).stdin(std::process::Stdio::null());
    if is_for_temporary {
        copy.env("TMPDIR", dir.0.path());
    }
    let output = copy.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || text.contains("unshare failed") {
        return eprintln!("skipped: nothing can be mounted here");
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_disk_that_is_full_leaves_the_old_file_and_nothing_else() {
    with_a_small_disk("files::a_disk_that_is_full_leaves_the_old_file_and_nothing_else", false, |disk| {
        let bench = Bench::new();
        let child = bench.child("child");
        let (_dir, source, _) = Dir::with(SIZE);
        let to = disk.join("to");
        fs::write(&to, "old").unwrap();
        for put in [false, true] {
            let result = if put {
                FileService::put(&child, &source, &to).run()
            } else {
                FileService::get(&child, &source, &to).run()
            };
            let error = result.unwrap_err();
            assert_eq!(error.io_kind(), Some(io::ErrorKind::StorageFull), "{error:?}");
            assert_eq!(fs::read(&to).unwrap(), b"old");
            assert_eq!(fs::read_dir(disk).unwrap().count(), 1);
        }
        // The same service goes on.
        FileService::get(&child, &source, &mut io::sink()).run().unwrap();
        FileService::put(&child, "/etc/passwd", &to).run().unwrap();
    });
}

// ---- a writer that is slow, and one that fails ----

#[test]
fn a_writer_that_fails_ends_the_transfer_with_its_error() {
    struct Broken(usize);
    impl io::Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("enough"))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let child = bench.child("child");
    let (_dir, source, bytes) = Dir::with(4 * SIZE);
    for writes in [0, 1, 5] {
        let error = FileService::get(&child, &source, &mut Broken(writes)).run().unwrap_err();
        assert!(matches!(&error, FileError::Io { what, .. } if what == "enough"), "{error:?}");
    }
    let mut got = Vec::new();
    FileService::get(&child, &source, &mut got).run().unwrap();
    assert!(got == bytes);
}

#[test]
fn a_writer_that_waits_holds_back_what_is_sent_and_nobody_else() {
    /// Lets another transfer come to its end before it takes anything more.
    struct Slow<'a>(&'a Context, &'a Path, usize);
    impl io::Write for Slow<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.2 == 0 {
                let mut other = Vec::new();
                FileService::get(self.0, self.1, &mut other).run().map_err(io::Error::other)?;
                assert_eq!(other.len(), 4 * SIZE);
            }
            self.2 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new();
    let child = bench.child("child");
    let (_dir, source, _) = Dir::with(4 * SIZE);
    let mut slow = Slow(&child, &source, 0);
    FileService::get(&child, &source, &mut slow).run().unwrap();
    assert_eq!(slow.2, 4 * SIZE);
}

// ---- directories ----

/// Everything in a directory: its names, kinds, modes and contents.
fn contents_of(top: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut pending = vec![top.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let what = if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".to_owned()
        } else if metadata.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else {
            FileHash::of(&fs::read(&path).unwrap()).to_string()
        };
        let mode = if metadata.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
        all.push(format!("{name} {mode:o} {what}"));
    }
    all.sort();
    all
}

#[test]
fn directories_come_with_all_that_is_in_them() {
    let bench = Bench::new();
    let child = bench.child("child");
    let grandchild = below(&child, "grandchild");
    let dir = Dir::new();
    let top = dir.path("top");
    fs::create_dir_all(top.join("a/b/c")).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    for number in 0..40 {
        fs::write(top.join(format!("a/{number}")), noise(number * 1000)).unwrap();
    }
    fs::write(top.join("a/b/large"), noise(SIZE)).unwrap();
    fs::write(top.join("a/b/c/x"), "x").unwrap();
    symlink("/etc/shadow", top.join("a/link")).unwrap();
    symlink("a", top.join("to-a")).unwrap();
    let fifo = top.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    fs::set_permissions(top.join("a/b/large"), fs::Permissions::from_mode(0o640)).unwrap();
    // Nothing could be put into it, had it its mode from the first.
    fs::set_permissions(top.join("a/b/c"), fs::Permissions::from_mode(0o555)).unwrap();
    for (number, context) in [&child, &grandchild].into_iter().enumerate() {
        let to = dir.path(&format!("to{number}"));
        let mut told = Vec::new();
        let get = FileService::get_dir(context, &top, &to).mode(true).times(true).fsync(number == 1);
        let transferred = get.progress(|transferred| told.push(transferred.files)).run().unwrap();
        assert_eq!((transferred.files, transferred.directories, transferred.links), (42, 5, 2));
        assert_eq!(transferred.left_out, 1);
        assert_eq!(told, (1..=42).collect::<Vec<_>>());
        let mut expected = contents_of_without_fifo(&top, &fifo);
        expected.sort();
        assert_eq!(contents_of(&to), expected);
        let time = |top: &Path| fs::metadata(top.join("a/b")).unwrap().modified().unwrap();
        assert_eq!(time(&to), time(&top));
        // What is there is not touched.
        let error = FileService::get_dir(context, &top, &to).run().unwrap_err();
        assert_eq!(error.io_kind(), Some(io::ErrorKind::AlreadyExists));
    }
    assert_eq!(dir.names(), ["to0", "to1", "top"]);
}

/// A FIFO cannot be read here without waiting.
fn contents_of_without_fifo(top: &Path, fifo: &Path) -> Vec<String> {
    fs::remove_file(fifo).unwrap();
    let contents = contents_of(top);
    rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    contents
}

#[test]
fn a_directory_that_is_cut_off_is_not_there() {
    let bench = Bench::new();
    let dir = Dir::new();
    let top = dir.path("top");
    fs::create_dir(&top).unwrap();
    for number in 0..30 {
        fs::write(top.join(number.to_string()), noise(100_000)).unwrap();
    }
    for at in [1, 2, 15, 29] {
        let child = bench.child("child");
        let process = Watched::new(Worker::stub(&child).pid().wait_timeout(LONG).unwrap());
        let get = FileService::get_dir(&child, &top, dir.path("to"));
        let error = get.progress(|transferred| {
            if transferred.files == at {
                process.kill();
            }
        });
        // What had come already when it was killed may have been all.
        match error.run() {
            Err(error) => {
                assert!(
                    matches!(error, FileError::Call(CallError::Dead { .. }) | FileError::Interrupted { .. }),
                    "{error}"
                );
                assert_eq!(dir.names(), ["top"]);
            }
            Ok(transferred) => {
                assert!(transferred.files == 30 && at > 15, "{transferred:?}");
                fs::remove_dir_all(dir.path("to")).unwrap();
            }
        }
    }
    let child = bench.child("child");
    for missing in [dir.path("missing"), top.join("1")] {
        FileService::get_dir(&child, missing, dir.path("to")).run().unwrap_err();
    }
    assert_eq!(dir.names(), ["top"]);
}

/// A context that says what it likes of its directories.
struct Liar(Vec<(&'static [u8], ListedKind)>);

#[service(name = "mitogen.service.FileService")]
impl Liar {
    #[expose(policy = AllowParents)]
    fn list(&self, path: PathBuf, entries: Sender<Vec<Listed>>) -> Result<(), CallError> {
        drop(path);
        let listed = self.0.iter().map(|(path, kind)| Listed { path: (*path).into(), kind: kind.clone() });
        entries.send(listed.collect())?;
        entries.close();
        Ok(())
    }
}

#[test]
fn a_context_that_lies_about_its_directories_writes_nowhere_else() {
    let dir = Dir::new();
    let outside = dir.path("outside");
    fs::create_dir(&outside).unwrap();
    let link = || ListedKind::Link(outside.to_str().unwrap().into());
    let lies: [Vec<(&'static [u8], ListedKind)>; 8] = [
        vec![(b"../x", link())],
        vec![(b"a/../../x", link())],
        vec![(b"/tmp/mitogen-service-x", link())],
        vec![(b"..", link())],
        vec![(b"", link())],
        vec![(b"l", link()), (b"l/x", link())],
        vec![(b"nul\0", link())],
        vec![(b"not-there/x", link())],
    ];
    for lie in lies {
        let (parent, child) = mitogen_service::testing::pair();
        let pool = mitogen_service::Pool::builder(&child).service(Liar(lie)).start().unwrap();
        let error = FileService::get_dir(&parent.children()[0], "/whatever", dir.path("to")).run().unwrap_err();
        assert!(matches!(error, FileError::Malformed { .. } | FileError::Io { .. }), "{error:?}");
        assert_eq!(dir.names(), ["outside"]);
        assert!(fs::read_dir(&outside).unwrap().next().is_none());
        pool.close(LONG);
    }
}

// ---- whoever does not keep to the protocol ----

/// A context that answers a fetch with whatever it likes.
struct Forger {
    metadata: FileMetadata,
    messages: Vec<Blob>,
}

#[service(name = "mitogen.service.FileService")]
impl Forger {
    #[expose(policy = AllowParents)]
    fn fetch(&self, path: PathBuf, sender: Sender<Blob>, options: FetchOptions) -> Result<FileMetadata, CallError> {
        drop((path, options));
        self.messages.iter().try_for_each(|message| sender.send(message.clone()))?;
        sender.close();
        Ok(self.metadata.clone())
    }
}

#[derive(serde::Serialize)]
struct Start {
    offset: u64,
}

#[derive(serde::Serialize)]
struct Trailer {
    error: Option<FileError>,
    has_grown: bool,
    hash: Option<FileHash>,
}

#[test]
fn a_context_that_does_not_keep_to_the_protocol_is_not_believed() {
    let start = |offset| Blob::from(rmp_serde::to_vec_named(&Start { offset }).unwrap());
    let end = |hash| Blob::from(rmp_serde::to_vec_named(&Trailer { error: None, has_grown: false, hash }).unwrap());
    let failed = || {
        let error = Some(FileError::Changed { path: "/x".into() });
        Blob::from(rmp_serde::to_vec_named(&Trailer { error, has_grown: false, hash: None }).unwrap())
    };
    let (bytes, nothing) = (|| Blob::from("0123456789"), Blob::default);
    let right = Some(FileHash::of(b"0123456789"));
    let wrong = Some(FileHash::of(b"9876543210"));
    // The messages, and how the error begins; none for the one that is right.
    let scripts: [(Vec<Blob>, Option<&str>); 16] = [
        (vec![start(0), bytes(), nothing(), end(right)], None),
        (vec![start(0), "01234".into(), "56789".into(), nothing(), end(right)], None),
        (vec![], Some("Interrupted")),
        (vec![start(0)], Some("Interrupted")),
        (vec![start(0), bytes()], Some("Interrupted")),
        (vec![start(0), bytes(), nothing()], Some("Interrupted")),
        (vec![bytes(), nothing(), end(right)], Some("Malformed")),
        (vec![start(5), "56789".into(), nothing(), end(right)], Some("Malformed")),
        // As many as are known, and more than there are.
        (vec![start(100), nothing(), end(right)], Some("Malformed")),
        (vec![start(0), bytes(), "x".into(), nothing(), end(right)], Some("Malformed")),
        (vec![start(0), nothing(), end(Some(FileHash::of(b"")))], Some("Malformed")),
        (vec![start(0), bytes(), nothing(), "noise".into()], Some("Malformed")),
        (vec![start(0), bytes(), nothing(), nothing()], Some("Malformed")),
        (vec![start(0), bytes(), nothing(), end(None)], Some("Malformed")),
        (vec![start(0), bytes(), nothing(), end(wrong)], Some("Damaged")),
        (vec![start(0), bytes(), nothing(), failed()], Some("Changed")),
    ];
    let dir = Dir::new();
    fs::write(dir.path("ten"), "0123456789").unwrap();
    let bench = Bench::new();
    let metadata = FileService::get(&bench.child("honest"), dir.path("ten"), &mut io::sink()).run().unwrap().metadata;
    for (messages, error) in scripts {
        let (parent, child) = mitogen_service::testing::pair();
        let forger = Forger { metadata: metadata.clone(), messages: messages.clone() };
        let pool = mitogen_service::Pool::builder(&child).service(forger).start().unwrap();
        let to = dir.path("to");
        // A beginning is there, of which it may say what it likes.
        fs::write(dir.path(".to.mitogen-part"), [0; 100]).unwrap();
        let got = FileService::get(&parent.children()[0], "/x", &to).resume(true).run();
        match error {
            None => {
                assert_eq!(got.unwrap().hash, right);
                assert_eq!(fs::read(&to).unwrap(), b"0123456789");
                fs::remove_file(&to).unwrap();
            }
            Some(kind) => {
                let got = format!("{:?}", got.unwrap_err());
                assert!(got.starts_with(kind), "{got}");
                assert!(!to.exists());
            }
        }
        pool.close(LONG);
    }
}
