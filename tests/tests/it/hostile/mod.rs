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

mod alone;
mod everyone;
mod hello;
mod peer;

use alone::alone;
use everyone::Everyone;
