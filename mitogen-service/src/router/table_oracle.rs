//! The routing tables of whole trees, checked against an oracle that knows the real tree.
//!
//! Each context has a [`Table`] of its own. What `control` and `core` do with messages between
//! routers (blocks of ids, announcements, news of ends) is done here at once and hop by hop. Hostile
//! contexts pass on the messages of others as honest ones do, but put what they like on their own
//! streams: that is all that their neighbours ever see of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

use super::table::{Gone, Table, Verdict};
use crate::io::StreamId;
use crate::wire::{ContextId, DeadCode, DeadReason, Encoding, Handle, Header};

const ROOT: usize = 0;

/// One thing that happens. Contexts and ids are chosen from those that there are.
#[derive(Clone, Debug)]
enum Op {
    /// A context starts another one.
    Connect { at: Index, hostile: bool },
    /// A hostile context asks for ids that it does not need.
    Hoard { by: Index },
    /// A hostile context announces an id to a neighbour.
    Announce { by: Index, to: Index, id: Index },
    /// A hostile context tells a neighbour that an id is gone.
    Forget { by: Index, to: Index, id: Index },
    /// A hostile context sends whatever it likes to a neighbour.
    Inject { by: Index, to: Index, ids: [Index; 3], reply_to: u32 },
    /// A context sends to another one that is there.
    Send { from: Index, to: Index, asks: bool },
    /// A context sends to an id that may be anybody's or nobody's.
    SendAnywhere { from: Index, to: Index },
    /// A context sends on behalf of another one.
    SpeakFor { from: Index, whom: Index, to: Index },
    /// A stream ends, and everything behind it.
    Lose { child: Index },
}

fn any_op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    let reply_to = prop_oneof![Just(0), Just(999), Just(5000)];
    prop_oneof![
        3 => (index(), prop::bool::weighted(0.3)).prop_map(|(at, hostile)| Op::Connect { at, hostile }),
        1 => index().prop_map(|by| Op::Hoard { by }),
        3 => (index(), index(), index()).prop_map(|(by, to, id)| Op::Announce { by, to, id }),
        3 => (index(), index(), index()).prop_map(|(by, to, id)| Op::Forget { by, to, id }),
        6 => (index(), index(), [index(), index(), index()], reply_to)
            .prop_map(|(by, to, ids, reply_to)| Op::Inject { by, to, ids, reply_to }),
        6 => (index(), index(), any::<bool>()).prop_map(|(from, to, asks)| Op::Send { from, to, asks }),
        1 => (index(), index()).prop_map(|(from, to)| Op::SendAnywhere { from, to }),
        3 => (index(), index(), index()).prop_map(|(from, whom, to)| Op::SpeakFor { from, whom, to }),
        2 => index().prop_map(|child| Op::Lose { child }),
    ]
}

/// A context, named by its place in [`World::nodes`]. So is the stream between it and its parent, at
/// both ends.
struct Node {
    id: ContextId,
    table: Table,
    parent: Option<usize>,
    hostile: bool,
    alive: bool,
    /// The ids whose end it has heard of.
    told: BTreeSet<ContextId>,
}

struct World {
    nodes: Vec<Node>,
    unidirectional: bool,
    /// Every block that was ever given, and who had asked for it.
    blocks: Vec<(usize, Range<u32>)>,
    /// Who is to be told of whose end.
    owed: BTreeSet<(usize, usize)>,
}

/// What became of a message: who has judged it, and the last verdict.
struct Walk {
    path: Vec<usize>,
    verdict: Verdict,
}

fn stream(child: usize) -> StreamId {
    StreamId(child as u64)
}

fn header(dst_id: ContextId, src_id: ContextId, auth_id: ContextId, reply_to: u32) -> Header {
    let (handle, reply_to) = (Handle::new(1000), Handle::new(reply_to));
    Header { encoding: Encoding::MessagePack, dst_id, src_id, auth_id, handle, reply_to, length: 0 }
}

