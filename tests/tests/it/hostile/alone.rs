//! Each scenario in a process of its own: its memory is measured, and its log lines are read.

use std::process::{Command, Stdio};

use super::peer::MARKER;
use crate::programs::{self, Written};

/// Tells this test binary that it plays one scenario, and nothing else.
const ALONE: &str = "MITOGEN_SERVICE_TEST_ALONE";

/// What a scenario has written to stderr, where the log lines of its contexts come out.
pub(crate) struct Log(String);

/// Plays a scenario in a new process, which runs this one test again; gives its log lines, and
/// `None` in that process itself.
///
/// No payload of a stranger may stand in any of them.
pub(crate) fn alone(test: &str, play: impl FnOnce()) -> Option<Log> {
    if std::env::var_os(ALONE).is_some() {
        play();
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("hostile::{test}"), "--include-ignored", "--nocapture", "--test-threads=1"]);
    let Written { stdout, stderr, success } = programs::run({
        command.env(ALONE, "1").stdin(Stdio::null());
        command
    });
    println!("{stdout}");
    let last: Vec<_> = stderr.lines().rev().take(30).collect();
    assert!(success && stdout.contains("1 passed"), "{test}, last line first: {last:#?}");
    let leaks: Vec<_> = stderr.lines().filter(|line| line.contains(MARKER)).take(5).collect();
    assert!(leaks.is_empty(), "{test}: a payload stands in the log: {leaks:#?}");
    Some(Log(stderr))
}

impl Log {
    /// How many lines hold this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.0.lines().filter(|line| line.contains(text)).count()
    }

    /// There is a line that holds all of these.
    pub(crate) fn assert_line(&self, texts: &[&str]) {
        let found = self.0.lines().any(|line| texts.iter().all(|text| line.contains(text)));
        let some: Vec<_> = self.0.lines().take(20).collect();
        assert!(found, "no line with {texts:?}; the log begins {some:#?}");
    }

    /// All of it, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The memory of this process since some moment.
pub(crate) struct Peak {
    resident: usize,
    address_space: usize,
}

impl Peak {
    /// Begins to watch.
    pub(crate) fn begin() -> Self {
        // Sets the high-water mark back to what is resident now.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self { resident: status("VmRSS"), address_space: status("VmSize") }
    }

    /// By how many bytes the resident memory has grown at its highest.
    pub(crate) fn growth(&self) -> usize {
        status("VmHWM").saturating_sub(self.resident)
    }

    /// By how many bytes the address space has grown, whether or not it was touched.
    pub(crate) fn reserved(&self) -> usize {
        status("VmSize").saturating_sub(self.address_space)
    }

    /// It has never grown by more than this.
    pub(crate) fn assert_below(&self, bound: usize) {
        let growth = self.growth();
        println!("memory has grown by {} KiB at most, of {} KiB", growth / 1024, bound / 1024);
        assert!(growth < bound, "{growth} bytes more than before, of {bound} allowed");
    }
}

fn status(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
}
