//! Any sequence of events at one context, before a second opinion that knows the truth: no message
//! from a child carries an id from outside its subtree, routes lead only to ids that were given to
//! the subtree, siblings are kept apart, ids are never given twice, and a handle with a respondent
//! has ears for nobody else.
//!
//! Input: who the context is, then events of a few bytes each.

#![no_main]
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use mitogen_service::fuzzing::{Endpoints, Gone, Routes, Verdict};
use mitogen_service_fuzz::{Bytes, play};

const UNEXPECTED_CONTEXT: u8 = 4;
const INVALID_HANDLE: u8 = 2;
const REFUSED: u8 = 3;
const NO_ROUTE: u8 = 1;
const UNIDIRECTIONAL: u8 = 5;

const FIRST_DYNAMIC: u32 = 1000;

/// The stream to the parent; no stream has number 0.
const PARENT: u64 = 1;

/// Ids that one subtree may announce, in blocks.
const MAX_BLOCKS: usize = 1000;

struct Neighbour {
    id: u32,
    blocks: Vec<Range<u32>>,
    /// Whose end it is told of: whom it has sent something, and who has asked something of it.
    tell_of: BTreeSet<u32>,
}

/// What is true.
struct World {
    table: Routes,
    me: u32,
    parents: Vec<u32>,
    unidirectional: bool,
    /// The next id that a parent would give.
    fresh: u32,
    next_stream: u64,
    parent: Option<Neighbour>,
    children: BTreeMap<u64, Neighbour>,
    below: HashMap<u32, u64>,
    /// All that was ever given to this context and what is below it.
    given: Vec<Range<u32>>,
    /// All ids that came out of the table.
    taken: BTreeSet<u32>,
}

impl World {
    fn new(input: &mut Bytes<'_>) -> Self {
        let flags = input.u8();
        let parents: Vec<u32> = match flags & 3 {
            0 => vec![],
            1 => vec![0],
            2 => vec![1, 0],
            _ => vec![7, 1, 0],
        };
        let me = if parents.is_empty() { 0 } else { 8 };
        let unidirectional = flags & 4 != 0;
        let mut table = Routes::new(me, &parents, unidirectional);
        let parent = parents.first().map(|&id| Neighbour { id, blocks: vec![], tell_of: BTreeSet::new() });
        if parent.is_some() {
            table.add_parent(PARENT);
        }
        let (children, below) = (BTreeMap::new(), HashMap::new());
        let (given, taken) = (Vec::new(), BTreeSet::new());
        let fresh = 1000;
        Self { table, me, parents, unidirectional, fresh, next_stream: 2, parent, children, below, given, taken }
    }

    fn event(&mut self, input: &mut Bytes<'_>) {
        match input.u8() % 16 {
            0 | 1 => self.start_child(),
            2 => self.get_own_block(input.u8()),
            3 | 4 => {
                let stream = self.stream(input);
                self.allocate(stream, input.u8());
            }
            5..=7 => {
                let (stream, id) = (self.stream(input), self.id(input));
                self.add_route(stream, id);
            }
            8 => {
                let (stream, id) = (self.stream(input), self.id(input));
                self.del_route(stream, id);
            }
            9 => {
                let stream = self.stream(input);
                self.lose(stream);
            }
            _ => {
                let stream = self.stream(input);
                let [dst, src, auth] = [(); 3].map(|()| self.id(input));
                self.message((stream != 0).then_some(stream), dst, [src, auth], input.u8() & 1 != 0);
            }
        }
        self.agree();
    }

    /// A number of a stream: one that is, one that was, or one that never will be.
    fn stream(&self, input: &mut Bytes<'_>) -> u64 {
        match input.u8() {
            255 => u64::MAX,
            // Mostly the latest ones.
            number => (self.next_stream - 1).saturating_sub(u64::from(number) % self.next_stream.min(16)),
        }
    }

    fn id(&self, input: &mut Bytes<'_>) -> u32 {
        let choice = input.u8();
        let nth = usize::from(choice & 0x1f);
        match choice >> 5 {
            0 => u32::from(choice & 0x1f),
            1 => self.me,
            2 => self.parents.get(nth % self.parents.len().max(1)).copied().unwrap_or(0),
            3 => self.children.values().rev().nth(nth).map_or(1, |child| child.id),
            4 => {
                let mut ids: Vec<_> = self.below.keys().copied().collect();
                ids.sort_unstable();
                ids.get(nth).copied().unwrap_or(self.me + 1)
            }
            5 | 6 => {
                let block = self.given.iter().rev().nth(nth % 8).cloned().unwrap_or(1..2);
                // Both ends, and one beyond each.
                [block.start, block.end - 1, block.end, block.start.saturating_sub(1), block.start + 1][nth % 5]
            }
            _ => input.u32(),
        }
    }

