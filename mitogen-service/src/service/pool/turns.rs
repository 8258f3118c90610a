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

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::io::StreamId;
use crate::wire::ContextId;

/// Names a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place(usize);

/// Where work waits that names no service.
const NOWHERE: Place = Place(0);

/// What is given out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<J, S> {
    /// A job for this service.
    Ready(J, S),
    /// The service is to be made for the job, or the job refused. The place waits until
    /// [`Turns::settle`].
    Vacant(J, Place),
    /// A job that names no service.
    Nowhere(J),
}

/// What has come of a [`Turn::Vacant`].
pub(super) enum Settled<S> {
    /// The service is there now.
    Made(S),
    /// It is not: the jobs that wait for it are given back, to be failed as well.
    Failed,
    /// The job was not entitled to have it made; the next one is to be tried.
    Refused,
}

/// The jobs that wait, `J`, for services, `S`.
pub(super) struct Turns<J, S> {
    places: Vec<Spot<S>>,
    free_places: Vec<Place>,
    by_name: HashMap<Arc<str>, Place>,
    lanes: HashMap<(Place, ContextId), Lane>,
    nodes: Vec<Node<J>>,
    free_nodes: Vec<usize>,
    /// The places that have a job to give out, next first.
    turn: VecDeque<Place>,
    /// The lanes that are passed over, by the stream that their caller's answers leave through.
    held: HashMap<StreamId, Vec<(Place, ContextId)>>,
    waiting: usize,
}

struct Spot<S> {
    name: Option<Arc<str>>,
    state: State<S>,
    /// The lanes that have a job to give out, next first.
    ring: VecDeque<ContextId>,
    /// It stands in `turn`.
    has_turn: bool,
    /// Lanes of all kinds.
    lanes: usize,
}

enum State<S> {
    Vacant,
    Making,
    Ready(S),
    Nowhere,
}

/// A list of nodes.
struct Lane {
    first: usize,
    last: usize,
}

struct Node<J> {
    job: Option<J>,
    next: usize,
}

/// No node.
const NONE: usize = usize::MAX;

impl<S> Spot<S> {
    fn new(name: Option<Arc<str>>, state: State<S>) -> Self {
        Self { name, state, ring: VecDeque::new(), has_turn: false, lanes: 0 }
    }
}

impl<J, S: Clone> Turns<J, S> {
    /// Nothing waits, and there is no service.
    pub(super) fn new() -> Self {
        Self {
            places: vec![Spot::new(None, State::Nowhere)],
            free_places: Vec::new(),
            by_name: HashMap::new(),
            lanes: HashMap::new(),
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            turn: VecDeque::new(),
            held: HashMap::new(),
            waiting: 0,
        }
    }

