//! Errors of the runtime itself.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CallError, Exit};

/// What can go wrong when routers, pools and contexts are made or ended.
///
/// A call has an error of its own, [`CallError`], which turns into an `Error` by `?`.
///
/// ```
/// use mitogen_service::{CallError, Error};
///
/// fn report(error: &Error) -> String {
///     match error {
///         Error::Connect { context, kind, .. } => format!("{context}: {kind}"),
///         Error::Call(CallError::Dead { exit: Some(exit), .. }) => exit.to_string(),
///         other => other.to_string(),
///     }
/// }
/// ```
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A context could not be started or joined.
    #[error("cannot connect `{context}`: {kind}{}", tail_of(kind, stderr_tail))]
    Connect {
        /// The name that the context would have had.
        context: String,
        /// What went wrong.
        kind: ConnectKind,
        /// The last lines that the process wrote to its standard error output.
        stderr_tail: String,
    },
    /// This process was started as a child of another one, but its program has not entered it.
    #[error(
        "this process was started as a context of another process, but its program went on as if it \
         were the first one; mark `main` with `#[mitogen_service::main]`, or call \
         `mitogen_service::init()` first thing in `main`; in a test binary enable the feature \
         `testing` of mitogen-service"
    )]
    NotEntered,
    /// The router was shut down before or during the operation.
    ///
    /// Mitogen: "An attempt was made to enqueue a message with a Broker that has already exitted."
    #[error(
        "an attempt was made to use a router that has already exitted; it is likely your program \
         called `Router::shutdown` (or dropped the last `Router`) too early"
    )]
    Closed,
    /// The router has a pool already, and one pool is all that a router can have.
    #[error(
        "cannot register a handle that already exists: this router has a pool; add services to it \
         with `router.pool()` and `Pool::add`"
    )]
    PoolExists,
    /// The pool was stopped.
    #[error("the pool was stopped; make another one with `Pool::builder(&router)`")]
    PoolStopped,
    /// A service of this name is in the pool already.
    #[error("service named '{name}' already registered; give one of them another `name = \"..\"`")]
    ServiceExists {
        /// The canonical name of both.
        name: String,
    },
    /// The builder was given something that cannot work.
    #[error("{what}")]
    Invalid {
        /// What was wrong, and what is expected.
        what: String,
    },
    /// The context is not one that this process may end.
    #[error("context `{context}` is not below this one, and only contexts below can be ended")]
    NotBelow {
        /// The name of the context.
        context: String,
    },
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a context could not be connected.
///
/// ```
/// use mitogen_service::{ConnectKind, Error};
///
/// /// Whether somebody else should try again later.
/// fn may_be_there_later(error: &Error) -> bool {
///     matches!(error, Error::Connect { kind: ConnectKind::Unreachable { .. } | ConnectKind::Timeout { .. }, .. })
/// }
/// assert!(!may_be_there_later(&Error::Closed));
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ConnectKind {
    /// The process could not be started at all.
    Start {
        /// The program.
        program: String,
        /// What the system said.
        #[serde(with = "io_error")]
        source: Arc<std::io::Error>,
    },
    /// ssh does not know the key of the host, or knows another one.
    HostKey {
        /// It knows another one: the host was set up anew, or is not the one that it says it is.
        changed: bool,
    },
    /// The user may not come in, or not become the other user.
    Auth {
        /// What is wrong.
        problem: AuthProblem,
        /// The same as a text.
        what: String,
    },
    /// The host cannot be found, or does not let anybody in, or the connection broke before there was a
    /// shell.
    Unreachable {
        /// What ssh said.
        what: String,
    },
    /// There is no shell behind the command that can run a script.
    NoShell {
        /// What came instead.
        what: String,
    },
    /// None of the executables that there are runs on the target.
    WrongTarget {
        /// What the target is, and what to build for it.
        what: String,
    },
    /// No directory of the target takes the executable: each is full, read-only, mounted `noexec`, or
    /// somebody else's.
    NoSpace {
        /// Each directory that was tried, and what is wrong with it.
        what: String,
    },
    /// The directory that the context should start in is not there, or cannot be entered.
    NoDirectory {
        /// The directory.
        dir: String,
    },
    /// The executable did not come through.
    Transfer {
        /// What the target noticed.
        what: String,
    },
    /// The context that should have started this one could not be asked, or is gone.
    Via {
        /// Its name.
        context: String,
        /// What happened to the call that asked it.
        source: Box<CallError>,
    },
    /// The process ended before it had joined.
    Exited {
        /// How it ended, where that is known.
        exit: Option<Exit>,
    },
    /// The process did not join in time.
    Timeout {
        /// How long the parent waited.
        after: std::time::Duration,
        /// For what, and what to do.
        what: String,
    },
    /// The other end does not speak our protocol, or not this version of it.
    Protocol {
        /// What was wrong with its first bytes; names both versions where they differ.
        what: String,
    },
    /// The router was shut down meanwhile.
    Cancelled,
    /// No id could be had for the new context.
    NoId {
        /// What the contexts above said.
        what: String,
    },
    /// The link to the process could not be set up.
    Io {
        /// What was attempted.
        #[serde(skip, default = "elsewhere")]
        action: &'static str,
        /// What the system said.
        #[serde(with = "io_error")]
        source: Arc<std::io::Error>,
    },
}

