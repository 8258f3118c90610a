//! What of pushed files is here, who waits for it and who is to get it: without locks and threads.
//!
//! Everything that happens is told to the [`Book`], which answers with what is to be done.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};

use super::offers::{End, Job, Offers};
use super::shelf::{Bound, Room, Shelf};
use crate::error::{CallError, Trace};
use crate::files::error::FileError;
use crate::files::hash::FileHash;
use crate::files::metadata::FileMetadata;
use crate::wire::ContextId;

/// How many paths may be pushed to one context.
const MAX_PATHS: usize = 8192;

/// How many files may wait for room, or for their turn to be received.
const MAX_TURNS: usize = 4096;

/// Of how many files of this machine it is known what they were when they were read.
const MAX_READ: usize = 4096;

/// What a book handles without looking at it.
pub(super) trait Kinds {
    /// The bytes of a file.
    type Content: Clone;
    /// Where the outcomes of one file go.
    type Outlet: Clone;
    /// Where the bytes go that a neighbour has asked for.
    type Data;
    /// Somebody who waits for a file to arrive here.
    type Waiter;
    /// Somebody who waits for room.
    type Turn;
}

/// A file under its path, as it was at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) path: PathBuf,
    pub(super) metadata: FileMetadata,
    pub(super) hash: FileHash,
}

/// Where a context is, seen from here.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Way {
    Here,
    /// Behind this neighbour, or it is the neighbour.
    Below(ContextId),
    Nowhere(FileError),
}

/// The contexts that a file is for.
pub(super) type Targets = Vec<(ContextId, Way)>;

/// What is to be done, in this order.
pub(super) enum Action<K: Kinds> {
    /// A thread is to do what [`Book::next_job`] says.
    Work(ContextId),
    /// It is to be told when this neighbour has ended.
    Watch(ContextId),
    /// What has become of a file in a context.
    Tell { outlet: K::Outlet, context: ContextId, result: Result<(), FileError> },
    /// The file is here, or comes.
    Present(K::Outlet),
    /// The file is to be asked for, and received.
    Receive { version: Version, content: K::Content, outlet: K::Outlet },
    /// Who waits for a file.
    Wake { waiter: K::Waiter, result: Result<(Version, K::Content), FileError> },
    /// Who waits for room has it.
    Go { turn: K::Turn, result: Result<(), FileError> },
    /// To be dropped without a lock, since the kernel may have to free many pages for it.
    DropContent(K::Content),
    /// The same, since it tells the other end.
    DropData(K::Data),
}

/// Some file that waits for its turn.
enum Turn<K: Kinds> {
    /// Its bytes are elsewhere.
    Remote { version: Version, targets: Targets, outlet: K::Outlet, content: K::Content },
    /// It is read here.
    Local { ticket: u64, size: u64, turn: K::Turn },
}

/// A file that is for this context, and not whole yet.
struct Pending<K: Kinds> {
    version: Version,
    context: ContextId,
    outlet: K::Outlet,
}

/// What a file of this machine was when it was read.
#[derive(Clone, Debug)]
struct Read<I> {
    identity: I,
    version: Version,
}

/// All of it. `I` tells one state of a file of this machine from another.
pub(super) struct Book<K: Kinds, I> {
    shelf: Shelf<K::Content>,
    offers: Offers<K>,
    /// What was pushed to this very context.
    here: HashMap<PathBuf, Version>,
    pending: HashMap<FileHash, Vec<Pending<K>>>,
    waiters: HashMap<PathBuf, Vec<(u64, K::Waiter)>>,
    turns: VecDeque<Turn<K>>,
    /// The file that is being received. One at a time, as its sender sends one at a time.
    receiving: Option<FileHash>,
    read: HashMap<PathBuf, Read<I>>,
    next: u64,
    actions: Vec<Action<K>>,
}

impl<K: Kinds, I: PartialEq> Book<K, I> {
    /// Of nothing. Files of up to `inline` bytes go with their offer.
    pub(super) fn new(small: Bound, large: Bound, inline: u64) -> Self {
        Self {
            shelf: Shelf::new(small, large),
            offers: Offers::new(inline),
            here: HashMap::new(),
            pending: HashMap::new(),
            waiters: HashMap::new(),
            turns: VecDeque::new(),
            receiving: None,
            read: HashMap::new(),
            next: 0,
            actions: Vec::new(),
        }
    }

