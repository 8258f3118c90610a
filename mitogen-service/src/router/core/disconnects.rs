//! The end of a context is told to everybody who waits for it.

use std::sync::Arc;

use super::half_told::TooMany;
use super::{Close, Core};
use crate::io::cork::Haste;
use crate::io::{Patience, Stream, StreamId};
use crate::router::death::Death;
use crate::router::lifecycle::Ending;
use crate::router::table::Gone;
use crate::wire::{ContextId, DelRoute, Encoding, Handle, Message};

/// In whose room neighbours are told what they could not be told at once: no stream has this name.
const LATE_NEWS: StreamId = StreamId(0);

impl Core {
    /// A child's stream and process are gone: ends what waited for the contexts behind it.
    pub(crate) fn lost(self: &Arc<Self>, stream: StreamId, death: Death) {
        let death = &Arc::new(death);
        let gone = self.table.lock().lose(stream);
        self.ended(&gone, death, stream);
        // Last, since the end of the router waits until its links are gone.
        let link = self.links.lock().remove(&stream);
        drop(link);
        self.lifecycle.news();
    }

    /// A neighbour tells of the end of a context.
    pub(in crate::router) fn gone(self: &Arc<Self>, gone: &Gone, death: &Arc<Death>, ingress: StreamId) {
        self.ended(std::slice::from_ref(gone), death, ingress);
    }

