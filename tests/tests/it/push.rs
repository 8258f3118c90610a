//! Files pushed down the tree: once over each link, to each context with its own result, whoever ends.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mitogen_service::{
    AllowParents, Blob, CallError, Context, ContextId, FileError, FileHash, FileMetadata, Paths, PushAnswer,
    PushFileService, PushOffer, Router, Sender, service,
};
use mitogen_service_tests::{LONG, Watched, within};
use tempfile::TempDir;

use crate::bench::{Bench, Worker};
use crate::push_file_service_test::{Getter, get};

const MIB: usize = 1024 * 1024;

/// The largest file that goes in one message.
const SMALL: usize = 64 * 1024;

type Results = Vec<(Context, Result<(), FileError>)>;

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A new file of this size, in which no two parts are alike.
    fn file(&self, name: &str, size: usize) -> PathBuf {
        let path = self.0.path().join(name);
        let seed = name.bytes().fold(17_u64, |seed, byte| seed * 31 + u64::from(byte));
        let numbers = (0..).map(|at: u64| (at + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23));
        let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).take(size).collect();
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn below(context: &Context, name: &str) -> Context {
    Worker::stub(context).start_child(name.to_owned()).wait_timeout(LONG).unwrap()
}

fn process(context: &Context) -> Watched {
    Watched::new(Worker::stub(context).pid().wait_timeout(LONG).unwrap())
}

/// Pushes a file, and fails the test if that hangs.
fn push(router: &Router, path: &Path, to: &[Context]) -> Results {
    let (router, path, to) = (router.clone(), path.to_owned(), to.to_vec());
    within(3 * LONG, move || PushFileService::push(&router, [path]).to(&to).timeout(3 * LONG).run())
}

fn push_to_all(router: &Router, path: &Path, to: &[Context]) {
    for (context, result) in push(router, path, to) {
        assert_eq!(result, Ok(()), "{context}");
    }
}

fn assert_has(context: &Context, path: &Path) {
    let hash = Getter::stub(context).hash(path.to_owned()).wait_timeout(LONG).unwrap();
    assert_eq!(hash, Some(FileHash::of(&fs::read(path).unwrap())), "{context}: {}", path.display());
}

fn is_dead(result: &Result<(), FileError>) -> bool {
    matches!(result, Err(FileError::Call(CallError::Dead { .. })))
}

// ---- what arrives ----

#[test]
fn files_of_all_sizes_arrive_in_contexts_near_and_far() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let all = [below(&hop, "one"), below(&hop, "two"), hop.clone(), bench.root(), bench.child("other")];
    for size in [0, 1, SMALL, SMALL + 1, 5 * MIB + 321] {
        let path = dir.file(&size.to_string(), size);
        push_to_all(&bench.router, &path, &all);
        let far: Vec<_> = all.iter().filter(|context| **context != bench.root()).collect();
        far.into_iter().for_each(|context| assert_has(context, &path));
        let own = PushFileService::find(&bench.router, &path).unwrap();
        assert_eq!(own.hash(), FileHash::of(&fs::read(&path).unwrap()));
    }
}

#[test]
fn all_below_get_many_files_and_each_is_told_of_once() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    let paths: Vec<_> = (0..200).map(|number| dir.file(&number.to_string(), 1 + number * 1000)).collect();
    let mut told = Vec::new();
    let results = PushFileService::push(&bench.router, &paths)
        .to([&far, &far])
        .to_all_below()
        .progress(|arrival| {
            assert_eq!((arrival.error, arrival.total), (None, 400));
            told.push((arrival.done, arrival.context.id(), arrival.path.to_owned()));
        })
        .timeout(3 * LONG)
        .run();
    let names: Vec<_> = results.iter().map(|(context, result)| (context.clone(), result.is_ok())).collect();
    assert_eq!(names, [(far.clone(), true), (hop.clone(), true)]);
    assert!(told.iter().map(|(done, ..)| *done).eq(1..=400));
    told.sort_by(|one, other| one.2.cmp(&other.2).then(one.1.cmp(&other.1)));
    told.dedup_by(|one, other| (one.1, &one.2) == (other.1, &other.2));
    assert_eq!(told.len(), 400);
    for path in paths.iter().step_by(37) {
        assert_has(&hop, path);
        assert_has(&far, path);
    }
}

