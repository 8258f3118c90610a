//! The end of a context is told to everybody who waits for it.

use std::sync::Arc;

use super::{Close, Core};
use crate::io::StreamId;
use crate::router::death::Death;
use crate::router::lifecycle::Ending;
use crate::router::table::Gone;
use crate::wire::{ContextId, DelRoute, Handle};

impl Core {
    /// A child's stream and process are gone: ends what waited for the contexts behind it.
    pub(crate) fn lost(self: &Arc<Self>, stream: StreamId, death: Death) {
        let death = &Arc::new(death);
        let gone = self.table.lock().lose(stream);
        // All of them are known as ended before anybody who waits for one of them goes on.
        for gone in &gone {
            self.mark_ended(gone.id, death);
        }
        for gone in &gone {
            self.tell_ended(gone, death);
        }
        // Last, since the end of the router waits until its links are gone.
        let link = self.links.lock().remove(&stream);
        drop(link);
        self.lifecycle.news();
    }

    /// A neighbour tells of the end of a context.
    pub(in crate::router) fn gone(self: &Arc<Self>, gone: &Gone, death: &Arc<Death>) {
        self.mark_ended(gone.id, death);
        self.tell_ended(gone, death);
    }

    /// Whoever has a name of the context sees that it has ended.
    fn mark_ended(&self, id: ContextId, death: &Arc<Death>) {
        let context = {
            let mut contexts = self.contexts.lock();
            contexts.names.remove(&id);
            contexts.take(id)
        };
        if let Some(context) = context {
            context.disconnected(death);
        }
    }

    /// Tells those who wait here, and the neighbours who asked for it.
    fn tell_ended(self: &Arc<Self>, gone: &Gone, death: &Arc<Death>) {
        let tell = |stream: &StreamId, death: Vec<u8>| {
            let Some(remote) = self.remote(*stream) else { return };
            self.post(remote, Handle::DEL_ROUTE, DelRoute { id: gone.id, death: Some(&death) }.encode());
        };
        let parent = self.table.lock().parent();
        if let Some(parent) = parent.filter(|_| gone.tell_parent) {
            tell(&parent, death.for_parent());
        }
        for stream in &gone.tell {
            tell(stream, death.for_strangers());
        }
        let waiting = self.handles.lock().forsake(gone.id);
        self.calls.leave(waiting.iter().filter(|waiting| waiting.counted).count());
        for waiting in waiting {
            waiting.listener.end(death);
        }
        if let Some(workers) = self.workers() {
            workers.caller_gone(gone.id);
        }
        self.lifecycle.news();
    }

    /// A context below has been announced.
    pub(in crate::router) fn remember_name(&self, id: ContextId, name: &str) {
        self.contexts.lock().names.insert(id, name.to_owned());
    }

    pub(super) fn parent_lost(self: &Arc<Self>, stream: StreamId) {
        match self.ending {
            Ending::Process => self.end_process(),
            Ending::Router => {
                // It may have been closed from this end.
                self.table.lock().lose(stream);
                self.links.lock().remove(&stream);
                if self.lifecycle.is_open() {
                    self.close_later(Close::Promptly);
                }
            }
        }
    }
}