impl World {
    fn new(unidirectional: bool) -> Self {
        let table = Table::new(ContextId::ROOT, vec![], unidirectional);
        let told = BTreeSet::new();
        let root = Node { id: ContextId::ROOT, table, parent: None, hostile: false, alive: true, told };
        Self { nodes: vec![root], unidirectional, blocks: Vec::new(), owed: BTreeSet::new() }
    }

    // ---- the truth ----

    fn pick(&self, index: Index, wanted: impl Fn(&Node) -> bool) -> Option<usize> {
        let found: Vec<_> = (0..self.nodes.len()).filter(|&n| self.nodes[n].alive && wanted(&self.nodes[n])).collect();
        (!found.is_empty()).then(|| *index.get(&found))
    }

    /// Somebody who is alive.
    fn anybody(&self, index: Index) -> usize {
        self.pick(index, |_| true).expect("the root is always there")
    }

    fn hostile(&self, index: Index) -> Option<usize> {
        self.pick(index, |node| node.hostile)
    }

    /// Ids that mean something: of contexts, also of those that are gone, at the edges of blocks, and
    /// of nobody.
    fn interesting_ids(&self) -> Vec<ContextId> {
        let mut ids: BTreeSet<_> = [0, 4711, u32::MAX].into();
        ids.extend(self.nodes.iter().map(|node| node.id.get()));
        for (_, block) in &self.blocks {
            ids.extend([block.start.saturating_sub(1), block.start, block.start + 7, block.end - 1, block.end]);
        }
        ids.into_iter().map(ContextId::new).collect()
    }

    fn some_id(&self, index: Index) -> ContextId {
        *index.get(&self.interesting_ids())
    }

    /// The way from a context up to the root, both included.
    fn lineage(&self, of: usize) -> Vec<usize> {
        std::iter::successors(Some(of), |&node| self.nodes[node].parent).collect()
    }

    fn is_within(&self, node: usize, subtree: usize) -> bool {
        self.lineage(node).contains(&subtree)
    }

    /// Whether some hostile context stands above this one, and can say of it what it likes.
    fn is_at_mercy(&self, node: usize) -> bool {
        self.lineage(node)[1..].iter().any(|&above| self.nodes[above].hostile)
    }

    fn is_trusty(&self, node: usize) -> bool {
        !self.nodes[node].hostile && !self.is_at_mercy(node)
    }

    /// Whether an id was given to somebody within a subtree.
    fn owns(&self, subtree: usize, id: ContextId) -> bool {
        let is_context = |node: usize| self.nodes[node].id == id && self.is_within(node, subtree);
        (0..self.nodes.len()).any(is_context) || self.gave(subtree, id)
    }

    /// Whether an id is from a block that this context has got, for itself or for those below it.
    fn gave(&self, node: usize, id: ContextId) -> bool {
        self.blocks.iter().any(|(by, block)| block.contains(&id.get()) && self.is_within(*by, node))
    }

    /// The way along the tree, both ends included.
    fn tree_path(&self, from: usize, to: usize) -> Vec<usize> {
        let (up, down) = (self.lineage(from), self.lineage(to));
        let turn = *up.iter().find(|node| down.contains(node)).expect("all are below the root");
        let ascent = up.iter().take_while(|node| **node != turn);
        let descent = down.iter().take_while(|node| **node != turn).collect::<Vec<_>>();
        ascent.chain([&turn]).chain(descent.into_iter().rev()).copied().collect()
    }

    /// Neighbours, as seen through a stream.
    fn behind(&self, node: usize, through: StreamId) -> usize {
        match through.0 as usize {
            child if child != node => child,
            _ => self.nodes[node].parent.expect("only contexts with a parent have a stream to it"),
        }
    }

    fn neighbour(&self, of: usize, index: Index) -> (usize, StreamId) {
        let children =
            (0..self.nodes.len()).filter(|&node| self.nodes[node].alive && self.nodes[node].parent == Some(of));
        let up = self.nodes[of].parent.map(|parent| (parent, stream(of)));
        // The parent more often, since there is more to win.
        let all: Vec<_> = up.into_iter().chain(up).chain(children.map(|child| (child, stream(child)))).collect();
        *index.get(&all)
    }