#[test]
fn mode_and_times_are_kept_and_a_file_can_be_made_of_it() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let child = bench.child("child");
    for size in [10, SMALL + 10] {
        let path = dir.file("source", size);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        fs::File::open(&path).unwrap().set_modified(then).unwrap();
        push_to_all(&bench.router, &path, std::slice::from_ref(&child));
        let (metadata, bytes) = get(&child, &path).unwrap();
        assert_eq!((metadata.size, metadata.mode & 0o7777, metadata.mtime), (size as u64, 0o4751, then));
        assert_eq!(bytes, fs::read(&path).unwrap());
        let to = dir.0.path().join("to");
        Getter::stub(&child).save(path.clone(), to.clone()).wait_timeout(LONG).unwrap();
        let saved = fs::metadata(&to).unwrap();
        assert_eq!((saved.mode() & 0o7777, saved.modified().unwrap()), (0o751, then), "not to run as another owner");
        assert!(bytes == fs::read(&to).unwrap());
    }
}

#[test]
fn files_larger_than_a_message_arrive() {
    let bench = Bench::with(Router::builder().max_message_size(4096).build().unwrap());
    let dir = Dir::new();
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    for size in [100, 1024, 1025, 5000, SMALL, MIB] {
        let path = dir.file(&size.to_string(), size);
        push_to_all(&bench.router, &path, &[far.clone(), hop.clone()]);
        let pushed = PushFileService::find(&bench.router, &path);
        assert!(pushed.is_none(), "it was pushed through here, and not here");
        // The file itself is too large for an answer.
        assert_has(&far, &path);
        assert_has(&hop, &path);
    }
}

// ---- once over each link ----

/// How much contexts read and wrote meanwhile.
fn io_of<const N: usize>(contexts: [&Context; N], body: impl FnOnce()) -> [(u64, u64); N] {
    let io = |context: &Context| Getter::stub(context).io().wait_timeout(LONG).unwrap();
    let before = contexts.map(io);
    body();
    let after = contexts.map(io);
    std::array::from_fn(|at| (after[at].0 - before[at].0, after[at].1 - before[at].1))
}

#[test]
fn each_link_is_crossed_once_for_each_version_of_a_file() {
    const SIZE: usize = 8 * MIB;
    /// Messages beside the file.
    const MORE: u64 = MIB as u64;
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let far = [below(&hop, "one"), below(&hop, "two"), below(&hop, "three")];
    let path = dir.file("large", SIZE);
    let size = SIZE as u64;
    let all = [&far[..], std::slice::from_ref(&hop)].concat();
    let push = || push_to_all(&bench.router, &path, &all);
    let crossed = |io: [(u64, u64); 2], once: bool| {
        let [(hop_read, hop_wrote), (far_read, far_wrote)] = io;
        let times = u64::from(once);
        assert!((times * size..times * size + MORE).contains(&far_wrote), "its own copy: {io:?}");
        assert!(far_read < times * size + MORE, "{io:?}");
        // It writes its copy and to each of three; it reads what comes, and its copy for each of them.
        assert!((times * 4 * size..times * 4 * size + MORE).contains(&hop_wrote), "{io:?}");
        assert!(hop_read < times * 4 * size + MORE, "{io:?}");
    };
    crossed(io_of([&hop, &far[0]], push), true);
    crossed(io_of([&hop, &far[0]], push), false);
    // The same under another time is the same.
    fs::File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    crossed(io_of([&hop, &far[0]], push), false);
    assert_eq!(get_metadata(&far[0], &path).mtime, SystemTime::UNIX_EPOCH);
    // Another one with the same size and time is another one.
    let mut bytes = fs::read(&path).unwrap();
    bytes[SIZE / 2] ^= 1;
    fs::write(&path, &bytes).unwrap();
    fs::File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    crossed(io_of([&hop, &far[0]], push), true);
    all.iter().for_each(|context| assert_has(context, &path));
}

