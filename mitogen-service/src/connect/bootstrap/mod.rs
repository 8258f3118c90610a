//! From a command that gives a shell to this executable, running behind it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `first_stage.sh` | what runs on the target; tells what is said between both |
//! | `receive.sh` | what follows where the executable is not there yet |
//! | `script` | those texts with what is different each time |
//! | `talk` | a command's stdin, stdout, stderr and terminal, with a deadline |
//! | `mod` | this end of the conversation |

mod script;
mod talk;

pub(super) use script::Token;

use std::io::Cursor;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tracing::Level;

use super::process::LocalProcess;
use super::request::{Method, Request};
use crate::error::{AuthProblem, ConnectKind};
use crate::executable::{self, Executable, uname_names};
use crate::router::Core;
use talk::{Stop, Talk};

/// The descriptors of a command.
pub(super) struct Pipes {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Our end of its terminal, if it has one.
    pub(super) terminal: Option<OwnedFd>,
    /// Whether that is where it takes a password from.
    pub(super) type_password: bool,
}

/// Where the wire is, and what is left of stderr and of the terminal.
pub(super) struct Wire {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) terminal: Option<OwnedFd>,
}

/// Why it came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command has ended, or closed its stdout; its words tell why. Whether the mark has come.
    Ended { shell: bool },
    /// The first stage has said why, and ends by itself.
    Told(ConnectKind),
    /// Nothing that is here runs on the target, which describes itself so.
    Needs { target: String, kind: ConnectKind },
    /// This is why.
    Kind(ConnectKind),
}

/// What is known of a command that has ended before the context had joined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// Whether a shell had begun to run behind it.
    pub(super) shell: bool,
    /// Whether there was a password to be given.
    pub(super) has_password: bool,
    /// Whether it was asked for, and given.
    pub(super) password_given: bool,
}

/// Everything that one conversation needs to know.
pub(super) struct Conversation<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) request: &'a Request,
    pub(super) method: &'a Method,
    pub(super) name: &'a str,
    pub(super) token: &'a Token,
    pub(super) process: &'a LocalProcess,
    pub(super) deadline: Instant,
    /// The executables that can be had.
    pub(super) candidates: &'a [Arc<Executable>],
}

impl Conversation<'_> {
    /// Talks to the shell behind the command until our executable runs there.
    pub(super) fn run(&self, pipes: Pipes) -> Result<Wire, Failure> {
        let mut talk = Talk::new(pipes, self.process, self.token, self.deadline)
            .map_err(|error| Failure::Kind(ConnectKind::io("talk to the command", error)))?;
        if let Some(prompt) = &self.method.prompt {
            talk.answer(prompt, self.method.password.as_ref());
        }
        let mut shell = false;
        match self.talk(&mut talk, &mut shell) {
            Ok(()) => Ok(talk.into_wire()),
            Err(failure) => {
                talk.finish();
                for line in talk.noise().lines() {
                    self.process.remember(&format!("stdout: {line}"));
                }
                Err(failure)
            }
        }
    }

    fn talk(&self, talk: &mut Talk<'_>, shell: &mut bool) -> Result<(), Failure> {
        let mark = self.token.mark();
        talk.skip_to(&mark).map_err(|stop| self.failure(stop, *shell))?;
        *shell = true;
        let failed = |stop| self.failure(stop, true);
        let mut chosen: Option<Arc<Executable>> = None;
        loop {
            let line = talk.line(&mark).map_err(failed)?;
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match (word, &chosen) {
                ("note", _) => self.note(rest),
                ("ready", None) => talk.send(Cursor::new(self.token.environment(self.request))).map_err(failed)?,
                ("need", None) => {
                    let executable = choose(self.candidates, rest)
                        .map_err(|kind| Failure::Needs { target: rest.to_owned(), kind })?;
                    let sum = if rest.ends_with(" cksum") { executable.cksum().map_err(unreadable)? } else { 0 };
                    let script = self.token.receive(self.request, &executable, sum);
                    chosen = Some(executable);
                    talk.send(Cursor::new(script)).map_err(failed)?;
                }
                ("send", Some(executable)) => send(talk, executable, rest == "gzip").map_err(failed)?,
                ("fail", _) => return Err(Failure::Told(self.refusal(rest))),
                ("run", _) => return Ok(()),
                _ => {
                    return Err(failed(Stop::Noise(format!(
                        "the first stage says {word:?}, which has no meaning here"
                    ))));
                }
            }
        }
    }

    fn failure(&self, stop: Stop, shell: bool) -> Failure {
        Failure::Kind(match stop {
            Stop::Eof => return Failure::Ended { shell },
            Stop::Timeout => ConnectKind::Timeout {
                after: self.request.connect_timeout,
                what: self.method.kind.delay(shell).to_owned(),
            },
            Stop::PasswordRequired => self.method.kind.auth(AuthProblem::PasswordRequired),
            Stop::PasswordIncorrect => self.method.kind.auth(AuthProblem::PasswordIncorrect),
            Stop::Noise(what) => ConnectKind::NoShell { what },
            Stop::Io(action, error) => ConnectKind::io(action, error),
        })
    }

    fn note(&self, text: &str) {
        let name = self.name;
        self.core.log(Level::DEBUG, format!("first stage of `{name}`: {text}"));
    }

    fn refusal(&self, said: &str) -> ConnectKind {
        let (what, text) = said.split_once(' ').unwrap_or((said, ""));
        let text = text.trim_end_matches(['!', ' ', ';']).to_owned();
        match what {
            "place" => ConnectKind::NoSpace { what: text },
            "directory" => ConnectKind::NoDirectory { dir: text },
            _ => ConnectKind::Transfer { what: text },
        }
    }
}