    /// The routes of all honest contexts outside a subtree to ids outside of it, and what they have
    /// heard: what nothing that comes from the subtree may change.
    fn out_of_reach(&self, subtree: usize) -> Vec<(usize, ContextId, Option<StreamId>, bool)> {
        let mut seen = Vec::new();
        let foreign: Vec<_> = self.interesting_ids().into_iter().filter(|id| !self.owns(subtree, *id)).collect();
        for (place, node) in self.nodes.iter().enumerate() {
            if node.alive && !self.is_within(place, subtree) {
                seen.extend(foreign.iter().map(|id| (place, *id, node.table.route_below(*id), node.told.contains(id))));
            }
        }
        seen
    }

    // ---- what routers do ----

    /// Passes a message on until somebody keeps it, refuses it or drops it.
    fn walk(&mut self, header: &Header, from: usize, mut ingress: Option<StreamId>) -> Walk {
        let mut path = vec![from];
        loop {
            assert!(path.len() <= 2 * self.nodes.len(), "a message goes round: {header:?} {path:?}");
            let here = *path.last().expect("it is somewhere");
            match self.nodes[here].table.judge(header, ingress) {
                Verdict::Forward(out) => {
                    assert_ne!(Some(out), ingress, "a message goes back");
                    if self.unidirectional && ingress.is_some_and(|ingress| ingress != stream(here)) {
                        assert_eq!(out, stream(here), "siblings talk: {header:?} {path:?}");
                    }
                    path.push(self.behind(here, out));
                    ingress = Some(out);
                }
                verdict => return Walk { path, verdict },
            }
        }
    }

    /// A context asks its parent for a block of ids.
    fn request_block(&mut self, by: usize) -> Option<Range<u32>> {
        let parent = self.nodes[by].parent?;
        let table = &mut self.nodes[parent].table;
        if let Some(block) = table.take_block_for(stream(by)) {
            return Some(block);
        }
        if table.ids().is_root() || !table.may_allocate(stream(by)) {
            return None;
        }
        let block = self.request_block(parent)?;
        self.nodes[parent].table.allocate(stream(by), block.clone()).then_some(block)
    }

    fn take_block(&mut self, by: usize) -> Range<u32> {
        let block = self.request_block(by).expect("nobody has had so many");
        for (_, given) in &self.blocks {
            assert!(block.end <= given.start || given.end <= block.start, "{block:?} and {given:?} were given");
        }
        for node in &self.nodes {
            assert!(!block.contains(&node.id.get()), "{} is a context and in {block:?}", node.id);
        }
        self.blocks.push((by, block.clone()));
        block
    }

    fn take_id(&mut self, at: usize) -> ContextId {
        let id = self.nodes[at].table.ids().take().unwrap_or_else(|| {
            let block = self.take_block(at);
            self.nodes[at].table.add_own_block(block);
            self.nodes[at].table.ids().take().expect("there is a new block")
        });
        assert!(self.nodes.iter().all(|node| node.id != id), "{id} was given twice");
        let owner = self.blocks.iter().find(|(_, block)| block.contains(&id.get())).map(|(by, _)| *by);
        assert_eq!(owner.unwrap_or(ROOT), at, "{id} is from a block of another context");
        id
    }

    fn connect(&mut self, at: usize, hostile: bool) {
        let (id, child) = (self.take_id(at), self.nodes.len());
        let parents = self.lineage(at).into_iter().map(|above| self.nodes[above].id).collect();
        let mut table = Table::new(id, parents, self.unidirectional);
        table.add_parent(stream(child));
        self.nodes.push(Node { id, table, parent: Some(at), hostile, alive: true, told: BTreeSet::new() });
        self.nodes[at].table.add_child(stream(child), id);
        if !self.announce(at, id) {
            assert!(!self.is_trusty(at), "the announcement of {id} by {at} is not believed");
        }
    }

    /// Tells the contexts above of one that this context knows; whether all have believed it.
    fn announce(&mut self, by: usize, id: ContextId) -> bool {
        let Some(parent) = self.nodes[by].parent else { return true };
        self.nodes[parent].table.add_route(stream(by), id).is_ok() && self.announce(parent, id)
    }

