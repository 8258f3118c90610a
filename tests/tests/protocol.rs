//! `docs/client.py`, a parent that is written in Python and knows no more than `docs/protocol.md`,
//! starts this test binary as its child and calls a service in it.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use mitogen_service::{AllowParents, Caller, service};
use mitogen_service_tests::{LONG, signal};
use rustix::process::Signal;

/// What the client calls. It runs in the child, which is entered before the test harness.
#[derive(Default)]
struct Echo;

#[service(activate, name = "protocol.Echo")]
impl Echo {
    #[expose(policy = AllowParents)]
    fn repeat(&self, text: &str, times: Option<usize>, caller: &Caller) -> Vec<String> {
        println!("called by {}", caller.context());
        vec![text.to_owned(); times.unwrap_or(1)]
    }

    #[expose(policy = AllowParents)]
    fn refuse(&self, text: String) -> Result<(), String> {
        Err(text)
    }
}

/// A Python that has `msgpack`, or why there is none.
fn python() -> Result<&'static str, String> {
    let check = "import sys, msgpack; assert sys.version_info >= (3, 9), sys.version";
    let mut tried = Vec::new();
    for python in ["python3", "/usr/bin/python3"] {
        match Command::new(python).args(["-c", check]).stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => return Ok(python),
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                tried.push(format!("{python}: {}", stderr.lines().last().unwrap_or("failed")));
            }
            Err(error) => tried.push(format!("{python}: {error}")),
        }
    }
    Err(tried.join("; "))
}

/// Lets the client call a method of this test binary; `None` if it cannot run here.
fn client(method: &str, args: &str) -> Option<Output> {
    let python = match python() {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_some() => panic!("python3-msgpack has to be installed: {why}"),
        Err(why) => {
            println!("skipped: no Python with msgpack: {why}");
            return None;
        }
    };
    let client: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/client.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(client).arg(std::env::current_exe().unwrap());
    command.args(["protocol.Echo", method, args]);
    Some(run(command.env("PYTHONUTF8", "1")))
}

/// Runs a program to its end, or kills it when it does not come to it; its child then ends as well.
fn run(command: &mut Command) -> Output {
    let program = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = program.id();
    let (done, killed) = mpsc::channel::<()>();
    let killer = thread::spawn(move || {
        if killed.recv_timeout(2 * LONG).is_err() {
            signal(pid, Signal::KILL);
        }
    });
    let output = program.wait_with_output().unwrap();
    done.send(()).expect("the program has come to its end by itself");
    killer.join().unwrap();
    output
}

/// The lines of the client about the protocol, and those that the child has printed; both are
/// written by threads of their own, in any order.
fn transcript(output: &Output) -> (Vec<String>, Vec<String>) {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    println!("{stdout}");
    assert!(output.status.success(), "{:?}\n{stdout}\n{stderr}", output.status);
    assert_eq!(stderr, "");
    stdout.lines().map(str::to_owned).partition(|line| !line.starts_with('['))
}

fn assert_begins(line: &str, begin: &str) {
    assert!(line.starts_with(begin), "{line:?} does not begin with {begin:?}");
}

#[test]
fn a_python_parent_calls_a_service() {
    let Some(output) = client("repeat", r#"{"text": "hé", "times": 2}"#) else { return };
    let (lines, printed) = transcript(&output);
    assert_begins(&lines[0], "hello from process ");
    assert_begins(lines[0].rsplit(' ').next().unwrap(), "0x");
    let trace = "'trace': {'path': [], 'executed': 'No'}}}";
    let rest = [
        format!("as a stranger: error {{'NotActivated': {{'service': 'protocol.Echo', {trace}"),
        "as the parent: result ['hé', 'hé']".to_owned(),
        format!(
            "no such method: error {{'NoSuchMethod': {{'service': 'protocol.Echo', 'method': 'no_such_method', {trace}"
        ),
        format!(
            "as a stranger again: error {{'Unauthorized': {{'method': 'repeat', 'service': 'protocol.Echo', {trace}"
        ),
        "the child has ended with status 0".to_owned(),
    ];
    assert_eq!(lines[1..], rest);
    // It ran once, for the parent, whose name it had learnt from the hello.
    assert_eq!(printed, ["[worker stdout] called by root"]);
}

#[test]
fn a_python_parent_learns_of_a_methods_own_error() {
    let Some(output) = client("refuse", r#"{"text": "not today"}"#) else { return };
    let (lines, printed) = transcript(&output);
    // The error itself, encoded: a string of nine bytes.
    let failed = "as the parent: error {'Failed': {'type_name': 'alloc::string::String', 'message': 'not today', \
                  'chain': [], 'data': b'\\xa9not today', 'trace': {'path': [], 'executed': 'Yes'}}}";
    assert_eq!(lines[2], failed);
    assert_eq!(lines.last().map(String::as_str), Some("the child has ended with status 0"));
    assert_eq!(printed, [""; 0]);
}
