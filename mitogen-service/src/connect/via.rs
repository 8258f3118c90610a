//! The same in another context: it starts the new one below itself, from its own executable.
//!
//! What the program asked for travels as data, and the other context does with it what this one would
//! have done. So the executable crosses each link once, whatever stands behind the last one.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bootstrap::{candidates, choose};
use super::command::Failed;
use super::connecting::{Cancel, asked_name, here};
use super::request::Request;
use crate::channel::Call;
use crate::error::{CallError, ConnectKind, Error, Result};
use crate::executable::Executable;
use crate::router::{Context, Core, Router, random_number};
use crate::service::{AllowParents, Hosted, Reply};
use crate::sync::Mutex;
use crate::wire::Blob;

/// How much longer the answer may take than the connection itself: the other context ends what it has
/// started, and says so.
const MARGIN: Duration = Duration::from_secs(5);

/// How many bytes of an executable go in one call.
const CHUNK: usize = 256 * 1024;

/// How many such calls are on their way at once.
const WINDOW: usize = 8;

/// How many executables a context keeps for targets that its own does not run on.
const MAX_SUPPLIES: usize = 4;

/// The largest one that it takes.
const MAX_SUPPLY: u64 = 1024 * 1024 * 1024;

/// Connects on behalf of those above. Every pool of a child has one.
#[derive(Default)]
pub(super) struct Connector {
    /// The connections that are on their way, by the keys of those who want them.
    pending: Arc<Mutex<HashMap<u64, Arc<Cancel>>>>,
    /// Executables for other machines, in memory, by their hashes.
    supplies: Arc<Mutex<HashMap<String, Arc<File>>>>,
}

/// Lets those above this process ask it to start contexts.
pub(super) fn provide() {
    crate::service::provide(|| Hosted::new(Connector::default()));
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(super) enum Outcome {
    Joined(Context),
    Failed {
        context: String,
        kind: ConnectKind,
        stderr_tail: String,
    },
    /// Nothing that is there runs on a target that describes itself so; else it would be this failure.
    Needs {
        target: String,
        context: String,
        kind: ConnectKind,
        stderr_tail: String,
    },
    /// It was no connection yet.
    Refused(String),
}

#[crate::service(name = "mitogen_service::connector", vis = pub(super), crate = crate)]
impl Connector {
    /// Starts a context below this one.
    #[expose(policy = AllowParents)]
    fn connect(&self, key: u64, request: Request, supply: Option<String>, router: &Router, reply: Reply<Outcome>) {
        let supply = supply.and_then(|hash| self.supplies.lock().get(&hash).cloned());
        let cancel = Cancel::new();
        self.pending.lock().insert(key, cancel.clone());
        let core = router.core().clone();
        let (router, pending) = (router.clone(), self.pending.clone());
        // On a thread of its own: the pool is small, and connecting takes its time.
        let spawned = core.ledger().spawn("mitogen-connect", move || {
            let connected = connect_here(&router, &request, &cancel, supply.as_deref());
            pending.lock().remove(&key);
            let unwanted = cancel.is_cancelled() || reply.is_cancelled();
            if let (Ok(context), true) = (&connected, unwanted) {
                // Nobody knows of it, and nobody will.
                let _ = context.kill();
            }
            reply.send(Ok(connected.map_or_else(Outcome::from, Outcome::Joined)));
        });
        if spawned.is_err() {
            // The reply was dropped with the thread's closure, and has answered.
            self.pending.lock().remove(&key);
        }
    }

    /// Takes a part of an executable for a target that the own one does not run on. Only this process
    /// has the file, which has no name.
    #[expose(policy = AllowParents)]
    fn supply(&self, hash: String, offset: u64, part: Blob) -> std::io::Result<()> {
        let file = {
            let mut supplies = self.supplies.lock();
            match supplies.get(&hash) {
                Some(file) => file.clone(),
                None if supplies.len() >= MAX_SUPPLIES => {
                    return Err(std::io::Error::other(
                        "this context keeps executables for as many other machines as it may",
                    ));
                }
                None => {
                    let file = rustix::fs::memfd_create("mitogen-service", rustix::fs::MemfdFlags::CLOEXEC)?;
                    supplies.entry(hash).or_insert(Arc::new(file.into())).clone()
                }
            }
        };
        if offset.saturating_add(part.len() as u64) > MAX_SUPPLY {
            return Err(std::io::Error::other(format!("an executable may have {MAX_SUPPLY} bytes at most")));
        }
        file.write_all_at(&part, offset)
    }

    /// Gives up a connection that is on its way.
    #[expose(policy = AllowParents)]
    #[no_reply]
    fn give_up(&self, key: u64) {
        let cancel = self.pending.lock().get(&key).cloned();
        if let Some(cancel) = cancel {
            cancel.cancel();
        }
    }
}

fn connect_here(
    router: &Router,
    request: &Request,
    cancel: &Arc<Cancel>,
    supply: Option<&File>,
) -> Result<Context, Failed> {
    // It was checked by whoever asked, who may be wrong.
    request.check().map_err(|what| Failed::Error(Error::Invalid { what }))?;
    let supplied = supply.map(|file| Executable::open(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))));
    let supplied =
        supplied.transpose().map_err(|error| Failed::Error(Error::io("read an executable that was sent", error)))?;
    let core = router.core();
    let waiting = core.clone();
    cancel.by(move || waiting.connecting_permits().wake());
    let permit = core.connecting_permits().acquire(|| cancel.is_cancelled());
    cancel.done();
    let Some(_permit) = permit else {
        return Err(Failed::Error(super::connecting::cancelled(&asked_name(request))));
    };
    here(router, request, cancel, supplied.as_ref())
}