    /// A context has heard that another one is gone, and tells those who wait for that.
    fn spread(&mut self, at: usize, gone: Gone) {
        assert!(self.nodes[at].alive, "the dead are told nothing");
        self.nodes[at].told.insert(gone.id);
        for stream in &gone.tell {
            self.nodes[at].table.told(*stream, gone.id);
        }
        let up = self.nodes[at].parent.filter(|_| gone.tell_parent).map(|parent| (parent, stream(at)));
        let down = gone.tell.into_iter().map(|child| (self.behind(at, child), child));
        for (neighbour, through) in up.into_iter().chain(down.collect::<Vec<_>>()) {
            if let Ok(heard) = self.nodes[neighbour].table.del_route(through, gone.id) {
                self.spread(neighbour, heard);
            }
        }
    }

    fn lose(&mut self, child: usize) {
        let parent = self.nodes[child].parent.expect("the root has no stream to lose");
        let ended: Vec<_> =
            (0..self.nodes.len()).filter(|&node| self.nodes[node].alive && self.is_within(node, child)).collect();
        for &node in &ended {
            self.nodes[node].alive = false;
        }
        let gone = self.nodes[parent].table.lose(stream(child));
        assert_eq!(gone.last().map(|gone| gone.id), Some(self.nodes[child].id), "the neighbour itself comes last");
        for gone in gone {
            self.spread(parent, gone);
        }
        for &whom in ended.iter().filter(|&&node| !self.is_at_mercy(node)) {
            let above = self.lineage(parent).into_iter().filter(|above| self.is_trusty(*above));
            let owed =
                self.owed.iter().filter(|(who, of)| *of == whom && self.nodes[*who].alive && self.is_trusty(*who));
            for who in above.chain(owed.map(|(who, _)| *who)) {
                let id = self.nodes[whom].id;
                assert!(self.nodes[who].told.contains(&id), "{} is not told of the end of {id}", self.nodes[who].id);
            }
        }
    }

    // ---- what happens ----

    fn act(&mut self, op: &Op) {
        match *op {
            Op::Connect { at, hostile } => self.connect(self.anybody(at), hostile),
            Op::Hoard { by } => {
                if let Some(by) = self.hostile(by) {
                    self.take_block(by);
                }
            }
            Op::Announce { by, to, id } => {
                let (Some(by), id) = (self.hostile(by), self.some_id(id)) else { return };
                let (neighbour, through) = self.neighbour(by, to);
                let before = self.out_of_reach(by);
                let believed = self.nodes[neighbour].table.add_route(through, id).is_ok();
                assert!(!believed || self.owns(by, id), "{id} is announced by another subtree");
                assert!(!believed || self.nodes[by].parent == Some(neighbour), "the parent announces {id}");
                if believed {
                    self.announce(neighbour, id);
                }
                assert_eq!(self.out_of_reach(by), before);
            }
            Op::Forget { by, to, id } => {
                let (Some(by), id) = (self.hostile(by), self.some_id(id)) else { return };
                let (neighbour, through) = self.neighbour(by, to);
                let (before, below) = (self.out_of_reach(by), self.nodes[neighbour].table.route_below(id));
                if let Ok(gone) = self.nodes[neighbour].table.del_route(through, id) {
                    assert_ne!(id, self.nodes[by].id, "its end is the end of its stream");
                    self.spread(neighbour, gone);
                }
                if self.nodes[neighbour].parent == Some(by) {
                    assert_eq!(self.nodes[neighbour].table.route_below(id), below, "the parent removes {id}");
                }
                assert_eq!(self.out_of_reach(by), before);
            }
            Op::Inject { by, to, ids, reply_to } => self.inject(by, to, ids, reply_to),
            Op::Send { from, to, asks } => {
                let (from, to) = (self.anybody(from), self.anybody(to));
                self.send(from, to, asks);
            }
            Op::SendAnywhere { from, to } => {
                let (from, to) = (self.anybody(from), self.some_id(to));
                self.send_anywhere(from, to);
            }
            Op::SpeakFor { from, whom, to } => {
                let (from, whom, to) = (self.anybody(from), self.anybody(whom), self.anybody(to));
                self.speak_for(from, whom, to);
            }
            Op::Lose { child } => {
                if let Some(child) = self.pick(child, |node| node.parent.is_some()) {
                    self.lose(child);
                }
            }
        }
    }

