//! Messages to where they belong: identity, routes, authority, handles, contexts.
//!
//! Decisions stand in plain state machines ([`table`], [`handles`], [`ids`]); [`core`] gives them
//! locks and streams. This layer must not name channels, services, or ways to start processes; it
//! knows those only as [`Listener`](handles::Listener)s and [`Process`](core::Process)es.

mod bounds;
mod context;
mod control;
mod core;
mod death;
mod forward;
mod gate;
mod handles;
mod ids;
mod lifecycle;
mod names;
mod offences;
mod permits;
#[expect(clippy::module_inception, reason = "the file of the type that the layer is named after")]
mod router;
mod table;
#[cfg(test)]
mod table_oracle;

pub(crate) use self::core::{Core, Delivery, Identity, Process, TooMany, Workers, random_number};
pub(crate) use bounds::Bounds;
pub use context::{Context, Subscription};
pub(crate) use context::{decoding_core, decoding_for};
pub(crate) use death::{Death, cut};
pub(crate) use handles::{Access, Listener};
pub(crate) use lifecycle::Ending;
pub(crate) use names::{MAX_NAME, is_name};
pub use router::{Router, RouterBuilder};
