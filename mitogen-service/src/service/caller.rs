//! Who calls.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::credentials::Credentials;
use super::in_flight::{CallFlag, CallId};
use super::nesting;
use super::policy::Policy;
use crate::error::{CallError, Trace};
use crate::router::{Context, Core};
use crate::wire::{ContextId, Link};

/// Who calls a method, verified hop by hop; every policy judges it, and a method may ask for it.
///
/// A parameter of the type `&Caller` is not an argument of the call: the dispatcher fills it in.
///
/// ```
/// use mitogen_service::{AllowAny, AllowParents, CallError, Caller, service};
///
/// struct Greeter;
///
/// #[service]
/// impl Greeter {
///     #[expose(policy = AllowAny)]
///     fn hello(&self, loudly: bool, caller: &Caller) -> Result<String, CallError> {
///         if loudly {
///             caller.require(&AllowParents)?;
///         }
///         Ok(format!("hello, {}", caller.context()))
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Caller {
    parts: CallerParts,
    flag: Arc<CallFlag>,
    /// Whether all are gone for whom it runs, if those are several.
    abandoned: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

/// What is known of a caller.
#[derive(Clone)]
pub(crate) struct CallerParts {
    pub(crate) core: Arc<Core>,
    pub(crate) src_id: ContextId,
    pub(crate) auth_id: ContextId,
    /// The call came over no stream.
    pub(crate) is_local: bool,
    pub(crate) credentials: Option<Credentials>,
    /// The name of the call; its handle is 0 if nobody waits for an answer.
    pub(crate) id: CallId,
    /// The calls that wait for this one.
    pub(crate) chain: Option<Arc<[Link]>>,
}

impl Caller {
    pub(crate) fn new(parts: CallerParts, flag: Arc<CallFlag>) -> Self {
        Self { parts, flag, abandoned: None }
    }

    /// The same, for an execution whose result goes to others too. It is cancelled when all of them
    /// are gone. It has no deadline, since who comes later may have more time.
    pub(super) fn for_many(&self, abandoned: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { abandoned: Some(Arc::new(abandoned)), ..self.clone() }
    }

    /// The context that calls, where the answer goes.
    pub fn context(&self) -> Context {
        self.parts.core.context(self.parts.src_id)
    }

    /// The context under whose authority the call is made, verified by every hop on its way.
    pub fn auth_id(&self) -> ContextId {
        self.parts.auth_id
    }

    /// Whether the call is made with the authority of a parent of this context, near or far, or with
    /// this context's own.
    pub fn has_parent_authority(&self) -> bool {
        self.parts.core.has_parent_authority(self.parts.auth_id)
    }

    /// Whether the call comes from this process itself, and over no stream.
    pub fn is_local(&self) -> bool {
        self.parts.is_local
    }

    /// Whether nobody waits for the answer any more: the call was dropped, its caller is gone, or its
    /// time is over.
    pub fn is_cancelled(&self) -> bool {
        match &self.abandoned {
            Some(abandoned) => abandoned(),
            None => self.flag.is_cancelled(),
        }
    }

    /// How long the caller still waits; `None` if it has set no bound. What the method calls inherits
    /// this.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Runs `f` as a part of this call: what it calls inherits the remaining time, and carries the
    /// chain of calls by which circles are noticed.
    ///
    /// The method itself is run like this. A thread that a method starts is not, unless it says so:
    ///
    /// ```
    /// use mitogen_service::{AllowAny, Caller, service};
    ///
    /// struct Report;
    ///
    /// #[service]
    /// impl Report {
    ///     #[expose(policy = AllowAny)]
    ///     fn build(&self, caller: &Caller) -> bool {
    ///         let caller = caller.clone();
    ///         let part = std::thread::spawn(move || caller.scope(|| { /* calls of other services */ }));
    ///         part.join().is_ok()
    ///     }
    /// }
    /// ```
    pub fn scope<R>(&self, f: impl FnOnce() -> R) -> R {
        nesting::within(self, f)
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.parts.core
    }

    pub(super) fn id(&self) -> CallId {
        self.parts.id
    }

    pub(super) fn chain(&self) -> &[Link] {
        self.parts.chain.as_deref().unwrap_or_default()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.flag.deadline().filter(|_| self.abandoned.is_none())
    }

    /// The names of the method and of its service.
    pub(super) fn running(&self) -> (String, String) {
        self.flag.running()
    }

    /// The peer's credentials, if it is a process of this machine that has joined this one directly.
    pub fn credentials(&self) -> Option<Credentials> {
        self.parts.credentials
    }

    /// Asks a policy in the middle of a method.
    ///
    /// # Errors
    /// [`CallError::Unauthorized`] if it does not agree, to be passed on by `?`.
    pub fn require(&self, policy: &impl Policy<()>) -> Result<(), CallError> {
        if policy.is_authorized(&(), self) {
            return Ok(());
        }
        let (method, service) = self.flag.running();
        Err(CallError::Unauthorized { method, service, trace: Trace::default() })
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallerParts { src_id, auth_id, is_local, credentials, .. } = &self.parts;
        f.debug_struct("Caller")
            .field("src_id", src_id)
            .field("auth_id", auth_id)
            .field("is_local", is_local)
            .field("credentials", credentials)
            .finish_non_exhaustive()
    }
}
