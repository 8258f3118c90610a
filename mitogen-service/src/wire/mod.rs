//! What travels between contexts, byte for byte: ids, the frame header, messages, the hello, and
//! the payloads of the SDK's own handles.
//!
//! This is the lowest layer. It must not know any other: no router, no stream, no file descriptor,
//! no clock, no lock and no thread. Everything here is a value or a plain state machine that takes
//! bytes and returns what they mean, and everything that is read may come from a hostile peer: it
//! can be refused, but it can neither panic this process nor make it allocate more than a small
//! multiple of what really arrived.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `id` | [`ContextId`], `Handle` and the reserved handles |
//! | `header` | the 26 bytes in front of every payload |
//! | `message` | header and payload together |
//! | `dead` | dead messages and why they were sent |
//! | `decoder` | from pieces of a byte stream to messages |
//! | `msgpack` | check and read MessagePack without serde |
//! | `hello` | what both ends say before the first message |
//! | `envelope` | payloads of service calls and their replies |
//! | `meta` | what a call carries beside its names and arguments |
//! | `control` | payloads of the SDK's own handles |
//! | `value`, `path` | any serde value, and paths, as MessagePack |
//! | `some` | what keeps values from being written that would arrive as others |
//! | `blob`, `payload` | byte strings that share the memory of the message they came in |

pub(crate) mod blob;
pub mod bytes;
pub(crate) mod canonical;
pub(crate) mod control;
pub(crate) mod dead;
pub(crate) mod decoder;
pub(crate) mod envelope;
pub(crate) mod filler;
pub(crate) mod header;
pub(crate) mod hello;
pub(crate) mod id;
pub(crate) mod message;
pub(crate) mod meta;
pub(crate) mod msgpack;
pub mod path;
mod paths;
pub(crate) mod payload;
#[cfg(test)]
mod protocol_examples;
mod some;
pub mod value;

pub use blob::Blob;
pub(crate) use control::{AddRoute, Bulk, Claim, Credit, CreditNews, DelRoute, ForwardLog, IdBlock};
pub(crate) use dead::{DeadCode, DeadReason};
pub(crate) use decoder::{Buffers, Decoder};
pub(crate) use envelope::{CallEnvelope, EnvelopeWriter, Reply};
pub(crate) use filler::{ALIGNMENT, FILLER};
pub(crate) use header::{BadMagic, Encoding, Header};
pub(crate) use hello::{
    ChannelBounds, FEATURE_BULK, FEATURE_CANCEL, FEATURE_CHANNELS, FEATURE_PING, FEATURES, Hello, HelloDecoder,
    Identity,
};
pub use id::ContextId;
pub(crate) use id::Handle;
pub(crate) use message::Message;
pub(crate) use meta::{Link, MAX_CHAIN, Meta};
pub(crate) use msgpack::{Cursor, Malformed};
pub use paths::Paths;