    /// A hostile context puts a message on one of its streams.
    fn inject(&mut self, by: Index, to: Index, [dst, src, auth]: [Index; 3], reply_to: u32) {
        let Some(by) = self.hostile(by) else { return };
        let [dst, src, auth] = [dst, src, auth].map(|index| self.some_id(index));
        let (neighbour, through) = self.neighbour(by, to);
        let before = self.out_of_reach(by);
        let Walk { path, verdict } = self.walk(&header(dst, src, auth, reply_to), neighbour, Some(through));
        let is_own = self.owns(by, src) && self.owns(by, auth);
        for (hop, node) in path.iter().enumerate().filter(|(_, node)| !self.is_within(**node, by)) {
            let dropped = hop + 1 == path.len() && matches!(verdict, Verdict::Forged(_));
            assert!(dropped || is_own, "{src} with the authority of {auth} got to {node} on {path:?}");
            assert!(!dropped || hop == 0, "only the last of {path:?} has seen what is wrong");
        }
        if self.nodes[neighbour].parent == Some(by) {
            assert!(path.iter().all(|node| self.is_within(*node, neighbour)), "{path:?} is not downwards");
        }
        assert_eq!(self.out_of_reach(by), before);
    }

    /// An honest message goes along the tree, or both ends of it are told why not.
    fn send(&mut self, from: usize, to: usize, asks: bool) {
        let (src, dst) = (self.nodes[from].id, self.nodes[to].id);
        let Walk { path, verdict } = self.walk(&header(dst, src, src, if asks { 5000 } else { 0 }), from, None);
        if !self.is_trusty(from) || self.is_at_mercy(to) {
            return;
        }
        let tree_path = self.tree_path(from, to);
        if self.unidirectional && !self.is_within(from, to) && !self.is_within(to, from) {
            let turn = *tree_path.iter().min_by_key(|node| self.lineage(**node).len()).expect("it is not empty");
            assert_eq!(path.last(), Some(&turn));
            assert_eq!(verdict, Verdict::Refuse(DeadReason::unidirectional(src, dst, self.nodes[turn].id)));
            return self.assert_told(turn, from, dst);
        }
        // A child answers for all that is below it.
        let through = tree_path.iter().rev().nth(1).filter(|_| self.is_within(from, to));
        let origin = through.map_or(src, |through| self.nodes[*through].id);
        assert_eq!((path, verdict), (tree_path, Verdict::Local { origin }));
        if from != to {
            self.owed.insert((from, to));
        }
        if from != to && asks {
            self.owed.insert((to, from));
        }
    }

    /// The hop that refuses a message answers in the name of the context that cannot be reached, and
    /// the sender gets that.
    fn assert_told(&mut self, hop: usize, sender: usize, unreachable: ContextId) {
        let dead = header(self.nodes[sender].id, unreachable, unreachable, Handle::DEAD.get());
        let back = self.walk(&dead, hop, None);
        assert_eq!(back.path.last(), Some(&sender));
        assert!(matches!(back.verdict, Verdict::Local { .. }), "{:?}", back.verdict);
    }

    fn send_anywhere(&mut self, from: usize, dst: ContextId) {
        let src = self.nodes[from].id;
        let Walk { path, verdict } = self.walk(&header(dst, src, src, 5000), from, None);
        let last = *path.last().expect("it is somewhere");
        match verdict {
            Verdict::Local { .. } => assert!(self.nodes[last].id == dst && self.nodes[last].alive, "{dst} has ended"),
            Verdict::Refuse(reason) if self.is_trusty(from) => {
                let expected = [DeadCode::NoRoute, DeadCode::Unidirectional].contains(&reason.code);
                assert!(expected, "{reason:?}");
                if self.is_trusty(last) {
                    if reason.code == DeadCode::NoRoute {
                        let lineage = self.lineage(from);
                        // The root gives all ids that there are.
                        let giver = lineage.iter().copied().find(|above| self.gave(*above, dst)).unwrap_or(ROOT);
                        assert_eq!(last, giver, "whoever knows that {dst} is gone says so");
                    }
                    self.assert_told(last, from, dst);
                }
            }
            Verdict::Forged(why) => assert!(!self.is_trusty(from), "an honest message was dropped: {why}"),
            Verdict::Refuse(_) | Verdict::Forward(_) => {}
        }
    }

