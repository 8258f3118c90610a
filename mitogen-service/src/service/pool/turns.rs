//! Whose turn it is: a plain state machine without locks or threads.
//!
//! Calls wait at the *place* of the service that they name, there in a lane for each caller. They are
//! given out from place to place in turn, and at each place from lane to lane, so that neither a
//! busy service nor a busy caller makes others wait for all of its calls. The calls of one caller to
//! one service keep their order.
//!
//! A place is there before its service: the first call for a service that does not exist is given out
//! to have it made, and the others wait until that is settled. A lane whose caller takes no answers
//! is passed over until it does.
//!
//! What is to run one at a time waits at a place of its own, a *strand* of its service, which gives
//! nothing out while one of its calls runs, and then the one that came first of all callers'.
//!
//! A call that somebody waits for who is himself waited for carries its *chain*. If a thread here is
//! part of that chain, it can take the call out of its turn ([`Turns::next_nested`]), since it has
//! nothing else to do until it is answered. And if a place is busy with a call of that chain, the
//! new one would wait for itself, and is refused.
//!
//! A thread that finds such a call only where nothing is given out at present leaves its handle there,
//! and is named when that changes. So nobody is searched for among all that waits, and only those are
//! woken who have looked in vain. A chain is the caller's word: of its handles only those are kept that
//! calls of this context have which are pending.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::hash::SmallMap;
use crate::io::StreamId;
use crate::service::in_flight::CallId;
use crate::wire::{ContextId, Handle};

/// Names a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(usize);

/// Where work waits that names no service.
const NOWHERE: Place = Place(0);

/// A service, as far as it matters for whose turn it is.
pub(super) trait Strands<J>: Clone {
    /// The strand of a job that is to run one at a time; `None` for one that may run at any time.
    fn strand(&self, job: &J) -> Option<usize>;
}

/// A call that waits for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) id: CallId,
    /// It is one of this context that is not answered, so that a thread here may wait for it.
    pub(super) is_pending_here: bool,
}

/// A job that has come.
#[derive(Debug)]
pub(super) struct Arrival<'a, J> {
    /// The service that it names, if any.
    pub(super) service: Option<&'a str>,
    /// Who takes turns with others.
    pub(super) caller: ContextId,
    /// Its own name; `None` if nobody waits for it.
    pub(super) id: Option<CallId>,
    /// The calls that wait for it.
    pub(super) chain: &'a [Waiter],
    pub(super) job: J,
}

/// What is given out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<J, S> {
    /// A job for this service. If there is a place, [`Turns::done`] is to be called when it has run.
    Ready(J, S, Option<Place>),
    /// The service is to be made for the job, or the job refused. The place waits until
    /// [`Turns::settle`].
    Vacant(J, Place),
    /// A job that names no service.
    Nowhere(J),
}

/// What has come of a [`Turn::Vacant`], or of a place that was reserved.
pub(super) enum Settled<J, S> {
    /// The service is there now, and the job that it was made for is to have its turn.
    Made(S, J),
    /// The service is there that the place was [reserved](Turns::reserve) for.
    Added(S),
    /// It is not: the jobs that wait for it are given back, to be failed as well.
    Failed,
    /// The job was not entitled to have it made; the next one is to be tried.
    Refused,
}

/// Whether a name is kept for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    Yes(Place),
    /// There is a service of the name, or one starts.
    No,
    /// Whether there will be one is being settled.
    NotYet,
}

/// The jobs that wait, `J`, for services, `S`.
pub(super) struct Turns<J, S> {
    me: ContextId,
    places: Vec<Spot<S>>,
    free_places: Vec<Place>,
    by_name: SmallMap<Arc<str>, Place>,
    lanes: SmallMap<(Place, ContextId), Lane>,
    nodes: Vec<Node<J>>,
    free_nodes: Vec<usize>,
    /// The places that have a job to give out, next first.
    turn: VecDeque<Place>,
    /// The lanes that are passed over, by the stream that their caller's answers leave through.
    held: HashMap<StreamId, Vec<(Place, ContextId)>>,
    /// The jobs that calls of this context wait for, by the handles of these calls.
    nested: SmallMap<Handle, Nested>,
    waiting: usize,
    arrivals: u64,
}

