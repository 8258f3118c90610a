//! Services: what may be called, by whom, and on which threads it runs.
//!
//! A call travels through this layer as a value that says more at every step: bytes in the pool's
//! queue ([`pool`]), an envelope for a service that exists ([`activator`]), a method that every
//! policy has agreed to ([`Authorized`](invoker::Authorized)), decoded arguments ([`args`]), an
//! answer ([`responder`]). This layer must not name the ways to start processes.

mod activator;
mod args;
mod built_in;
mod by_caller;
mod caller;
mod credentials;
mod descriptor;
mod dispatch;
pub mod failure;
mod function;
mod hooks;
mod hosted;
mod in_flight;
pub mod introspection;
mod invoker;
mod life;
mod load;
mod meter;
mod nesting;
mod policy;
mod pool;
mod remote;
mod reply;
mod responder;
mod scope;
mod stub;
pub mod travels;
mod uncached;

pub use activator::{
    Activator, MAINS, Making, NotMaking, REGISTRY, Registration, RegistryActivator, construct, make_default,
};
pub use args::{Args, CheckOutcome, apply_check};
pub(crate) use built_in::{offer, provide};
pub use caller::Caller;
#[cfg(feature = "testing")]
pub(crate) use caller::CallerParts;
pub use credentials::Credentials;
pub use descriptor::{
    ArgSpec, InvokerIsGivenOnce, Listed, MethodDescriptor, NameIsGivenOnce, Service, ServiceDescriptor, StructOptions,
};
pub use dispatch::{Answer, Invocation, KeyOf, KeyWriter, Method, Outcome};
pub use function::{Callable, FUNCTIONS, Function, FunctionSignature, Registered};
pub use hooks::Hooks;
pub use hosted::{Host, Hosted, Hosting, NotHosted, hosting, unhosted};
pub(crate) use in_flight::CallFlag;
pub(crate) use invoker::panicked;
pub use invoker::{
    Authorized, ConcurrentInvoker, DeduplicatingInvoker, Invoker, Order, SerializedInvoker, default_invoker, sharing,
};
pub use policy::{AllowAny, AllowParents, AllowSelf, AnyOf, Asked, NoPolicy, Policy, allows, any_allows, member};
pub(crate) use pool::listen_for_first_call;
pub use pool::{MethodStats, Pool, PoolBuilder, PoolStats, Running};
pub use reply::Reply;
pub use scope::ServiceScope;
pub use stub::{Remote, Resolved, StubRequest, Target, not_faked};
pub use uncached::Uncached;
