//! How the calls of a service are run.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `authorized` | a call that may run, and how it does |
//! | `serialized` | one call at a time |
//! | `deduplicating` | one execution for all calls that ask the same |
//! | `table` | which of those run, which wait, and what is kept: without locks |
//! | `sharing` | what cannot be deduplicated does not compile |

mod aggregate;
mod authorized;
mod deduplicating;
mod serialized;
pub mod sharing;
mod table;

pub use authorized::Authorized;
pub(crate) use authorized::panicked;
pub use deduplicating::DeduplicatingInvoker;
pub use serialized::SerializedInvoker;

/// How a service's calls are run: when, in which order, on which thread.
///
/// `#[service(invoker = ..)]` sets the invoker of a service, `#[expose(invoker = ..)]` that of one
/// method. Each service in a pool has an invoker of its own.
///
/// ```
/// use mitogen_service::{AllowAny, Authorized, Invoker, service};
///
/// /// Says what it runs.
/// #[derive(Default)]
/// struct Talkative;
///
/// impl Invoker for Talkative {
///     fn invoke(&self, call: Authorized) {
///         println!("{}.{}", call.service().name, call.method().name);
///         call.run();
///     }
/// }
///
/// struct Echo;
///
/// #[service(invoker = Talkative)]
/// impl Echo {
///     #[expose(policy = AllowAny)]
///     fn echo(&self, text: String) -> String {
///         text
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an invoker",
    label = "not an invoker",
    note = "an invoker is `ConcurrentInvoker`, `SerializedInvoker`, `DeduplicatingInvoker`, or a type of yours that \
            implements `mitogen_service::Invoker`"
)]
pub trait Invoker: Send + Sync + 'static {
    /// Takes a call that every policy has agreed to, on a thread of the pool.
    ///
    /// It may run the call now, or keep it and run it later; dropping it answers `Cancelled`.
    fn invoke(&self, call: Authorized);

    /// Whether calls are given to [`invoke`](Self::invoke) while another one has not come back from
    /// there. They are, unless this says otherwise.
    fn order(&self) -> Order {
        Order::Any
    }

    /// What was kept of the results of a method, or of all methods, is not valid any more:
    /// [`ServiceScope::invalidate`](crate::ServiceScope::invalidate) was called. An invoker that keeps
    /// nothing has nothing to do; one that passes calls on to another one passes this on too.
    fn invalidate(&self, method: Option<&str>) {
        let _ = method;
    }

    /// How many results are kept, and their bytes, for [`Pool::stats`](crate::Pool::stats).
    fn cached(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// In which order a pool gives calls to an invoker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Each as soon as a thread is free, in turns between callers.
    Any,
    /// One at a time, in the order in which they came to this context.
    Arrival,
}

/// Runs each call at once, on the pool's threads. The default; Mitogen's `Invoker`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConcurrentInvoker;

impl Invoker for ConcurrentInvoker {
    fn invoke(&self, call: Authorized) {
        call.run();
    }
}

/// The invoker of a service that names none.
#[doc(hidden)]
pub fn default_invoker() -> Box<dyn Invoker> {
    Box::new(ConcurrentInvoker)
}
