//! A fault at every message of a transfer: what was to be written is absent or whole, whoever waits learns why,
//! and nothing is left behind.
//!
//! Each test runs copies of this process. One of them goes through all messages, and at each either kills the context
//! at the other end of the stream or cuts the stream; it then looks for what it holds itself. The others are killed
//! themselves at one message each.

mod disk;
mod relay;
mod source;
mod transfers;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mitogen_service::{CallError, Context, FileError, FileService, Router};
use mitogen_service_tests::{Holdings, LONG, within};

use crate::bench::{Bench, Worker};
use relay::{Fault, Relay};
use transfers::{
    GET, GET_BY_A_CHILD, GET_BY_A_CHILD_BELOW, GET_DIR, GET_FROM_BELOW, PUSH, PUSH_BELOW, PUT, PUT_BELOW, PUT_DIR,
    Transfer, What,
};

/// Several messages, and more than may be under way.
const SIZE: usize = 5 * 128 * 1024 + 321;

const WINDOW: usize = 256 * 1024;

/// No transfer has as many messages.
const ENOUGH: usize = 1000;

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
        Self::new_on(dir, dir, what, number)
    }

    fn prepare(self) -> Self {
        let _ = fs::remove_dir_all(&self.dir);
        fs::create_dir(&self.dir).unwrap();
        if self.has_old {
            fs::write(self.path(), "old").unwrap();
        }
        self
    }

    /// The same for files of another directory.
    fn new_on(disk: &Path, dir: &Path, what: What, number: usize) -> Self {
        Self::find_on(disk, dir, what, number).prepare()
    }

    /// The same, which another process has made.
    fn find(dir: &Path, what: What, number: usize) -> Self {
        Self::find_on(dir, dir, what, number)
    }

    fn find_on(disk: &Path, dir: &Path, what: What, number: usize) -> Self {
        let source = dir.join(if what == What::File { "file" } else { "dir" });
        Self {
            dir: disk.join("to"),
            expected: contents(&source),
            has_old: what == What::File && number.is_multiple_of(2),
        }
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

/// What became of a transfer in which something was to happen.
struct Round {
    result: Result<(), FileError>,
    to: Destination,
    messages: usize,
    has_happened: bool,
}

/// A context at the other end of a transfer, and the relay before it.
struct Peer {
    relay: Relay,
    whom: Context,
}

impl Transfer {
    fn connect(&self, stage: &Stage) -> Peer {
        let (relay, peer) = Relay::start(&stage.bench.router, "peer");
        let whom = match self.is_far {
            true => Worker::stub(&peer).start_child("far".into()).wait_timeout(LONG).unwrap(),
            false => peer,
        };
        // Whatever it does once.
        Worker::stub(&whom).pid().wait_timeout(LONG).unwrap();
        Peer { relay, whom }
    }

    fn run_with(&self, stage: &Stage, peer: &Peer, number: usize, arm: impl FnOnce(&Relay)) -> Round {
        let to = Destination::new(&stage.dir, self.what, number);
        arm(&peer.relay);
        let result = (self.run)(stage, &peer.whom, &to.path());
        let (messages, has_happened) = peer.relay.disarm();
        Round { result, to, messages, has_happened }
    }
}

/// Runs a transfer with a fault at a message; tells how many messages there were, if it has not come to that.
fn once(stage: &Stage, transfer: &Transfer, at: usize, fault: Fault) -> Option<usize> {
    let peer = transfer.connect(stage);
    let Round { result, to, messages, has_happened } =
        transfer.run_with(stage, &peer, at, |relay| relay.arm(at, fault));
    peer.relay.end();
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
    // What is held from the first time on, and from the first end of a context that is told to somebody.
    healthy(0);
    once(stage, transfer, ENOUGH, Fault::Cut).expect("there are fewer messages");
    let (tell, told) = std::sync::mpsc::channel();
    let child = stage.bench.child("child");
    child.on_disconnect(move || tell.send(()).unwrap()).detach();
    child.kill().unwrap();
    told.recv_timeout(LONG).unwrap();
    let mut before = Holdings::of_this_process();
    // The two streams to the one that lives on make what wakes a caller that reads when there is the first one.
    let mut wakers = 2;
    let mut at = 1;
    let messages = loop {
        let ends = [Fault::KillPeer, Fault::Cut].map(|fault| {
            let messages = once(stage, transfer, at, fault);
            healthy(at);
            let mut added = Holdings::added_since(&before);
            let made =
                added.fds.iter().filter(|fd| fd.ends_with("[eventfd]")).take(wakers).cloned().collect::<Vec<_>>();
            wakers -= made.len();
            for fd in made {
                added.fds.remove(&fd);
                before.fds.insert(fd);
            }
            assert_eq!(added, Holdings::default(), "{fault:?} at {at}");
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

#[test]
fn get() {
    at_every_message(&GET);
}

#[test]
fn get_from_below() {
    at_every_message(&GET_FROM_BELOW);
}

#[test]
fn get_by_a_child() {
    at_every_message(&GET_BY_A_CHILD);
}

#[test]
fn get_by_a_child_below() {
    at_every_message(&GET_BY_A_CHILD_BELOW);
}

#[test]
fn put() {
    at_every_message(&PUT);
}

#[test]
fn put_below() {
    at_every_message(&PUT_BELOW);
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

#[test]
fn push_below() {
    at_every_message(&PUSH_BELOW);
}