fn get_metadata(at: &Context, path: &Path) -> FileMetadata {
    get(at, path).unwrap().0
}

#[test]
fn a_context_that_comes_later_gets_what_its_hop_has() {
    const SIZE: usize = 8 * MIB;
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let path = dir.file("large", SIZE);
    push_to_all(&bench.router, &path, &[below(&hop, "first")]);
    let later = below(&hop, "later");
    let [(read, wrote)] = io_of([&hop], || push_to_all(&bench.router, &path, std::slice::from_ref(&later)));
    assert!(wrote >= SIZE as u64, "to the new one");
    assert!(read < (SIZE + MIB) as u64, "its copy, and nothing from above: {read}");
    assert_has(&later, &path);
}

#[test]
fn small_files_cross_a_link_once_too() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    let paths: Vec<_> = (0..50).map(|number| dir.file(&number.to_string(), SMALL)).collect();
    let push = |to: &Context| {
        let results = PushFileService::push(&bench.router, &paths).to([to]).timeout(3 * LONG).run();
        assert_eq!(results[0].1, Ok(()));
    };
    let size = (50 * SMALL) as u64;
    let [(first, _)] = io_of([&hop], || push(&far));
    // Reads of sockets are not all counted.
    assert!(first < size + MIB as u64, "{first}");
    let [(again, wrote)] = io_of([&hop], || {
        push(&far);
        push(&hop);
    });
    assert!(again < size / 4 && wrote < size / 4, "{again} {wrote}");
    assert_has(&hop, &paths[7]);
}

// ---- those that end, and those that are slow ----

#[test]
fn who_ends_while_it_receives_fails_alone() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let (slow, other) = (bench.child("slow"), bench.child("other"));
    // More than are offered at a time.
    let paths: Vec<_> = (0..100).map(|number| dir.file(&number.to_string(), SMALL + number)).collect();
    let path = dir.file("large", 8 * MIB);
    let process = process(&slow);
    process.stop();
    let (mut arrived, all) = (0, paths.iter().chain([&path]));
    let results = PushFileService::push(&bench.router, all)
        .to([&slow, &other])
        .progress(|arrival| {
            arrived += usize::from(*arrival.context == other);
            match arrival.error {
                None if arrived == 101 => process.kill(),
                None => assert_eq!(*arrival.context, other),
                Some(error) => assert!(is_dead(&Err(error.clone())), "{error:?}"),
            }
        })
        .timeout(3 * LONG)
        .run();
    assert!(is_dead(&results[0].1), "{results:?}");
    assert_eq!(results[1].1, Ok(()));
    assert_has(&other, &path);
    // What is known of it went with it.
    push_to_all(&bench.router, &path, &[bench.child("slow")]);
}

#[test]
fn who_is_killed_in_the_middle_of_a_file_fails_alone() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let (far, other) = (below(&hop, "far"), below(&hop, "other"));
    let path = dir.file("large", 48 * MIB);
    let pid = Worker::stub(&far).pid().wait_timeout(LONG).unwrap();
    let process = Watched::new(pid);
    let killer = std::thread::spawn(move || {
        // It has written some of its copy.
        let wrote = || -> Option<u64> {
            let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
            io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()
        };
        while wrote().is_some_and(|wrote| wrote < 4 * MIB as u64) {
            std::thread::yield_now();
        }
        process.kill();
        wrote()
    });
    let results = push(&bench.router, &path, &[far, other.clone()]);
    let wrote = killer.join().unwrap();
    assert!(is_dead(&results[0].1), "{wrote:?} {results:?}");
    assert_eq!(results[1].1, Ok(()));
    assert_has(&other, &path);
    // The hop has it, and goes on.
    push_to_all(&bench.router, &path, &[below(&hop, "far")]);
}