/// The executables of this context: those that its program has handed in, and its own.
pub(super) fn candidates(core: &Core) -> std::io::Result<Vec<Arc<Executable>>> {
    let handed = core.executables().iter().map(|(_, path)| path.as_path());
    handed.chain([Path::new(executable::OWN)]).map(Executable::open).collect()
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::Kind(cannot_read(error))
}

pub(super) fn cannot_read(error: std::io::Error) -> ConnectKind {
    ConnectKind::io("read the executable that is to be sent", error)
}

/// What the first stage may find in its cache.
pub(super) fn known(candidates: &[Arc<Executable>]) -> String {
    let names = candidates.iter().flat_map(|one| {
        let names = uname_names(one.needs().machine);
        names.iter().map(|name| format!("{name}:{}", one.sha256()))
    });
    names.collect::<Vec<_>>().join(" ")
}

/// The first executable that runs on a target that describes itself so.
pub(super) fn choose(candidates: &[Arc<Executable>], target: &str) -> Result<Arc<Executable>, ConnectKind> {
    let mut words = target.split(' ');
    let (system, machine, libc) =
        (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let there = || format!("{system} on {machine} with {}", libc_name(libc));
    if system != "Linux" {
        return Err(ConnectKind::WrongTarget {
            what: format!("the target is {}, and only Linux is supported", there()),
        });
    }
    candidates.iter().find(|one| one.needs().run_on(machine, libc)).cloned().ok_or_else(|| {
        let have: Vec<_> = candidates.iter().map(|one| one.needs().to_string()).collect();
        let target = static_target(machine);
        let what = format!(
            "the target is {}, and what there is runs on {}; build with `cargo build --target {target}` (after \
             `rustup target add {target}`), and hand the file in with \
             `Router::builder().executable_for(\"{target}\", path)`",
            there(),
            have.join(", or on ")
        );
        ConnectKind::WrongTarget { what }
    })
}

fn libc_name(libc: &str) -> String {
    match libc {
        "unknown" => "an unknown C library".to_owned(),
        libc => libc.replace('-', " "),
    }
}

/// What to build for a machine, so that it runs with any C library.
fn static_target(machine: &str) -> String {
    match machine {
        "i386" | "i486" | "i586" | "i686" => "i686-unknown-linux-musl".to_owned(),
        "arm64" => "aarch64-unknown-linux-musl".to_owned(),
        "armv7l" | "armv8l" => "armv7-unknown-linux-musleabihf".to_owned(),
        "armv6l" => "arm-unknown-linux-musleabihf".to_owned(),
        "riscv64" => "riscv64gc-unknown-linux-musl".to_owned(),
        "ppc64le" => "powerpc64le-unknown-linux-musl".to_owned(),
        "s390x" => "s390x-unknown-linux-gnu".to_owned(),
        other => format!("{other}-unknown-linux-musl"),
    }
}

fn send(talk: &mut Talk<'_>, executable: &Executable, packed: bool) -> Result<(), Stop> {
    let unreadable = |error| Stop::Io("read the executable", error);
    if packed {
        let bytes = executable.packed().map_err(unreadable)?;
        talk.send(Cursor::new(format!("{}\n", bytes.len())))?;
        talk.send(Cursor::new(bytes.as_slice()))
    } else {
        talk.send(Cursor::new(format!("{}\n", executable.size())))?;
        talk.send(executable.plain().map_err(unreadable)?)
    }
}
