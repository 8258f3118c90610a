//! The other processes of the floors: this executable again, told by its first argument what to be.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Result, broker, floor};

const MARK: &str = "--floor";

/// How many bytes a call and its reply take on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames {
    pub(crate) request: usize,
    pub(crate) reply: usize,
}

/// Becomes the other side of a floor if this process was started for that, and does not return then.
/// First thing in `main`.
pub(crate) fn enter() {
    let args: Vec<_> = std::env::args().collect();
    let [_, mark, kind, request, reply] = args.as_slice() else { return };
    if mark != MARK {
        return;
    }
    let size = |text: &str| text.parse().expect("a size is a number");
    let frames = Frames { request: size(request), reply: size(reply) };
    match kind.as_str() {
        "echo" => floor::serve_echo(rustix::stdio::stdin(), rustix::stdio::stdin(), frames),
        "echo-pipes" => floor::serve_echo(rustix::stdio::stdin(), rustix::stdio::stdout(), frames),
        "bulk" => floor::serve_bulk(rustix::stdio::stdin(), frames),
        "broker" => broker::serve(rustix::stdio::stdin(), frames),
        kind => panic!("there is no floor {kind:?}"),
    }
    .expect("a floor works until its parent goes away");
    std::process::exit(0);
}

/// A process that was started to compare with. It ends when the last descriptor that it was given an end
/// of is closed.
pub(crate) struct Peer {
    child: Child,
}

impl Peer {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn over_socket(kind: &str, frames: Frames) -> Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let child = command(kind, frames).stdin(Stdio::from(theirs)).spawn()?;
        Ok((Self { child }, ours))
    }

    /// Gives the end to read from and the one to write to.
    pub(crate) fn over_pipes(kind: &str, frames: Frames) -> Result<(Self, [OwnedFd; 2])> {
        let (read, their_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (their_read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let child = command(kind, frames).stdin(Stdio::from(their_read)).stdout(Stdio::from(their_write)).spawn()?;
        Ok((Self { child }, [read, write]))
    }
}

impl Drop for Peer {
    /// By force, since nothing is lost: what holds its other end may live longer than this.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(kind: &str, frames: Frames) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args([MARK, kind, &frames.request.to_string(), &frames.reply.to_string()]);
    command
}