/// What is wrong with a user or a password.
///
/// ```
/// use mitogen_service::{AuthProblem, ConnectKind, Error};
///
/// /// Whether to ask the user for a password, and try again.
/// fn wants_password(error: &Error) -> bool {
///     use AuthProblem::{PasswordIncorrect, PasswordRequired};
///     let Error::Connect { kind: ConnectKind::Auth { problem, .. }, .. } = error else { return false };
///     matches!(problem, PasswordRequired | PasswordIncorrect)
/// }
/// assert!(!wants_password(&Error::Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AuthProblem {
    /// The other side does not want this user, whatever was offered.
    Denied,
    /// A password was asked for, and none was given to the connector.
    PasswordRequired,
    /// The password is not the right one.
    PasswordIncorrect,
}

fn elsewhere() -> &'static str {
    "set up the link there"
}

/// An error of the system on its way from one context to another: its number, or else its text.
mod io_error {
    use std::io;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(error: &Arc<io::Error>, serializer: S) -> Result<S::Ok, S::Error> {
        (error.raw_os_error(), error.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<io::Error>, D::Error> {
        let (number, text) = <(Option<i32>, String)>::deserialize(deserializer)?;
        Ok(Arc::new(number.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error)))
    }
}

impl Error {
    /// An error of the operating system, and what was attempted.
    pub(crate) fn io(action: &'static str, source: impl Into<std::io::Error>) -> Self {
        Self::Io { action, source: Arc::new(source.into()) }
    }
}

impl ConnectKind {
    /// An error of the operating system, and what was attempted.
    pub(crate) fn io(action: &'static str, source: impl Into<std::io::Error>) -> Self {
        Self::Io { action, source: Arc::new(source.into()) }
    }

    /// A process that runs, and says nothing that a child would.
    pub(crate) fn silence(after: std::time::Duration) -> Self {
        Self::Timeout { after, what: format!("nothing was heard from the process; {ENTERING}") }
    }
}

/// The text of the error, since a `main` that returns it prints this.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConnectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, source } => {
                write!(f, "child start failed: `{program}`: {source}")?;
                match source.kind() {
                    std::io::ErrorKind::NotFound => write!(f, "; is it installed, and on the PATH of who runs it?"),
                    _ => Ok(()),
                }
            }
            Self::Exited { exit } => {
                write!(f, "EOF on stream; the process ")?;
                match exit {
                    Some(exit) => write!(f, "{exit}")?,
                    None => write!(f, "ended")?,
                }
                write!(f, " before it had joined; {ENTERING}")
            }
            Self::Timeout { after, what } => write!(f, "connection timed out after {after:?}: {what}"),
            Self::Protocol { what }
            | Self::Auth { what, .. }
            | Self::NoShell { what }
            | Self::WrongTarget { what }
            | Self::Transfer { what } => write!(f, "{what}"),
            Self::HostKey { changed } => {
                write!(f, "host key checking is enabled, and SSH reported ")?;
                match changed {
                    false => write!(
                        f,
                        "an unrecognized host key; add it to known_hosts (log in once by hand, or use \
                         ssh-keyscan), or accept new ones by `host_keys(HostKeys::AcceptNew)`"
                    ),
                    true => write!(
                        f,
                        "a mismatching host key: the host was set up anew, or somebody else answers in its \
                         place; if it was, remove the old key by `ssh-keygen -R HOST`"
                    ),
                }
            }
            Self::Unreachable { what } => write!(f, "the host cannot be reached: {what}"),
            Self::NoSpace { what } => {
                write!(f, "no directory of the target takes the executable: {what}; name one that does by `cache_dir`")
            }
            Self::NoDirectory { dir } => write!(f, "the directory {dir} cannot be entered on the target"),
            Self::Via { context, source } => {
                write!(f, "context `{context}`, which should have started it, could not: {source}")
            }
            Self::Cancelled => {
                write!(
                    f,
                    "connection cancelled because the associated router began to shut down, or nobody waited for it"
                )
            }
            Self::NoId { what } => write!(f, "no context id could be allocated: {what}"),
            Self::Io { action, source } => write!(f, "cannot {action}: {source}"),
        }
    }
}

