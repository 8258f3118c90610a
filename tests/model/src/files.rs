//! The shells of the layer `files` that have threads, and stand-ins for what they send and to whom.

#[path = "../../../mitogen-service/src/files/lanes.rs"]
mod lanes;
#[path = "../../../mitogen-service/src/files/places.rs"]
mod places;
#[path = "../../../mitogen-service/src/files/sending.rs"]
mod sending;
#[path = "../../../mitogen-service/src/files/threads.rs"]
mod threads;

use std::sync::Arc;

use sending::{Job, Open, Sending};
use source::Source;
use threads::Threads;

use crate::channel::Sender;
use crate::router::{Context, Router};
use crate::service::Reply;
use crate::wire::Blob;

mod error {
    use crate::error::CallError;

    #[derive(Debug)]
    pub(crate) struct FileError;

    impl FileError {
        pub(crate) fn invalid(_: impl Into<String>) -> Self {
            Self
        }
    }

    impl From<FileError> for CallError {
        fn from(_: FileError) -> Self {
            Self::Failed
        }
    }
}

mod metadata {
    pub(crate) struct FileMetadata;

    impl FileMetadata {
        pub(crate) fn of(_: &(), _: u64) -> Self {
            Self
        }
    }
}

mod source {
    pub(crate) const CHUNK: usize = 4;

    pub(crate) struct Source;

    impl Source {
        pub(crate) fn stat(&self) -> &() {
            &()
        }
    }
}

/// A file has two messages.
mod transfer {
    use super::error::FileError;
    use super::source::Source;
    use crate::error::CallError;
    use crate::wire::Blob;

    pub(crate) struct Known;
    pub(crate) struct Prefix;

    pub(crate) fn begin(_: &Source, _: Option<Known>, _: bool) -> Result<Prefix, FileError> {
        Ok(Prefix)
    }

    pub(crate) fn send(
        _: &Source,
        _: Prefix,
        chunk: usize,
        send: &mut dyn FnMut(Blob, u64) -> Result<(), CallError>,
    ) -> Result<bool, CallError> {
        send(vec![0; chunk], 0)?;
        send(vec![0; chunk], 0)?;
        Ok(false)
    }
}

pub(crate) use metadata::FileMetadata;

/// A service that sends files, of which each has two messages.
#[derive(Clone, Default)]
pub(crate) struct Files(Arc<Sending>);

impl Files {
    pub(crate) fn fetch(
        &self,
        router: &Router,
        (id, requester): (u64, &Context),
        sender: &Sender<Blob>,
        reply: Reply<FileMetadata>,
    ) {
        let (requester, sender) = (requester.clone(), sender.clone());
        let open: Open = Box::new(|| Ok(Source));
        let job = Job { id, open, known: None, hashed: false, sender, requester, reply, watch: None };
        self.0.add(router, job);
    }

    pub(crate) fn active(&self) -> usize {
        self.0.active()
    }

    pub(crate) fn stop(&self) {
        self.0.stop();
    }
}

/// Calls of which two run at a time, and two more wait.
#[derive(Clone)]
pub(crate) struct Calls(Arc<Threads>);

impl Calls {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Threads::with(2, 2)))
    }

    pub(crate) fn answer(&self, router: &Router, reply: Reply<()>, work: impl FnOnce() + Send + 'static) {
        self.0.answer(router, reply, move |_| {
            work();
            Ok(())
        });
    }

    pub(crate) fn stop(&self) {
        self.0.stop();
    }
}
