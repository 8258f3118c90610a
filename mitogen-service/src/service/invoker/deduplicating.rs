//! One execution for all calls that ask the same.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::aggregate::{Aggregate, Answered, Told};
use super::table::{Asker, Key, Limits, Ticket, Waiter};
use super::{Authorized, Invoker};
use crate::error::{CallError, Trace};
use crate::service::dispatch::{Answer, AnswerKind};
use crate::service::in_flight::CallId;
use crate::service::nesting;
use crate::service::responder::{Responder, encode_error};
use crate::wire::Handle;

/// What is kept unless told otherwise.
const LIMITS: Limits = Limits { entries: 1024, bytes: 64 << 20, age: Duration::from_secs(60 * 60) };

/// Runs a method once for all calls that ask the same of it, and keeps the result for later ones.
///
/// Calls are the same if they name the same method and their arguments are equal. While one of them
/// executes the others wait for it, and hold no thread. Its result goes to all of them, and is kept for
/// calls that come later. An error and a panic go to all of them too, and are not kept.
///
/// ```
/// use std::time::Duration;
///
/// use mitogen_service::{AllowAny, DeduplicatingInvoker, service};
///
/// struct Packages;
///
/// #[service(invoker = DeduplicatingInvoker::new().max_entries(100).max_age(Duration::from_secs(60)))]
/// impl Packages {
///     /// However many ask for a package meanwhile, it is built once.
///     #[expose(policy = AllowAny)]
///     fn build(&self, name: String) -> Result<Vec<u8>, String> {
///         Err(format!("{name} does not build"))
///     }
/// }
/// ```
///
/// # What is the same
///
/// The arguments are compared as the method gets them: neither the order in which a caller has named
/// them matters, nor how wide it wrote an integer, nor whether it left a default out or said it; nor the
/// order of the entries of a map. The whole of them is compared, not a hash. Floating point numbers
/// are compared by their bits, so that `0.0` and `-0.0` differ and a NaN equals itself. The items of a
/// `HashSet` are compared in its own order, which differs between equal sets: take a `BTreeSet`, or equal
/// calls may be run more than once.
///
/// For this the arguments are decoded, checked and encoded once more than for other invokers. Of a type
/// of yours whose `Serialize` leaves out what its `Deserialize` reads, that part is not compared: do not
/// take such a type.
///
/// The policies judge each caller before anything is looked up. Who calls is no part of the comparison,
/// and one execution answers many: a method that is run by this invoker cannot take `&Caller` or
/// `Reply<T>`, and cannot be `#[no_reply]`. That is an error at compile time. An invoker of yours that
/// passes calls on to this one does compile with them; these calls are run each by itself.
///
/// # What is kept
///
/// At most 1,024 results and 64 MiB of them, keys included, none for more than an hour; the one that
/// was not used for longest goes first. A method that returns [`Uncached`](crate::Uncached) answers who
/// waits, and its result is not kept. [`ServiceScope::invalidate`](crate::ServiceScope::invalidate) drops
/// what is kept.
///
/// # Time
///
/// A caller that gives up, or is gone, takes nothing from the others; the execution goes on for them.
/// Once nobody waits for it, a call that comes begins another one. An execution inherits no deadline,
/// nor do the calls that it makes, since a caller that joins later may have more time. A call that would
/// wait for itself is refused as [`CallError::Deadlock`].
pub struct DeduplicatingInvoker {
    calls: Arc<Aggregate<Parked>>,
    cache_errors: bool,
}

impl DeduplicatingInvoker {
    /// An invoker with the usual bounds.
    pub fn new() -> Self {
        Self { calls: Arc::new(Aggregate::new(LIMITS)), cache_errors: false }
    }

    /// How many results are kept, 1,024 by default; with 0 none is, and calls are only aggregated.
    #[must_use]
    pub fn max_entries(self, entries: usize) -> Self {
        self.with_limits(|limits| limits.entries = entries)
    }

