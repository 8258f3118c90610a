//! The general connector: any command that gives a shell on its stdin and stdout.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::askpass::AskPass;
use super::bootstrap::{Conversation, Ended, Failure, Pipes, Token, Wire, candidates, cannot_read, known};
use super::connecting::{Cancel, default_name};
use super::handshake::{self, Terms};
use super::local;
use super::options::{Options, common_options, far_options};
use super::process::{LocalProcess, Started};
use super::request::{Ending, Kind, Method, Prompt, Request, TerminalUse, Way};
use super::terminal::Terminal;
use crate::deadline;
use crate::error::{ConnectKind, Error};
use crate::executable::Executable;
use crate::io::BrokerHandle;
use crate::process::Stdin;
use crate::router::{Context, Core, Process as RouterProcess, Router};
use crate::wire::{ContextId, FEATURE_PING};

/// How often a sign of life is looked for on links that leave the machine, unless the router says.
const LINK_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Starts a context behind a command; see [`Router::command`].
#[must_use = "call `connect` or `start` to run the command"]
pub struct Command {
    router: Router,
    options: Options,
    argv: Vec<std::ffi::OsString>,
    ending: Ending,
}

impl Router {
    /// Starts a context behind any command that gives a shell on its stdin and stdout: a container, a
    /// jail, a serial line, a program of your own.
    ///
    /// The command gets three more arguments, `sh`, `-c` and a short script, and has to run them; so a
    /// command that ends where another one may follow is complete. The script looks for this executable
    /// in a cache of the target, by its hash, and takes it over the same stream if it is not there. All
    /// that is needed there is a POSIX shell and the usual tools. Nothing else may read the command's
    /// stdin, and what comes over its stdout has to come unchanged: no terminal in between.
    ///
    /// ```no_run
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let container = router.command(["docker", "exec", "-i", "web"]).name("web").connect()?;
    /// let elsewhere = router.command(["unshare", "--net", "--map-root-user"]).connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn command<T: Into<std::ffi::OsString>>(&self, argv: impl IntoIterator<Item = T>) -> Command {
        let method = Method::new(Kind::Command, Ending::Arguments, String::new());
        Command {
            router: self.clone(),
            options: Options::new(Way::Command(method)),
            argv: argv.into_iter().map(Into::into).collect(),
            ending: Ending::Arguments,
        }
    }
}

impl Command {
    common_options!();
    far_options!();

    /// Adds the script as one argument that a shell will read, for commands that hand theirs to one
    /// as `ssh` and `su -c` do.
    ///
    /// ```no_run
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let host = router.command(["dbclient", "web1"]).through_shell().connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn through_shell(mut self) -> Self {
        self.ending = Ending::ForShell;
        self
    }

    fn finish(&self) -> Options {
        let mut options = self.options.clone();
        let program = self.argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        let method = Method::new(Kind::Command, self.ending, format!("command.{program}"));
        let argv = self.argv.iter().map(Into::into).collect();
        options.request.way = Way::Command(Method { argv, is_remote: true, ..method });
        options
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("program", &self.argv.first()).finish_non_exhaustive()
    }
}

impl Method {
    pub(super) fn new(kind: Kind, ending: Ending, default_name: String) -> Self {
        Self {
            kind,
            argv: Vec::new(),
            ending,
            env: Vec::new(),
            prompt: None,
            password: None,
            terminal: TerminalUse::Never,
            default_name,
            is_remote: false,
            problem: None,
        }
    }
}

/// Runs the command, sees to it that this executable runs behind it, and joins that.
///
/// `supplied` is an executable that another context has sent for this target.
pub(super) fn connect(
    router: &Router,
    request: &Request,
    method: &Method,
    cancel: &Cancel,
    supplied: Option<&Arc<Executable>>,
) -> std::result::Result<Context, Failed> {
    let deadline = deadline::after(request.connect_timeout);
    let core = router.core();
    let broker = core.broker()?;
    let name = request.name.clone().unwrap_or_else(|| default_name(core, method));
    let fail = |kind| Error::Connect { context: name.clone(), kind, stderr_tail: String::new() };
    let id = router.allocate_id(deadline).map_err(|what| fail(ConnectKind::NoId { what }))?;
    let attempt = Attempt { core, broker: &broker, request, method, id, name: &name, deadline, supplied };
    match attempt.run(method.terminal == TerminalUse::AsStdin, cancel) {
        Err(Failed::Error(error)) if method.terminal == TerminalUse::IfWanted && wants_terminal(&error) => {
            attempt.run(true, cancel)
        }
        result => result,
    }
}

