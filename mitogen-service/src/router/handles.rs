//! The endpoints of this context: who gets a message for a handle, and who may send one.

use std::sync::Arc;

use super::core::Delivery;
use super::death::Death;
use crate::hash::SmallMap;
use crate::wire::{ContextId, DeadReason, Handle, Header};

/// Gets the messages of a handle. Called on the thread that reads or sends; must not block.
pub(crate) trait Listener: Send + Sync {
    /// Takes a message that has passed all checks; it may be a dead one.
    fn deliver(&self, delivery: Delivery<'_>);

    /// Learns that no message will come any more.
    fn end(&self, death: &Arc<Death>);

    /// Is wanted for something else, while it waits for its message.
    fn nudge(&self) {}
}

/// Who may send to a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever can reach this context.
    Any,
    /// Only with the authority of a parent, or this context's own.
    Parents,
}

/// The table of handles, over the type that stands for a listener.
pub(crate) struct Handles<L> {
    entries: SmallMap<Handle, Entry<L>>,
    /// The newest handle of each respondent, so that its end is no search through all handles: the first
    /// one of a list that the entries themselves make.
    by_respondent: SmallMap<ContextId, Handle>,
    next: u32,
    closed: bool,
}

struct Entry<L> {
    listener: L,
    access: Access,
    /// The only context whose messages are taken.
    respondent: Option<Respondent>,
    /// The first message is the last.
    once: bool,
    /// It has a place among the pending calls.
    counted: bool,
}

/// A place in the list of the handles that wait for one context; 0 stands for its ends.
#[derive(Clone, Copy, Debug)]
struct Respondent {
    context: ContextId,
    newer: Handle,
    older: Handle,
}

/// A listener that has been found and may have a message.
pub(crate) struct Admitted<L> {
    pub(crate) listener: L,
    /// A pending call has got its answer by it, and its place is free.
    pub(crate) counted: bool,
}

/// The table as a router has it.
pub(crate) type RouterHandles = Handles<Arc<dyn Listener>>;

impl<L> Entry<L> {
    fn into_admitted(self) -> Admitted<L> {
        Admitted { listener: self.listener, counted: self.counted }
    }
}

impl<L: Clone> Handles<L> {
    /// An empty table whose handles begin at `start`.
    ///
    /// A random start keeps strangers from guessing the handles of pending calls.
    pub(crate) fn new(start: u32) -> Self {
        Self { entries: SmallMap::default(), by_respondent: SmallMap::default(), next: start, closed: false }
    }

    /// Listens on a reserved handle; gives the listener back if somebody else does so already.
    pub(crate) fn listen(&mut self, handle: Handle, access: Access, listener: L) -> Result<(), L> {
        if self.closed || self.entries.contains_key(&handle) {
            return Err(listener);
        }
        self.entries.insert(handle, Entry { listener, access, respondent: None, once: false, counted: false });
        Ok(())
    }

    /// Puts another listener in the place of one, which is given; or gives it back if the table was closed.
    pub(crate) fn replace(&mut self, handle: Handle, access: Access, listener: L) -> Option<L> {
        if self.closed {
            return Some(listener);
        }
        let entry = Entry { listener, access, respondent: None, once: false, counted: false };
        self.entries.insert(handle, entry).map(|replaced| replaced.listener)
    }

    /// A new handle for the one answer of `respondent`. `None` when the table was closed.
    pub(crate) fn await_one(&mut self, respondent: ContextId, counted: bool, listener: L) -> Option<Handle> {
        let handle = self.next_free()?;
        let older = self.by_respondent.insert(respondent, handle).unwrap_or(Handle::NONE);
        self.place(older, |place| place.newer = handle);
        let respondent = Some(Respondent { context: respondent, newer: Handle::NONE, older });
        self.entries.insert(handle, Entry { listener, access: Access::Any, respondent, once: true, counted });
        Some(handle)
    }

    /// The listener of a handle.
    pub(crate) fn listener(&self, handle: Handle) -> Option<L> {
        self.entries.get(&handle).map(|entry| entry.listener.clone())
    }

    /// Whether a call waits for its answer on this handle.
    pub(crate) fn is_pending(&self, handle: Handle) -> bool {
        self.entries.get(&handle).is_some_and(|entry| entry.counted)
    }