#[test]
fn a_full_disk_fails_where_it_is() {
    let name = "push::a_full_disk_fails_where_it_is";
    crate::files::disk::with_a_small_disk(name, true, |_| {
        let bench = Bench::new();
        let dir = Dir(tempfile::tempdir_in("/var/tmp").unwrap());
        let child = bench.child("child");
        // All have the same 2 MiB: the copy of the root fits, and no other.
        let path = dir.file("large", MIB + MIB / 2);
        let results = push(&bench.router, &path, &[child.clone(), bench.root()]);
        let error = results[0].1.as_ref().unwrap_err();
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::StorageFull), "{error:?}");
        assert_eq!(results[1].1, Ok(()));
        // Nor can this one be read, and the services go on.
        let more = push(&bench.router, &dir.file("more", MIB), std::slice::from_ref(&child));
        assert_eq!(more[0].1.as_ref().unwrap_err().io_kind(), Some(std::io::ErrorKind::StorageFull));
        push_to_all(&bench.router, &dir.file("small", SMALL), &[child]);
    });
}

#[test]
fn those_behind_a_hop_that_ends_fail_and_nobody_else() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let (hop, other) = (bench.child("hop"), bench.child("other"));
    let far = [below(&hop, "one"), below(&hop, "two")];
    let path = dir.file("large", 8 * MIB);
    // One of both cannot take it, so the hop has not done its work.
    let stopped = process(&far[0]);
    stopped.stop();
    let process = process(&hop);
    let mut arrived = 0;
    let results = PushFileService::push(&bench.router, [&path])
        .to(&far)
        .to([&other])
        .progress(|arrival| {
            arrived += usize::from(arrival.error.is_none());
            if arrived == 2 {
                process.kill();
            }
        })
        .timeout(3 * LONG)
        .run();
    assert!(is_dead(&results[0].1), "{results:?}");
    assert_eq!((&results[1].1, &results[2].1), (&Ok(()), &Ok(())));
    stopped.kill();
}

#[test]
fn who_is_slow_holds_up_nobody_else() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let (slow, other) = (bench.child("slow"), bench.child("other"));
    let paths: Vec<_> = (0..20).map(|number| dir.file(&number.to_string(), MIB)).collect();
    let process = process(&slow);
    process.stop();
    let mut arrived = 0;
    let results = PushFileService::push(&bench.router, &paths)
        .to([&slow, &other])
        .progress(|arrival| {
            arrived += 1;
            assert_eq!(*arrival.context == other, arrived <= 20, "{arrival:?}");
            if arrived == 20 {
                process.signal(rustix::process::Signal::CONT);
            }
        })
        .timeout(3 * LONG)
        .run();
    assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
    assert_has(&slow, &paths[19]);
}

#[test]
fn who_is_slow_is_waited_for_as_long_as_is_said() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let slow = bench.child("slow");
    let path = dir.file("file", 8 * MIB);
    let process = process(&slow);
    process.stop();
    let results = PushFileService::push(&bench.router, [&path]).to([&slow]).timeout(Duration::from_millis(200)).run();
    assert!(matches!(results[0].1, Err(FileError::Call(CallError::DeadlineExceeded { .. }))), "{results:?}");
    // What is on its way goes on.
    process.signal(rustix::process::Signal::CONT);
    assert!(get(&slow, &path).unwrap().1 == fs::read(&path).unwrap());
}

#[test]
fn a_path_need_not_be_a_text() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    let odd = [&b"\xff\xfe"[..], b"\n\xc3"].map(|name| dir.0.path().join(std::ffi::OsStr::from_bytes(name)));
    odd.iter().for_each(|path| fs::write(path, path.as_os_str().as_bytes()).unwrap());
    PushFileService::stub(&hop).propagate_paths(far.clone(), Paths::from(&odd[..])).wait_timeout(LONG).unwrap();
    odd.iter().for_each(|path| assert_has(&far, path));
    bench.pool.add(PushFileService::new()).unwrap();
    let root = PushFileService::stub(&bench.root());
    root.propagate_to(hop.clone(), odd[0].clone()).wait_timeout(LONG).unwrap();
    push_to_all(&bench.router, &odd[1], std::slice::from_ref(&hop));
    odd.iter().for_each(|path| assert_has(&hop, path));
    assert!(PushFileService::stub(&far).forget(odd[0].clone()).wait_timeout(LONG).unwrap());
    let missing = dir.0.path().join(std::ffi::OsStr::from_bytes(b"\xfe"));
    let error = FileError::from(root.propagate_paths(far, [&missing].into()).wait_timeout(LONG).unwrap_err());
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
    assert!(matches!(error, FileError::Io { path, .. } if path == missing));
}

