//! A fault at every message of a transfer: what was to be written is absent or whole, whoever waits learns why,
//! and nothing is left behind.
//!
//! Each test runs copies of this process. One of them goes through all messages, and at each either kills the context
//! at the other end of the stream or cuts the stream; it then looks for what it holds itself. The others are killed
//! themselves at one message each.

mod relay;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mitogen_service::{AllowParents, CallError, Context, FileError, FileService, PushFileService, Router, service};
use mitogen_service_tests::{Holdings, LONG, within};

use crate::bench::{Bench, Worker};
use relay::{Fault, Relay};

/// Several messages, and more than may be under way.
const SIZE: usize = 5 * 128 * 1024 + 321;

const WINDOW: usize = 256 * 1024;

/// No transfer has as many messages.
const ENOUGH: usize = 1000;

/// One way to bring something somewhere.
struct Transfer {
    /// Of the test.
    name: &'static str,
    /// Brings it from or to a context, so that it is at a path.
    run: fn(&Stage, &Context, &Path) -> Result<(), FileError>,
    what: What,
    /// Whether this process writes it, and not the one that may be killed.
    is_written_here: bool,
    /// Whether the other end of the transfer is behind the context that may be killed.
    is_far: bool,
}

/// What is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    File,
    Dir,
}

/// A root with files.
struct Stage {
    bench: Bench,
    files: FileService,
    /// A context to which nothing happens.
    other: Context,
    dir: PathBuf,
}

impl Stage {
    fn new(dir: &Path) -> Self {
        let bench = Bench::with(Router::builder().receiver_window(WINDOW).build().unwrap());
        let files = FileService::new();
        bench.pool.add(files.clone()).unwrap();
        fs::write(dir.join("file"), bytes(SIZE)).unwrap();
        let top = dir.join("dir");
        fs::create_dir_all(top.join("sub")).unwrap();
        for (name, size) in [("empty", 0), ("small", 10), ("sub/large", 300_000), ("sub/one", 1)] {
            fs::write(top.join(name), bytes(size)).unwrap();
        }
        // A process before this one may have made it.
        let _ = symlink("small", top.join("link"));
        files.register_prefix(dir.to_owned()).unwrap();
        let other = bench.child("other");
        Self { bench, files, other, dir: dir.to_owned() }
    }

    fn file(&self) -> PathBuf {
        self.dir.join("file")
    }

    fn top(&self) -> PathBuf {
        self.dir.join("dir")
    }
}

fn bytes(size: usize) -> Vec<u8> {
    (0..)
        .map(|at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23))
        .flat_map(u64::to_le_bytes)
        .take(size)
        .collect()
}

/// Everything beneath a path, with what is in it.
fn contents(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut all, mut pending) = (Vec::new(), vec![path.to_owned()]);
    while let Some(next) = pending.pop() {
        let metadata = next.symlink_metadata().unwrap();
        let what = if metadata.is_symlink() {
            fs::read_link(&next).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_dir() {
            pending.extend(fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()));
            b"directory".to_vec()
        } else {
            fs::read(&next).unwrap()
        };
        all.push((next.strip_prefix(path).unwrap().to_owned(), what));
    }
    all.sort();
    all
}

/// Where something is to be written.
struct Destination {
    dir: PathBuf,
    expected: Vec<(PathBuf, Vec<u8>)>,
    has_old: bool,
}

impl Destination {
    /// An empty directory, where for every second number an old file is.
    fn new(dir: &Path, what: What, number: usize) -> Self {
        let to = Self::find(dir, what, number);
        let _ = fs::remove_dir_all(&to.dir);
        fs::create_dir(&to.dir).unwrap();
        if to.has_old {
            fs::write(to.path(), "old").unwrap();
        }
        to
    }

    /// The same, which another process has made.
    fn find(dir: &Path, what: What, number: usize) -> Self {
        let source = dir.join(if what == What::File { "file" } else { "dir" });
        Self { dir: dir.join("to"), expected: contents(&source), has_old: what == What::File && number % 2 == 0 }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("it")
    }

    fn is_whole(&self) -> bool {
        self.path().exists() && contents(&self.path()) == self.expected
    }