    fn start_child(&mut self) {
        let Some(id) = self.table.take_id() else {
            assert!(!self.parents.is_empty(), "the root has no ids left");
            return;
        };
        assert!(id != self.me && !self.parents.contains(&id), "a child is called {id}, as somebody above");
        assert!(self.taken.insert(id), "{id} is given twice");
        if self.parents.is_empty() {
            self.give(id..id + 1);
        } else {
            assert!(self.given.iter().any(|block| block.contains(&id)), "{id} is not mine to give");
        }
        let stream = self.next_stream;
        self.next_stream += 1;
        self.table.add_child(stream, id);
        let own = id..id + 1;
        self.children.insert(stream, Neighbour { id, blocks: vec![own], tell_of: BTreeSet::new() });
        assert_eq!(self.below.insert(id, stream), None);
    }

    /// These ids are new, and from now on belong to this context and what is below.
    fn give(&mut self, block: Range<u32>) {
        assert!(!block.is_empty() && !block.contains(&self.me));
        for other in &self.given {
            assert!(block.end <= other.start || other.end <= block.start, "{block:?} and {other:?} overlap");
        }
        self.given.push(block);
    }

    /// The ids that an honest parent would give next.
    fn fresh(&mut self, size: u8) -> Range<u32> {
        let block = self.fresh..self.fresh + u32::from(size % 16) + 1;
        // Others get some as well.
        self.fresh = block.end + u32::from(size >> 6);
        block
    }

    fn get_own_block(&mut self, size: u8) {
        if !self.parents.is_empty() {
            let block = self.fresh(size);
            self.give(block.clone());
            self.table.add_own_block(block);
        }
    }

    fn allocate(&mut self, stream: u64, size: u8) {
        let may = self.children.get(&stream).is_some_and(|child| child.blocks.len() < MAX_BLOCKS);
        assert_eq!(self.table.may_allocate(stream), may);
        let block = if self.parents.is_empty() {
            self.table.take_block_for(stream)
        } else {
            let block = self.fresh(size);
            self.give(block.clone());
            self.table.allocate(stream, block.clone()).then_some(block)
        };
        assert_eq!(block.is_some(), may, "{stream} has got {block:?}");
        let Some(block) = block else { return };
        if self.parents.is_empty() {
            self.give(block.clone());
            assert!(self.taken.range(block.clone()).next().is_none());
        }
        self.children.get_mut(&stream).expect("it may have more").blocks.push(block);
    }

    fn add_route(&mut self, stream: u64, id: u32) {
        let mine = self.children.get(&stream).is_some_and(|child| child.blocks.iter().any(|b| b.contains(&id)));
        let believed = mine && !self.below.contains_key(&id);
        assert_eq!(self.table.add_route(stream, id), believed, "stream {stream} announces {id}");
        if believed {
            self.below.insert(id, stream);
        }
    }

    fn del_route(&mut self, stream: u64, id: u32) {
        let gone = self.table.del_route(stream, id);
        let known = self.below.get(&id).copied();
        if stream == PARENT && self.parent.is_some() {
            let stranger = known.is_none() && id != self.me && !self.parents.contains(&id);
            assert_eq!(gone.is_some(), stranger, "the parent ends {id}");
        } else {
            let own = self.children.get(&stream).is_some_and(|child| child.id != id) && known == Some(stream);
            assert_eq!(gone.is_some(), own, "stream {stream} ends {id}");
            if own {
                self.below.remove(&id);
            }
        }
        if let Some(gone) = gone {
            self.ended(&gone, id, known.is_some());
        }
    }

