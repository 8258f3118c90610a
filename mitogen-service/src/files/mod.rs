//! Whole files between contexts: `FileService`, and `PushFileService`. The highest layer.
//!
//! It is built from what users have too, services and channels, and may name every other layer.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `service` | what contexts may ask of each other |
//! | `get`, `put`, `options` | what a program writes to transfer a file |
//! | `get_dir`, `put_dir`, `listing` | the same of a directory |
//! | `registered` | which paths may be fetched by contexts that are no parents: plain data |
//! | `beneath`, `source` | opening a file once, so that nothing leads out of a directory; reading it |
//! | `lanes`, `sending` | whose turn it is on a stream: plain data, and its threads |
//! | `transfer` | one file through a channel, at both ends |
//! | `target`, `tree` | a file, and a directory, that is absent or whole |
//! | `removal` | what is left of a directory that came to nothing |
//! | `places`, `threads` | how many calls that take their time are run at once: plain data, and its threads |
//! | `metadata`, `hash`, `error` | what is told of a file |
//! | `push` | files pushed down the tree |

mod beneath;
mod error;
mod get;
mod get_dir;
mod hash;
mod lanes;
mod listing;
mod metadata;
mod options;
mod places;
mod push;
mod put;
mod put_dir;
mod registered;
mod removal;
mod sending;
mod service;
mod source;
mod target;
mod threads;
mod transfer;
mod tree;

pub use error::FileError;
pub use get::Get;
pub use get_dir::GetDir;
pub use hash::FileHash;
pub use listing::{Listed, ListedKind};
pub use metadata::FileMetadata;
pub use options::{Destination, Progress, Transferred, TransferredDir};
pub use push::{
    Arrival, Push, PushAnswer, PushFileService, PushFileServiceApi, PushFileServiceStub, PushOffer, PushedFile,
};
pub use put::Put;
pub use put_dir::PutDir;
pub use service::{FetchOptions, FileService, FileServiceApi, FileServiceStub, StoreOptions, Stored};

/// Lets the services of this layer be made where they are asked for.
pub(crate) fn provide() {
    crate::service::offer(service::NAME, || crate::service::Hosted::new(FileService::new()));
    crate::service::offer(push::NAME, || crate::service::Hosted::new(PushFileService::new()));
}