    /// A new handle for any number of messages from anybody. `None` when the table was closed.
    pub(crate) fn open(&mut self, make: impl FnOnce(Handle) -> L) -> Option<Handle> {
        let handle = self.next_free()?;
        let listener = make(handle);
        self.entries
            .insert(handle, Entry { listener, access: Access::Any, respondent: None, once: false, counted: false });
        Some(handle)
    }

    /// Numbers are used again only after all 2^32 of them, so no late answer meets a new call.
    fn next_free(&mut self) -> Option<Handle> {
        while !self.closed {
            let handle = Handle::new(self.next);
            self.next = self.next.checked_add(1).unwrap_or(Handle::FIRST_DYNAMIC.get());
            if handle >= Handle::FIRST_DYNAMIC && !self.entries.contains_key(&handle) {
                return Some(handle);
            }
        }
        None
    }

    /// Stops listening; gives the listener if there was one.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Admitted<L>> {
        self.take(handle).map(Entry::into_admitted)
    }

    fn take(&mut self, handle: Handle) -> Option<Entry<L>> {
        let entry = self.entries.remove(&handle)?;
        if let Some(Respondent { context, newer, older }) = entry.respondent {
            self.place(older, |place| place.newer = newer);
            self.place(newer, |place| place.older = older);
            if newer == Handle::NONE {
                match older {
                    Handle::NONE => self.by_respondent.remove(&context),
                    older => self.by_respondent.insert(context, older),
                };
            }
        }
        Some(entry)
    }

    /// Changes the place of a handle in its list, unless it is the list's end.
    fn place(&mut self, handle: Handle, change: impl FnOnce(&mut Respondent)) {
        if handle == Handle::NONE {
            return;
        }
        if let Some(place) = self.entries.get_mut(&handle).and_then(|entry| entry.respondent.as_mut()) {
            change(place);
        }
    }

    /// Finds the listener for a message: handle, then respondent, then access, as in Mitogen.
    pub(crate) fn admit(&mut self, header: &Header, parent_authority: bool) -> Result<Admitted<L>, DeadReason> {
        let entry = self.entries.get(&header.handle).ok_or_else(DeadReason::invalid_handle)?;
        if entry.respondent.is_some_and(|respondent| respondent.context != header.src_id) {
            return Err(DeadReason::unexpected_context());
        }
        if entry.access == Access::Parents && !parent_authority {
            return Err(DeadReason::refused());
        }
        let (listener, once) = (entry.listener.clone(), entry.once);
        let admitted = Admitted { listener, counted: entry.counted };
        if once {
            self.take(header.handle);
        }
        Ok(admitted)
    }

    /// Removes and gives all that waited for a context that has ended.
    pub(crate) fn forsake(&mut self, respondent: ContextId) -> Vec<Admitted<L>> {
        let mut forsaken = Vec::new();
        while let Some(newest) = self.by_respondent.get(&respondent).copied() {
            // Each handle of the list has an entry, which this takes out of both.
            let Some(entry) = self.take(newest) else { break };
            forsaken.push(entry.into_admitted());
        }
        // Oldest first.
        forsaken.reverse();
        forsaken
    }

    /// Removes and gives all listeners, and takes no new ones.
    pub(crate) fn close(&mut self) -> Vec<L> {
        self.closed = true;
        self.by_respondent.clear();
        self.entries.drain().map(|(_, entry)| entry.listener).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Encoding;

    fn header(src: u32, handle: Handle) -> Header {
        Header {
            encoding: Encoding::MessagePack,
            dst_id: ContextId::ROOT,
            src_id: ContextId::new(src),
            auth_id: ContextId::new(src),
            handle,
            reply_to: Handle::NONE,
            length: 0,
        }
    }

    fn refusal(handles: &mut Handles<&'static str>, src: u32, handle: Handle) -> String {
        handles.admit(&header(src, handle), false).err().map(|reason| reason.text).unwrap_or_default()
    }

    #[test]
    fn an_answer_is_taken_once_and_from_the_respondent_alone() {
        let mut handles = Handles::new(5000);
        let handle = handles.await_one(ContextId::new(7), true, "call").unwrap();
        assert_eq!(handle, Handle::new(5000));
        assert_eq!(refusal(&mut handles, 8, handle), "reply from unexpected context");
        assert!(handles.admit(&header(7, handle), false).is_ok_and(|got| got.counted));
        assert_eq!(refusal(&mut handles, 7, handle), "invalid handle");
    }

    #[test]
    fn an_open_handle_takes_messages_until_it_is_removed() {
        let mut handles = Handles::new(5000);
        let handle = handles.open(|handle| if handle == Handle::new(5000) { "channel" } else { "?" }).unwrap();
        for source in [7, 8, 7] {
            assert!(handles.admit(&header(source, handle), false).is_ok_and(|got| got.listener == "channel"));
        }
        assert!(handles.forsake(ContextId::new(7)).is_empty());
        assert!(handles.remove(handle).is_some());
        assert_eq!(refusal(&mut handles, 7, handle), "invalid handle");
    }

    #[test]
    fn a_handle_for_parents_refuses_others() {
        let mut handles = Handles::new(5000);
        handles.listen(Handle::CALL_SERVICE, Access::Parents, "stub").unwrap();
        assert_eq!(refusal(&mut handles, 3, Handle::CALL_SERVICE), "refused by policy");
        assert!(handles.admit(&header(0, Handle::CALL_SERVICE), true).is_ok_and(|got| !got.counted));
    }

    #[test]
    fn a_handle_is_listened_to_once_and_free_again_after_removal() {
        let mut handles = Handles::new(5000);
        handles.listen(Handle::CALL_SERVICE, Access::Any, "first").unwrap();
        assert_eq!(handles.listen(Handle::CALL_SERVICE, Access::Any, "second"), Err("second"));
        assert!(handles.remove(Handle::CALL_SERVICE).is_some_and(|got| got.listener == "first"));
        handles.listen(Handle::CALL_SERVICE, Access::Any, "second").unwrap();
    }

    #[test]
    fn numbers_go_round_without_touching_those_in_use_or_reserved() {
        let mut handles = Handles::new(u32::MAX);
        let me = ContextId::ROOT;
        let got: Vec<_> = (0..3).map(|_| handles.await_one(me, false, "call").unwrap().get()).collect();
        assert_eq!(got, [u32::MAX, 1000, 1001]);
        handles.next = 1000;
        assert_eq!(handles.await_one(me, false, "call").unwrap().get(), 1002);
    }

    proptest! {
        #[test]
        fn the_lists_hold_what_waits_for_each_context(steps in proptest::collection::vec((0..8u8, 0..3u32, 0..50usize), 1..300)) {
            let mut handles = Handles::new(5000);
            let mut waiting: Vec<(u32, Handle)> = Vec::new();
            for (step, context, at) in steps {
                match step {
                    0 => {
                        let got = handles.forsake(ContextId::new(context)).into_iter().map(|got| got.listener);
                        let expected: Vec<_> = waiting.iter().filter(|(other, _)| *other == context).map(|(_, n)| *n).collect();
                        let got: Vec<_> = got.collect();
                        prop_assert_eq!(got.len(), expected.len());
                        waiting.retain(|(other, _)| *other != context);
                    }
                    1..=3 if !waiting.is_empty() => {
                        let (context, handle) = waiting.remove(at % waiting.len());
                        if step == 1 {
                            prop_assert!(handles.admit(&header(context, handle), false).is_ok());
                        } else {
                            prop_assert!(handles.remove(handle).is_some());
                        }
                    }
                    _ => {
                        let handle = handles.await_one(ContextId::new(context), true, "call").unwrap();
                        waiting.push((context, handle));
                    }
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_context_ends_just_what_waits_for_it() {
        let mut handles = Handles::new(5000);
        handles.await_one(ContextId::new(7), true, "seven").unwrap();
        let other = handles.await_one(ContextId::new(8), true, "eight").unwrap();
        let ended: Vec<_> = handles.forsake(ContextId::new(7)).into_iter().map(|got| got.listener).collect();
        assert_eq!(ended, ["seven"]);
        assert_eq!(handles.close(), ["eight"]);
        assert!(handles.remove(other).is_none());
        assert_eq!(handles.await_one(ContextId::new(7), true, "late"), None);
    }
}
