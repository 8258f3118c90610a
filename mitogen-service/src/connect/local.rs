//! Children on this machine: the same executable, started again.
//!
//! The child gets one end of a socket as its stdin; the two pipes that carry messages are sent over
//! it. So no descriptor loses its close-on-exec flag in this process, where a child that another
//! thread starts at the same moment would inherit it, and nothing has to run between fork and exec.

use std::ffi::OsString;
use std::fmt;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};

use super::handshake::{self, Failure};
use super::process::{LocalProcess, Started};
use crate::deadline;
use crate::error::{ConnectKind, Error, Result};
use crate::io::{ReadEnd, Stream, WriteEnd};
use crate::process::CHILD_MARK;
use crate::router::{Context, Core, Death, MAX_NAME, Process, Router, is_name};
use crate::wire::{ContextId, FEATURE_BULK, FEATURES};

/// This executable, also if its file has been replaced or removed since it was started.
const OWN_EXECUTABLE: &str = "/proc/self/exe";

/// How long a child may take to join unless told otherwise.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts a child process on this machine; see [`Router::local`].
#[must_use = "call `connect` to start the child"]
pub struct Local {
    router: Router,
    name: Option<String>,
    connect_timeout: Duration,
    env: Vec<(OsString, OsString)>,
    current_dir: Option<PathBuf>,
}

impl Router {
    /// Starts a child process on this machine: this executable again, which never enters the body
    /// of `main` there.
    ///
    /// ```no_run
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let child = router.local().name("worker").connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn local(&self) -> Local {
        Local { router: self.clone(), name: None, connect_timeout: CONNECT_TIMEOUT, env: Vec::new(), current_dir: None }
    }
}

impl Local {
    /// The name of the context, for logs and errors: 1 to 256 bytes without control characters.
    /// `local.N` by default, with the number of the context.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long the child may take to join, 30 seconds by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets an environment variable of the child, beside those that it inherits.
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// The directory that the child starts in, this process's own by default.
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(dir.into());
        self
    }

    /// Starts the child and waits until it has joined.
    ///
    /// # Errors
    /// [`Error::Connect`] tells what went wrong, with what the process wrote to its stderr;
    /// [`Error::Invalid`] for a name that cannot be one, [`Error::Closed`] after a shutdown.
    pub fn connect(self) -> Result<Context> {
        let deadline = deadline::after(self.connect_timeout);
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        let core = self.router.core().clone();
        core.broker()?;
        let asked = self.name.clone().unwrap_or_else(|| "local".to_owned());
        let fail = |kind| Error::Connect { context: asked.clone(), kind, stderr_tail: String::new() };
        let id = self.router.allocate_id(deadline).map_err(|what| fail(ConnectKind::NoId { what }))?;
        let name = self.name.clone().unwrap_or_else(|| format!("local.{id}"));
        self.start(&core, id, &name, deadline)
    }

    fn start(&self, core: &Arc<Core>, id: ContextId, name: &str, deadline: Instant) -> Result<Context> {
        let fail = |kind| Error::Connect { context: name.to_owned(), kind, stderr_tail: String::new() };
        let broker = core.broker()?;
        let pipes = Pipes::new().map_err(|error| fail(ConnectKind::io("make the pipes of a child", error)))?;
        let started = self.spawn(name, pipes.child_socket).map_err(fail)?;
        let started = Started { name: name.to_owned(), child: started };
        let wire = send_pipes(&pipes.socket, [pipes.child_read, pipes.child_write]);
        let ends = Ends { read: pipes.read, write: pipes.write, socket: pipes.socket };
        let process =
            LocalProcess::watch(core, &broker, started).map_err(|error| match core.lifecycle().is_open() {
                true => fail(ConnectKind::io("watch a child", error)),
                false => fail(ConnectKind::Cancelled),
            })?;
        let connecting: Arc<dyn Process> = process.clone();
        core.begin_connecting(connecting.clone());
        let result = self.join_or_abandon(core, (id, name), ends, wire, &process, deadline);
        core.end_connecting(&connecting);
        result
    }

    fn join_or_abandon(
        &self,
        core: &Arc<Core>,
        (id, name): (ContextId, &str),
        ends: Ends,
        wire: rustix::io::Result<()>,
        process: &Arc<LocalProcess>,
        deadline: Instant,
    ) -> Result<Context> {
        let joined = wire
            .map_err(|error| match error {
                // It has ended before it could take them.
                Errno::PIPE | Errno::CONNRESET => Joining::Ended,
                error => Joining::Failed(ConnectKind::io("send a child its pipes", error)),
            })
            .and_then(|()| greet(core, (id, name), &ends, deadline, self.connect_timeout));
        match joined {
            Ok(features) => join(core, (id, name), features, ends, process),
            Err(joining) => {
                let (exit, stderr_tail) = process.abandon(!matches!(joining, Joining::Ended));
                let kind = match joining {
                    Joining::Ended if !core.lifecycle().is_open() => ConnectKind::Cancelled,
                    Joining::Ended => ConnectKind::Exited { exit },
                    Joining::Failed(kind) => kind,
                };
                Err(Error::Connect { context: name.to_owned(), kind, stderr_tail })
            }
        }
    }

    fn spawn(&self, name: &str, stdin: OwnedFd) -> std::result::Result<std::process::Child, ConnectKind> {
        let mut command = Command::new(OWN_EXECUTABLE);
        if let Some(own_name) = std::env::args_os().next() {
            command.arg0(own_name);
        }
        command.args([CHILD_MARK, name]);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        command.stdin(Stdio::from(stdin)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|error| ConnectKind::Start { source: Arc::new(error) })
    }
}