    fn lose(&mut self, stream: u64) {
        let gone = self.table.lose(stream);
        if stream == PARENT && self.parent.take().is_some() {
            assert_eq!(gone, []);
            return;
        }
        let neighbour = self.children.remove(&stream);
        let mut behind: Vec<_> = self.below.iter().filter(|(_, out)| **out == stream).map(|(id, _)| *id).collect();
        behind.sort_by_key(|id| (neighbour.as_ref().is_some_and(|neighbour| neighbour.id == *id), *id));
        self.below.retain(|_, out| *out != stream);
        assert_eq!(gone.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), behind);
        for (gone, id) in gone.iter().zip(behind) {
            self.ended(gone, id, true);
        }
    }

    /// Those are told who may wait for it or answer it, and the parent if it knew of it.
    fn ended(&mut self, (id, tell, tell_parent): &Gone, expected: u32, below: bool) {
        assert_eq!(*id, expected);
        let told = self.children.iter_mut().filter(|(_, child)| child.tell_of.contains(id));
        assert_eq!(*tell, told.map(|(stream, _)| *stream).collect::<Vec<_>>(), "of the end of {id}");
        for neighbour in self.children.values_mut().chain(&mut self.parent) {
            neighbour.tell_of.remove(id);
        }
        assert_eq!(*tell_parent, below && self.parent.is_some());
    }

    /// Where a context is, by all that is known.
    fn toward(&self, id: u32) -> Option<u64> {
        let given = self.given.iter().any(|block| block.contains(&id));
        let above = self.parent.is_some() && !given;
        self.below.get(&id).copied().or(above.then_some(PARENT))
    }

    fn message(&mut self, ingress: Option<u64>, dst: u32, [src, auth]: [u32; 2], asks: bool) {
        let verdict = self.table.judge(dst, [src, auth], asks, ingress);
        if let Some(stream) = ingress {
            let from_child = self.children.contains_key(&stream);
            let from_parent = stream == PARENT && self.parent.is_some();
            let in_subtree = |id: u32| self.below.get(&id) == Some(&stream);
            let from_above = |id: u32| !self.below.contains_key(&id) && self.toward(id) == Some(PARENT);
            let honest = |id| from_child && in_subtree(id) || from_parent && from_above(id);
            let forged = !honest(auth) || !honest(src);
            assert_eq!(verdict == Verdict::Forged, forged, "{src} and {auth} by way of {stream}");
            if forged {
                return;
            }
        }
        let toward = self.toward(dst).filter(|out| Some(*out) != ingress);
        let child = |stream: u64| self.children.contains_key(&stream);
        let expected = match toward {
            _ if dst == self.me => Verdict::Local,
            None => Verdict::Refused(NO_ROUTE),
            Some(out) if self.unidirectional && child(out) && ingress.is_some_and(child) => {
                Verdict::Refused(UNIDIRECTIONAL)
            }
            Some(out) => Verdict::Forward(out),
        };
        assert_eq!(verdict, expected, "from {src} with the authority of {auth} to {dst} by way of {ingress:?}");
        let Verdict::Forward(out) = verdict else { return };
        // With this context itself its streams end, so nobody is promised to be told of that.
        let Some(stream) = ingress else { return };
        self.neighbour(stream).tell_of.insert(dst);
        if asks {
            self.neighbour(out).tell_of.insert(src);
        }
    }

    fn neighbour(&mut self, stream: u64) -> &mut Neighbour {
        let parent = self.parent.as_mut().filter(|_| stream == PARENT);
        self.children.get_mut(&stream).or(parent).expect("a stream that is there")
    }

    /// What the table says of itself.
    fn agree(&self) {
        let mut children: Vec<_> = self.children.values().map(|child| child.id).collect();
        children.sort_unstable();
        assert_eq!(self.table.children(), children);
        assert_eq!(self.table.parent(), self.parent.as_ref().map(|_| PARENT));
        for (stream, child) in &self.children {
            assert_eq!(self.table.remote(*stream), Some(child.id));
            assert_eq!(self.table.route_below(child.id), Some(*stream));
        }
        for (id, stream) in &self.below {
            assert_eq!(self.table.route_below(*id), Some(*stream));
            assert!(self.children[stream].blocks.iter().any(|block| block.contains(id)), "{id} was not given to it");
        }
    }
}

struct Ears {
    respondent: Option<u32>,
    parents_only: bool,
    listener: u32,
    counted: bool,
}

struct House {
    handles: Endpoints,
    ears: BTreeMap<u32, Ears>,
    ever: BTreeSet<u32>,
    next: u32,
    closed: bool,
}