#[test]
fn those_that_cannot_be_reached_are_told_apart() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let (gone, child) = (bench.child("gone"), bench.child("child"));
    let path = dir.file("file", 10);
    gone.shutdown(LONG).unwrap();
    let nobody = bench.router.context_by_id(ContextId::new(4321));
    let results = push(&bench.router, &path, &[gone, nobody, child.clone()]);
    let texts: Vec<_> = results.iter().map(|(_, result)| format!("{result:?}")).collect();
    assert!(is_dead(&results[0].1), "{texts:?}");
    assert!(is_dead(&results[1].1) && texts[1].contains("no route to 4321, my ID is 0"), "{texts:?}");
    assert_eq!(results[2].1, Ok(()));
    // Not upward, and not to siblings.
    for to in [bench.root(), bench.child("sibling")] {
        let pushed = Getter::stub(&child).push(vec![to], path.clone()).wait_timeout(LONG);
        assert!(pushed.unwrap_err().to_string().contains("no route to"));
    }
    let missing = push(&bench.router, Path::new("/not/there"), &[child]);
    assert_eq!(missing[0].1.as_ref().unwrap_err().io_kind(), Some(std::io::ErrorKind::NotFound));
}

// ---- waiting for a file ----

#[test]
fn who_waits_is_woken_by_the_file_and_by_the_time() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let child = bench.child("child");
    let path = dir.file("file", MIB);
    let waiting = Getter::stub(&child).get(path.clone(), LONG.as_millis() as u64);
    push_to_all(&bench.router, &path, std::slice::from_ref(&child));
    assert!(waiting.wait_timeout(LONG).unwrap().1 == fs::read(&path).unwrap());
    let late = Getter::stub(&child).get("never".into(), 20).wait_timeout(LONG).unwrap_err();
    assert!(matches!(FileError::from(late), FileError::Call(CallError::DeadlineExceeded { .. })));
    assert!(PushFileService::stub(&child).forget(path.clone()).wait_timeout(LONG).unwrap());
    assert!(!PushFileService::stub(&child).forget(path.clone()).wait_timeout(LONG).unwrap());
    assert_eq!(Getter::stub(&child).hash(path).wait_timeout(LONG).unwrap(), None);
}

#[test]
fn who_waits_is_woken_by_the_end_of_the_parent() {
    let (root, child) = mitogen_service::testing::pair();
    let own = child.clone();
    let waiting = std::thread::spawn(move || PushFileService::get(&own, "never", 3 * LONG));
    // Whether it waits already makes no difference.
    root.shutdown(Duration::ZERO);
    let ended = within(LONG, move || waiting.join().unwrap().unwrap_err());
    let is_end = matches!(ended, FileError::Call(CallError::Dead { .. } | CallError::Stopped { .. }));
    assert!(is_end, "{ended:?}");
    drop(child);
}

