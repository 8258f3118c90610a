//! Which neighbour below has been offered which file, and what it has answered: without locks and threads.
//!
//! A file is offered together with the contexts behind the neighbour that it is for. The neighbour asks for
//! the bytes if it lacks them, and says of each context what has become of it. Small files go with their offer
//! if the neighbour is not known to have them.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::book::{Action, Kinds, Version};
use crate::error::CallError;
use crate::files::error::FileError;
use crate::files::hash::FileHash;
use crate::wire::ContextId;

/// How many offers a neighbour has to answer at a time; others wait here.
const MAX_OPEN: usize = 64;

/// Of how many small files it is known whether a neighbour has them. One more, and it may get one again.
const MAX_GIVEN: usize = 8192;

/// All neighbours below, and what they have been offered.
pub(super) struct Offers<K: Kinds> {
    links: HashMap<ContextId, Link<K>>,
    offers: HashMap<u64, Offer<K>>,
    next: u64,
    /// The largest file that goes with its offer.
    inline: u64,
}

struct Link<K: Kinds> {
    /// A thread does what is to be done.
    busy: bool,
    /// Offers that have not been made.
    waiting: VecDeque<u64>,
    /// Files that were asked for.
    wanted: VecDeque<(u64, K::Data)>,
    /// How many offers have been made and have not come to their end.
    open: usize,
    /// Small files that the neighbour has been given.
    given: HashSet<FileHash>,
}

struct Offer<K: Kinds> {
    child: ContextId,
    version: Version,
    content: K::Content,
    /// Of which nothing has been heard.
    contexts: BTreeSet<ContextId>,
    outlet: K::Outlet,
    made: bool,
    /// It was asked for, which may be so once.
    wanted: bool,
    call: Option<Result<(), CallError>>,
    ended: Option<CallError>,
}

/// What the thread of a link is to do.
pub(super) enum Job<K: Kinds> {
    Offer {
        offer: u64,
        version: Version,
        contexts: Vec<ContextId>,
        /// It goes with the offer.
        inline: Option<K::Content>,
    },
    Stream {
        content: K::Content,
        data: K::Data,
    },
}

/// What ends an offer: both must have come, in any order.
pub(super) enum End {
    /// The answer of the call by which it was made.
    Call(Result<(), CallError>),
    /// No answers will come any more.
    Answers(CallError),
}

impl<K: Kinds> Offers<K> {
    pub(super) fn new(inline: u64) -> Self {
        Self { links: HashMap::new(), offers: HashMap::new(), next: 0, inline }
    }

    /// Offers a file to a neighbour.
    pub(super) fn add(
        &mut self,
        (child, contexts): (ContextId, BTreeSet<ContextId>),
        version: &Version,
        content: K::Content,
        outlet: K::Outlet,
        actions: &mut Vec<Action<K>>,
    ) {
        self.next += 1;
        let (version, number) = (version.clone(), self.next);
        let offer =
            Offer { child, version, content, contexts, outlet, made: false, wanted: false, call: None, ended: None };
        self.offers.insert(number, offer);
        let link = self.links.entry(child).or_insert_with(|| {
            actions.push(Action::Watch(child));
            let (waiting, wanted) = Default::default();
            Link { busy: false, waiting, wanted, open: 0, given: HashSet::new() }
        });
        link.waiting.push_back(number);
        link.work(child, actions);
    }

    /// What the thread of a link is to do next; with nothing it is done.
    pub(super) fn next_job(&mut self, child: ContextId, is_whole: impl Fn(&FileHash) -> bool) -> Option<Job<K>> {
        let link = self.links.get_mut(&child)?;
        while let Some((number, data)) = link.wanted.pop_front() {
            if let Some(offer) = self.offers.get(&number) {
                return Some(Job::Stream { content: offer.content.clone(), data });
            }
        }
        while link.open < MAX_OPEN {
            let Some(number) = link.waiting.pop_front() else { break };
            let Some(offer) = self.offers.get_mut(&number) else { continue };
            offer.made = true;
            link.open += 1;
            let Version { hash, metadata, .. } = &offer.version;
            let small = metadata.size <= self.inline && is_whole(hash) && link.give(*hash);
            return Some(Job::Offer {
                offer: number,
                version: offer.version.clone(),
                contexts: offer.contexts.iter().copied().collect(),
                inline: small.then(|| offer.content.clone()),
            });
        }
        link.busy = false;
        None
    }

    /// The neighbour lacks the file.
    pub(super) fn wanted(&mut self, number: u64, data: K::Data, actions: &mut Vec<Action<K>>) {
        let offer = self.offers.get_mut(&number).filter(|offer| !offer.wanted && !offer.contexts.is_empty());
        let link = offer.and_then(|offer| {
            offer.wanted = true;
            Some((offer.child, self.links.get_mut(&offer.child)?, offer.version.hash))
        });
        match link {
            Some((child, link, hash)) => {
                link.given.remove(&hash);
                link.wanted.push_back((number, data));
                link.work(child, actions);
            }
            None => actions.push(Action::DropData(data)),
        }
    }

