//! Files pushed down the tree: `PushFileService`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `service` | what contexts may ask of each other; getting a file |
//! | `run` | pushing files from this process |
//! | `book` | what is here, who waits for it and who is to get it: plain data, with |
//! | `shelf` | what is kept and for what there is room, and |
//! | `offers` | what neighbours below were offered and have answered |
//! | `hub` | the threads, calls and channels around it |
//! | `content`, `stream` | the bytes of a file, here and on their way |
//! | `snapshot` | reading a file of this machine |
//! | `offer`, `pushed` | what contexts say to each other of a file, and what a program gets of it |

mod book;
mod content;
mod hub;
mod offer;
mod offers;
mod pushed;
mod run;
mod service;
mod shelf;
mod snapshot;
mod stream;

pub use offer::{PushAnswer, PushOffer};
pub use pushed::PushedFile;
pub use run::{Arrival, Push};
pub(super) use service::NAME;
pub use service::{PushFileService, PushFileServiceApi, PushFileServiceStub};
