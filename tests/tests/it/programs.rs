//! Whole programs, started and looked at from outside.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mitogen_service_tests::{LONG, Watched, within};
use rustix::process::Signal;

/// What a program that has come to its end has written.
pub(crate) struct Written {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) success: bool,
}

pub(crate) fn helper(mode: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helper"));
    command.arg(mode).stdin(Stdio::null());
    command
}

fn stranger(mode: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stranger"));
    command.arg(mode).stdin(Stdio::null());
    command
}

/// Runs a program to its end, or kills it when it does not come to it.
pub(crate) fn run(mut command: Command) -> Written {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (done, killed) = std::sync::mpsc::channel::<()>();
    let killer = std::thread::spawn(move || {
        if killed.recv_timeout(2 * LONG).is_err() {
            mitogen_service_tests::signal(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    done.send(()).expect("the program has come to its end by itself");
    killer.join().unwrap();
    Written {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        success: output.status.success(),
    }
}

#[test]
fn nothing_is_left_a_second_after_the_root_was_killed() {
    let mut root = helper("tree").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(root.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut pids = Vec::new();
    while let Ok(pid) = lines.next().expect("the program says that it is ready").parse() {
        pids.push(pid);
    }
    assert_eq!(pids.len(), 4);
    let contexts: Vec<_> = pids.into_iter().map(Watched::new).collect();
    assert!(contexts.iter().all(|context| !context.ends_within(Duration::ZERO)), "all are alive before");
    root.kill().unwrap();
    let killed = Instant::now();
    root.wait().unwrap();
    let deadline = killed + Duration::from_secs(1);
    let survivors: Vec<_> = contexts
        .iter()
        .filter(|context| !context.ends_within(deadline.saturating_duration_since(Instant::now())))
        .collect();
    println!("a tree of four contexts was gone after {:?}", killed.elapsed());
    assert!(survivors.is_empty(), "still there: {survivors:?}");
}

#[test]
fn what_a_child_prints_becomes_log_lines_and_corrupts_nothing() {
    let Written { stdout, stderr, success } = run(helper("chat"));
    assert!(success, "{stderr}");
    assert_eq!(stdout, "all answers were right\n", "no line of a child comes out at stdout");
    let lines: Vec<_> = stderr.lines().collect();
    for number in [0, 99] {
        for line in [format!("[chatty] stdout line {number}"), format!("[chatty] stderr line {number}")] {
            assert_eq!(lines.iter().filter(|got| **got == line).count(), 1, "{line}: {stderr}");
        }
        // A grandchild's lines pass through its parent.
        let below = format!("stdout line {number}");
        assert!(lines.iter().any(|line| line.contains("[below]") && line.ends_with(&below)), "{stderr}");
    }
}

#[test]
fn a_program_that_never_enters_its_children_is_told_so() {
    for (mode, exit, words) in [
        ("return", "Exited Some(Code { code: 0 })", "goodbye from main"),
        ("status", "Exited Some(Code { code: 3 })", "exited with status 3 before it had joined"),
    ] {
        let Written { stdout, stderr, .. } = run(stranger(mode));
        assert!(stdout.starts_with(exit), "{mode}: {stdout} {stderr}");
        assert!(stdout.contains(words), "{mode}: {stdout}");
        assert!(stdout.contains("cannot connect `stranger`"), "{mode}: {stdout}");
    }
}

#[test]
fn a_router_in_a_child_that_was_not_entered_is_an_error_and_no_fork_bomb() {
    let Written { stdout, stderr, .. } = run(stranger("router"));
    assert!(stdout.starts_with("Exited Some(Code { code: 9 })"), "{stdout} {stderr}");
    assert!(stdout.contains("`mitogen_service::init()` first thing in `main`"), "{stdout}");
}

#[test]
fn a_child_that_never_joins_is_killed_when_the_time_is_over() {
    // The second one closes what it was sent, which looks like an end, and lives on.
    for (mode, kind) in [("linger", "Timeout"), ("daemon", "Exited Some(Signal { signal: 9")] {
        let Written { stdout, stderr, success } = run(stranger(mode));
        assert!(success, "{mode}: the router left something behind: {stdout} {stderr}");
        assert!(stdout.starts_with(kind), "{mode}: {stdout} {stderr}");
        let millis: u64 = stdout.lines().nth(1).unwrap().parse().unwrap();
        assert!(millis < 10_000, "{mode}: after {millis} ms");
    }
}

/// A child may die between its hello and its place in the routing table; a call that comes then
/// must not wait for ever.
#[test]
fn a_child_that_dies_at_any_moment_of_its_start_leaves_no_call_hanging() {
    let Written { stdout, stderr, success } = run(stranger("short-lived"));
    println!("{stdout}");
    assert!(success, "{stdout} {stderr}");
    assert!(stdout.contains(" 0 lost\n"), "{stdout} {stderr}");
    assert!(stdout.ends_with("nothing left\n"), "{stdout} {stderr}");
}

/// The bound itself is a test's: a test that hangs would stop all others.
#[test]
#[should_panic(expected = "still not done")]
fn a_test_that_hangs_fails() {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let _ = within(Duration::from_millis(1), move || never.recv());
}
