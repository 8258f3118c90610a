//! Bytes in and out: the broker's thread, its poller and timers, streams, and lines of text.
//!
//! | file | what it does |
//! | --- | --- |
//! | `stream`, `ends` | a link to a neighbour, and its end |
//! | `reading`, `role`, `shared_role`, `laziness` | who reads a stream, and when |
//! | `writing`, `writer`, `shared_writer` | who writes to it, and when |
//! | `ready` | the threads that wait until a stream can be read |
//! | `broker`, `timers`, `poller` | the I/O thread |
//! | `cork` | what is held back to leave together |
//! | `buffers` | memory of large messages |
//! | `output`, `reassembly`, `stall`, `alive` | the bounds in bytes and time |
//! | `lines`, `courier` | text of children, and what must not hold up anybody |
//!
//! This layer knows frames and nothing of what they say: it must not name routers, handles,
//! contexts, calls or services. Above it nobody knows which thread reads: whoever does hands what
//! it read to the stream's [`Sink`].

mod alive;
mod broker;
mod buffers;
pub(crate) mod cork;
mod courier;
mod ends;
mod interrupt;
mod laziness;
mod lines;
mod output;
mod pipe_room;
mod poller;
mod reading;
mod ready;
mod reassembly;
mod role;
mod shared_role;
mod shared_writer;
mod stall;
mod stream;
#[cfg(test)]
mod tests;
mod timers;
mod writer;
mod writing;

pub(crate) use broker::{Broker, BrokerHandle, Source, Token};
pub(crate) use buffers::Spare;
pub(crate) use courier::{Courier, Job};
pub(crate) use ends::Closed;
pub(crate) use lines::LineReader;
pub(crate) use output::Patience;
pub(crate) use poller::Interest;
pub(crate) use reading::{LeftToOthers, Reading, Waits, is_reading};
pub(crate) use ready::{Ready, Seat};
pub(crate) use reassembly::Reassembly;
pub(crate) use shared_writer::SendError;
pub(crate) use stream::{Limits, ReadEnd, Sink, Stream, StreamId, WriteEnd};
pub(crate) use timers::TimerId;
