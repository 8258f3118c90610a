//! A file that is offered to a context, and what that says of it.

use serde::{Deserialize, Serialize};

use crate::channel::Sender;
use crate::files::error::FileError;
use crate::files::hash::FileHash;
use crate::files::metadata::FileMetadata;
use crate::wire::{Blob, ContextId};

/// A file that is offered to a context by [`store_and_forward`](crate::PushFileServiceStub::store_and_forward) or
/// [`forward`](crate::PushFileServiceStub::forward).
///
/// [`PushFileService::push`](crate::PushFileService::push) makes it; by hand it is of use in tests.
///
/// ```
/// use mitogen_service::{CallError, Context, FileHash, FileMetadata, PushAnswer, PushFileService, PushOffer, Receiver};
///
/// fn offer(to: &Context, metadata: FileMetadata, answers: &Receiver<PushAnswer>) -> Result<(), CallError> {
///     let (hash, contexts, answers) = (FileHash::of(b"hello"), vec![to.id()], answers.sender());
///     let offer = PushOffer { metadata, hash, contexts, answers };
///     PushFileService::stub(to).forward("greeting".into(), offer).wait()
/// }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PushOffer {
    /// What the file was when it was read.
    pub metadata: FileMetadata,
    /// The hash of its bytes.
    pub hash: FileHash,
    /// For whom it is: contexts below the one that it is offered to, and that one itself.
    pub contexts: Vec<ContextId>,
    /// Takes what that context says of it. It must lead to the caller.
    pub answers: Sender<PushAnswer>,
}

/// What a context answers to [`store_and_forward`](crate::PushFileServiceStub::store_and_forward) and
/// [`forward`](crate::PushFileServiceStub::forward), through the sender that these were given.
///
/// ```
/// use mitogen_service::{ContextId, PushAnswer, Router};
///
/// # fn main() -> mitogen_service::Result<()> {
/// let router = Router::builder().build()?;
/// let answers = router.receiver::<PushAnswer>();
/// let context = ContextId::new(7);
/// answers.sender().send(PushAnswer::Outcome { context, error: None })?;
/// assert!(matches!(answers.recv()?, PushAnswer::Outcome { error: None, .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PushAnswer {
    /// It lacks the file, and the bytes are to be sent there.
    Wanted {
        /// Takes them.
        data: Sender<Blob>,
    },
    /// It has the file, or is about to get it.
    Present,
    /// What has become of the file in a context that it is for.
    Outcome {
        /// Which context.
        context: ContextId,
        /// Why it is not there; nothing if it is.
        error: Option<FileError>,
    },
}
