//! A router whose threads can be waited for, and contexts that end when a model says so.

use std::sync::Arc;

use shuttle::thread::JoinHandle;

use crate::io::StreamId;
use crate::ledger::Ledger;
use crate::sync::Mutex;
use crate::wire::ContextId;

/// All its contexts are behind one stream.
#[derive(Clone, Default)]
pub(crate) struct Router(Arc<Core>);

#[derive(Default)]
pub(crate) struct Core {
    ledger: Ledger,
}

pub(crate) struct Identity {
    pub(crate) max_message_size: usize,
}

pub(crate) struct Stream;

impl Router {
    pub(crate) fn core(&self) -> &Core {
        &self.0
    }
}

impl Core {
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn stream_toward(&self, _: ContextId) -> Option<Stream> {
        Some(Stream)
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity { max_message_size: 100 }
    }
}

impl Stream {
    pub(crate) fn id(&self) -> StreamId {
        StreamId(1)
    }
}

/// Threads that were started; waits until all have left, those too that others start meanwhile.
pub(crate) fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    loop {
        let next = threads.lock().pop();
        let Some(thread) = next else { return };
        thread.join().unwrap();
    }
}

type Callback = Box<dyn FnOnce() + Send>;

/// Another context.
#[derive(Clone)]
pub(crate) struct Context {
    id: ContextId,
    /// Nothing any more when it has ended.
    callbacks: Arc<Mutex<Option<Vec<Callback>>>>,
}

/// It stays as long as the context: a callback for what is gone does nothing.
pub(crate) struct Subscription;

impl Context {
    pub(crate) fn new(id: u32) -> Self {
        Self { id: ContextId(id), callbacks: Arc::new(Mutex::new(Some(Vec::new()))) }
    }

    pub(crate) fn id(&self) -> ContextId {
        self.id
    }

    pub(crate) fn on_disconnect(&self, f: impl FnOnce() + Send + 'static) -> Subscription {
        let mut callbacks = self.callbacks.lock();
        match callbacks.as_mut() {
            Some(callbacks) => callbacks.push(Box::new(f)),
            None => {
                drop(callbacks);
                f();
            }
        }
        Subscription
    }

    /// It ends.
    pub(crate) fn end(&self) {
        let callbacks = self.callbacks.lock().take();
        callbacks.into_iter().flatten().for_each(|callback| callback());
    }
}
