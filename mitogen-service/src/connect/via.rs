//! The same in another context: it starts the new one below itself, from its own executable.
//!
//! What the program asked for travels as data, and the other context does with it what this one would
//! have done. So the executable crosses each link once, whatever stands behind the last one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connecting::{Cancel, asked_name, here};
use super::request::Request;
use crate::error::{CallError, ConnectKind, Error, Result};
use crate::router::{Context, Router, random_number};
use crate::service::{AllowParents, Hosted, Reply};
use crate::sync::Mutex;

/// How much longer the answer may take than the connection itself: the other context ends what it has
/// started, and says so.
const MARGIN: Duration = Duration::from_secs(5);

/// Connects on behalf of those above. Every pool of a child has one.
#[derive(Default)]
pub(super) struct Connector {
    /// The connections that are on their way, by the keys of those who want them.
    pending: Arc<Mutex<HashMap<u64, Arc<Cancel>>>>,
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
    /// It was no connection yet.
    Refused(String),
}

#[crate::service(name = "mitogen_service::connector", vis = pub(super), crate = crate)]
impl Connector {
    /// Starts a context below this one.
    #[expose(policy = AllowParents)]
    fn connect(&self, key: u64, request: Request, router: &Router, reply: Reply<Outcome>) {
        let cancel = Cancel::new();
        self.pending.lock().insert(key, cancel.clone());
        let core = router.core().clone();
        let (router, pending) = (router.clone(), self.pending.clone());
        // On a thread of its own: the pool is small, and connecting takes its time.
        let spawned = core.ledger().spawn("mitogen-connect", move || {
            let connected = connect_here(&router, &request, &cancel);
            pending.lock().remove(&key);
            let unwanted = cancel.is_cancelled() || reply.is_cancelled();
            if let (Ok(context), true) = (&connected, unwanted) {
                // Nobody knows of it, and nobody will.
                let _ = context.kill();
            }
            reply.send(Ok(Outcome::from(connected)));
        });
        if spawned.is_err() {
            // The reply was dropped with the thread's closure, and has answered.
            self.pending.lock().remove(&key);
        }
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

fn connect_here(router: &Router, request: &Request, cancel: &Arc<Cancel>) -> Result<Context> {
    // It was checked by whoever asked, who may be wrong.
    request.check().map_err(|what| Error::Invalid { what })?;
    let core = router.core();
    let waiting = core.clone();
    cancel.by(move || waiting.connecting_permits().wake());
    let permit = core.connecting_permits().acquire(|| cancel.is_cancelled());
    cancel.done();
    let Some(_permit) = permit else {
        return Err(super::connecting::cancelled(&asked_name(request)));
    };
    here(router, request, cancel)
}

impl From<Result<Context>> for Outcome {
    fn from(result: Result<Context>) -> Self {
        match result {
            Ok(context) => Self::Joined(context),
            Err(Error::Connect { context, kind, stderr_tail }) => Self::Failed { context, kind, stderr_tail },
            Err(error) => Self::Refused(error.to_string()),
        }
    }
}

/// Asks another context to start one, and waits until it has.
pub(super) fn connect(via: &Context, request: Request, cancel: &Arc<Cancel>) -> Result<Context> {
    let name = asked_name(&request);
    let bound = request.connect_timeout.saturating_add(MARGIN);
    let timeout = request.connect_timeout;
    let key = random_number();
    let connector = Connector::stub(via);
    let call = connector.connect(key, request);
    let giving_up = via.clone();
    cancel.by(move || {
        // If it cannot be told, it is gone, and so is what it has started.
        let _ = Connector::stub(&giving_up).no_wait().give_up(key);
    });
    let answer = call.wait_timeout(bound);
    cancel.done();
    let fail = |kind| Error::Connect { context: name.clone(), kind, stderr_tail: String::new() };
    match answer {
        Ok(Outcome::Joined(context)) => Ok(context),
        Ok(Outcome::Failed { context, kind, stderr_tail }) => Err(Error::Connect { context, kind, stderr_tail }),
        Ok(Outcome::Refused(what)) => {
            Err(fail(ConnectKind::Via { context: via.name().to_owned(), source: Box::new(CallError::failed(what)) }))
        }
        Err(CallError::DeadlineExceeded { .. }) => Err(fail(ConnectKind::Timeout { after: timeout })),
        Err(source) => Err(fail(ConnectKind::Via { context: via.name().to_owned(), source: Box::new(source) })),
    }
}