/// How joining came to nothing.
enum Joining {
    /// The process has closed its end, and is about to exit if it has not yet.
    Ended,
    /// Something else, and the process is to be killed.
    Failed(ConnectKind),
}

/// All descriptors of a new child, every one with close-on-exec.
struct Pipes {
    socket: OwnedFd,
    child_socket: OwnedFd,
    read: OwnedFd,
    child_write: OwnedFd,
    child_read: OwnedFd,
    write: OwnedFd,
}

impl Pipes {
    fn new() -> rustix::io::Result<Self> {
        let (socket, child_socket) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let (read, child_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (child_read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self { socket, child_socket, read, child_write, child_read, write })
    }
}

/// Our ends of what leads to a child.
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    /// What the child was given its pipes over, which becomes the link for bulk.
    socket: OwnedFd,
}

/// Sends the child its ends of the pipes, and gives ours up, so that the child's end is an EOF here.
fn send_pipes(socket: &OwnedFd, [read, write]: [OwnedFd; 2]) -> rustix::io::Result<()> {
    let fds = [read.as_fd(), write.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"P")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Both say hello, and the child learns who it is; gives the child's features.
fn greet(
    core: &Arc<Core>,
    child: (ContextId, &str),
    ends: &Ends,
    deadline: Instant,
    timeout: Duration,
) -> std::result::Result<u32, Joining> {
    handshake::with_child(core, child, FEATURES | FEATURE_BULK, (&ends.read, &ends.write), deadline).map_err(
        |failure| match failure {
            Failure::Eof => Joining::Ended,
            failure => Joining::Failed(failure.into_kind(timeout)),
        },
    )
}

/// Makes the child part of the tree, or ends it.
fn join(
    core: &Arc<Core>,
    child: (ContextId, &str),
    features: u32,
    Ends { read, write, socket }: Ends,
    process: &Arc<LocalProcess>,
) -> Result<Context> {
    let streams = core.new_stream((ReadEnd(read), WriteEnd(write)), core.keep_alive(features)).and_then(|stream| {
        let has_bulk = features & FEATURE_BULK != 0;
        let bulk = has_bulk.then(|| core.new_bulk(&stream, socket)).transpose()?;
        Ok((stream, bulk))
    });
    let (stream, bulk) = streams.inspect_err(|_| {
        process.abandon(true);
    })?;
    process.attach(&stream);
    let joined = core.join_child((&stream, bulk.as_ref()), child, features, Some(process.clone()));
    // The exit is watched last: it closes the stream, which has to be joined by then.
    let joined = joined.and_then(|context| {
        process.watch_exit().map_err(|error| match core.lifecycle().is_open() {
            true => Error::io("watch a child", error),
            false => Error::Closed,
        })?;
        Ok(context)
    });
    joined.inspect_err(|_| {
        let (exit, stderr_tail) = process.abandon(true);
        let death = Death { exit, stderr_tail, ..Death::disconnected(child.1) };
        core.lost(stream.id(), death);
        stream.close();
        bulk.iter().for_each(Stream::close);
    })
}

pub(super) fn check_name(name: &str) -> Result<()> {
    if !is_name(name) {
        let what =
            format!("the name of a context is 1 to {MAX_NAME} bytes without control characters, and {name:?} is not");
        return Err(Error::Invalid { what });
    }
    Ok(())
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("name", &self.name).finish_non_exhaustive()
    }
}