    /// How many bytes are kept, 64 MiB by default: arguments, results, and 256 bytes for each. A result
    /// that is larger than this is sent and not kept.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.with_limits(|limits| limits.bytes = bytes)
    }

    /// For how long a result is kept, an hour by default.
    #[must_use]
    pub fn max_age(self, age: Duration) -> Self {
        self.with_limits(|limits| limits.age = age)
    }

    /// Whether to keep the errors that a method returns like its values; they are not by default. What
    /// else goes wrong is never kept: a panic, or the error of a call that the method has made.
    #[must_use]
    pub fn cache_errors(mut self, cache: bool) -> Self {
        self.cache_errors = cache;
        self
    }

    fn with_limits(self, set: impl FnOnce(&mut Limits)) -> Self {
        self.calls.set_limits(set);
        self
    }

    fn ask(&self, call: Authorized, args: Vec<u8>) {
        // What the vector has more than it needs would be kept as well.
        let args = args.into_boxed_slice().into();
        let key = Key { service: call.service_number(), method: call.method().name, args };
        let chain: Vec<CallId> = call.caller().chain().iter().map(|link| (link.context, link.handle)).collect();
        let id = Some(call.caller().id()).filter(|id| id.1 != Handle::NONE);
        let asker = Asker { id, chain: &chain, waiter: Parked(call.responder().clone()) };
        match self.calls.ask(key, asker, Instant::now()) {
            Told::Nothing => {}
            Told::Runs(ticket) => self.run(&call, ticket),
            Told::Circle(waiter) => waiter.0.fail(&circle(&call)),
        }
    }

    /// Executes, and answers all who have come to wait meanwhile.
    fn run(&self, call: &Authorized, ticket: Ticket) {
        let calls = self.calls.clone();
        let caller = call.caller().for_many(move || calls.is_abandoned(ticket));
        let result = sendable(call, call.execute(&caller));
        let keep = match &result {
            Ok(Answer(kind)) => matches!(kind, AnswerKind::Value(_)),
            Err(error) => self.cache_errors && is_own(error),
        };
        let payload = match result {
            Ok(Answer(AnswerKind::Value(payload) | AnswerKind::Uncached(payload))) => Some(payload),
            // Methods of these kinds have no key.
            Ok(Answer(AnswerKind::Nothing | AnswerKind::Deferred)) => None,
            Err(error) => encode_error(error, call.responder().flag().is_entered()),
        };
        // What the vector has more than it needs would be kept as well.
        let payload = payload.map(|payload| Bytes::from(payload.into_boxed_slice()));
        self.calls.finish(ticket, payload, keep, Instant::now());
    }
}

impl Invoker for DeduplicatingInvoker {
    fn invoke(&self, call: Authorized) {
        match call.key() {
            Some(Ok(args)) => self.ask(call, args),
            Some(Err(error)) => call.responder().fail(&error),
            None => call.run(),
        }
    }

    fn cached(&self) -> (usize, usize) {
        self.calls.kept()
    }

    fn invalidate(&self, method: Option<&str>) {
        self.calls.invalidate(method);
    }
}

impl Default for DeduplicatingInvoker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DeduplicatingInvoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeduplicatingInvoker").field("cache_errors", &self.cache_errors).finish_non_exhaustive()
    }
}

/// A call that waits for the result of another one, or of itself.
struct Parked(Arc<Responder>);

impl Waiter for Parked {
    fn is_gone(&self) -> bool {
        self.0.flag().is_cancelled()
    }
}

impl Answered for Parked {
    fn answer(self, payload: Option<Bytes>) {
        match payload {
            Some(payload) if !self.is_gone() => self.0.answer(payload),
            _ => self.0.forget(),
        }
    }
}

/// A result that is too large for a message is an error, of which all are told.
fn sendable(call: &Authorized, result: Result<Answer, CallError>) -> Result<Answer, CallError> {
    let max = call.core().identity().max_message_size;
    match result {
        Ok(Answer(AnswerKind::Value(payload) | AnswerKind::Uncached(payload))) if payload.len() > max => {
            Err(CallError::TooLarge { got: payload.len() as u64, max: max as u64, trace: Trace::default() })
        }
        other => other,
    }
}

/// Whether a method has made this error itself.
fn is_own(error: &CallError) -> bool {
    matches!(error, CallError::Failed { .. }) && error.path().is_empty()
}

fn circle(call: &Authorized) -> CallError {
    let what = format!("{}.{} in {}", call.service().name, call.method().name, call.core().identity().name);
    nesting::deadlock(call.caller().chain(), what)
}