impl From<Failed> for Outcome {
    fn from(failed: Failed) -> Self {
        let (target, error) = match failed {
            Failed::Error(error) => (None, error),
            Failed::Needs { target, error } => (Some(target), *error),
        };
        match (target, error) {
            (Some(target), Error::Connect { context, kind, stderr_tail }) => {
                Self::Needs { target, context, kind, stderr_tail }
            }
            (None, Error::Connect { context, kind, stderr_tail }) => Self::Failed { context, kind, stderr_tail },
            (_, error) => Self::Refused(error.to_string()),
        }
    }
}

/// Asks another context to start one, and waits until it has. If nothing that is there runs on the
/// target, and something here does, that is sent there first.
pub(super) fn connect(core: &Core, via: &Context, request: Request, cancel: &Arc<Cancel>) -> Result<Context> {
    let name = asked_name(&request);
    match ask(via, request.clone(), None, cancel)? {
        Asked::Joined(context) => Ok(context),
        Asked::Needs { target, error } => {
            let fail = |source| {
                let kind = ConnectKind::Via { context: via.name().to_owned(), source: Box::new(source) };
                Error::Connect { context: name.clone(), kind, stderr_tail: String::new() }
            };
            let candidates = candidates(core).map_err(|error| Error::io("read an executable", error))?;
            // Its own words say what to build, and there is nothing better here.
            let Ok(executable) = choose(&candidates, &target) else { return Err(error) };
            supply(via, &executable).map_err(fail)?;
            match ask(via, request, Some(executable.sha256().to_owned()), cancel)? {
                Asked::Joined(context) => Ok(context),
                Asked::Needs { error, .. } => Err(error),
            }
        }
    }
}

/// Sends an executable to another context, a few parts at a time.
fn supply(via: &Context, executable: &Executable) -> Result<(), CallError> {
    let connector = Connector::stub(via);
    let mut file = executable.plain().map_err(CallError::failed)?;
    let mut calls = VecDeque::new();
    let mut offset = 0;
    loop {
        let mut part = Vec::with_capacity(CHUNK);
        file.by_ref().take(CHUNK as u64).read_to_end(&mut part).map_err(CallError::failed)?;
        let length = part.len() as u64;
        if length > 0 {
            calls.push_back(connector.supply(executable.sha256().to_owned(), offset, part.into()));
            offset += length;
        }
        while calls.len() >= WINDOW || (length == 0 && !calls.is_empty()) {
            calls.pop_front().map_or(Ok(()), Call::wait)?;
        }
        if length == 0 {
            return Ok(());
        }
    }
}

/// What another context says.
enum Asked {
    Joined(Context),
    Needs { target: String, error: Error },
}

fn ask(via: &Context, request: Request, supply: Option<String>, cancel: &Arc<Cancel>) -> Result<Asked> {
    let name = asked_name(&request);
    let bound = request.connect_timeout.saturating_add(MARGIN);
    let timeout = request.connect_timeout;
    let key = random_number();
    let connector = Connector::stub(via);
    let call = connector.connect(key, request, supply);
    let giving_up = via.clone();
    cancel.by(move || {
        // If it cannot be told, it is gone, and so is what it has started.
        let _ = Connector::stub(&giving_up).no_wait().give_up(key);
    });
    let answer = call.wait_timeout(bound);
    cancel.done();
    let fail = |kind| Error::Connect { context: name.clone(), kind, stderr_tail: String::new() };
    match answer {
        Ok(Outcome::Joined(context)) => Ok(Asked::Joined(context)),
        Ok(Outcome::Needs { target, context, kind, stderr_tail }) => {
            Ok(Asked::Needs { target, error: Error::Connect { context, kind, stderr_tail } })
        }
        Ok(Outcome::Failed { context, kind, stderr_tail }) => Err(Error::Connect { context, kind, stderr_tail }),
        Ok(Outcome::Refused(what)) => {
            Err(fail(ConnectKind::Via { context: via.name().to_owned(), source: Box::new(CallError::failed(what)) }))
        }
        Err(CallError::DeadlineExceeded { .. }) => {
            let what = format!("context `{}`, which should have started it, has not answered", via.name());
            Err(fail(ConnectKind::Timeout { after: timeout, what }))
        }
        Err(source) => Err(fail(ConnectKind::Via { context: via.name().to_owned(), source: Box::new(source) })),
    }
}
