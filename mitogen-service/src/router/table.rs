//! Who is where, and who may say what: the routing table and the checks of authority.
//!
//! Every hop judges every message by the stream that it arrived on (reverse-path filtering): ids
//! below this context must come from the stream that leads to them, all others only from the
//! parent. So a child can never act with an id or an authority that is not of its own subtree.
//! Follows `Router._async_route` of Mitogen's `core.py`; routes are believed only for ids that
//! were allocated to the announcing subtree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::ids::{Ids, Ranges};
use crate::hash::SmallMap;
use crate::io::StreamId;
use crate::wire::{ContextId, DeadReason, Handle, Header};

/// How many different destinations of one stream are remembered, to tell it of their end.
const MAX_EGRESS: usize = 65_536;

/// How many contexts behind one stream may have asked something of those behind another one.
const MAX_ASKERS: usize = 16_384;

/// How many contexts there may be behind one stream.
const MAX_CONTEXTS: usize = 65_536;

/// How many blocks of ids one subtree may have, so that no child uses up those of all others.
///
/// Half as many for each level below the root, so that neither can one context use up those of the
/// subtree that it belongs to.
const MAX_BLOCKS: usize = 1000;

/// The least that a subtree may have, however deep.
const MIN_BLOCKS: usize = 8;

/// The routing table of one context.
pub(crate) struct Table {
    me: ContextId,
    /// Nearest first; empty at the root.
    parents: Vec<ContextId>,
    parent: Option<StreamId>,
    /// The contexts below this one, each with the stream that leads there.
    routes: SmallMap<ContextId, StreamId>,
    links: SmallMap<StreamId, Link>,
    ids: Ids,
    /// The ids that were ever given to this context and to what is below it.
    given: Ranges,
    unidirectional: bool,
}

/// What is known of a neighbour.
struct Link {
    remote: ContextId,
    /// The neighbour acts with a parent's authority, so `unidirectional` does not bind it.
    privileged: bool,
    /// What is behind it talks to the contexts above it alone, though others may talk to each other.
    apart: bool,
    /// The contexts that it has sent to, and of whose end it is told.
    egress: HashSet<ContextId>,
    /// The contexts that have asked something of it, and of whose end it is told, by the stream that
    /// they are behind.
    askers: HashMap<StreamId, HashSet<ContextId>>,
    /// The ids that the subtree behind this stream may announce.
    allocated: Ranges,
    /// How many contexts there are behind it.
    contexts: usize,
    /// The ends that it has not been told of for lack of room, each with whether it has been told
    /// [by half](Table::told_by_half). They count as promised until then.
    untold: BTreeMap<ContextId, bool>,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is for this context.
    Local {
        /// Whose share of what is bounded it uses: a child answers for all that is below it, so that
        /// many ids are worth no more than one.
        origin: ContextId,
    },
    /// It goes on through this stream.
    Forward(StreamId),
    /// It cannot or must not go on, and the sender is told why.
    Refuse(DeadReason),
    /// It claims an id that cannot be behind the stream it came from: dropped, nobody is told.
    Forged(String),
}

/// What follows from the end of a context.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// The context that has ended.
    pub(crate) id: ContextId,
    /// The streams whose contexts have sent something to it.
    pub(crate) tell: Vec<StreamId>,
    /// Whether the parent is to be told as well.
    pub(crate) tell_parent: bool,
}

impl Table {
    /// The table of a context that has no neighbours yet.
    pub(crate) fn new(me: ContextId, parents: Vec<ContextId>, unidirectional: bool) -> Self {
        let ids = if parents.is_empty() { Ids::root() } else { Ids::below() };
        Self {
            me,
            parents,
            parent: None,
            routes: SmallMap::default(),
            links: SmallMap::default(),
            ids,
            given: Ranges::default(),
            unidirectional,
        }
    }

    /// Where new ids come from.
    pub(crate) fn ids(&mut self) -> &mut Ids {
        &mut self.ids
    }

    /// Adds the stream to the parent.
    pub(crate) fn add_parent(&mut self, stream: StreamId) {
        let Some(&remote) = self.parents.first() else { return };
        self.parent = Some(stream);
        self.links.insert(stream, Link::new(remote, true));
    }

    /// Adds the stream to a child that this context has started and given the id.
    pub(crate) fn add_child(&mut self, stream: StreamId, id: ContextId) {
        self.routes.insert(id, stream);
        let mut link = Link::new(id, false);
        link.contexts = 1;
        link.allocated.push(id.get()..id.get() + 1);
        self.links.insert(stream, link);
    }

