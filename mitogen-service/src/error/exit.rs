//! How a process ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

/// How the process of a context ended.
///
/// ```
/// use mitogen_service::Exit;
///
/// assert_eq!(Exit::Signal { signal: 11, core_dumped: false }.to_string(), "killed by SIGSEGV");
/// assert_eq!(Exit::Code { code: 3 }.to_string(), "exited with status 3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Exit {
    /// The process returned this status.
    Code {
        /// The status, 0 for success.
        code: i32,
    },
    /// A signal ended the process.
    Signal {
        /// The number of the signal, 11 for SIGSEGV.
        signal: i32,
        /// Whether the system wrote a core file.
        core_dumped: bool,
    },
}

impl Exit {
    /// The name of the signal that ended the process, such as `SIGKILL`.
    pub fn signal_name(&self) -> Option<&'static str> {
        match self {
            Self::Code { .. } => None,
            Self::Signal { signal, .. } => Some(signal_name(*signal)),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match status.signal() {
            Some(signal) => Self::Signal { signal, core_dumped: status.core_dumped() },
            // A status that is neither a signal nor a code is a stop, which nobody asks for here.
            None => Self::Code { code: status.code().unwrap_or(-1) },
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code } => write!(f, "exited with status {code}"),
            Self::Signal { signal, core_dumped } => {
                match signal_name(*signal) {
                    "" => write!(f, "killed by signal {signal}")?,
                    name => write!(f, "killed by {name}")?,
                }
                if *core_dumped {
                    write!(f, " (core dumped)")?;
                }
                Ok(())
            }
        }
    }
}

/// The name of a signal, empty for one that has none.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => "",
    }
}
