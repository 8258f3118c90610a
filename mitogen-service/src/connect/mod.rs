//! Starting other processes and joining them to the tree. The highest layer but for files.
//!
//! A connector is a builder that ends in a description of a command ([`request`]); everything else is
//! the same for all of them.
//!
//! | file | what it is |
//! | --- | --- |
//! | `options`, `request` | what the program asks for, checked, as data that can travel |
//! | `connecting` | one connection: its place among all, its thread, how it is given up |
//! | `local`, `command` | how a child here, and one behind a command, is started and joined |
//! | `ssh`, `sudo`, `su` | descriptions of such commands |
//! | `bootstrap` | from a shell to this executable |
//! | `askpass`, `hints` | ssh's password, and what the last words of a command mean |
//! | `terminal` | a terminal for commands that want one |
//! | `via` | the same in another context |
//! | `handshake`, `process`, `last_words` | greeting, watching and ending a child |
//! | `child` | the other side |

mod askpass;
mod bootstrap;
mod child;
mod command;
mod connecting;
mod handshake;
mod hints;
#[cfg(feature = "testing")]
mod join;
mod last_words;
mod local;
mod options;
#[cfg(feature = "testing")]
mod pair;
mod process;
mod request;
mod ssh;
mod su;
mod sudo;
mod terminal;
mod via;

pub(crate) use child::init;
pub use command::Command;
pub use connecting::Connecting;
pub use local::Local;
pub use request::Output;
pub use ssh::{HostKeys, Ssh};
pub use su::Su;
pub use sudo::Sudo;
#[cfg(feature = "testing")]
pub(crate) use {join::join, pair::pair};
