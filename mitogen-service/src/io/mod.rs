//! Bytes in and out: the broker's thread, its poller and timers, streams, and lines of text.
//!
//! This layer knows frames and nothing of what they say: it must not name routers, handles,
//! contexts, calls or services. Above it nobody knows which thread reads: whoever does hands what
//! it read to the stream's [`Sink`].

mod alive;
mod broker;
mod courier;
mod lines;
mod output;
mod poller;
mod reassembly;
mod stall;
mod stream;
#[cfg(test)]
mod tests;
mod timers;

pub(crate) use broker::{Broker, BrokerHandle, Source, Token};
pub(crate) use courier::Courier;
pub(crate) use lines::LineReader;
pub(crate) use output::Patience;
pub(crate) use poller::Interest;
pub(crate) use reassembly::Reassembly;
pub(crate) use stream::{Closed, Limits, ReadEnd, SendError, Sink, Stream, StreamId, WriteEnd};
pub(crate) use timers::TimerId;
