//! A result that is not kept.

/// A result that holds for the calls that wait for it, and not for later ones.
///
/// A method that returns `Uncached<T>` or `Result<Uncached<T>, E>` is for its callers one that returns `T`:
/// the stub gives a `Call<T>`. Under [`DeduplicatingInvoker`](crate::DeduplicatingInvoker) calls that ask
/// the same at the same time are answered by one execution, and the next call begins another one. Under
/// other invokers it makes no difference.
///
/// ```
/// use mitogen_service::{AllowAny, DeduplicatingInvoker, Uncached, service};
///
/// struct Load;
///
/// #[service(invoker = DeduplicatingInvoker)]
/// impl Load {
///     #[expose(policy = AllowAny)]
///     fn average(&self) -> std::io::Result<Uncached<String>> {
///         std::fs::read_to_string("/proc/loadavg").map(Uncached)
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uncached<T>(pub T);