    /// Lets nobody but this context and those above it talk to what is behind a stream.
    pub(crate) fn keep_apart(&mut self, stream: StreamId) {
        if let Some(link) = self.links.get_mut(&stream) {
            link.apart = true;
        }
    }

    /// The stream to the parent.
    pub(crate) fn parent(&self) -> Option<StreamId> {
        self.parent
    }

    /// The neighbour behind a stream.
    pub(crate) fn remote(&self, stream: StreamId) -> Option<ContextId> {
        self.links.get(&stream).map(|link| link.remote)
    }

    /// The stream to a context below this one.
    pub(crate) fn route_below(&self, id: ContextId) -> Option<StreamId> {
        self.routes.get(&id).copied()
    }

    /// The contexts directly below this one.
    pub(crate) fn children(&self) -> Vec<ContextId> {
        let below = self.links.iter().filter(|(stream, _)| Some(**stream) != self.parent);
        let mut children: Vec<_> = below.map(|(_, link)| link.remote).collect();
        children.sort();
        children
    }

    /// The contexts below this one.
    pub(crate) fn below(&self) -> Vec<ContextId> {
        let mut below: Vec<_> = self.routes.keys().copied().collect();
        below.sort();
        below
    }

    /// The stream on which a message of this context must arrive, and to which one for it goes.
    pub(crate) fn toward(&self, id: ContextId) -> Option<StreamId> {
        let below = self.routes.get(&id).copied();
        // One that was started here, and has ended, is nowhere else.
        below.or_else(|| self.parent.filter(|_| !self.given.contains(id)))
    }

    /// Whether the next hop believes that this context speaks for another one.
    pub(crate) fn may_speak_for(&self, auth: ContextId, dst: ContextId) -> bool {
        if auth == self.me {
            return true;
        }
        // Nobody takes the id of a context that has ended, wherever it comes from.
        if self.toward(auth).is_none() {
            return false;
        }
        match self.toward(dst) {
            Some(out) if Some(out) == self.parent => self.routes.contains_key(&auth),
            // A neighbour takes the ids of those below it from below alone.
            Some(out) => self.routes.get(&auth) != Some(&out) || self.remote(out) == Some(auth),
            None => true,
        }
    }

    /// Judges a message that arrived on a stream, or that this context itself sends.
    pub(crate) fn judge(&mut self, header: &Header, ingress: Option<StreamId>) -> Verdict {
        if let Some(forged) = ingress.and_then(|stream| self.forged(header, stream)) {
            return Verdict::Forged(forged);
        }
        if header.dst_id == self.me {
            return Verdict::Local { origin: self.origin(header.src_id, ingress) };
        }
        let toward = self.toward(header.dst_id).filter(|&out| Some(out) != ingress);
        match toward {
            None => Verdict::Refuse(DeadReason::no_route(header.dst_id, self.me)),
            Some(out) if self.may_pass(header, ingress, out) => self.forward(header, ingress, out),
            Some(_) => Verdict::Refuse(DeadReason::unidirectional(header.src_id, header.dst_id, self.me)),
        }
    }

    fn origin(&self, src: ContextId, ingress: Option<StreamId>) -> ContextId {
        let child = ingress.filter(|_| ingress != self.parent).and_then(|stream| self.remote(stream));
        child.unwrap_or(src)
    }

    /// Takes note of who is to be told of whose end: the sender of the destination's, and the one
    /// who shall answer of the sender's. Without that promise nothing is passed on, since somebody
    /// may wait for an answer.
    fn forward(&mut self, header: &Header, ingress: Option<StreamId>, out: StreamId) -> Verdict {
        // The end of this context itself is the end of its streams, which nobody needs to be told of.
        let Some(ingress) = ingress else { return Verdict::Forward(out) };
        let asks = header.reply_to != Handle::NONE && header.reply_to != Handle::DEAD;
        let promised =
            self.promise(ingress, header.dst_id) && (!asks || self.promise_answerer(out, header.src_id, ingress));
        if !promised {
            return Verdict::Refuse(DeadReason::overloaded("messages went to too many contexts"));
        }
        Verdict::Forward(out)
    }

    /// Promises to tell the contexts behind a stream of the end of one that they have sent to.
    fn promise(&mut self, stream: StreamId, id: ContextId) -> bool {
        let Some(link) = self.links.get_mut(&stream) else { return true };
        if link.egress.len() >= MAX_EGRESS && !link.egress.contains(&id) {
            return false;
        }
        link.egress.insert(id);
        true
    }

