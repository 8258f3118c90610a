//! Children on this machine: the same executable, started again.
//!
//! The child gets one end of a socket as its stdin; the two pipes that carry messages are sent over
//! it. So no descriptor loses its close-on-exec flag in this process, where a child that another
//! thread starts at the same moment would inherit it, and nothing has to run between fork and exec.

use std::fmt;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};

use super::connecting::{Cancel, asked_name};
use super::handshake::{self, Failure, Terms};
use super::options::{Options, common_options};
use super::process::{LocalProcess, Started};
use super::request::{Request, Way};
use crate::deadline;
use crate::error::{ConnectKind, Error, Result};
use crate::executable;
use crate::io::{ReadEnd, Stream, WriteEnd};
use crate::process::CHILD_MARK;
use crate::router::{Context, Core, Death, Process, Router};
use crate::wire::{ContextId, FEATURE_BULK};

/// Starts a child process on this machine; see [`Router::local`].
#[must_use = "call `connect` or `start` to start the child"]
pub struct Local {
    router: Router,
    options: Options,
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
        Local { router: self.clone(), options: Options::new(Way::Local) }
    }
}

impl Local {
    common_options!();

    fn finish(&self) -> Options {
        self.options.clone()
    }
}

/// Starts the child and waits until it has joined.
pub(super) fn connect(router: &Router, request: &Request, cancel: &Cancel) -> Result<Context> {
    let deadline = deadline::after(request.connect_timeout);
    let core = router.core();
    core.broker()?;
    let asked = asked_name(request);
    let fail = |kind| Error::Connect { context: asked.clone(), kind, stderr_tail: String::new() };
    let id = router.allocate_id(deadline).map_err(|what| fail(ConnectKind::NoId { what }))?;
    let name = request.name.clone().unwrap_or_else(|| format!("local.{id}"));
    Start { request, cancel }.start(core, id, &name, deadline)
}

/// What is to be started.
struct Start<'a> {
    request: &'a Request,
    cancel: &'a Cancel,
}

impl Start<'_> {
    fn start(&self, core: &Arc<Core>, id: ContextId, name: &str, deadline: Instant) -> Result<Context> {
        let fail = |kind| Error::Connect { context: name.to_owned(), kind, stderr_tail: String::new() };
        let broker = core.broker()?;
        let pipes = Pipes::new().map_err(|error| fail(ConnectKind::io("make the pipes of a child", error)))?;
        let started = self.spawn(name, pipes.child_socket).map_err(fail)?;
        // Before the socket is given away.
        let wire = send_pipes(&pipes.socket, [pipes.child_read, pipes.child_write]);
        let output = self.request.output.clone();
        let ends = Ends { read: pipes.read, write: pipes.write, socket: Some(pipes.socket) };
        let started = Started { name: name.to_owned(), child: started, held: None, output, leads_group: false };
        let process =
            LocalProcess::watch(core, &broker, started).map_err(|error| match core.lifecycle().is_open() {
                true => fail(ConnectKind::io("watch a child", error)),
                false => fail(ConnectKind::Cancelled),
            })?;
        let connecting: Arc<dyn Process> = process.clone();
        core.begin_connecting(connecting.clone());
        let killed = process.clone();
        self.cancel.by(move || killed.kill());
        let result = self.join_or_abandon(core, (id, name), ends, wire, &process, deadline);
        self.cancel.done();
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
            .and_then(|()| {
                greet(
                    core,
                    (id, name),
                    &Terms::of(self.request, None).with_socket(),
                    (&ends.read, &ends.write),
                    deadline,
                    self.request.connect_timeout,
                )
            });
        match joined {
            Ok(features) => join(
                core,
                (id, name),
                (features, core.keep_alive(features), self.request.unidirectional),
                ends,
                process,
            ),
            Err(joining) => {
                let (exit, stderr_tail) = process.abandon(!matches!(joining, Joining::Ended));
                let kind = match joining {
                    Joining::Ended if self.cancel.is_cancelled() || !core.lifecycle().is_open() => {
                        ConnectKind::Cancelled
                    }
                    Joining::Ended => ConnectKind::Exited { exit },
                    Joining::Failed(kind) => kind,
                };
                Err(Error::Connect { context: name.to_owned(), kind, stderr_tail })
            }
        }
    }

    fn spawn(&self, name: &str, stdin: OwnedFd) -> std::result::Result<std::process::Child, ConnectKind> {
        let mut command = Command::new(executable::OWN);
        if let Some(own_name) = std::env::args_os().next() {
            command.arg0(own_name);
        }
        command.args([CHILD_MARK, name]);
        command.envs(self.request.env.iter().map(|(key, value)| (key.as_os_str(), value.as_os_str())));
        if let Some(dir) = &self.request.current_dir {
            command.current_dir(dir.as_os_str());
        }
        command.stdin(Stdio::from(stdin)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|error| match &self.request.current_dir {
            // Both say that something is not there, and the executable is.
            Some(dir) if !Path::new(dir.as_os_str()).is_dir() => {
                ConnectKind::NoDirectory { dir: dir.as_os_str().to_string_lossy().into_owned() }
            }
            _ => ConnectKind::Start { program: executable::OWN.to_owned(), source: Arc::new(error) },
        })
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
pub(super) struct Ends {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
    /// What a local child was given its pipes over, which becomes the link for bulk.
    pub(super) socket: Option<OwnedFd>,
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
    terms: &Terms,
    ends: (&OwnedFd, &OwnedFd),
    deadline: Instant,
    timeout: Duration,
) -> std::result::Result<u32, Joining> {
    handshake::with_child(core, child, terms, ends, deadline).map_err(|failure| match failure {
        Failure::Eof => Joining::Ended,
        failure => Joining::Failed(failure.into_kind(timeout)),
    })
}

/// Makes the child part of the tree, or ends it. Takes its features, how often to look for a sign of life of
/// it, and whether it is kept apart.
pub(super) fn join(
    core: &Arc<Core>,
    child: (ContextId, &str),
    (features, keep_alive, apart): (u32, Option<Duration>, bool),
    Ends { read, write, socket }: Ends,
    process: &Arc<LocalProcess>,
) -> Result<Context> {
    let streams = core.new_stream((ReadEnd(read), WriteEnd(write)), keep_alive).and_then(|stream| {
        let socket = socket.filter(|_| features & FEATURE_BULK != 0);
        let bulk = socket.map(|socket| core.new_bulk(&stream, socket)).transpose()?;
        Ok((stream, bulk))
    });
    let (stream, bulk) = streams.inspect_err(|_| {
        process.abandon(true);
    })?;
    process.attach(&stream);
    let joined = core.join_child((&stream, bulk.as_ref()), child, features, Some(process.clone()), apart);
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

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("name", &self.options.request.name).finish_non_exhaustive()
    }
}
