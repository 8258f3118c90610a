//! Waiting for messages: the call, which waits for one answer, and iteration over many calls.
//!
//! This layer must not name services or the ways to start processes: a call knows which bytes it
//! sends and how to decode what comes back, and nothing of methods.

mod call;
mod completed;
mod nested;

pub use call::Call;
pub(crate) use call::{Request, post, start};
pub use completed::{Completed, as_completed};
pub(crate) use nested::{Helper, helping};