/// The jobs that one call waits for, in the order of their arrival, by the places where they are.
type Nested = BTreeMap<Place, BTreeMap<u64, usize>>;

struct Spot<S> {
    name: Option<Arc<str>>,
    state: State<S>,
    /// The lanes that have a job to give out, next first.
    ring: VecDeque<ContextId>,
    /// It stands in `turn`.
    has_turn: bool,
    /// Lanes of all kinds.
    lanes: usize,
    /// Where its jobs wait that run one at a time.
    strands: Vec<(usize, Place)>,
    /// Calls of this context that wait for something here, and whose threads have found it shut.
    in_vain: BTreeSet<Handle>,
}

enum State<S> {
    Vacant,
    /// It is being made for a job, if that may be.
    Making(Stub),
    /// It is being added by somebody who acts for this call.
    Starting(Option<CallId>),
    Ready(S),
    Nowhere,
    /// A strand of a service.
    Strand(S, Busy),
}

/// What is kept of a job that was given out to have its service made.
struct Stub {
    caller: ContextId,
    id: Option<CallId>,
    mine: Vec<Handle>,
    arrival: u64,
}

enum Busy {
    No,
    /// With this call.
    With(Option<CallId>),
}

/// A list of nodes, of which some may have been taken out of their turn.
struct Lane {
    first: usize,
    last: usize,
}

struct Node<J> {
    /// `None` once it was taken out of its turn.
    job: Option<J>,
    next: usize,
    place: Place,
    caller: ContextId,
    id: Option<CallId>,
    /// The handles of the calls of this context that wait for it.
    mine: Vec<Handle>,
    arrival: u64,
}

/// No node.
const NONE: usize = usize::MAX;

impl<S> Spot<S> {
    fn new(name: Option<Arc<str>>, state: State<S>) -> Self {
        Self {
            name,
            state,
            ring: VecDeque::new(),
            has_turn: false,
            lanes: 0,
            strands: Vec::new(),
            in_vain: BTreeSet::new(),
        }
    }

    /// Whether it gives nothing out at present.
    fn is_shut(&self) -> bool {
        matches!(self.state, State::Making(_) | State::Starting(_) | State::Strand(_, Busy::With(_)))
    }

    /// Whether one of these calls runs here, so that nothing can run that it waits for.
    fn is_busy_with(&self, mut has: impl FnMut(&CallId) -> bool) -> bool {
        match &self.state {
            State::Making(Stub { id: Some(id), .. })
            | State::Starting(Some(id))
            | State::Strand(_, Busy::With(Some(id))) => has(id),
            _ => false,
        }
    }
}

impl<J, S: Strands<J>> Turns<J, S> {
    /// Nothing waits, and there is no service.
    pub(super) fn new(me: ContextId) -> Self {
        Self {
            me,
            places: vec![Spot::new(None, State::Nowhere)],
            free_places: Vec::new(),
            by_name: SmallMap::default(),
            lanes: SmallMap::default(),
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            turn: VecDeque::new(),
            held: HashMap::new(),
            nested: SmallMap::default(),
            waiting: 0,
            arrivals: 0,
        }
    }

