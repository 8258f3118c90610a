//! Typed services that can be called from any process of a tree that the program itself starts.
//!
//! Annotate an `impl` block with [`#[service]`](macro@service), start contexts (other processes of
//! this same executable), and call:
//!
//! ```no_run
//! use mitogen_service::{AllowParents, Router, service};
//!
//! #[derive(Default)]
//! struct Adder;
//!
//! #[service(activate)]
//! impl Adder {
//!     #[expose(policy = AllowParents)]
//!     fn add(&self, a: u32, b: u32) -> u32 {
//!         a + b
//!     }
//! }
//!
//! #[mitogen_service::main]
//! fn main(router: &Router) -> mitogen_service::Result<()> {
//!     let child = router.local().name("worker").connect()?;
//!     println!("{}", Adder::stub(&child).add(1, 2).wait()?);
//!     Ok(())
//! }
//! ```
//!
//! | what | where |
//! | --- | --- |
//! | a process of the tree | [`Context`], met through a [`Router`] |
//! | starting one | [`Router::local`], [`Router::ssh`], [`Router::sudo`], [`Router::su`], [`Router::command`]; [`Connecting`] |
//! | what can be called | [`service`](macro@service), [`Service`], [`Policy`], [`Caller`], [`Reply`] |
//! | calling | the generated stub, [`Context::call`] for a [`function`](macro@function), [`Call`], [`as_completed`], [`Context::call_service`] |
//! | many values | [`Router::receiver`], [`Receiver`], [`Sender`], [`Select`] |
//! | files | [`FileService`], [`PushFileService`] |
//! | what runs services | [`Pool`], [`Invoker`], [`Activator`] |
//! | what a context tells of itself | [`introspection`] |
//! | what goes wrong | [`CallError`] for calls, [`Error`] for the rest |
//! | tests | `testing`, behind the feature of that name |

mod channel;
mod connect;
mod deadline;
mod entry;
mod error;
mod executable;
mod files;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod io;
mod latch;
mod ledger;
mod log;
mod panics;
mod process;
mod router;
mod service;
mod sync;
mod sys;
#[cfg(feature = "testing")]
pub mod testing;
mod wire;

mod macros;

pub use channel::{
    Call, Completed, Event, EventKind, Events, IntoMessages, Key, Messages, Receiver, Removed, Select, Selectable,
    Sender, as_completed,
};
pub use connect::{Command, Connecting, HostKeys, Local, Output, Ssh, Su, Sudo};
pub use entry::init;
pub use error::{AuthProblem, CallError, ConnectKind, DeadlineBy, Error, Executed, Exit, Result, Trace};
pub use files::{
    Arrival, Destination, FetchOptions, FileError, FileHash, FileMetadata, FileService, FileServiceApi,
    FileServiceStub, Get, GetDir, Listed, ListedKind, Progress, Push, PushAnswer, PushFileService, PushFileServiceApi,
    PushFileServiceStub, PushOffer, PushedFile, Put, PutDir, StoreOptions, Stored, Transferred, TransferredDir,
};
pub use macros::{arg, arg_spec, expose, function, main, no_reply, on_message, on_shutdown, on_start, service};
pub use router::{Context, Router, RouterBuilder, Subscription};
pub use service::introspection;
pub use service::{
    Activator, AllowAny, AllowParents, AllowSelf, AnyOf, ArgSpec, Authorized, Callable, Caller, ConcurrentInvoker,
    Credentials, DeduplicatingInvoker, Function, Hosted, Invoker, MethodDescriptor, MethodStats, Order, Policy, Pool,
    PoolBuilder, PoolStats, RegistryActivator, Reply, Running, SerializedInvoker, Service, ServiceDescriptor,
    ServiceScope, Uncached,
};
pub use wire::{Blob, ContextId, Paths};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeDoctests;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide.md")]
struct GuideDoctests;

#[cfg(doctest)]
#[doc = include_str!("../../docs/testing.md")]
struct TestingDoctests;

#[cfg(doctest)]
#[doc = include_str!("../../docs/connecting.md")]
struct ConnectingDoctests;

#[cfg(doctest)]
#[doc = include_str!("../../docs/coming-from-mitogen.md")]
struct ComingFromMitogenDoctests;

/// What generated code uses. Not for users: it changes with every version.
#[doc(hidden)]
pub mod __private;