    /// Contexts behind a stream have ended.
    fn ended(self: &Arc<Self>, gone: &[Gone], death: &Arc<Death>, ingress: StreamId) {
        // All of them are known as ended before anybody who waits for one of them goes on.
        for gone in gone {
            self.mark_ended(gone.id, death);
        }
        for gone in gone {
            self.tell_neighbours(gone, death, ingress);
        }
        let waiting: Vec<_> = {
            let mut handles = self.handles.lock();
            gone.iter().flat_map(|gone| handles.forsake(gone.id)).collect()
        };
        self.calls.leave(waiting.iter().filter(|waiting| waiting.counted).count());
        for waiting in waiting {
            waiting.listener.end(death);
        }
        let gone: Vec<_> = gone.iter().map(|gone| gone.id).collect();
        // Methods of a pool that was stopped may still run.
        self.all_workers().iter().for_each(|workers| workers.callers_gone(&gone));
        self.lifecycle.news();
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

    /// Tells the neighbours who are to know it.
    fn tell_neighbours(self: &Arc<Self>, gone: &Gone, death: &Arc<Death>, ingress: StreamId) {
        if let Some((parent, _)) = self.identity.parents.first().filter(|_| gone.tell_parent) {
            let death = death.for_parent();
            let stream = self.table.lock().parent();
            let twice = stream.is_some_and(|stream| self.tell_behind_bulk(stream, (*parent, gone.id), ingress));
            self.report(*parent, Handle::DEL_ROUTE, DelRoute { id: gone.id, death: Some(&death), twice }.encode());
        }
        for stream in &gone.tell {
            self.tell_end(*stream, gone.id, Some(&death.for_strangers()), ingress);
        }
    }

    /// Tells a neighbour of an end, in the room of the stream that it has come from. If there is none
    /// it stays untold until there is: those who end contexts faster than others can hear of it do no
    /// harm to them.
    fn tell_end(self: &Arc<Self>, stream: StreamId, id: ContextId, death: Option<&[u8]>, ingress: StreamId) -> bool {
        let (Some(remote), Some(out)) = (self.remote(stream), self.stream(stream)) else { return false };
        // Once: what has told it there already is behind all that the context has sent, and the neighbour would
        // wait for the other half of the second time.
        let told_by_half = self.table.lock().is_told_by_half(stream, id);
        let twice = told_by_half || self.tell_behind_bulk(stream, (remote, id), ingress);
        let payload = DelRoute { id, death, twice }.encode().into();
        let mut message = Message::new(Encoding::MessagePack, remote, Handle::DEL_ROUTE, Handle::NONE, payload);
        message.header.src_id = self.identity.id;
        message.header.auth_id = self.identity.id;
        let told = out.pass_on(message, (Patience::Refuse, Haste::Now), Some(ingress)).is_ok();
        let mut table = self.table.lock();
        if told {
            table.told(stream, id);
        } else if twice {
            table.told_by_half(stream, id);
        }
        told
    }

    /// Tells a neighbour of an end behind all that went to it over the link for bulk, if something did and
    /// there is room; what the context has sent would be lost if its end overtook it.
    fn tell_behind_bulk(
        self: &Arc<Self>,
        stream: StreamId,
        (remote, id): (ContextId, ContextId),
        ingress: StreamId,
    ) -> bool {
        let Some(bulk) = self.used_bulk(stream) else { return false };
        let payload = DelRoute { id, death: None, twice: true }.encode().into();
        let mut message = Message::new(Encoding::MessagePack, remote, Handle::DEL_ROUTE, Handle::NONE, payload);
        message.header.src_id = self.identity.id;
        message.header.auth_id = self.identity.id;
        bulk.pass_on(message, (Patience::Pass, Haste::Now), Some(ingress)).is_ok()
    }

    /// A neighbour tells of the end of a context, over one of its links. Gives the news when they hold.
    pub(in crate::router) fn told_by(
        &self,
        ingress: &Arc<Stream>,
        (id, twice): (ContextId, bool),
        news: &Message,
    ) -> Result<Option<Message>, String> {
        let mut links = self.links.lock();
        let Some(link) = links.get_mut(&ingress.id()) else { return Ok(None) };
        if ingress.is_for_bulk() {
            let told = link.half_told.bulk(id);
            return told.map_err(|TooMany| "told too many ends of contexts by half".to_owned());
        }
        // Without a link for bulk the other half never comes.
        Ok(link.half_told.main(id, twice && link.bulk.is_some(), news.clone()))
    }

    /// A neighbour takes more again: it is told what it has not been told for lack of room.
    pub(super) fn tell_untold(self: &Arc<Self>, stream: StreamId) {
        let untold = self.table.lock().untold(stream);
        for id in untold {
            if !self.tell_end(stream, id, None, LATE_NEWS) {
                break;
            }
        }
    }

    /// A context below has been announced.
    pub(in crate::router) fn remember_name(&self, id: ContextId, name: &str) {
        self.contexts.lock().names.insert(id, name.to_owned());
    }

    pub(super) fn parent_lost(self: &Arc<Self>, stream: StreamId) {
        match self.ending {
            Ending::Process => self.orphaned(),
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

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv};

    use super::*;
    use crate::io::{ReadEnd, WriteEnd};
    use crate::router::Bounds;
    use crate::router::core::Identity;
    use crate::wire::{ChannelBounds, Decoder, FEATURE_BULK, FEATURES, Message};

    fn root() -> Arc<Core> {
        let identity = Identity {
            id: ContextId::ROOT,
            name: "root".to_owned(),
            parents: Vec::new(),
            max_message_size: 1024 * 1024,
            unidirectional: false,
            keep_alive: None,
            channels: ChannelBounds::default(),
        };
        Core::new(identity, crate::router::Ending::Router, Bounds { output: 1024, ..Bounds::default() })
    }

    fn socket() -> (OwnedFd, OwnedFd) {
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    }

    /// A child with both links, and their other ends.
    fn join(core: &Arc<Core>, name: &str) -> (ContextId, Arc<Stream>, [OwnedFd; 2]) {
        let ((main_end, main), (bulk_end, bulk)) = (socket(), socket());
        let write = main_end.try_clone().unwrap();
        let stream = core.new_stream((ReadEnd(main_end), WriteEnd(write)), None).unwrap();
        let for_bulk = core.new_bulk(&stream, bulk_end).unwrap();
        let id = core.take_id().unwrap();
        core.join_child((&stream, Some(&for_bulk)), (id, name), FEATURES | FEATURE_BULK, None, false).unwrap();
        (id, stream, [main, bulk])
    }

    fn data(dst: ContextId, size: usize) -> Message {
        let payload = vec![0; size].into();
        Message::new(Encoding::Binary, dst, Handle::FIRST_DYNAMIC, Handle::NONE, payload)
    }

    /// What comes out of a link, until `done` says that it is enough or nothing more is there.
    fn read(link: &OwnedFd, flags: RecvFlags, done: impl Fn(&Message) -> bool) -> Vec<Message> {
        let (mut decoder, mut read) = (Decoder::new(1024 * 1024), Vec::new());
        while let Ok((1.., _)) = recv(link, rustix::buffer::spare_capacity(decoder.space()), flags) {
            while let Some(message) = decoder.next().unwrap() {
                read.push(message);
                if read.last().is_some_and(&done) {
                    return read;
                }
            }
        }
        read
    }

    #[test]
    fn an_end_for_which_there_was_no_room_is_told_once_behind_bulk() {
        let core = root();
        let (told, stream, [main, bulk]) = join(&core, "told");
        let (gone, gone_stream, _ends) = join(&core, "gone");
        let mut message = data(gone, 1);
        (message.header.src_id, message.header.auth_id) = (told, told);
        core.receive_one(message, &stream);
        core.send_bulk(data(told, 1), Patience::Wait).unwrap();
        while core.send(data(told, 32 * 1024), Patience::Refuse).is_ok() {}
        core.lost(gone_stream.id(), Death::disconnected("gone"));
        assert!(core.table.lock().is_told_by_half(stream.id(), gone), "there is no room on the main link");
        let is_end = |message: &Message| message.header.handle == Handle::DEL_ROUTE;
        let news = read(&main, RecvFlags::empty(), is_end).pop().unwrap();
        assert_eq!(DelRoute::decode(&news.payload), Ok(DelRoute { id: gone, death: None, twice: true }));
        let behind_bulk = read(&bulk, RecvFlags::DONTWAIT, |_| false);
        assert_eq!(behind_bulk.iter().filter(|message| is_end(message)).count(), 1, "{behind_bulk:?}");
        core.close(Close::Promptly);
    }
}
