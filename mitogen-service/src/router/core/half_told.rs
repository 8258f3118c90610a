//! The ends of contexts that a neighbour tells over both of its links: a plain state machine.
//!
//! What such a context has sent came over either. The news hold when they have come over both, since
//! then everything has come that was in front of them.

use std::collections::{HashMap, HashSet};

use crate::wire::{ContextId, Message};

/// How many ends may be told by half at most: as many contexts as may be behind one stream.
const MOST: usize = 65_536;

/// How many bytes of news may be kept: of each of those contexts what its process exited with, and its last
/// words of many of them.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// More ends are told by half than there can be contexts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// What has come over one of both links.
#[derive(Debug, Default)]
pub(super) struct HalfTold {
    /// Over the one for bulk.
    bulk: HashSet<ContextId>,
    /// Over the other one: the news as they came.
    main: HashMap<ContextId, Message>,
    /// What those take. Invariant: at most [`MOST_BYTES`].
    bytes: usize,
}

impl HalfTold {
    /// An end is told over the main link, and `twice` if the other one tells it as well. Gives it back if
    /// it holds now.
    pub(super) fn main(&mut self, id: ContextId, twice: bool, mut news: Message) -> Option<Message> {
        if twice && self.main.contains_key(&id) {
            return None;
        }
        let bytes = self.bytes.saturating_add(news.size());
        if self.bulk.remove(&id) || !twice || self.main.len() >= MOST || bytes > MOST_BYTES {
            self.forget_news(id);
            return Some(news);
        }
        // It may wait long, and what is counted of it is its size.
        news.stand_alone();
        self.bytes = bytes;
        self.main.insert(id, news);
        None
    }

    fn forget_news(&mut self, id: ContextId) -> Option<Message> {
        let news = self.main.remove(&id)?;
        self.bytes -= news.size();
        Some(news)
    }

    /// An end is told over the link for bulk. Gives the news that hold now; the error is that too many
    /// are told there alone.
    pub(super) fn bulk(&mut self, id: ContextId) -> Result<Option<Message>, TooMany> {
        if let Some(news) = self.forget_news(id) {
            return Ok(Some(news));
        }
        if self.bulk.len() >= MOST {
            return Err(TooMany);
        }
        self.bulk.insert(id);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{Encoding, Handle};

    fn news(id: u32) -> (ContextId, Message) {
        let message =
            Message::new(Encoding::MessagePack, ContextId::ROOT, Handle::DEL_ROUTE, Handle::NONE, Bytes::new());
        (ContextId::new(id), message)
    }

    #[test]
    fn an_end_holds_when_both_links_have_told_it_in_whatever_order() {
        let mut told = HalfTold::default();
        let (id, message) = news(1);
        assert_eq!(told.main(id, true, message.clone()), None);
        assert_eq!(told.bulk(id), Ok(Some(message.clone())));
        let id = ContextId::new(2);
        assert_eq!(told.bulk(id), Ok(None));
        assert_eq!(told.main(id, true, message.clone()), Some(message));
        assert!(told.bulk.is_empty() && told.main.is_empty());
    }

    #[test]
    fn one_that_is_told_once_holds_at_once() {
        let mut told = HalfTold::default();
        let (id, message) = news(1);
        assert_eq!(told.main(id, false, message.clone()), Some(message.clone()));
        // The news over the other link may have left before those over this one could not.
        assert_eq!(told.bulk(id), Ok(None));
        assert_eq!(told.main(id, false, message.clone()), Some(message));
        assert!(told.bulk.is_empty() && told.main.is_empty());
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut told = HalfTold::default();
        let (_, message) = news(0);
        assert!(MOST * message.size() < MOST_BYTES, "the number is reached first");
        for id in 0..u32::try_from(MOST).unwrap() {
            assert_eq!(told.bulk(ContextId::new(id)), Ok(None));
            assert_eq!(told.main(ContextId::new(id + 1_000_000), true, message.clone()), None);
        }
        assert_eq!(told.bulk(ContextId::new(500_000)), Err(TooMany));
        assert_eq!(told.main(ContextId::new(500_000), true, message.clone()), Some(message));
    }

    #[test]
    fn what_is_kept_has_a_bound_in_bytes() {
        let mut told = HalfTold::default();
        let large = |id| {
            let (id, mut message) = news(id);
            message.payload = vec![0; MOST_BYTES / 4].into();
            (id, message)
        };
        for id in 0..3 {
            let (id, message) = large(id);
            assert_eq!(told.main(id, true, message), None);
        }
        let (id, message) = large(3);
        assert_eq!(told.main(id, true, message.clone()), Some(message.clone()), "with its header it is too much");
        assert_eq!(told.bulk(ContextId::new(0)), Ok(Some(message.clone())));
        assert_eq!(told.main(id, true, message.clone()), None, "there is room again");
        // The news came once more, this time without the other half.
        assert_eq!(told.main(id, false, message.clone()), Some(message));
        assert_eq!(told.bytes, told.main.values().map(Message::size).sum());
    }

    #[test]
    fn an_end_that_is_told_again_goes_on_waiting_for_the_other_half() {
        let mut told = HalfTold::default();
        let (id, message) = news(1);
        assert_eq!(told.main(id, true, message.clone()), None);
        assert_eq!(told.main(id, true, message.clone()), None);
        assert_eq!(told.bulk(id), Ok(Some(message)));
        assert!(told.main.is_empty() && told.bytes == 0);
    }
}
