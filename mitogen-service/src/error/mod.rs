//! What can go wrong: [`Error`] for the runtime, [`CallError`] for what a call can come back with.
//!
//! Every layer uses these types; they know no layer.

mod call_error;
mod exit;
mod runtime;

pub(crate) use call_error::{CHANNEL_CLOSED, RECEIVER_CLOSED, SELECT_CLOSED};
pub use call_error::{CallError, DeadlineBy, Executed, Trace};
pub use exit::Exit;
pub use runtime::{AuthProblem, ConnectKind, Error};

/// The result of the runtime's own operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
