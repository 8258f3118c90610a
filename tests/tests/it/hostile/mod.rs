//! What happens when a child means harm: it floods, forges, stalls, lies about others, and says what
//! no child says. Its parent and its siblings go on, memory stays within the bounds of
//! `docs/protocol.md`, and the log names the offender without a word of what it has sent.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `alone` | each scenario in a process of its own, whose memory and log lines are looked at |
//! | `everyone` | the honest ones: a root and two children that call each other all the time |
//! | `peer` | the stranger: a child that speaks the protocol by hand |
//! | `hello` | attacks before the first message |
//! | `floods` | more of everything than anybody needs |
//! | `never_reads` | a child that takes nothing of what is sent to it |
//! | `forged`, `routes` | ids, routes and handles of others |
//! | `answers` | answers that never come, come late, twice, unasked, or from somebody else |
//! | `stalls` | messages that stop half way, and messages too large |
//! | `output` | a child that prints without end |
//! | `crafted` | messages made by hand, each with what becomes of it |
//! | `multitude` | random ones by the ten thousand |

mod alone;
mod answers;
mod crafted;
mod everyone;
mod floods;
mod forged;
mod hello;
mod multitude;
mod never_reads;
mod output;
pub(crate) mod peer;
mod routes;
mod stalls;

use alone::{Peak, alone};
use everyone::Everyone;

const MIB: usize = 1024 * 1024;
