//! Waiting for messages: the call, which waits for one answer, iteration over many calls, and channels.
//!
//! This layer must not name services or the ways to start processes: a call knows which bytes it
//! sends and how to decode what comes back, and nothing of methods.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `call`, `answer`, `completed` | one answer, who reads it, and many |
//! | `receiver`, `sender` | what a program holds of a channel |
//! | `inbox`, `outgoing`, `window` | what both ends decide: plain state machines |
//! | `mailbox`, `outbox` | the shells around them, with locks and handles |
//! | `registry` | finds both by what messages say |
//! | `select` | many receivers and calls at once |
//! | `item`, `held` | values on the wire, and senders on their way |

mod answer;
mod call;
mod completed;
mod held;
mod inbox;
mod item;
mod mailbox;
mod nested;
mod outbox;
mod outgoing;
mod receiver;
mod registry;
mod select;
mod sender;
#[cfg(test)]
mod two_links;
mod window;

pub use call::Call;
pub(crate) use call::{Request, post, start};
pub use completed::{Completed, as_completed};
pub(crate) use held::{Held, collecting};
pub(crate) use nested::{Helper, helping};
pub use receiver::{IntoMessages, Messages, Receiver};
pub use select::{Event, EventKind, Events, Key, Removed, Select, Selectable};
pub use sender::Sender;