/// What most often keeps a process from joining.
const ENTERING: &str = "a program enters its children by `#[mitogen_service::main]`, or by \
    `mitogen_service::init()` first thing in `main`; a test binary by the feature `testing` of mitogen-service";

/// The last lines of a process, as they follow the error's own text.
pub(super) fn tail(stderr_tail: &str) -> String {
    match stderr_tail.trim_end() {
        "" => String::new(),
        lines => format!("; the last lines of its stderr:\n{lines}"),
    }
}

/// The same, unless the text says so already.
fn tail_of(kind: &ConnectKind, stderr_tail: &str) -> String {
    match kind.to_string().ends_with(stderr_tail.trim_end()) {
        true => String::new(),
        false => tail(stderr_tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the table of the docs for a kind, of which a new one does not compile here.
    fn told(kind: &ConnectKind) -> (&'static str, &'static str) {
        match kind {
            ConnectKind::Start { .. } => ("Start", "is it installed, and on the PATH of who runs it?"),
            ConnectKind::HostKey { changed: false } => ("HostKey { changed: false }", "an unrecognized host key"),
            ConnectKind::HostKey { changed: true } => ("HostKey { changed: true }", "a mismatching host key"),
            ConnectKind::Auth { .. } => ("Auth { problem:", ""),
            ConnectKind::Unreachable { .. } => ("Unreachable", "the host cannot be reached: "),
            ConnectKind::NoShell { .. } => ("NoShell", ""),
            ConnectKind::WrongTarget { .. } => ("WrongTarget", ""),
            ConnectKind::NoSpace { .. } => ("NoSpace", "no directory of the target takes the executable: "),
            ConnectKind::NoDirectory { .. } => ("NoDirectory", "cannot be entered on the target"),
            ConnectKind::Transfer { .. } => ("Transfer", ""),
            ConnectKind::Via { .. } => ("Via", "which should have started it, could not: "),
            ConnectKind::Exited { .. } => ("Exited", "before it had joined; a program enters its children by"),
            ConnectKind::Timeout { .. } => ("Timeout", "connection timed out after 30s: "),
            ConnectKind::Protocol { .. } => ("Protocol", ""),
            ConnectKind::Cancelled => ("Cancelled", "connection cancelled because "),
            ConnectKind::NoId { .. } => ("NoId", "no context id could be allocated: "),
            ConnectKind::Io { .. } => ("Io", "cannot make the pipes of a child: "),
        }
    }

    #[test]
    fn the_docs_tell_each_kind_in_its_own_words() {
        let what = || "what".to_owned();
        let source = || Arc::new(std::io::Error::from(std::io::ErrorKind::NotFound));
        let kinds = [
            ConnectKind::Start { program: what(), source: source() },
            ConnectKind::HostKey { changed: false },
            ConnectKind::HostKey { changed: true },
            ConnectKind::Auth { problem: AuthProblem::Denied, what: what() },
            ConnectKind::Unreachable { what: what() },
            ConnectKind::NoShell { what: what() },
            ConnectKind::WrongTarget { what: what() },
            ConnectKind::NoSpace { what: what() },
            ConnectKind::NoDirectory { dir: what() },
            ConnectKind::Transfer { what: what() },
            ConnectKind::Via { context: what(), source: Box::new(CallError::failed("gone")) },
            ConnectKind::Exited { exit: None },
            ConnectKind::Timeout { after: std::time::Duration::from_secs(30), what: what() },
            ConnectKind::Protocol { what: what() },
            ConnectKind::Cancelled,
            ConnectKind::NoId { what: what() },
            ConnectKind::io("make the pipes of a child", rustix::io::Errno::MFILE),
        ];
        let rows: Vec<_> = include_str!("../../../docs/connecting.md").lines().collect();
        for kind in kinds {
            let (name, words) = told(&kind);
            assert!(kind.to_string().contains(words), "{words:?} is not in {kind}");
            let is_its_row = |row: &&str| row.starts_with("| ") && row.contains(&format!("| `{name}"));
            assert!(rows.iter().any(|row| is_its_row(row) && row.contains(words)), "no row for {name} with {words:?}");
        }
    }
}
