//! What the shells name of the crate's `service`.

#[path = "../../../mitogen-service/src/service/by_caller.rs"]
mod by_caller;
#[path = "../../../mitogen-service/src/service/in_flight.rs"]
pub(crate) mod in_flight;
#[path = "../../../mitogen-service/src/service/load.rs"]
pub(crate) mod load;

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::CallError;
use crate::latch::Latch;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Given,
    Stopped,
    Overloaded,
    Failed,
    /// Nobody has answered it.
    Dropped,
}

/// The answer of a call, which is given once.
pub(crate) struct Reply<T> {
    answer: Option<Arc<Latch<Answer>>>,
    of: PhantomData<fn(T)>,
}

impl<T> Reply<T> {
    pub(crate) fn new(answer: Arc<Latch<Answer>>) -> Self {
        Self { answer: Some(answer), of: PhantomData }
    }

    pub(crate) fn send(mut self, result: Result<T, CallError>) {
        self.put(result.as_ref().map_or_else(Answer::from, |_| Answer::Given));
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        false
    }

    fn put(&mut self, answer: Answer) {
        if let Some(latch) = self.answer.take() {
            assert!(latch.put(answer), "it is answered once");
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.put(Answer::Dropped);
    }
}

pub(crate) fn panicked(_: Box<dyn Any + Send>) -> CallError {
    CallError::Failed
}

mod descriptor {
    #[derive(Debug)]
    pub(crate) struct ServiceDescriptor {
        pub(crate) name: &'static str,
    }

    #[derive(Debug)]
    pub(crate) struct MethodDescriptor {
        pub(crate) name: &'static str,
    }
}