    /// Promises to tell the contexts behind a stream of the end of one that has asked them.
    ///
    /// Those who ask are counted by where they come from, so that one subtree that asks under many
    /// ids takes nobody else's place.
    fn promise_answerer(&mut self, stream: StreamId, asker: ContextId, ingress: StreamId) -> bool {
        let Some(link) = self.links.get_mut(&stream) else { return true };
        let askers = link.askers.entry(ingress).or_default();
        if askers.len() >= MAX_ASKERS && !askers.contains(&asker) {
            return false;
        }
        askers.insert(asker);
        true
    }

    /// What is wrong with the ids of a message, if anything; `auth_id` first, as in Mitogen.
    fn forged(&self, header: &Header, ingress: StreamId) -> Option<String> {
        let wrong = |what: &str, id: ContextId| {
            let expected = self.toward(id);
            (expected != Some(ingress)).then(|| {
                let via = self.remote(ingress).map_or_else(String::new, |via| via.to_string());
                let not = expected.and_then(|stream| self.remote(stream));
                let not = not.map_or_else(|| "anybody".to_owned(), |not| not.to_string());
                format!("bad {what}: got {id} via {via}, not {not}")
            })
        };
        wrong("auth_id", header.auth_id).or_else(|| wrong("src_id", header.src_id))
    }

    /// Siblings do not talk to each other where routing is unidirectional, nor to one that is kept apart.
    fn may_pass(&self, header: &Header, ingress: Option<StreamId>, out: StreamId) -> bool {
        let Some(ingress) = ingress else { return true };
        let link = |stream| self.links.get(&stream);
        let privileged = |stream| link(stream).is_some_and(|link| link.privileged);
        let apart = |stream| link(stream).is_some_and(|link| link.apart);
        if apart(out) && !self.parents.contains(&header.src_id)
            || apart(ingress) && !self.parents.contains(&header.dst_id)
        {
            return false;
        }
        !self.unidirectional || privileged(ingress) || privileged(out)
    }

    /// Whether the subtree behind a stream may have more ids.
    pub(crate) fn may_allocate(&self, stream: StreamId) -> bool {
        let link = self.links.get(&stream).filter(|_| Some(stream) != self.parent);
        let depth = u32::try_from(self.parents.len()).unwrap_or(u32::MAX);
        let max = MAX_BLOCKS.checked_shr(depth).unwrap_or(0).max(MIN_BLOCKS);
        link.is_some_and(|link| link.allocated.len() < max)
    }

    /// A block of ids for the subtree behind a stream; only the root has any, and only for a subtree
    /// that does not have too many.
    pub(crate) fn take_block_for(&mut self, stream: StreamId) -> Option<Range<u32>> {
        if !self.may_allocate(stream) {
            return None;
        }
        let block = self.ids.take_block()?;
        self.allocate(stream, block.clone());
        Some(block)
    }

    /// Takes note that these ids are given to the subtree behind a stream; `false` if it has too
    /// many, or is gone.
    pub(crate) fn allocate(&mut self, stream: StreamId, block: Range<u32>) -> bool {
        self.given.push(block.clone());
        let granted = self.may_allocate(stream);
        if let Some(link) = self.links.get_mut(&stream).filter(|_| granted) {
            link.allocated.push(block);
        }
        granted
    }

    /// Adds a block that was given to this context for its own use.
    pub(crate) fn add_own_block(&mut self, block: Range<u32>) {
        self.given.push(block.clone());
        self.ids.add_block(block);
    }

    /// A child announces a context below it. Says why it is not believed, if it is not.
    pub(crate) fn add_route(&mut self, stream: StreamId, id: ContextId) -> Result<(), String> {
        let Some(link) = self.links.get(&stream).filter(|_| Some(stream) != self.parent) else {
            return Err("only children announce routes".to_owned());
        };
        if !link.allocated.contains(id) {
            return Err(format!("{id} was not allocated to the subtree of {}", link.remote));
        }
        if let Some(existing) = self.routes.get(&id) {
            let existing = self.remote(*existing).unwrap_or(id);
            return Err(format!(
                "Cannot add duplicate route to {id} via {}, already have existing route via {existing}",
                link.remote
            ));
        }
        if link.contexts >= MAX_CONTEXTS {
            return Err(format!("there are {MAX_CONTEXTS} contexts behind {}, as many as there may be", link.remote));
        }
        self.routes.insert(id, stream);
        if let Some(link) = self.links.get_mut(&stream) {
            link.contexts += 1;
        }
        Ok(())
    }

    /// Whether this context, or one below it, has ever been given an id.
    pub(crate) fn has_given(&self, id: ContextId) -> bool {
        self.ids.has_made(id) || self.given.contains(id)
    }