/// Whether a command has said, in any language, that it wants a terminal.
fn wants_terminal(error: &Error) -> bool {
    let Error::Connect { kind: ConnectKind::NoShell { .. }, stderr_tail, .. } = error else { return false };
    stderr_tail.to_lowercase().contains("tty")
}

/// A command that was started, with our ends of what it was given.
struct Spawned {
    child: Child,
    pipes: Pipes,
    /// The other end of its terminal, which is not to be closed.
    slave: Option<OwnedFd>,
}

fn spawn(
    method: &Method,
    first_stage: &str,
    askpass: Option<&AskPass>,
    terminal: Option<Terminal>,
) -> std::result::Result<Spawned, ConnectKind> {
    let stdin = match (&terminal, method.terminal) {
        (Some(_), TerminalUse::AsStdin) => Some(Stdin::Terminal),
        (Some(_), _) => Some(Stdin::Wire),
        (None, _) => None,
    };
    let argv = method.command(first_stage, stdin == Some(Stdin::Terminal));
    let program = method.program();
    let start = |error| ConnectKind::Start { program: program.clone(), source: Arc::new(error) };
    let (mut command, wire) = match (&terminal, stdin) {
        (Some(terminal), Some(stdin)) => {
            if !is_there(&argv[0]) {
                return Err(start(std::io::ErrorKind::NotFound.into()));
            }
            let (command, wire) =
                terminal.host(&argv, stdin).map_err(|error| ConnectKind::io("give a command a terminal", error))?;
            (command, Some(wire))
        }
        _ => {
            let mut command = Process::new(&argv[0]);
            // A group of its own: whatever the command starts here ends with it. A session has one.
            command.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
            (command, None)
        }
    };
    command.envs(method.env.iter().map(|(key, value)| (key, value))).stderr(Stdio::piped());
    if method.prompt == Some(Prompt::AskPass) {
        command.envs(askpass.map_or_else(AskPass::nobody, AskPass::env));
        if std::env::var_os("DISPLAY").is_none() {
            // Without it, some versions do not ask.
            command.env("DISPLAY", ":");
        }
    }
    let mut child = command.spawn().map_err(start)?;
    // It holds the other end of the wire.
    drop(command);
    let ends = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ends = match (wire, ends) {
        (Some(wire), (_, _, Some(stderr))) => wire.try_clone().ok().map(|other| (wire, other, stderr.into())),
        (None, (Some(stdin), Some(stdout), Some(stderr))) => Some((stdin.into(), stdout.into(), stderr.into())),
        _ => None,
    };
    let Some((to, from, stderr)) = ends else {
        // It is ours and not reaped, so its number cannot be anybody else's.
        let _ = child.kill();
        let _ = child.wait();
        return Err(ConnectKind::io("talk to the command", std::io::Error::other("it has no pipes")));
    };
    let (master, slave) = terminal.map(|terminal| (terminal.master, terminal.slave)).unzip();
    let type_password = stdin == Some(Stdin::Terminal);
    let pipes = Pipes { stdin: to, stdout: from, stderr, terminal: master, type_password };
    Ok(Spawned { child, pipes, slave })
}

/// Whether there is such a program. What runs it in a terminal could not tell so in time.
fn is_there(program: &OsStr) -> bool {
    if program.as_bytes().contains(&b'/') {
        return Path::new(program).exists();
    }
    // As `execvp` has it where nothing is said.
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    std::env::split_paths(&path).any(|dir| dir.join(program).exists())
}

/// One command, and what shall come of it.
struct Attempt<'a> {
    core: &'a Arc<Core>,
    broker: &'a BrokerHandle,
    request: &'a Request,
    method: &'a Method,
    id: ContextId,
    name: &'a str,
    deadline: Instant,
    supplied: Option<&'a Arc<Executable>>,
}

/// Why there is no context.
#[derive(Debug)]
pub(super) enum Failed {
    /// This is told to whoever wanted it.
    Error(Error),
    /// The same, but whoever has an executable for such a target may send it and try again.
    Needs { target: String, error: Box<Error> },
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Failed {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Needs { error, .. } => *error,
        }
    }
}