/// Offers a child a file by hand, and sends `bytes` when it asks.
fn offer(bench: &Bench, child: &Context, offered: (&Path, &FileMetadata, FileHash), bytes: &[&[u8]]) -> FileError {
    let (path, metadata, hash) = offered;
    let answers = bench.router.receiver::<PushAnswer>().from(child);
    let offer = PushOffer { metadata: metadata.clone(), hash, contexts: vec![child.id()], answers: answers.sender() };
    PushFileService::stub(child).forward(path.to_owned(), offer).wait_timeout(LONG).unwrap();
    let PushAnswer::Wanted { data } = answers.recv_timeout(LONG).unwrap() else { panic!("it has the file") };
    for bytes in bytes {
        data.send(Blob::from(*bytes)).unwrap();
    }
    data.close();
    match answers.recv_timeout(LONG).unwrap() {
        PushAnswer::Outcome { context, error } if context == child.id() => error.expect("it was not the file"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_waits_is_woken_by_the_failure_of_the_file_and_nothing_of_it_is_kept() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let child = bench.child("child");
    let path = dir.file("file", 9);
    push_to_all(&bench.router, &path, std::slice::from_ref(&child));
    let metadata = get_metadata(&child, &path);
    let hash = FileHash::of(b"something");
    let other = Path::new("other");
    type Case<'a> = (&'a [&'a [u8]], fn(&FileError) -> bool);
    let offers: [Case<'_>; 5] = [
        (&[b"somewhere"], |error| matches!(error, FileError::Damaged { .. })),
        (&[b"some"], |error| matches!(error, FileError::Interrupted { expected: 9, received: 4, .. })),
        (&[b"some", b"things"], |error| matches!(error, FileError::Malformed { .. })),
        (&[b"some", b"", b"\xc1"], |error| matches!(error, FileError::Malformed { .. })),
        (&[b"some", b"", b"\x81\xa7Invalid\x81\xa4what\xa6so sad"], |error| error.to_string() == "so sad"),
    ];
    for (bytes, is_right) in offers {
        let waiting = Getter::stub(&child).get(other.to_owned(), LONG.as_millis() as u64);
        while !Getter::stub(&child).shown().wait_timeout(LONG).unwrap().contains("1 waiting") {}
        let error = offer(&bench, &child, (other, &metadata, hash), bytes);
        assert!(is_right(&error), "{error:?}");
        assert_eq!(FileError::from(waiting.wait_timeout(LONG).unwrap_err()), error);
        assert_eq!(Getter::stub(&child).hash(other.to_owned()).wait_timeout(LONG).unwrap(), None);
    }
    // The service goes on, and has what it had.
    assert_has(&child, &path);
    push_to_all(&bench.router, &dir.file("more", MIB), &[child]);
}

// ---- bounds ----

/// The most memory that a process has held, in KiB.
fn peak(context: &Context) -> u64 {
    let pid = Worker::stub(context).pid().wait_timeout(LONG).unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_large_file_takes_little_memory() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    push_to_all(&bench.router, &dir.file("warm", MIB), std::slice::from_ref(&far));
    let idle = [peak(&hop), peak(&far)];
    let path = dir.0.path().join("sparse");
    fs::File::create(&path).unwrap().set_len(192 * MIB as u64).unwrap();
    push_to_all(&bench.router, &path, std::slice::from_ref(&far));
    let peaks = [peak(&hop), peak(&far)];
    println!("{idle:?} KiB idle, {peaks:?} KiB at most");
    assert!(peaks[0] < idle[0] + 32 * 1024 && peaks[1] < idle[1] + 32 * 1024, "{idle:?} {peaks:?}");
}

#[test]
fn what_was_pushed_to_a_full_context_is_refused_and_what_goes_through_is_not() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let far = [below(&hop, "one"), below(&hop, "two")];
    // A little more than 16 MiB, half of it for each.
    let paths: Vec<_> = (0..280).map(|number| dir.file(&number.to_string(), SMALL)).collect();
    let (first, second) = paths.split_at(140);
    for (far, paths) in far.iter().zip([first, second]) {
        let results = PushFileService::push(&bench.router, paths).to([far]).timeout(3 * LONG).run();
        assert_eq!(results[0].1, Ok(()));
        assert_has(far, &paths[0]);
        assert_has(far, &paths[139]);
    }
    let results = PushFileService::push(&bench.router, second).to([&far[0]]).timeout(3 * LONG).run();
    assert!(matches!(results[0].1, Err(FileError::Call(CallError::Overloaded { .. }))), "{results:?}");
    assert_has(&far[0], &first[0]);
    for path in first {
        assert!(PushFileService::stub(&far[0]).forget(path.clone()).wait_timeout(LONG).unwrap());
    }
    push_to_all(&bench.router, &paths[279], &far[..1]);
}

#[test]
fn more_than_a_context_keeps_goes_through_it_at_the_pace_of_its_targets() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let hop = bench.child("hop");
    let far = [below(&hop, "one"), below(&hop, "two")];
    // More large files than one context keeps: 256.
    let paths: Vec<_> = (0..300).map(|number| dir.file(&number.to_string(), SMALL + 1)).collect();
    let (first, second) = paths.split_at(150);
    let push = |paths: &[PathBuf], far: &Context| {
        let (router, paths, far) = (bench.router.clone(), paths.to_vec(), far.clone());
        std::thread::spawn(move || PushFileService::push(&router, paths).to([&far]).timeout(3 * LONG).run())
    };
    let threads = [push(first, &far[0]), push(second, &far[1])];
    let results = within(3 * LONG, || threads.map(|thread| thread.join().unwrap()).concat());
    assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
}

// ---- those that are not to be trusted ----

#[test]
fn only_parents_push() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let (evil, sibling) = (bench.child("evil"), bench.child("sibling"));
    let below = below(&evil, "below");
    let path = dir.file("file", 10);
    // A root does not make the service because a child asks.
    let up = || Getter::stub(&evil).propagate(bench.root(), sibling.clone(), path.clone()).wait_timeout(LONG);
    assert!(matches!(up(), Err(CallError::NotActivated { .. })));
    bench.pool.add(PushFileService::new()).unwrap();
    assert!(matches!(up(), Err(CallError::Unauthorized { .. })));
    push_to_all(&bench.router, &path, &[sibling.clone(), below.clone()]);
    let metadata = get_metadata(&sibling, &path);
    for at in [&sibling, &bench.root()] {
        let foisted = Getter::stub(&evil).foist(at.clone(), path.clone(), metadata.clone()).wait_timeout(LONG);
        assert!(matches!(foisted, Err(CallError::Unauthorized { .. })), "{foisted:?}");
    }
    assert_has(&sibling, &path);
    // It is a parent of what is below it, but says what does not fit.
    let foisted = Getter::stub(&evil).foist(below.clone(), path.clone(), metadata).wait_timeout(LONG);
    assert!(matches!(FileError::from(foisted.unwrap_err()), FileError::Damaged { .. }));
    assert_has(&below, &path);
}