impl House {
    fn new(input: &mut Bytes<'_>) -> Self {
        let start = match input.u8() {
            0..100 => 1000,
            100..150 => u32::MAX - u32::from(input.u8()),
            150..200 => u32::from(input.u8()),
            _ => input.u32(),
        };
        let (ears, ever) = (BTreeMap::new(), BTreeSet::new());
        Self { handles: Endpoints::new(start), ears, ever, next: 0, closed: false }
    }

    fn event(&mut self, input: &mut Bytes<'_>) {
        self.next += 1;
        let listener = self.next;
        match input.u8() % 16 {
            0 | 1 => {
                let (handle, parents_only) = (u32::from(input.u8() % 128), input.u8() & 1 != 0);
                let free = !self.closed && !self.ears.contains_key(&handle);
                assert_eq!(self.handles.listen(handle, parents_only, listener), free);
                if free {
                    self.ears.insert(handle, Ears { respondent: None, parents_only, listener, counted: false });
                }
            }
            2 => {
                let (handle, parents_only) = (u32::from(input.u8() % 128), input.u8() & 1 != 0);
                self.handles.replace(handle, parents_only, listener);
                if !self.closed {
                    self.ears.insert(handle, Ears { respondent: None, parents_only, listener, counted: false });
                }
            }
            3..=7 => self.await_one(u32::from(input.u8() % 8), input.u8() & 1 != 0, listener),
            8 => {
                let handle = self.handle(input);
                let ears = self.ears.remove(&handle).map(|ears| (ears.listener, ears.counted));
                assert_eq!(self.handles.remove(handle), ears);
            }
            9 => {
                let respondent = u32::from(input.u8() % 8);
                let mut gone = self.handles.forsake(respondent);
                gone.sort_unstable();
                let ended = self.ears.extract_if(.., |_, ears| ears.respondent == Some(respondent));
                let mut expected: Vec<_> = ended.map(|(_, ears)| (ears.listener, ears.counted)).collect();
                expected.sort_unstable();
                assert_eq!(gone, expected);
            }
            10 if input.u8() == 0 => {
                let mut gone = self.handles.close();
                gone.sort_unstable();
                let mut expected: Vec<_> = std::mem::take(&mut self.ears).into_values().map(|e| e.listener).collect();
                expected.sort_unstable();
                assert_eq!(gone, expected);
                self.closed = true;
            }
            _ => {
                let (handle, src, authority) = (self.handle(input), u32::from(input.u8() % 8), input.u8() & 1 != 0);
                self.message(handle, src, authority);
            }
        }
    }

    fn await_one(&mut self, respondent: u32, counted: bool, listener: u32) {
        let handle = self.handles.await_one(respondent, counted, listener);
        assert_eq!(handle.is_some(), !self.closed);
        let Some(handle) = handle else { return };
        assert!(handle >= FIRST_DYNAMIC, "{handle} is reserved");
        assert!(self.ever.insert(handle), "{handle} is given twice");
        let ears = Ears { respondent: Some(respondent), parents_only: false, listener, counted };
        assert!(self.ears.insert(handle, ears).is_none());
    }

    /// One that is, one that was, or any.
    fn handle(&self, input: &mut Bytes<'_>) -> u32 {
        let choice = input.u8();
        let nth = usize::from(choice & 0x3f);
        let found = match choice >> 6 {
            0 | 1 => self.ears.keys().rev().nth(nth),
            2 => self.ever.iter().nth(nth),
            _ => None,
        };
        found.copied().unwrap_or_else(|| u32::from(input.u8()))
    }

    fn message(&mut self, handle: u32, src: u32, authority: bool) {
        let admitted = self.handles.admit(handle, src, authority);
        let expected = match self.ears.get(&handle) {
            None => Err(INVALID_HANDLE),
            Some(ears) if ears.respondent.is_some_and(|respondent| respondent != src) => Err(UNEXPECTED_CONTEXT),
            Some(ears) if ears.parents_only && !authority => Err(REFUSED),
            Some(ears) => Ok((ears.listener, ears.counted)),
        };
        assert_eq!(admitted, expected, "from {src} for {handle}");
        if admitted.is_ok() && self.ears[&handle].respondent.is_some() {
            self.ears.remove(&handle);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = Bytes::new(input);
    if input.u8() & 1 == 0 {
        play(&mut input, World::new, World::event);
    } else {
        play(&mut input, House::new, House::event);
    }
});
