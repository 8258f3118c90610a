//! The other side: a process that finds itself to be a child.

use std::ffi::CString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::{PidfdFlags, getppid, pidfd_open};

use super::handshake::{self, Failure};
use super::{terminal, via};
use crate::io::{BrokerHandle, Interest, ReadEnd, Source, Token, WriteEnd};
use crate::process;
use crate::router::{Bounds, Core, Ending, Identity};
use crate::service::listen_for_first_call;
use crate::sys;
use crate::wire::{FEATURE_BULK, FEATURE_PING, Hello};

/// The status of a child that could not join. "Internal software error" in `sysexits.h`.
const CANNOT_JOIN: i32 = 70;

/// Enters the child if this process was started as one, and does not return then.
pub(crate) fn init() {
    if process::is_child() {
        enter();
    }
    if let Some((stdin, argv)) = process::terminal_command() {
        terminal::enter(stdin, &argv);
    }
}

/// Serves until the parent is gone or ends this context. The I/O thread ends the process.
fn enter() -> ! {
    sys::ignore_sigpipe();
    match join() {
        Ok(()) => loop {
            std::thread::park();
        },
        Err(why) => {
            eprintln!("mitogen-service: this process was started as a context, and cannot join its parent: {why}");
            sys::exit_now(CANNOT_JOIN)
        }
    }
}

/// Joins the parent.
fn join() -> Result<(), String> {
    let is_far = process::speaks_over_stdio();
    if let Some(file) = process::run_from().filter(|_| is_far) {
        // Whatever this process runs would inherit it.
        sys::close_inherited(file);
    }
    let ([read, write], socket) = if is_far {
        (detach_stdio().map_err(|error| format!("stdin and stdout cannot be replaced: {error}"))?, None)
    } else {
        let pipes = receive_pipes().map_err(|error| format!("no pipes came over stdin: {error}"))?;
        let socket = detach_stdin().map_err(|error| format!("stdin cannot be replaced: {error}"))?;
        (pipes, Some(socket))
    };
    let Greeted { identity, terms, parent_pid, features } = greet((&read, &write), socket.is_some())?;
    set_thread_name(&identity.name);
    let core = Core::new(identity, Ending::Process, Bounds::default());
    core.forward_events(terms.log_level);
    via::provide();
    listen_for_first_call(&core, terms.pool_size);
    let broker = core.broker().map_err(|error| error.to_string())?;
    if !is_far {
        watch_parent(&core, &broker, parent_pid);
    }
    let ends = (ReadEnd(read), WriteEnd(write));
    let keep_alive = core.keep_alive(features).or(terms.keep_alive.filter(|_| features & FEATURE_PING != 0));
    let stream = core.new_stream(ends, keep_alive).map_err(|error| error.to_string())?;
    // The socket that the pipes came over, if the parent knows what it is good for.
    let socket = socket.filter(|_| features & FEATURE_BULK != 0);
    let bulk = socket.map(|socket| core.new_bulk(&stream, socket)).transpose().map_err(|error| error.to_string())?;
    // From here on routers may be made in this process for its own use.
    process::entered();
    core.join_parent((&stream, bulk.as_ref()), features).map_err(|error| error.to_string())
}

/// Takes the two pipes that the parent has sent.
fn receive_pipes() -> Result<[OwnedFd; 2], Errno> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    loop {
        let stdin = rustix::stdio::stdin();
        match rustix::net::recvmsg(stdin, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    let fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    fds.try_into().map_err(|_| Errno::PROTO)
}

/// Moves the socket away from stdin, where programs that this one starts would inherit it.
fn detach_stdin() -> Result<OwnedFd, Errno> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(socket)
}

/// Takes the wire away from stdin and stdout, where whatever this process runs or prints would meet it.
/// What is printed from now on goes to stderr, whose lines come to the parent.
fn detach_stdio() -> Result<[OwnedFd; 2], Errno> {
    let write = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let read = detach_stdin()?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok([read, write])
}

/// What the parent has said.
struct Greeted {
    identity: Identity,
    terms: Terms,
    parent_pid: u32,
    features: u32,
}

/// What holds for this context alone.
struct Terms {
    pool_size: Option<usize>,
    /// The log events that the root wants.
    log_level: u64,
    /// How often to look for a sign of life of the parent, if the tree has no interval of its own.
    keep_alive: Option<Duration>,
}

/// Both say hello; gives what the parent has said.
///
/// This end speaks first, so that the parent learns our version if theirs differs.
fn greet((read, write): (&OwnedFd, &OwnedFd), has_socket: bool) -> Result<Greeted, String> {
    let offered = handshake::offered(has_socket);
    let hello = Hello::of_child(offered, std::process::id());
    let greeted = handshake::send(write, &hello).and_then(|()| handshake::receive(read, None));
    let hello = greeted.map_err(|failure| match failure {
        Failure::Eof => "the parent is gone".to_owned(),
        Failure::Timeout => "the parent says nothing".to_owned(),
        Failure::Protocol(what) => what,
        Failure::Io(error) => error.to_string(),
    })?;
    let told = hello.body.identity.ok_or("the parent does not say who this context is")?;
    let pool_size = told.pool_size.and_then(|size| usize::try_from(size).ok());
    let identity = Identity {
        id: told.context_id,
        name: told.name,
        parents: told.parents,
        max_message_size: usize::try_from(told.max_message_size).unwrap_or(usize::MAX),
        unidirectional: told.unidirectional,
        keep_alive: told.keep_alive,
        channels: told.channels,
    };
    if identity.parents.is_empty() {
        return Err("the parent does not say who it is".to_owned());
    }
    let terms = Terms { pool_size, log_level: told.log_level, keep_alive: told.link_keep_alive };
    let features = handshake::common(offered, hello.features);
    Ok(Greeted { identity, terms, parent_pid: hello.body.pid, features })
}

/// Shows the name of the context in `ps` and `top`, where `exe` would stand.
fn set_thread_name(name: &str) {
    // The kernel keeps 15 bytes. A name without NUL always fits; if not, the old one stays.
    if let Ok(name) = CString::new(name.bytes().take(15).collect::<Vec<_>>()) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// Ends the process when its parent has, also if somebody else holds the parent's end of the pipes.
fn watch_parent(core: &Arc<Core>, broker: &BrokerHandle, parent_pid: u32) {
    // In a pid namespace of its own the child cannot see its parent; the pipes must do.
    let parent = getppid().filter(|pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent_pid));
    let Some(pidfd) = parent.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
    if getppid() != parent {
        // It has ended meanwhile, and the number may be somebody else's. The pipes tell.
        return;
    }
    let watch = Arc::new(ParentWatch { core: core.clone(), pidfd });
    // Without it the end of the pipes still tells.
    let _ = broker.register(watch.pidfd.as_fd(), Interest::Read, watch.clone());
}

struct ParentWatch {
    core: Arc<Core>,
    pidfd: OwnedFd,
}

impl Source for ParentWatch {
    fn ready(self: Arc<Self>, broker: &BrokerHandle, token: Token) {
        // It stays ready for ever.
        broker.deregister(self.pidfd.as_fd(), token);
        self.core.orphaned();
    }
}
