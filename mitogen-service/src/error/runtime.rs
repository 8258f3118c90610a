//! Errors of the runtime itself.

use std::fmt;
use std::sync::Arc;

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
    #[error("cannot connect `{context}`: {kind}{}", tail(stderr_tail))]
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
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectKind {
    /// The process could not be started at all.
    Start {
        /// What the system said.
        source: Arc<std::io::Error>,
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
        action: &'static str,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
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
            Self::Start { source } => write!(f, "child start failed: {source}"),
            Self::Exited { exit } => {
                write!(f, "EOF on stream; the process ")?;
                match exit {
                    Some(exit) => write!(f, "{exit}")?,
                    None => write!(f, "ended")?,
                }
                write!(f, " before it had joined; {ENTERING}")
            }
            Self::Timeout { after } => {
                write!(f, "connection timed out: nothing was heard from the process within {after:?}; {ENTERING}")
            }
            Self::Protocol { what } => write!(f, "{what}"),
            Self::Cancelled => {
                write!(f, "connection cancelled because the associated router began to shut down")
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