    /// A neighbour says that a context has ended. Says why it is not believed, if it is not.
    pub(crate) fn del_route(&mut self, stream: StreamId, id: ContextId) -> Result<Gone, String> {
        let known = self.routes.get(&id).copied();
        if Some(stream) == self.parent && known.is_none() && id != self.me && !self.parents.contains(&id) {
            return Ok(self.gone(id, false));
        }
        // The child itself says nothing of its own end: its stream ends.
        if known != Some(stream) || self.remote(stream) == Some(id) {
            return Err(format!("received DEL_ROUTE for {id} from {:?}, expected another", self.remote(stream)));
        }
        self.routes.remove(&id);
        if let Some(link) = self.links.get_mut(&stream) {
            link.contexts -= 1;
        }
        Ok(self.gone(id, true))
    }

    /// A stream has ended, and with it all contexts behind it; the neighbour itself comes last, so
    /// that whoever waits for its end finds those behind it gone as well.
    pub(crate) fn lose(&mut self, stream: StreamId) -> Vec<Gone> {
        let link = self.links.remove(&stream);
        if Some(stream) == self.parent {
            self.parent = None;
            return Vec::new();
        }
        let mut ids: Vec<_> = self.routes.iter().filter(|(_, out)| **out == stream).map(|(id, _)| *id).collect();
        ids.sort_by_key(|id| (link.as_ref().map(|link| link.remote) == Some(*id), *id));
        self.routes.retain(|_, out| *out != stream);
        ids.into_iter().map(|id| self.gone(id, true)).collect()
    }

    fn gone(&mut self, id: ContextId, tell_parent: bool) -> Gone {
        let mut tell = Vec::new();
        for (stream, link) in &mut self.links {
            if Some(*stream) == self.parent {
                link.forget(id);
            } else if link.is_promised(id) && link.untold.insert(id, false).is_none() {
                tell.push(*stream);
            }
        }
        tell.sort();
        Gone { id, tell, tell_parent: tell_parent && self.parent.is_some() }
    }

    /// A neighbour has been told of the end of a context.
    pub(crate) fn told(&mut self, stream: StreamId, id: ContextId) {
        if let Some(link) = self.links.get_mut(&stream) {
            link.untold.remove(&id);
            link.forget(id);
        }
    }

    /// A neighbour has been told of the end of a context over the link for bulk, and not over the other one
    /// yet.
    pub(crate) fn told_by_half(&mut self, stream: StreamId, id: ContextId) {
        if let Some(half) = self.links.get_mut(&stream).and_then(|link| link.untold.get_mut(&id)) {
            *half = true;
        }
    }

    /// Whether that is so.
    pub(crate) fn is_told_by_half(&self, stream: StreamId, id: ContextId) -> bool {
        self.links.get(&stream).and_then(|link| link.untold.get(&id)).copied().unwrap_or(false)
    }

    /// The ends that a neighbour has not been told of.
    pub(crate) fn untold(&self, stream: StreamId) -> Vec<ContextId> {
        self.links.get(&stream).map_or_else(Vec::new, |link| link.untold.keys().copied().collect())
    }

    /// A context above says that there is no way to `absent`, to which `sender` has sent something: its
    /// end need not be told, since there will be none.
    pub(crate) fn is_nowhere(&mut self, header: &Header, ingress: StreamId) {
        let (absent, sender) = (header.src_id, header.dst_id);
        let by_hop_above = Some(ingress) == self.parent && self.parents.contains(&header.auth_id);
        let stream = self.routes.get(&sender).filter(|_| by_hop_above && !self.routes.contains_key(&absent));
        if let Some(link) = stream.copied().and_then(|stream| self.links.get_mut(&stream)) {
            link.egress.remove(&absent);
        }
    }
}

impl Link {
    fn new(remote: ContextId, privileged: bool) -> Self {
        Self {
            remote,
            privileged,
            apart: false,
            egress: HashSet::new(),
            askers: HashMap::new(),
            allocated: Ranges::default(),
            contexts: 0,
            untold: BTreeMap::new(),
        }
    }

    /// Whether it is to be told of the end of a context.
    fn is_promised(&self, id: ContextId) -> bool {
        self.egress.contains(&id) || self.askers.values().any(|askers| askers.contains(&id))
    }

    /// It need not be told.
    fn forget(&mut self, id: ContextId) {
        self.egress.remove(&id);
        self.askers.values_mut().for_each(|askers| {
            askers.remove(&id);
        });
        self.askers.retain(|_, askers| !askers.is_empty());
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