/// Takes the place of the service in a context, and does not do as it should.
pub(crate) struct Impostor(pub(crate) Sender<Blob>);

#[service(name = "mitogen.service.PushFileService")]
impl Impostor {
    #[expose(policy = AllowParents)]
    fn forward(&self, path: PathBuf, offer: PushOffer, router: &Router) -> Result<(), CallError> {
        let PushOffer { contexts, answers, .. } = offer;
        // Of contexts that it was not asked about.
        for id in 0..10 {
            let context = ContextId::new(id);
            if !contexts.contains(&context) {
                answers.send(PushAnswer::Outcome { context, error: None })?;
            }
        }
        match path.file_name().and_then(|name| name.to_str()) {
            // It shall go to somebody else.
            Some("elsewhere") => answers.send(PushAnswer::Wanted { data: self.0.clone() })?,
            // It is asked for, and not taken.
            Some("closed") => {
                answers.send(PushAnswer::Wanted { data: router.receiver().sender() })?;
            }
            // Nothing is said.
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn a_context_that_deceives_harms_only_itself() {
    let (bench, dir) = (Bench::new(), Dir::new());
    let (evil, other) = (bench.child("evil"), bench.child("other"));
    let spied = bench.router.receiver::<Blob>();
    Getter::stub(&evil).deceive(spied.sender()).wait_timeout(LONG).unwrap();
    for name in ["elsewhere", "closed", "nothing"] {
        let path = dir.file(name, SMALL + 1);
        let results = push(&bench.router, &path, &[evil.clone(), other.clone()]);
        assert!(results[0].1.is_err(), "{name}: {results:?}");
        assert_eq!(results[1].1, Ok(()), "{name}");
        assert_has(&other, &path);
    }
    assert!(spied.is_empty());
}