    /// What is to be done because of what was told.
    pub(super) fn take_actions(&mut self) -> Vec<Action<K>> {
        std::mem::take(&mut self.actions)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    // ---- files of this machine ----

    /// A file is to be read: its turn comes when there is room. Gives the ticket that it gets then.
    pub(super) fn enter(&mut self, size: u64, turn: K::Turn) -> u64 {
        let ticket = self.number();
        self.turns.push_back(Turn::Local { ticket, size, turn });
        self.advance();
        ticket
    }

    /// A file has been read, and is for these contexts.
    pub(super) fn publish(
        &mut self,
        ticket: u64,
        (version, content): (&Version, K::Content),
        identity: Option<I>,
        targets: Targets,
        outlet: K::Outlet,
    ) {
        self.shelf.release(ticket);
        match self.shelf.get(&version.hash) {
            Some(_) => self.actions.push(Action::DropContent(content)),
            None => self.shelf.insert(version.hash, content, version.metadata.size, false),
        }
        self.read.remove(&version.path);
        if let Some(identity) = identity.filter(|_| self.read.len() < MAX_READ) {
            self.read.insert(version.path.clone(), Read { identity, version: version.clone() });
        }
        self.deliver(version, targets, &outlet);
        self.advance();
    }

    /// A file is for these contexts that may have been read before. `false` if it has to be read (again).
    pub(super) fn publish_again(&mut self, path: &Path, identity: &I, targets: &Targets, outlet: &K::Outlet) -> bool {
        let Some(read) = self.read.get(path).filter(|read| read.identity == *identity) else { return false };
        let version = read.version.clone();
        if self.shelf.get(&version.hash).is_none_or(|held| held.coming) {
            self.read.remove(path);
            return false;
        }
        self.deliver(&version, targets.clone(), outlet);
        true
    }

    /// Nothing comes of a turn.
    pub(super) fn withdraw(&mut self, ticket: u64) {
        self.turns.retain(|turn| !matches!(turn, Turn::Local { ticket: other, .. } if *other == ticket));
        self.shelf.release(ticket);
        self.advance();
    }

    // ---- files from above ----

    /// A file is for these contexts. `sent` are its bytes, if they came with it; else `lacking` is where
    /// they will go if they are needed.
    pub(super) fn accept(
        &mut self,
        version: Version,
        targets: Targets,
        outlet: K::Outlet,
        sent: Option<K::Content>,
        lacking: K::Content,
    ) {
        if self.shelf.get(&version.hash).is_some() {
            self.actions.extend(sent.map(Action::DropContent));
            self.actions.push(Action::Present(outlet.clone()));
            return self.deliver(&version, targets, &outlet);
        }
        if let Some(sent) = sent {
            if self.room(version.metadata.size) == Room::Now {
                self.shelf.insert(version.hash, sent, version.metadata.size, false);
                return self.deliver(&version, targets, &outlet);
            }
            // There is no room for it at the moment: it is asked for when there is.
            self.actions.push(Action::DropContent(sent));
        }
        if self.turns.len() >= MAX_TURNS {
            return self.refuse_all(targets, &outlet, &overloaded("as many pushed files wait as may"));
        }
        self.turns.push_back(Turn::Remote { version, targets, outlet, content: lacking });
        self.advance();
    }

    /// What came is whole, or will not come.
    pub(super) fn received(&mut self, hash: &FileHash, result: Result<(), FileError>) {
        if self.receiving == Some(*hash) {
            self.receiving = None;
        }
        let pending = self.pending.remove(hash).unwrap_or_default();
        match result {
            Ok(()) => {
                self.shelf.arrived(hash);
                pending.into_iter().for_each(|Pending { version, context, outlet }| {
                    self.keep(&version, context, outlet);
                });
            }
            Err(error) => {
                self.actions.extend(self.shelf.remove(hash).map(Action::DropContent));
                self.offers.failed(hash, &error, &mut self.actions);
                for Pending { version, context, outlet } in pending {
                    self.actions.push(Action::Tell { outlet, context, result: Err(error.clone()) });
                    self.wake(&version.path, || Err(error.clone()));
                }
            }
        }
        self.advance();
    }

    /// Lets those have their turn whose turn it is.
    fn advance(&mut self) {
        loop {
            let size = match self.turns.front() {
                Some(Turn::Remote { .. }) if self.receiving.is_some() => return,
                // It may have come while this one waited.
                Some(Turn::Remote { version, .. }) if self.shelf.get(&version.hash).is_some() => None,
                Some(Turn::Remote { version, .. }) => Some(version.metadata.size),
                Some(Turn::Local { size, .. }) => Some(*size),
                None => return,
            };
            let room = size.map_or(Room::Now, |size| self.room(size));
            if room == Room::Later {
                return;
            }
            match self.turns.pop_front() {
                Some(Turn::Remote { targets, outlet, .. }) if room == Room::Never => {
                    self.refuse_all(targets, &outlet, &full());
                }
                Some(Turn::Remote { version, targets, outlet, .. }) if size.is_none() => {
                    self.actions.push(Action::Present(outlet.clone()));
                    self.deliver(&version, targets, &outlet);
                }
                Some(Turn::Remote { version, targets, outlet, content }) => {
                    self.shelf.insert(version.hash, content.clone(), version.metadata.size, true);
                    self.receiving = Some(version.hash);
                    self.actions.push(Action::Receive { version: version.clone(), content, outlet: outlet.clone() });
                    self.deliver(&version, targets, &outlet);
                }
                Some(Turn::Local { turn, .. }) if room == Room::Never => {
                    self.actions.push(Action::Go { turn, result: Err(full()) });
                }
                Some(Turn::Local { ticket, size, turn }) => {
                    self.shelf.reserve(ticket, size);
                    self.actions.push(Action::Go { turn, result: Ok(()) });
                }
                None => return,
            }
        }
    }

    /// Whether there is room for a file, for which others may have to go.
    fn room(&mut self, size: u64) -> Room {
        let mut dropped = Vec::new();
        let room = self.shelf.room(size, &mut dropped);
        self.actions.extend(dropped.into_iter().map(Action::DropContent));
        room
    }

    fn refuse_all(&mut self, targets: Targets, outlet: &K::Outlet, error: &FileError) {
        let tell = |(context, _)| Action::Tell { outlet: outlet.clone(), context, result: Err(error.clone()) };
        self.actions.extend(targets.into_iter().map(tell));
    }

    // ---- to where they belong ----

    /// Brings a file that is here, or comes, to contexts.
    fn deliver(&mut self, version: &Version, targets: Targets, outlet: &K::Outlet) {
        let mut below: BTreeMap<ContextId, BTreeSet<ContextId>> = BTreeMap::new();
        for (context, way) in targets {
            match way {
                Way::Here => self.arrive(version, context, outlet.clone()),
                Way::Below(child) => drop(below.entry(child).or_default().insert(context)),
                Way::Nowhere(why) => {
                    self.actions.push(Action::Tell { outlet: outlet.clone(), context, result: Err(why) });
                }
            }
        }
        for group in below {
            let Some(held) = self.shelf.get(&version.hash) else { continue };
            let content = held.content.clone();
            self.shelf.used(&version.hash, true);
            self.offers.add(group, version, content, outlet.clone(), &mut self.actions);
        }
    }

    fn arrive(&mut self, version: &Version, context: ContextId, outlet: K::Outlet) {
        if self.shelf.get(&version.hash).is_some_and(|held| held.coming) {
            let pending = Pending { version: version.clone(), context, outlet };
            self.pending.entry(version.hash).or_default().push(pending);
        } else {
            self.keep(version, context, outlet);
        }
    }

    /// A whole file is for this very context.
    fn keep(&mut self, version: &Version, context: ContextId, outlet: K::Outlet) {
        if self.here.len() >= MAX_PATHS && !self.here.contains_key(&version.path) {
            let result = Err(overloaded("as many paths were pushed to this context as may; have it `forget` some"));
            return self.actions.push(Action::Tell { outlet, context, result });
        }
        self.shelf.meant(&version.hash, true);
        if let Some(before) = self.here.insert(version.path.clone(), version.clone()) {
            self.shelf.meant(&before.hash, false);
        }
        self.actions.push(Action::Tell { outlet, context, result: Ok(()) });
        if let Some(found) = self.find(&version.path) {
            self.wake(&version.path, || Ok(found.clone()));
        }
    }

    /// What was pushed to this context under a path.
    pub(super) fn find(&self, path: &Path) -> Option<(Version, K::Content)> {
        let version = self.here.get(path)?;
        Some((version.clone(), self.shelf.get(&version.hash)?.content.clone()))
    }

    /// What was pushed to this context under a path is not needed any more.
    pub(super) fn forget(&mut self, path: &Path) -> bool {
        let Some(version) = self.here.remove(path) else { return false };
        self.shelf.meant(&version.hash, false);
        self.actions.extend(self.shelf.remove_if_idle(&version.hash).map(Action::DropContent));
        self.advance();
        true
    }

    // ---- who waits for a file ----

    /// Somebody waits for a path. Gives a number to [`give_up`](Self::give_up) by.
    pub(super) fn wait_for(&mut self, path: &Path, waiter: K::Waiter) -> u64 {
        let number = self.number();
        self.waiters.entry(path.to_owned()).or_default().push((number, waiter));
        number
    }

    /// Somebody waits no more.
    pub(super) fn give_up(&mut self, path: &Path, number: u64) {
        if let Some(waiters) = self.waiters.get_mut(path) {
            waiters.retain(|(other, _)| *other != number);
            if waiters.is_empty() {
                self.waiters.remove(path);
            }
        }
    }

    /// Nothing will come any more, for this reason.
    pub(super) fn wake_all(&mut self, why: &FileError) {
        let waiters = std::mem::take(&mut self.waiters).into_values().flatten();
        self.actions.extend(waiters.map(|(_, waiter)| Action::Wake { waiter, result: Err(why.clone()) }));
    }

    fn wake(&mut self, path: &Path, result: impl Fn() -> Result<(Version, K::Content), FileError>) {
        let waiters = self.waiters.remove(path).unwrap_or_default();
        self.actions.extend(waiters.into_iter().map(|(_, waiter)| Action::Wake { waiter, result: result() }));
    }

    // ---- neighbours ----

    /// What the thread of a link is to do next; with nothing it is done.
    pub(super) fn next_job(&mut self, child: ContextId) -> Option<Job<K>> {
        let Self { offers, shelf, .. } = self;
        offers.next_job(child, |hash| shelf.get(hash).is_some_and(|held| !held.coming))
    }

    /// A neighbour lacks a file that it was offered.
    pub(super) fn wanted(&mut self, offer: u64, data: K::Data) {
        self.offers.wanted(offer, data, &mut self.actions);
    }

    /// A neighbour has, or gets, a file that it was offered.
    pub(super) fn present(&mut self, offer: u64) {
        self.offers.present(offer);
    }

    /// A neighbour says what has become of a file in a context.
    pub(super) fn outcome(&mut self, offer: u64, context: ContextId, result: Result<(), FileError>) {
        let done = self.offers.outcome(offer, context, result, &mut self.actions);
        self.unused(done);
    }

    /// A part of the end of an offer.
    pub(super) fn end(&mut self, offer: u64, end: End) {
        let done = self.offers.end(offer, end, &mut self.actions);
        self.unused(done);
    }

    /// A neighbour has ended.
    pub(super) fn lost(&mut self, child: ContextId, why: &FileError) {
        let done = self.offers.lost(child, why, &mut self.actions);
        self.unused(done);
    }

    fn unused(&mut self, done: impl IntoIterator<Item = FileHash>) {
        done.into_iter().for_each(|hash| self.shelf.used(&hash, false));
        self.advance();
    }

    /// How many files are kept, and how many bytes they have.
    pub(super) fn usage(&self) -> (usize, u64) {
        self.shelf.usage()
    }

    /// How many wait for a file to arrive here.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.values().map(Vec::len).sum()
    }

    /// Nothing is under way.
    #[cfg(test)]
    fn is_quiet(&self) -> bool {
        self.offers.is_empty() && self.turns.is_empty() && self.receiving.is_none()
    }
}

fn full() -> FileError {
    overloaded("no more files can be pushed to this context: have it `forget` some")
}

fn overloaded(what: &str) -> FileError {
    FileError::Call(CallError::Overloaded { what: what.to_owned(), trace: Trace::default() })
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