    /// The neighbour has the file, or gets it.
    pub(super) fn present(&mut self, number: u64) {
        let Some(offer) = self.offers.get(&number).filter(|offer| offer.version.metadata.size <= self.inline) else {
            return;
        };
        if let Some(link) = self.links.get_mut(&offer.child) {
            link.give(offer.version.hash);
        }
    }

    /// What has become of the file in a context. Gives the hash if it was the last one.
    pub(super) fn outcome(
        &mut self,
        number: u64,
        context: ContextId,
        result: Result<(), FileError>,
        actions: &mut Vec<Action<K>>,
    ) -> Option<FileHash> {
        let offer = self.offers.get_mut(&number)?;
        if !offer.contexts.remove(&context) {
            return None;
        }
        actions.push(Action::Tell { outlet: offer.outlet.clone(), context, result });
        offer.contexts.is_empty().then_some(offer.version.hash)
    }

    /// A part of the end of an offer. Gives the hash if some contexts had not been heard of.
    pub(super) fn end(&mut self, number: u64, end: End, actions: &mut Vec<Action<K>>) -> Option<FileHash> {
        let offer = self.offers.get_mut(&number)?;
        match end {
            End::Call(answer) => drop(offer.call.replace(answer)),
            End::Answers(why) => drop(offer.ended.replace(why)),
        }
        let (Some(call), Some(ended)) = (&offer.call, &offer.ended) else { return None };
        // That of the call says why nothing else was said.
        let why = call.as_ref().err().unwrap_or(ended).clone();
        let (child, hash) = (offer.child, offer.version.hash);
        let unheard = self.close(number, &why.into(), actions);
        if let Some(link) = self.links.get_mut(&child) {
            link.open = link.open.saturating_sub(1);
            if unheard {
                // Whether it has got it is not known.
                link.given.remove(&hash);
            }
            link.work(child, actions);
        }
        unheard.then_some(hash)
    }

    /// Ends an offer for those contexts that nothing was heard of, and tells whether there were any.
    fn close(&mut self, number: u64, why: &FileError, actions: &mut Vec<Action<K>>) -> bool {
        let Some(Offer { contexts, outlet, content, .. }) = self.offers.remove(&number) else { return false };
        actions.push(Action::DropContent(content));
        let unheard = !contexts.is_empty();
        let tell = |context| Action::Tell { outlet: outlet.clone(), context, result: Err(why.clone()) };
        actions.extend(contexts.into_iter().map(tell));
        unheard
    }

    /// Ends the offers of a file that have not been made. Those that have come to their end by the neighbour,
    /// which is told of it where it waits for the bytes.
    pub(super) fn failed(&mut self, hash: &FileHash, why: &FileError, actions: &mut Vec<Action<K>>) {
        let offers = self.offers.iter().filter(|(_, offer)| !offer.made && offer.version.hash == *hash);
        let numbers: Vec<_> = offers.map(|(number, _)| *number).collect();
        for number in numbers {
            self.close(number, why, actions);
        }
    }

    /// A neighbour has ended. Gives the hashes of what it can be offered no more; the offers that were made end by
    /// themselves.
    pub(super) fn lost(&mut self, child: ContextId, why: &FileError, actions: &mut Vec<Action<K>>) -> Vec<FileHash> {
        let Some(link) = self.links.remove(&child) else { return Vec::new() };
        actions.extend(link.wanted.into_iter().map(|(_, data)| Action::DropData(data)));
        let mut hashes = Vec::new();
        for number in link.waiting {
            hashes.extend(self.offers.get(&number).map(|offer| offer.version.hash));
            self.close(number, why, actions);
        }
        hashes
    }

    /// Nothing is under way.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }
}

impl<K: Kinds> Link<K> {
    /// Sees to it that a thread does what is to be done.
    fn work(&mut self, child: ContextId, actions: &mut Vec<Action<K>>) {
        let something = !self.wanted.is_empty() || (!self.waiting.is_empty() && self.open < MAX_OPEN);
        if something && !self.busy {
            self.busy = true;
            actions.push(Action::Work(child));
        }
    }

    /// Takes down that the neighbour has a file; `false` if it had it.
    fn give(&mut self, hash: FileHash) -> bool {
        if self.given.len() >= MAX_GIVEN && !self.given.contains(&hash) {
            let some = self.given.iter().next().copied();
            some.map(|some| self.given.remove(&some));
        }
        self.given.insert(hash)
    }
}