    fn is_as_before(&self) -> bool {
        if self.has_old { fs::read(self.path()).unwrap() == b"old" } else { !self.path().exists() }
    }

    /// What else is there.
    fn others(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| *path != self.path()).collect()
    }
}

/// What a context does that wants files of another one, or has some.
#[derive(Default)]
struct Taker;

#[service(activate)]
impl Taker {
    #[expose(policy = AllowParents)]
    fn fetch(&self, from: Context, path: PathBuf, to: PathBuf) -> Result<(), FileError> {
        FileService::get(&from, path, to).run().map(drop)
    }

    /// Makes a file of one that was pushed.
    #[expose(policy = AllowParents)]
    fn save(&self, path: PathBuf, to: PathBuf, router: &Router) -> Result<(), FileError> {
        PushFileService::get(router, path, Duration::ZERO)?.save(to)
    }
}

/// Tells a process what it is for: all messages, or the number of one.
const COPY: &str = "MITOGEN_SERVICE_TEST_FAULT";

/// Where a copy has its files.
const DIR: &str = "MITOGEN_SERVICE_TEST_FAULT_DIR";

/// Runs a transfer with a fault at each of its messages.
fn at_every_message(transfer: &'static Transfer) {
    let Some(part) = std::env::var_os(COPY) else { return within(6 * LONG, move || run_copies(transfer)) };
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    within(5 * LONG, move || {
        let stage = Stage::new(&dir);
        match part.to_str().unwrap().parse() {
            Ok(at) => drop(once(&stage, transfer, at, Fault::KillOwn)),
            Err(_) => survive(&stage, transfer),
        }
    });
}

fn run_copies(transfer: &'static Transfer) {
    let copy = |part: &str, dir: &Path| {
        let mut copy = Command::new(std::env::current_exe().unwrap());
        copy.args(["--exact", transfer.name, "--nocapture"]).env(COPY, part).env(DIR, dir).stdin(Stdio::null());
        // This ends when the last process has closed its outputs, so that none is left.
        let output = copy.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status, text)
    };
    let dir = tempfile::tempdir().unwrap();
    let (status, text) = copy("all", dir.path());
    assert!(status.success() && text.contains("1 passed"), "{text}");
    println!("{}", text.lines().find(|line| line.contains(" messages")).unwrap_or_default());
    let (mut at, dir) = (1, tempfile::tempdir().unwrap());
    loop {
        let (status, text) = copy(&at.to_string(), dir.path());
        if status.signal() != Some(9) {
            assert!(status.success() && text.contains("1 passed"), "{at}: {text}");
            break;
        }
        let to = Destination::find(dir.path(), transfer.what, at);
        assert!(to.is_as_before() || to.is_whole(), "{at}: {text}");
        at += 1;
    }
    assert!((5..ENOUGH).contains(&at), "there were {at} messages");
}

/// Runs a transfer in which something happens at a message; tells how many there were, if it has not happened.
fn once(stage: &Stage, transfer: &Transfer, at: usize, fault: Fault) -> Option<usize> {
    let (relay, peer) = Relay::start(&stage.bench.router, "peer");
    let whom = match transfer.is_far {
        true => Worker::stub(&peer).start_child("far".into()).wait_timeout(LONG).unwrap(),
        false => peer.clone(),
    };
    // Whatever it does once.
    Worker::stub(&whom).pid().wait_timeout(LONG).unwrap();
    let to = Destination::new(&stage.dir, transfer.what, at);
    relay.arm(at, fault);
    let result = (transfer.run)(stage, &whom, &to.path());
    let (messages, has_happened) = relay.disarm();
    relay.end();
    let what = format!("{fault:?} at {at}: {result:?}, {:?}", to.others());
    match &result {
        Ok(()) => assert!(to.is_whole(), "{what}"),
        Err(error) => {
            assert!(has_happened && says_why(error), "{what}");
            assert!(to.is_as_before() || (to.is_whole() && !transfer.is_written_here), "{what}");
        }
    }
    assert!(to.others().is_empty() || !transfer.is_written_here, "{what}");
    (!has_happened).then_some(messages)
}

