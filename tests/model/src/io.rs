//! What the shells name of the crate's `io`: the shells of that layer themselves, and stand-ins for the
//! system below them.

mod broker;
#[path = "../../../mitogen-service/src/io/laziness.rs"]
mod laziness;
mod link;
mod poller;
#[path = "../../../mitogen-service/src/io/ready.rs"]
mod ready;
#[path = "../../../mitogen-service/src/io/role.rs"]
mod role;
#[path = "../../../mitogen-service/src/io/shared_role.rs"]
mod shared_role;
mod stream;

pub(crate) use broker::BrokerHandle;
pub(crate) use link::{Caller, Link};
pub(crate) use ready::{Ready, Seat};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(crate) u64);

/// What a caller gets that wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Own,
    Others,
    Nobody,
}
