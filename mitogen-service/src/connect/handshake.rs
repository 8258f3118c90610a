//! Both ends say hello before the first message. Blocks, on the thread that connects.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::request::Request;
use crate::error::ConnectKind;
use crate::router::Core;
use crate::wire::{ContextId, FEATURE_BULK, FEATURES, Hello, HelloDecoder, Identity};

/// Why no hello came.
#[derive(Debug)]
pub(super) enum Failure {
    /// The other end closed.
    Eof,
    /// The time was over.
    Timeout,
    /// It was no hello, or one that we cannot follow.
    Protocol(String),
    /// The system said no.
    Io(Errno),
}

impl Failure {
    /// What whoever wanted to connect is told; `timeout` is how long it would have waited.
    pub(super) fn into_kind(self, timeout: Duration) -> ConnectKind {
        match self {
            Self::Eof => ConnectKind::Protocol { what: "the other end has closed before it said hello".to_owned() },
            Self::Timeout => ConnectKind::silence(timeout),
            Self::Protocol(what) => ConnectKind::Protocol { what },
            Self::Io(error) => ConnectKind::io("greet a child", error),
        }
    }
}

/// What holds for one child alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    unidirectional: bool,
    pool_size: Option<usize>,
    /// How often it looks for a sign of life of this end, where the tree has no interval of its own.
    link_keep_alive: Option<Duration>,
    /// There is a socket to it beside its pipes, for bulk.
    has_socket: bool,
}

impl Terms {
    pub(super) fn of(request: &Request, link_keep_alive: Option<Duration>) -> Self {
        Self {
            unidirectional: request.unidirectional,
            pool_size: request.pool_size,
            link_keep_alive,
            has_socket: false,
        }
    }

    /// The same for a child that there is a socket to.
    pub(super) fn with_socket(self) -> Self {
        Self { has_socket: true, ..self }
    }
}

/// The features that this end says it has.
pub(super) fn offered(has_socket: bool) -> u32 {
    if has_socket { FEATURES | FEATURE_BULK } else { FEATURES }
}

/// What the other end has said, but for the link for bulk that is there only if both say so.
pub(super) fn common(offered: u32, said: u32) -> u32 {
    said & (offered | !FEATURE_BULK)
}

/// Both say hello, and the child learns who it is; gives the child's features.
pub(super) fn with_child(
    core: &Core,
    (id, name): (ContextId, &str),
    terms: &Terms,
    (read, write): (&OwnedFd, &OwnedFd),
    deadline: Instant,
) -> Result<u32, Failure> {
    let me = core.identity();
    let mut parents = vec![(me.id, me.name.clone())];
    parents.extend(me.parents.iter().cloned());
    let identity = Identity {
        context_id: id,
        name: name.to_owned(),
        parents,
        max_message_size: me.max_message_size as u64,
        unidirectional: me.unidirectional || terms.unidirectional,
        keep_alive: me.keep_alive,
        channels: me.channels,
        link_keep_alive: terms.link_keep_alive,
        pool_size: terms.pool_size.map(|size| size as u64),
        log_level: crate::log::wanted_level(),
    };
    let offered = offered(terms.has_socket);
    send(write, &Hello::of_parent(offered, std::process::id(), identity))?;
    Ok(common(offered, receive(read, Some(deadline))?.features))
}

/// Writes a hello; it is smaller than a pipe's buffer, so this does not wait for the other end.
pub(super) fn send(fd: &OwnedFd, hello: &Hello) -> Result<(), Failure> {
    let bytes = hello.encode();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(fd, rest) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => return Err(Failure::Eof),
            Err(error) => return Err(Failure::Io(error)),
        }
    }
    Ok(())
}

/// Reads a hello and not a byte more, so that the first message is left to the stream.
pub(super) fn receive(fd: &OwnedFd, deadline: Option<Instant>) -> Result<Hello, Failure> {
    let mut decoder = HelloDecoder::new();
    let mut buffer = [0; 1024];
    loop {
        let wanted = decoder.needed().min(buffer.len());
        wait_readable(fd, deadline)?;
        let got = match rustix::io::read(fd, &mut buffer[..wanted]) {
            Ok(0) => return Err(Failure::Eof),
            Ok(got) => got,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(error) => return Err(Failure::Io(error)),
        };
        match decoder.feed(&buffer[..got]) {
            Ok(Some((hello, _))) => return Ok(hello),
            Ok(None) => {}
            Err(error) => return Err(Failure::Protocol(error.to_string())),
        }
    }
}

fn wait_readable(fd: &OwnedFd, deadline: Option<Instant>) -> Result<(), Failure> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Err(Failure::Timeout),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Failure::Io(error)),
        }
    }
}