    /// The service of this name, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&S> {
        match &self.places[self.by_name.get(name)?.0].state {
            State::Ready(service) => Some(service),
            _ => None,
        }
    }

    /// All services that are there.
    pub(super) fn services(&self) -> impl Iterator<Item = &S> {
        self.places.iter().filter_map(|spot| match &spot.state {
            State::Ready(service) => Some(service),
            _ => None,
        })
    }

    /// The same by the names under which they are called.
    pub(super) fn named(&self) -> impl Iterator<Item = (&Arc<str>, &S)> {
        self.places.iter().filter_map(|spot| match (&spot.name, &spot.state) {
            (Some(name), State::Ready(service)) => Some((name, service)),
            _ => None,
        })
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Keeps a name for a service that is about to start, for whoever acts for the last call of a chain.
    /// Who calls it waits until [`settle`](Self::settle); what is a part of that call is refused, since
    /// it would wait for itself.
    pub(super) fn reserve(&mut self, name: &str, chain: &[CallId]) -> Reserved {
        let place = self.place(name);
        let spot = &mut self.places[place.0];
        match spot.state {
            State::Vacant => {
                spot.state = State::Starting(chain.last().copied());
                Reserved::Yes(place)
            }
            // Whoever has asked for it may be nobody who is entitled to have it made.
            State::Making(_) if !spot.is_busy_with(|id| chain.contains(id)) => Reserved::NotYet,
            _ => Reserved::No,
        }
    }

    /// Lets a job wait for the service that it names. Gives it back if it would wait for itself.
    pub(super) fn push(&mut self, arrival: Arrival<'_, J>) -> Result<(), J> {
        let Arrival { service, caller, id, chain, job } = arrival;
        let main = service.map_or(NOWHERE, |name| self.place(name));
        let place = self.place_for(main, &job);
        if self.places[place.0].is_busy_with(|id| chain.iter().any(|waiter| waiter.id == *id)) {
            return Err(job);
        }
        let mut mine: Vec<_> = chain.iter().filter(|waiter| waiter.is_pending_here).map(|waiter| waiter.id.1).collect();
        // A context that calls itself waits for the very call.
        mine.extend(id.filter(|id| id.0 == self.me).map(|id| id.1));
        mine.sort_unstable();
        mine.dedup();
        self.arrivals += 1;
        let node = Node { job: Some(job), next: NONE, place, caller, id, mine, arrival: self.arrivals };
        self.insert(node);
        Ok(())
    }

    fn insert(&mut self, node: Node<J>) {
        let (place, caller, arrival) = (node.place, node.caller, node.arrival);
        let at = self.store(node);
        for handle in &self.nodes[at].mine {
            self.nested.entry(*handle).or_default().entry(place).or_default().insert(arrival, at);
        }
        self.waiting += 1;
        if let Some(lane) = self.lanes.get_mut(&(place, caller)) {
            self.nodes[lane.last].next = at;
            lane.last = at;
            return;
        }
        self.lanes.insert((place, caller), Lane { first: at, last: at });
        let spot = &mut self.places[place.0];
        spot.lanes += 1;
        spot.ring.push_back(caller);
        self.give_turn(place);
    }

    /// The next job, passing over those for which `held` names a stream.
    pub(super) fn next(&mut self, held: impl Fn(&J) -> Option<StreamId>) -> Option<Turn<J, S>> {
        while let Some(place) = self.turn.pop_front() {
            self.places[place.0].has_turn = false;
            // A nested job may have shut it since; it has its turn again when it opens.
            if self.places[place.0].is_shut() {
                continue;
            }
            if let Some((at, caller)) = self.next_at(place, &held) {
                let turn = self.give_out(at);
                if self.first(place, caller).is_some() {
                    self.places[place.0].ring.push_back(caller);
                }
                self.give_turn(place);
                return turn;
            }
            self.forget_if_unused(place);
        }
        None
    }

    /// The first job that the call with this handle waits for, whatever its turn. If there are only
    /// such that cannot be given out now, the handle is told when they can.
    pub(super) fn next_nested(&mut self, handle: Handle) -> Option<Turn<J, S>> {
        let nested = self.nested.get(&handle)?;
        let open = nested.iter().filter(|(place, _)| !self.places[place.0].is_shut());
        let first = open.filter_map(|(_, jobs)| jobs.first_key_value()).min();
        let Some((_, at)) = first else {
            for place in nested.keys() {
                self.places[place.0].in_vain.insert(handle);
            }
            return None;
        };
        self.give_out(*at)
    }

    /// A job of a strand has run; gives the handles of calls that have waited for that.
    pub(super) fn done(&mut self, place: Place) -> Vec<Handle> {
        if let State::Strand(_, busy) = &mut self.places[place.0].state {
            *busy = Busy::No;
        }
        self.give_turn(place);
        self.opened(place).into_iter().collect()
    }

    /// The first node of the lane whose turn it is.
    fn next_at(&mut self, place: Place, held: impl Fn(&J) -> Option<StreamId>) -> Option<(usize, ContextId)> {
        loop {
            let caller = self.next_caller(place)?;
            let Some(at) = self.first(place, caller) else { continue };
            let stream = self.nodes[at].job.as_ref().and_then(&held);
            if let Some(stream) = stream {
                self.held.entry(stream).or_default().push((place, caller));
                continue;
            }
            return Some((at, caller));
        }
    }

    /// Takes the lane out of the ring whose turn it is.
    fn next_caller(&mut self, place: Place) -> Option<ContextId> {
        let Spot { state, ring, .. } = &mut self.places[place.0];
        if ring.len() < 2 || !matches!(state, State::Strand(..)) {
            return ring.pop_front();
        }
        let ring = self.places[place.0].ring.clone();
        let first = ring.iter().enumerate().min_by_key(|(_, caller)| {
            let first = self.first(place, **caller);
            first.map_or(0, |at| self.nodes[at].arrival)
        });
        let at = first?.0;
        self.places[place.0].ring.remove(at)
    }

    /// The first node of a lane that has a job. A lane without any is forgotten.
    fn first(&mut self, place: Place, caller: ContextId) -> Option<usize> {
        let lane = self.lanes.get_mut(&(place, caller))?;
        while lane.first != NONE && self.nodes[lane.first].job.is_none() {
            self.free_nodes.push(lane.first);
            lane.first = self.nodes[lane.first].next;
        }
        if lane.first != NONE {
            return Some(lane.first);
        }
        self.lanes.remove(&(place, caller));
        self.places[place.0].lanes -= 1;
        None
    }

    /// Takes a job out of its lane, wherever it stands there.
    fn give_out(&mut self, at: usize) -> Option<Turn<J, S>> {
        let Node { place, caller, id, arrival, .. } = self.nodes[at];
        let mine = self.nodes[at].mine.clone();
        let job = self.take(at)?;
        let state = &mut self.places[place.0].state;
        Some(match state {
            State::Ready(service) => Turn::Ready(job, service.clone(), None),
            State::Strand(service, busy) => {
                *busy = Busy::With(id);
                Turn::Ready(job, service.clone(), Some(place))
            }
            State::Nowhere => Turn::Nowhere(job),
            State::Vacant | State::Making(_) | State::Starting(_) => {
                *state = State::Making(Stub { caller, id, mine, arrival });
                Turn::Vacant(job, place)
            }
        })
    }

    fn take(&mut self, at: usize) -> Option<J> {
        let node = &mut self.nodes[at];
        let job = node.job.take()?;
        for handle in std::mem::take(&mut node.mine) {
            let Some(nested) = self.nested.get_mut(&handle) else { continue };
            let Some(jobs) = nested.get_mut(&node.place) else { continue };
            jobs.remove(&node.arrival);
            if jobs.is_empty() {
                nested.remove(&node.place);
            }
            if nested.is_empty() {
                self.nested.remove(&handle);
            }
        }
        self.waiting -= 1;
        Some(job)
    }

    /// The callers behind a stream take answers again. Tells whether a job can be given out now.
    pub(super) fn release(&mut self, stream: StreamId) -> bool {
        let lanes = self.held.remove(&stream).unwrap_or_default();
        let any = !lanes.is_empty();
        for (place, caller) in lanes {
            if self.first(place, caller).is_some() {
                self.places[place.0].ring.push_back(caller);
                self.give_turn(place);
            }
        }
        any
    }

    /// Tells what has come of a [`Turn::Vacant`] or of a reserved place; gives the jobs that are to be
    /// failed, and the handles of calls that have waited for that.
    pub(super) fn settle(&mut self, place: Place, settled: Settled<J, S>) -> (Vec<J>, Vec<Handle>) {
        let mut failed = Vec::new();
        let mut nested = Vec::new();
        match settled {
            Settled::Made(service, job) => nested = self.made(place, service, Some(job)),
            Settled::Added(service) => nested = self.made(place, service, None),
            Settled::Failed => {
                self.places[place.0].state = State::Vacant;
                failed = self.drain(place).into_iter().filter_map(|node| node.job).collect();
            }
            Settled::Refused => {
                self.places[place.0].state = State::Vacant;
            }
        }
        nested.extend(self.opened(place));
        self.give_turn(place);
        self.forget_if_unused(place);
        (failed, nested)
    }

    /// The service is there: what waits for it goes where it belongs, the job that it was made for as
    /// well. Gives the handles of calls that wait for that job: it was not there for them meanwhile.
    fn made(&mut self, place: Place, service: S, first: Option<J>) -> Vec<Handle> {
        let mut waiting = self.drain(place);
        let mut nested = Vec::new();
        let before = std::mem::replace(&mut self.places[place.0].state, State::Ready(service));
        if let (State::Making(Stub { caller, id, mine, arrival }), Some(job)) = (before, first) {
            nested.clone_from(&mine);
            waiting.push(Node { job: Some(job), next: NONE, place, caller, id, mine, arrival });
        }
        waiting.sort_by_key(|node| node.arrival);
        for mut node in waiting {
            let strand = node.job.as_ref().map_or(place, |job| self.place_for(place, job));
            node.place = strand;
            self.insert(node);
        }
        nested
    }

    /// Takes out everything that waits.
    pub(super) fn drain_all(&mut self) -> Vec<J> {
        let places = (0..self.places.len()).map(Place);
        places.flat_map(|place| self.drain(place)).filter_map(|node| node.job).collect()
    }

    /// Takes out all services.
    pub(super) fn clear(&mut self) -> Vec<S> {
        let states = self.places.iter_mut().skip(1).map(|spot| std::mem::replace(&mut spot.state, State::Vacant));
        let services = states.filter_map(|state| match state {
            State::Ready(service) | State::Strand(service, _) => Some(service),
            State::Vacant | State::Making(_) | State::Starting(_) | State::Nowhere => None,
        });
        services.collect()
    }

    /// Takes out what waits at a place, lane by lane.
    fn drain(&mut self, place: Place) -> Vec<Node<J>> {
        let mut callers = std::mem::take(&mut self.places[place.0].ring);
        for held in self.held.values_mut() {
            callers.extend(held.extract_if(.., |lane| lane.0 == place).map(|(_, caller)| caller));
        }
        self.held.retain(|_, lanes| !lanes.is_empty());
        let mut drained = Vec::new();
        for caller in callers {
            while let Some(at) = self.first(place, caller) {
                let Node { id, arrival, ref mine, .. } = self.nodes[at];
                let mine = mine.clone();
                let job = self.take(at);
                drained.push(Node { job, next: NONE, place, caller, id, mine, arrival });
            }
        }
        drained
    }

    /// A place gives something out again: the handles of calls whose threads have found it shut.
    fn opened(&mut self, place: Place) -> BTreeSet<Handle> {
        std::mem::take(&mut self.places[place.0].in_vain)
    }

    fn give_turn(&mut self, place: Place) {
        let spot = &mut self.places[place.0];
        if !spot.is_shut() && !spot.has_turn && !spot.ring.is_empty() {
            spot.has_turn = true;
            self.turn.push_back(place);
        }
    }

    /// Where a job waits for a service: at the service's place, or at one of its strands.
    fn place_for(&mut self, main: Place, job: &J) -> Place {
        let State::Ready(service) = &self.places[main.0].state else { return main };
        let Some(strand) = service.strand(job) else { return main };
        let known = self.places[main.0].strands.iter().find(|(known, _)| *known == strand);
        if let Some((_, place)) = known {
            return *place;
        }
        let spot = Spot::new(None, State::Strand(service.clone(), Busy::No));
        let place = self.new_place(spot);
        self.places[main.0].strands.push((strand, place));
        place
    }

    /// The place of a service, made now if this is the first that is heard of it.
    fn place(&mut self, name: &str) -> Place {
        if let Some(place) = self.by_name.get(name) {
            return *place;
        }
        let name: Arc<str> = name.into();
        let place = self.new_place(Spot::new(Some(name.clone()), State::Vacant));
        self.by_name.insert(name, place);
        place
    }

    fn new_place(&mut self, spot: Spot<S>) -> Place {
        match self.free_places.pop() {
            Some(place) => {
                self.places[place.0] = spot;
                place
            }
            None => {
                self.places.push(spot);
                Place(self.places.len() - 1)
            }
        }
    }

    /// Forgets the place of a service that is not there and that nobody waits for.
    fn forget_if_unused(&mut self, place: Place) {
        let spot = &mut self.places[place.0];
        if spot.lanes > 0 || spot.has_turn || !matches!(spot.state, State::Vacant) {
            return;
        }
        if let Some(name) = spot.name.take() {
            self.by_name.remove(&name);
            self.free_places.push(place);
        }
    }

    fn store(&mut self, node: Node<J>) -> usize {
        match self.free_nodes.pop() {
            Some(at) => {
                self.nodes[at] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