impl Attempt<'_> {
    /// Runs the command, in a terminal or without one.
    fn run(&self, in_terminal: bool, cancel: &Cancel) -> std::result::Result<Context, Failed> {
        let Self { core, name, .. } = *self;
        let fail = |kind| Error::Connect { context: name.to_owned(), kind, stderr_tail: String::new() };
        let askpass = match (&self.method.prompt, &self.method.password) {
            (Some(Prompt::AskPass), Some(password)) => {
                let made = AskPass::new(password);
                Some(made.map_err(|error| fail(ConnectKind::io("lay a password ready for ssh", error)))?)
            }
            _ => None,
        };
        let mut candidates = candidates(core).map_err(|error| fail(cannot_read(error)))?;
        candidates.extend(self.supplied.cloned());
        let token = Token::new();
        let first_stage = token.command(self.request, self.method, name, &known(&candidates));
        // Where there is none to be had, the command has to do without.
        let terminal = in_terminal.then(Terminal::new).and_then(Result::ok);
        let Spawned { child, pipes, slave } =
            spawn(self.method, &first_stage, askpass.as_ref(), terminal).map_err(fail)?;
        let output = self.request.output.clone();
        let started = Started { name: name.to_owned(), child, held: slave, output, leads_group: true };
        let process =
            LocalProcess::watch(core, self.broker, started).map_err(|error| match core.lifecycle().is_open() {
                true => fail(ConnectKind::io("watch the command", error)),
                false => fail(ConnectKind::Cancelled),
            })?;
        let connecting: Arc<dyn RouterProcess> = process.clone();
        core.begin_connecting(connecting.clone());
        let killed = process.clone();
        cancel.by(move || killed.kill());
        let result = self.talk(&process, pipes, (&token, &candidates), askpass.as_ref(), cancel);
        cancel.done();
        core.end_connecting(&connecting);
        result
    }

    fn talk(
        &self,
        process: &Arc<LocalProcess>,
        pipes: Pipes,
        (token, candidates): (&Token, &[Arc<Executable>]),
        askpass: Option<&AskPass>,
        cancel: &Cancel,
    ) -> std::result::Result<Context, Failed> {
        let Self { core, request, method, id, name, deadline, .. } = *self;
        let conversation = Conversation { core, request, method, name, token, process, deadline, candidates };
        let joined = conversation.run(pipes).and_then(|wire| self.greet(process, wire));
        let failure = match joined {
            Ok((features, read, write)) => {
                let keep_alive = core.keep_alive(features).or(self.link_keep_alive(features));
                let ends = local::Ends { read, write, socket: None };
                return local::join(core, (id, name), (features, keep_alive, request.unidirectional), ends, process)
                    .map_err(Failed::Error);
            }
            Err(failure) => failure,
        };
        let (exit, words) = process.abandon(matches!(failure, Failure::Kind(_) | Failure::Needs { .. }));
        let mut needed = None;
        let kind = match failure {
            _ if cancel.is_cancelled() || !core.lifecycle().is_open() => ConnectKind::Cancelled,
            Failure::Ended { shell } => {
                let password_given = askpass.is_some_and(AskPass::was_asked);
                let ended = Ended { shell, has_password: method.password.is_some(), password_given };
                method.kind.explain(&ended, exit, &words)
            }
            // What the target could not take is told by its own tools.
            Failure::Told(ConnectKind::Transfer { what }) if is_full(&words) => ConnectKind::NoSpace { what },
            Failure::Told(kind) | Failure::Kind(kind) => kind,
            Failure::Needs { target, kind } => {
                needed = Some(target);
                kind
            }
        };
        let error = Error::Connect { context: name.to_owned(), kind, stderr_tail: words };
        Err(match needed {
            Some(target) => Failed::Needs { target, error: Box::new(error) },
            None => Failed::Error(error),
        })
    }

    /// Both say hello over what is the wire now.
    fn greet(&self, process: &LocalProcess, wire: Wire) -> std::result::Result<(u32, OwnedFd, OwnedFd), Failure> {
        let Wire { read, write, stderr, terminal } = wire;
        // What is written to the terminal is read as well: it would fill, and stop whoever writes.
        for words in stderr.into_iter().chain(terminal) {
            let watched = process.read(words, "stderr");
            watched.map_err(|error| Failure::Kind(ConnectKind::io("read the stderr of the command", error)))?;
        }
        let terms = Terms::of(self.request, self.method.is_remote.then_some(LINK_KEEP_ALIVE));
        let ends = (&read, &write);
        let greeted = handshake::with_child(self.core, (self.id, self.name), &terms, ends, self.deadline);
        match greeted {
            Ok(features) => Ok((features, read, write)),
            Err(handshake::Failure::Eof) => Err(Failure::Ended { shell: true }),
            Err(failure) => Err(Failure::Kind(failure.into_kind(self.request.connect_timeout))),
        }
    }

    fn link_keep_alive(&self, features: u32) -> Option<Duration> {
        (self.method.is_remote && features & FEATURE_PING != 0).then_some(LINK_KEEP_ALIVE)
    }
}

fn is_full(words: &str) -> bool {
    words.contains("No space left on device") || words.contains("Disk quota exceeded")
}