    /// Whoever is believed to speak for another one is so by all on the way; whoever is not, by nobody.
    fn speak_for(&mut self, from: usize, whom: usize, to: usize) {
        if !self.is_trusty(from) || self.is_at_mercy(whom) || self.is_at_mercy(to) {
            return;
        }
        let [src, auth, dst] = [from, whom, to].map(|node| self.nodes[node].id);
        let may = self.nodes[from].table.may_speak_for(auth, dst);
        let Walk { path, verdict } = self.walk(&header(dst, src, auth, 5000), from, None);
        let forged = matches!(verdict, Verdict::Forged(_));
        assert_eq!(forged, !may && path.len() > 1, "{src} for {auth} to {dst}: {verdict:?} on {path:?}");
        assert!(!forged || path.len() == 2, "not dropped by the next hop: {path:?}");
        if matches!(verdict, Verdict::Local { .. }) && from != to {
            self.owed.extend([(from, to), (to, from)]);
        }
    }

    /// What always holds, whatever has happened.
    fn check(&self) {
        let ids = self.interesting_ids();
        for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.alive) {
            for id in &ids {
                let Some(through) = node.table.route_below(*id) else { continue };
                let child = self.behind(place, through);
                assert!(self.nodes[child].alive && self.nodes[child].parent == Some(place), "{id} leads nowhere");
                assert!(self.owns(child, *id), "{} reaches {id} through a subtree that does not have it", node.id);
            }
            for (other, below) in self.nodes.iter().enumerate().filter(|(_, other)| other.alive) {
                let lineage = self.lineage(other);
                let Some(at) = lineage.iter().position(|above| *above == place).filter(|at| *at > 0) else { continue };
                if lineage[1..at].iter().all(|between| !self.nodes[*between].hostile) {
                    let through = Some(stream(lineage[at - 1]));
                    assert_eq!(node.table.route_below(below.id), through, "{} lost {}", node.id, below.id);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn no_context_of_any_tree_is_or_goes_where_it_must_not(
        unidirectional in any::<bool>(),
        start in prop::collection::vec((any::<Index>(), prop::bool::weighted(0.3)), 2..10),
        ops in prop::collection::vec(any_op(), 1..60),
    ) {
        let mut world = World::new(unidirectional);
        for (at, hostile) in start {
            world.act(&Op::Connect { at, hostile });
        }
        world.check();
        for op in &ops {
            world.act(op);
            world.check();
        }
    }
}

/// A tree of honest and hostile contexts, each below the one that it names.
fn family(edges: &[(usize, bool)]) -> World {
    let mut world = World::new(false);
    for (at, hostile) in edges {
        world.connect(*at, *hostile);
    }
    world
}

#[test]
fn the_oracle_knows_the_way() {
    // 0 has 1 and 2, 1 has 3, 2 has 4, 4 has 5.
    let world = family(&[(0, false), (0, true), (1, false), (2, false), (4, false)]);
    assert_eq!(world.tree_path(3, 5), [3, 1, 0, 2, 4, 5]);
    assert_eq!(world.tree_path(5, 2), [5, 4, 2]);
    assert_eq!(world.tree_path(1, 1), [1]);
    let ids: BTreeMap<_, _> = world.nodes.iter().enumerate().map(|(node, what)| (node, what.id.get())).collect();
    assert_eq!(ids, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 1003), (5, 2003)].into());
    assert!(world.owns(2, ContextId::new(2500)) && !world.owns(1, ContextId::new(2500)));
    assert!(world.is_at_mercy(5) && !world.is_at_mercy(2) && !world.is_trusty(2) && world.is_trusty(3));
}