/// Whether an error tells that the other context has ended.
fn says_why(error: &FileError) -> bool {
    let cause = match error {
        FileError::Interrupted { cause, .. } => cause,
        FileError::Call(cause) => cause,
        _ => return false,
    };
    matches!(cause, CallError::Dead { .. })
}

/// Goes through all messages, and holds nothing more after each than before.
fn survive(stage: &Stage, transfer: &Transfer) {
    let healthy = |number| {
        let to = Destination::new(&stage.dir, transfer.what, number);
        (transfer.run)(stage, &stage.other, &to.path()).unwrap();
        assert!(to.is_whole() && to.others().is_empty(), "{:?}", to.others());
    };
    // What is held from the first time on.
    healthy(0);
    let messages = once(stage, transfer, ENOUGH, Fault::Cut).expect("there are fewer messages");
    once(stage, transfer, messages / 2, Fault::KillPeer);
    let before = Holdings::of_this_process();
    let mut at = 1;
    let messages = loop {
        let ends = [Fault::KillPeer, Fault::Cut].map(|fault| {
            let messages = once(stage, transfer, at, fault);
            healthy(at);
            assert_eq!(Holdings::added_since(&before), Holdings::default(), "{fault:?} at {at}");
            assert_eq!(stage.files.transfers(), 0, "{fault:?} at {at}");
            messages
        });
        // Credit may come in one message or in two.
        if let [Some(one), Some(other)] = ends {
            break one.max(other);
        }
        at += 1;
    };
    println!("{}: {messages} messages", transfer.name);
    assert!((5..ENOUGH).contains(&at), "there were {at} messages");
}

const GET: Transfer = Transfer {
    name: "faults::get",
    run: |stage, at, to| FileService::get(at, stage.file(), to).run().map(drop),
    what: What::File,
    is_written_here: true,
    is_far: false,
};

#[test]
fn get() {
    at_every_message(&GET);
}

#[test]
fn get_from_below() {
    static BELOW: Transfer = Transfer { name: "faults::get_from_below", is_far: true, ..GET };
    at_every_message(&BELOW);
}

const FETCH: Transfer = Transfer {
    name: "faults::get_by_a_child",
    run: |stage, at, to| {
        let call = Taker::stub(at).fetch(stage.bench.root(), stage.file(), to.to_owned());
        call.wait_timeout(LONG).map_err(FileError::from)
    },
    is_written_here: false,
    ..GET
};

#[test]
fn get_by_a_child() {
    at_every_message(&FETCH);
}

#[test]
fn get_by_a_child_below() {
    static BELOW: Transfer = Transfer { name: "faults::get_by_a_child_below", is_far: true, ..FETCH };
    at_every_message(&BELOW);
}

const PUT: Transfer = Transfer {
    name: "faults::put",
    run: |stage, at, to| FileService::put(at, stage.file(), to).run().map(drop),
    is_written_here: false,
    ..GET
};

#[test]
fn put() {
    at_every_message(&PUT);
}

#[test]
fn put_below() {
    static BELOW: Transfer = Transfer { name: "faults::put_below", is_far: true, ..PUT };
    at_every_message(&BELOW);
}

#[test]
fn get_dir() {
    static DIR: Transfer = Transfer {
        name: "faults::get_dir",
        run: |stage, at, to| FileService::get_dir(at, stage.top(), to).run().map(drop),
        what: What::Dir,
        ..GET
    };
    at_every_message(&DIR);
}

const PUSH: Transfer = Transfer {
    name: "faults::push",
    run: |stage, at, to| {
        let push = PushFileService::push(&stage.bench.router, [stage.file()]).to([at, &stage.other]);
        let results = push.timeout(LONG).run();
        assert_eq!(results.last().unwrap().1, Ok(()), "nothing happens to the other one");
        results[0].1.clone()?;
        Taker::stub(at).save(stage.file(), to.to_owned()).wait_timeout(LONG).map_err(FileError::from)
    },
    is_written_here: false,
    ..GET
};

#[test]
fn push() {
    at_every_message(&PUSH);
}

#[test]
fn push_below() {
    static BELOW: Transfer = Transfer { name: "faults::push_below", is_far: true, ..PUSH };
    at_every_message(&BELOW);
}