    /// How many jobs wait.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.waiting
    }

    /// Adds a service; `false` if there is one of the name, or one is being made.
    pub(super) fn add(&mut self, name: &str, service: S) -> bool {
        let place = self.place(name);
        let spot = &mut self.places[place.0];
        if !matches!(spot.state, State::Vacant) {
            return false;
        }
        spot.state = State::Ready(service);
        true
    }

    /// Lets a job wait for the service that it names, if any.
    pub(super) fn push(&mut self, service: Option<&str>, caller: ContextId, job: J) {
        let place = service.map_or(NOWHERE, |name| self.place(name));
        let node = self.node(job);
        self.waiting += 1;
        if let Some(lane) = self.lanes.get_mut(&(place, caller)) {
            self.nodes[lane.last].next = node;
            lane.last = node;
            return;
        }
        self.lanes.insert((place, caller), Lane { first: node, last: node });
        let spot = &mut self.places[place.0];
        spot.lanes += 1;
        spot.ring.push_back(caller);
        self.give_turn(place);
    }

    /// The next job, passing over those for which `held` names a stream.
    pub(super) fn next(&mut self, held: impl Fn(&J) -> Option<StreamId>) -> Option<Turn<J, S>> {
        while let Some(place) = self.turn.pop_front() {
            self.places[place.0].has_turn = false;
            if let Some(job) = self.next_of(place, &held) {
                let spot = &mut self.places[place.0];
                let turn = match &spot.state {
                    State::Ready(service) => Turn::Ready(job, service.clone()),
                    State::Nowhere => Turn::Nowhere(job),
                    State::Vacant | State::Making => {
                        spot.state = State::Making;
                        Turn::Vacant(job, place)
                    }
                };
                self.give_turn(place);
                return Some(turn);
            }
            self.forget_if_unused(place);
        }
        None
    }

    fn next_of(&mut self, place: Place, held: impl Fn(&J) -> Option<StreamId>) -> Option<J> {
        while let Some(caller) = self.places[place.0].ring.pop_front() {
            let first = self.lanes.get(&(place, caller)).map_or(NONE, |lane| lane.first);
            let Some(job) = self.nodes.get(first).and_then(|node| node.job.as_ref()) else { continue };
            if let Some(stream) = held(job) {
                self.held.entry(stream).or_default().push((place, caller));
                continue;
            }
            let (job, is_last) = self.take_first(place, caller)?;
            if !is_last {
                self.places[place.0].ring.push_back(caller);
            }
            return Some(job);
        }
        None
    }

    /// Takes the first job of a lane, and tells whether it was the last one as well.
    fn take_first(&mut self, place: Place, caller: ContextId) -> Option<(J, bool)> {
        let lane = self.lanes.get_mut(&(place, caller))?;
        let at = lane.first;
        let node = self.nodes.get_mut(at)?;
        let job = node.job.take()?;
        lane.first = std::mem::replace(&mut node.next, NONE);
        let is_last = lane.first == NONE;
        if is_last {
            self.lanes.remove(&(place, caller));
            self.places[place.0].lanes -= 1;
        }
        self.free_nodes.push(at);
        self.waiting -= 1;
        Some((job, is_last))
    }

    /// The callers behind a stream take answers again. Tells whether a job can be given out now.
    pub(super) fn release(&mut self, stream: StreamId) -> bool {
        let lanes = self.held.remove(&stream).unwrap_or_default();
        let any = !lanes.is_empty();
        for (place, caller) in lanes {
            if self.lanes.contains_key(&(place, caller)) {
                self.places[place.0].ring.push_back(caller);
                self.give_turn(place);
            }
        }
        any
    }

    /// Tells what has come of a [`Turn::Vacant`]; gives the jobs that are to be failed.
    pub(super) fn settle(&mut self, place: Place, settled: Settled<S>) -> Vec<J> {
        let spot = &mut self.places[place.0];
        let (state, fails) = match settled {
            Settled::Made(service) => (State::Ready(service), false),
            Settled::Failed => (State::Vacant, true),
            Settled::Refused => (State::Vacant, false),
        };
        spot.state = state;
        let failed = if fails { self.drain(place) } else { Vec::new() };
        self.give_turn(place);
        self.forget_if_unused(place);
        failed
    }

    /// Takes out everything that waits.
    pub(super) fn drain_all(&mut self) -> Vec<J> {
        let places = (0..self.places.len()).map(Place);
        places.flat_map(|place| self.drain(place)).collect()
    }

    /// Takes out all services.
    pub(super) fn clear(&mut self) -> Vec<S> {
        let states = self.places.iter_mut().skip(1).map(|spot| std::mem::replace(&mut spot.state, State::Vacant));
        let services = states.filter_map(|state| match state {
            State::Ready(service) => Some(service),
            State::Vacant | State::Making | State::Nowhere => None,
        });
        services.collect()
    }

    /// Takes out what waits at a place, lane by lane.
    fn drain(&mut self, place: Place) -> Vec<J> {
        let mut callers = std::mem::take(&mut self.places[place.0].ring);
        for held in self.held.values_mut() {
            callers.extend(held.extract_if(.., |lane| lane.0 == place).map(|(_, caller)| caller));
        }
        self.held.retain(|_, lanes| !lanes.is_empty());
        let mut jobs = Vec::new();
        for caller in callers {
            while let Some((job, is_last)) = self.take_first(place, caller) {
                jobs.push(job);
                if is_last {
                    break;
                }
            }
        }
        jobs
    }

    fn give_turn(&mut self, place: Place) {
        let spot = &mut self.places[place.0];
        let is_open = !matches!(spot.state, State::Making);
        if is_open && !spot.has_turn && !spot.ring.is_empty() {
            spot.has_turn = true;
            self.turn.push_back(place);
        }
    }

    /// The place of a service, made now if this is the first that is heard of it.
    fn place(&mut self, name: &str) -> Place {
        if let Some(place) = self.by_name.get(name) {
            return *place;
        }
        let name: Arc<str> = name.into();
        let spot = Spot::new(Some(name.clone()), State::Vacant);
        let place = match self.free_places.pop() {
            Some(place) => {
                self.places[place.0] = spot;
                place
            }
            None => {
                self.places.push(spot);
                Place(self.places.len() - 1)
            }
        };
        self.by_name.insert(name, place);
        place
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

    fn node(&mut self, job: J) -> usize {
        let node = Node { job: Some(job), next: NONE };
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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Service (0 for none), caller, and which one of that caller's to that service.
    type Job = (u32, u32, u32);

    fn name(service: u32) -> Option<String> {
        (service > 0).then(|| format!("service {service}"))
    }

    fn push(turns: &mut Turns<Job, u32>, (service, caller, number): Job) {
        turns.push(name(service).as_deref(), ContextId::new(caller), (service, caller, number));
    }

    fn next(turns: &mut Turns<Job, u32>) -> Option<Turn<Job, u32>> {
        turns.next(|_| None)
    }

    #[test]
    fn services_take_turns_and_so_do_the_callers_of_each() {
        let mut turns = Turns::new();
        assert!(turns.add("service 1", 1) && turns.add("service 2", 2));
        for number in 0..3 {
            push(&mut turns, (1, 10, number));
        }
        push(&mut turns, (1, 11, 0));
        push(&mut turns, (2, 10, 0));
        let order: Vec<_> = std::iter::from_fn(|| next(&mut turns)).collect();
        let expected = [(1, 10, 0), (2, 10, 0), (1, 11, 0), (1, 10, 1), (1, 10, 2)];
        assert_eq!(order, expected.map(|job| Turn::Ready(job, job.0)));
    }

    #[test]
    fn a_service_is_made_for_one_call_while_the_others_wait() {
        let mut turns = Turns::new();
        for caller in 10..13 {
            push(&mut turns, (1, caller, 0));
        }
        let Some(Turn::Vacant((1, 10, 0), place)) = next(&mut turns) else { panic!("the first is to make it") };
        assert_eq!(next(&mut turns), None);
        assert!(!turns.add("service 1", 7), "it is being made");
        assert_eq!(turns.settle(place, Settled::Refused), []);
        assert_eq!(next(&mut turns), Some(Turn::Vacant((1, 11, 0), place)));
        push(&mut turns, (1, 13, 0));
        assert_eq!(turns.settle(place, Settled::Made(1)), []);
        assert_eq!(next(&mut turns), Some(Turn::Ready((1, 12, 0), 1)));
        assert_eq!(next(&mut turns), Some(Turn::Ready((1, 13, 0), 1)));
        assert!(!turns.add("service 1", 7), "it is there");
    }

    #[test]
    fn what_waits_for_a_service_that_cannot_be_made_is_given_back() {
        let mut turns = Turns::new();
        for caller in 10..13 {
            push(&mut turns, (1, caller, 0));
        }
        let Some(Turn::Vacant(_, place)) = next(&mut turns) else { panic!("the first is to make it") };
        assert_eq!(turns.settle(place, Settled::Failed), [(1, 11, 0), (1, 12, 0)]);
        push(&mut turns, (1, 13, 0));
        assert!(matches!(next(&mut turns), Some(Turn::Vacant((1, 13, 0), _))), "it is tried again");
    }

    #[test]
    fn names_that_nobody_knows_leave_nothing_behind() {
        let mut turns = Turns::new();
        for service in 1..1000 {
            push(&mut turns, (service, 10, 0));
            let Some(Turn::Vacant(_, place)) = next(&mut turns) else { panic!("nobody knows it") };
            turns.settle(place, Settled::Refused);
        }
        assert_eq!((turns.by_name.len(), turns.places.len()), (0, 2));
    }

    #[test]
    fn a_caller_that_takes_no_answers_is_passed_over_until_it_does() {
        let mut turns = Turns::new();
        turns.add("service 1", 1);
        for number in 0..2 {
            push(&mut turns, (1, 10, number));
            push(&mut turns, (1, 11, number));
        }
        let held = |job: &Job| (job.1 == 10).then_some(StreamId(5));
        assert_eq!(turns.next(held), Some(Turn::Ready((1, 11, 0), 1)));
        assert_eq!(turns.next(held), Some(Turn::Ready((1, 11, 1), 1)));
        assert_eq!(turns.next(held), None);
        push(&mut turns, (1, 10, 2));
        assert_eq!(next(&mut turns), None, "it has to be released first");
        assert!(!turns.release(StreamId(6)) && turns.release(StreamId(5)));
        let rest: Vec<_> = std::iter::from_fn(|| next(&mut turns)).collect();
        assert_eq!(rest, [0, 1, 2].map(|number| Turn::Ready((1, 10, number), 1)));
    }

    /// The same in the simplest way: all jobs in a list, and when each service and lane came last.
    #[derive(Default)]
    struct Oracle {
        jobs: Vec<Job>,
        states: BTreeMap<u32, &'static str>,
        /// When a lane or, with caller 0, a service took its place at the end of its row.
        since: BTreeMap<(u32, u32), u32>,
        held: Vec<(u32, u32)>,
        now: u32,
    }

    impl Oracle {
        fn state(&self, service: u32) -> &'static str {
            if service == 0 { "nowhere" } else { self.states.get(&service).copied().unwrap_or("vacant") }
        }

        fn lanes(&self, service: u32) -> Vec<u32> {
            let mut lanes: Vec<_> = self.jobs.iter().filter(|job| job.0 == service).map(|job| job.1).collect();
            lanes.sort();
            lanes.dedup();
            lanes.retain(|caller| !self.held.contains(&(service, *caller)));
            lanes
        }

        fn is_ready(&self, service: u32) -> bool {
            self.state(service) != "making" && !self.lanes(service).is_empty()
        }

        /// Everybody who has something to give out now, and had not before, queues up.
        fn queue_up(&mut self) {
            for service in 0..4 {
                for caller in 1..4 {
                    let is_there = self.lanes(service).contains(&caller);
                    self.line_up((service, caller), is_there);
                }
                self.line_up((service, 0), self.is_ready(service));
            }
        }

        fn release(&mut self, caller: u32) {
            for lane in self.held.clone().into_iter().filter(|lane| lane.1 == caller) {
                self.held.retain(|held| *held != lane);
                self.line_up(lane, true);
                self.line_up((lane.0, 0), self.is_ready(lane.0));
            }
        }

        fn line_up(&mut self, who: (u32, u32), is_there: bool) {
            if is_there {
                self.now += 1;
                self.since.entry(who).or_insert(self.now);
            } else {
                self.since.remove(&who);
            }
        }

        fn take(&mut self, service: u32, caller: u32) -> Option<Job> {
            let at = self.jobs.iter().position(|job| (job.0, job.1) == (service, caller))?;
            self.since.remove(&(service, caller));
            Some(self.jobs.remove(at))
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(u32, u32),
        Next(Option<u32>),
        Release(u32),
        Settle(u8),
        Add(u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0u32..4, 1u32..4).prop_map(|(service, caller)| Op::Push(service, caller)),
            4 => proptest::option::weighted(0.3, 1u32..4).prop_map(Op::Next),
            1 => (1u32..4).prop_map(Op::Release),
            2 => (0u8..3).prop_map(Op::Settle),
            1 => (1u32..4).prop_map(Op::Add),
        ]
    }

    proptest! {
        #[test]
        fn every_job_is_given_out_once_and_in_its_turn(ops in proptest::collection::vec(op(), 0..80)) {
            let mut turns = Turns::new();
            let mut oracle = Oracle::default();
            let mut making: Vec<(u32, Place)> = Vec::new();
            for (number, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Push(service, caller) => {
                        let job = (service, caller, number as u32);
                        push(&mut turns, job);
                        oracle.jobs.push(job);
                    }
                    Op::Next(held) => {
                        let given = turns.next(|job| held.filter(|held| job.1 == *held).map(|held| StreamId(held.into())));
                        let expected = oracle_next(&mut oracle, held);
                        let job = match &given {
                            None => None,
                            Some(Turn::Nowhere(job)) => Some((*job, "nowhere")),
                            Some(Turn::Ready(job, _)) => Some((*job, "ready")),
                            Some(Turn::Vacant(job, place)) => {
                                making.push((job.0, *place));
                                Some((*job, "vacant"))
                            }
                        };
                        prop_assert_eq!(job, expected);
                    }
                    Op::Release(caller) => {
                        turns.release(StreamId(caller.into()));
                        oracle.release(caller);
                    }
                    Op::Settle(how) if !making.is_empty() => {
                        let (service, place) = making.remove(0);
                        let (settled, state) = match how {
                            0 => (Settled::Made(service), "ready"),
                            1 => (Settled::Failed, "vacant"),
                            _ => (Settled::Refused, "vacant"),
                        };
                        let mut failed = turns.settle(place, settled);
                        failed.sort();
                        let mut expected = Vec::new();
                        if how == 1 {
                            expected = oracle.jobs.extract_if(.., |job| job.0 == service).collect();
                            oracle.held.retain(|lane| lane.0 != service);
                        }
                        expected.sort();
                        prop_assert_eq!(failed, expected);
                        oracle.states.insert(service, state);
                    }
                    Op::Settle(_) => {}
                    Op::Add(service) => {
                        let added = turns.add(&format!("service {service}"), service);
                        prop_assert_eq!(added, oracle.state(service) == "vacant");
                        if added {
                            oracle.states.insert(service, "ready");
                        }
                    }
                }
                oracle.queue_up();
                prop_assert_eq!(turns.waiting(), oracle.jobs.len());
            }
            let mut rest = turns.drain_all();
            rest.sort();
            oracle.jobs.sort();
            prop_assert_eq!(rest, oracle.jobs);
        }
    }

    fn oracle_next(oracle: &mut Oracle, held: Option<u32>) -> Option<(Job, &'static str)> {
        loop {
            let ready = (0..4).filter(|service| oracle.is_ready(*service));
            let service = ready.min_by_key(|service| oracle.since[&(*service, 0)])?;
            oracle.since.remove(&(service, 0));
            while let Some(caller) =
                oracle.lanes(service).into_iter().min_by_key(|caller| oracle.since[&(service, *caller)])
            {
                if held == Some(caller) {
                    oracle.held.push((service, caller));
                    oracle.since.remove(&(service, caller));
                    continue;
                }
                let state = oracle.state(service);
                if state == "vacant" {
                    oracle.states.insert(service, "making");
                }
                return oracle.take(service, caller).map(|job| (job, state));
            }
        }
    }
}
