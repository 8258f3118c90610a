//! What this process is: the first of a tree, or one that was started as a child.

use std::sync::atomic::{AtomicBool, Ordering};

/// The first argument of a child. An environment variable would be inherited by whatever the
/// child starts, and a test harness would run all tests again.
pub(crate) const CHILD_MARK: &str = "--mitogen-service-child";

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

/// Looks at the kernel's record of the command line: before `main` there is no other on musl.
fn is_marked() -> bool {
    argument(1).is_some_and(|argument| argument == CHILD_MARK.as_bytes())
}

fn argument(number: usize) -> Option<Vec<u8>> {
    let command_line = std::fs::read("/proc/self/cmdline").ok()?;
    command_line.split(|&byte| byte == 0).nth(number).map(<[u8]>::to_vec)
}
