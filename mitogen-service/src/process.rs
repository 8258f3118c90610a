//! What this process is: the first of a tree, or one that was started as a child, or to become a command.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first argument of a child. An environment variable would be inherited by whatever the
/// child starts, and a test harness would run all tests again.
pub(crate) const CHILD_MARK: &str = "--mitogen-service-child";

/// The first argument of a process that shall lead a session with a terminal, and become the command that
/// follows.
pub(crate) const TERMINAL_MARK: &str = "--mitogen-service-terminal";

/// What the stdin of a command in a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// The terminal; the wire is at its stdout, for both directions.
    Terminal,
    /// The wire, as its stdout is.
    Wire,
}

impl Stdin {
    /// As it stands behind the mark.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Wire => "wire",
        }
    }
}

/// The command that this process shall become in a terminal, if it was started for that.
pub(crate) fn terminal_command() -> Option<(Stdin, Vec<OsString>)> {
    let arguments = arguments()?;
    let [_, mark, stdin, argv @ ..] = arguments.as_slice() else { return None };
    if mark != TERMINAL_MARK.as_bytes() {
        return None;
    }
    let stdin = [Stdin::Terminal, Stdin::Wire].into_iter().find(|one| stdin == one.word().as_bytes())?;
    Some((stdin, argv.iter().cloned().map(OsString::from_vec).collect()))
}

/// Set once the child has been entered: from then on routers may be made in it for its own use.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether the process was started as a child and has not been entered yet.
pub(crate) fn is_child() -> bool {
    !ENTERED.load(Ordering::SeqCst) && is_marked()
}

/// Whether the process runs as a child.
pub(crate) fn is_entered() -> bool {
    ENTERED.load(Ordering::SeqCst)
}

/// Takes note that the child runs as one.
pub(crate) fn entered() {
    ENTERED.store(true, Ordering::SeqCst);
}

/// Behind the mark and the name of a child whose wire is its stdin and stdout.
const OVER_STDIO: &str = "stdio";

/// Whether the wire of this child is its stdin and stdout, not a socket that pipes come over.
pub(crate) fn speaks_over_stdio() -> bool {
    argument(3).is_some_and(|argument| argument == OVER_STDIO.as_bytes())
}

/// The descriptor that this child was run from, whose file has no name any more. Behind the mark, the name
/// and `stdio`.
pub(crate) fn run_from() -> Option<i32> {
    std::str::from_utf8(&argument(4)?).ok()?.parse().ok().filter(|fd| *fd > 2)
}

/// Looks at the kernel's record of the command line: before `main` there is no other on musl.
fn is_marked() -> bool {
    argument(1).is_some_and(|argument| argument == CHILD_MARK.as_bytes())
}

fn argument(number: usize) -> Option<Vec<u8>> {
    arguments()?.into_iter().nth(number)
}

fn arguments() -> Option<Vec<Vec<u8>>> {
    let command_line = std::fs::read("/proc/self/cmdline").ok()?;
    // Each ends with a NUL.
    let arguments = command_line.strip_suffix(&[0])?;
    Some(arguments.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect())
}
