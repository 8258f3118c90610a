//! Whose turn it is, by hand and held against a model.

use proptest::prelude::*;

use super::*;

/// Service (0 for none), caller, and which one of that caller's to that service.
type Job = (u32, u32, u32);

fn name(service: u32) -> Option<String> {
    (service > 0).then(|| format!("service {service}"))
}

/// The third service runs one at a time.
impl Strands<Job> for u32 {
    fn strand(&self, _job: &Job) -> Option<usize> {
        (*self == 3).then_some(0)
    }
}

const ME: ContextId = ContextId::new(99);

impl Turns<Job, u32> {
    /// Adds a service that has nothing to do when it starts.
    fn add(&mut self, name: &str, service: u32) -> bool {
        match self.reserve(name, &[]) {
            Reserved::Yes(place) => self.settle(place, Settled::Added(service)).0.is_empty(),
            Reserved::No | Reserved::NotYet => false,
        }
    }
}

fn id((_, caller, number): Job) -> CallId {
    (ContextId::new(caller), Handle::new(1000 + number))
}

/// The calls of this context in the chain are pending.
fn push_nested(turns: &mut Turns<Job, u32>, job: Job, chain: &[CallId]) -> Result<(), Job> {
    let chain: Vec<_> = chain.iter().map(|id| Waiter { id: *id, is_pending_here: id.0 == ME }).collect();
    push_behind(turns, job, &chain)
}

fn push_behind(turns: &mut Turns<Job, u32>, job: Job, chain: &[Waiter]) -> Result<(), Job> {
    let service = name(job.0);
    let caller = ContextId::new(job.1);
    turns.push(Arrival { service: service.as_deref(), caller, id: Some(id(job)), chain, job })
}

fn push(turns: &mut Turns<Job, u32>, job: Job) {
    push_nested(turns, job, &[]).unwrap();
}

fn turns() -> Turns<Job, u32> {
    Turns::new(ME)
}

fn next(turns: &mut Turns<Job, u32>) -> Option<Turn<Job, u32>> {
    turns.next(|_| None)
}

#[test]
fn services_take_turns_and_so_do_the_callers_of_each() {
    let mut turns = turns();
    assert!(turns.add("service 1", 1) && turns.add("service 2", 2));
    for number in 0..3 {
        push(&mut turns, (1, 10, number));
    }
    push(&mut turns, (1, 11, 0));
    push(&mut turns, (2, 10, 0));
    let order: Vec<_> = std::iter::from_fn(|| next(&mut turns)).collect();
    let expected = [(1, 10, 0), (2, 10, 0), (1, 11, 0), (1, 10, 1), (1, 10, 2)];
    assert_eq!(order, expected.map(|job| Turn::Ready(job, job.0, None)));
}

#[test]
fn a_service_is_made_for_one_call_while_the_others_wait() {
    let mut turns = turns();
    for caller in 10..13 {
        push(&mut turns, (1, caller, 0));
    }
    let Some(Turn::Vacant((1, 10, 0), place)) = next(&mut turns) else { panic!("the first is to make it") };
    assert_eq!(next(&mut turns), None);
    assert!(!turns.add("service 1", 7), "it is being made");
    assert_eq!(turns.settle(place, Settled::Refused), (vec![], vec![]));
    assert_eq!(next(&mut turns), Some(Turn::Vacant((1, 11, 0), place)));
    push(&mut turns, (1, 13, 0));
    assert_eq!(turns.settle(place, Settled::Made(1, (1, 11, 0))), (vec![], vec![]));
    assert_eq!(next(&mut turns), Some(Turn::Ready((1, 11, 0), 1, None)), "for which it was made");
    assert_eq!(next(&mut turns), Some(Turn::Ready((1, 12, 0), 1, None)));
    assert_eq!(next(&mut turns), Some(Turn::Ready((1, 13, 0), 1, None)));
    assert!(!turns.add("service 1", 7), "it is there");
}

#[test]
fn a_name_is_kept_for_a_service_that_starts_and_calls_wait_for_it() {
    let mut turns = turns();
    push(&mut turns, (1, 10, 0));
    let mine = id((2, 20, 0));
    let Reserved::Yes(place) = turns.reserve("service 1", &[id((2, 19, 0)), mine]) else { panic!("it is free") };
    assert_eq!(turns.reserve("service 1", &[]), Reserved::No, "one at a time");
    push(&mut turns, (1, 11, 0));
    assert_eq!(next(&mut turns), None, "it has not started");
    assert_eq!(push_nested(&mut turns, (1, 12, 0), &[mine]), Err((1, 12, 0)), "its start would wait for itself");
    assert_eq!((turns.get("service 1"), turns.services().count()), (None, 0));
    assert_eq!(turns.settle(place, Settled::Added(1)), (vec![], vec![]));
    let order: Vec<_> = std::iter::from_fn(|| next(&mut turns)).collect();
    assert_eq!(order, [(1, 10, 0), (1, 11, 0)].map(|job| Turn::Ready(job, 1, None)));
    assert_eq!((turns.waiting(), turns.reserve("service 1", &[])), (0, Reserved::No));
}

#[test]
fn a_name_is_free_again_when_its_service_did_not_start() {
    let mut turns = turns();
    let Reserved::Yes(place) = turns.reserve("service 1", &[]) else { panic!("it is free") };
    push(&mut turns, (1, 10, 0));
    assert_eq!(turns.settle(place, Settled::Failed), (vec![(1, 10, 0)], vec![]));
    assert_eq!((turns.waiting(), turns.by_name.len()), (0, 0));
    assert!(matches!(turns.reserve("service 1", &[]), Reserved::Yes(_)));
}

#[test]
fn a_name_that_a_call_has_asked_for_is_free_if_the_call_may_not_have_it_made() {
    let mut turns = turns();
    let call = (1, 10, 0);
    push(&mut turns, call);
    let Some(Turn::Vacant(_, place)) = next(&mut turns) else { panic!("it is to be made") };
    assert_eq!(turns.reserve("service 1", &[]), Reserved::NotYet);
    assert_eq!(turns.reserve("service 1", &[id(call), id((2, 10, 1))]), Reserved::No, "it would wait for itself");
    turns.settle(place, Settled::Refused);
    assert!(matches!(turns.reserve("service 1", &[]), Reserved::Yes(_)));
}

#[test]
fn what_waits_for_a_service_that_cannot_be_made_is_given_back() {
    let mut turns = turns();
    for caller in 10..13 {
        push(&mut turns, (1, caller, 0));
    }
    let Some(Turn::Vacant(_, place)) = next(&mut turns) else { panic!("the first is to make it") };
    assert_eq!(turns.settle(place, Settled::Failed).0, [(1, 11, 0), (1, 12, 0)]);
    push(&mut turns, (1, 13, 0));
    assert!(matches!(next(&mut turns), Some(Turn::Vacant((1, 13, 0), _))), "it is tried again");
}

#[test]
fn names_that_nobody_knows_leave_nothing_behind() {
    let mut turns = turns();
    for service in 1..1000 {
        push(&mut turns, (service, 10, 0));
        let Some(Turn::Vacant(_, place)) = next(&mut turns) else { panic!("nobody knows it") };
        turns.settle(place, Settled::Refused);
    }
    assert_eq!((turns.by_name.len(), turns.places.len()), (0, 2));
}

#[test]
fn a_caller_that_takes_no_answers_is_passed_over_until_it_does() {
    let mut turns = turns();
    turns.add("service 1", 1);
    for number in 0..2 {
        push(&mut turns, (1, 10, number));
        push(&mut turns, (1, 11, number));
    }
    let held = |job: &Job| (job.1 == 10).then_some(StreamId(5));
    assert_eq!(turns.next(held), Some(Turn::Ready((1, 11, 0), 1, None)));
    assert_eq!(turns.next(held), Some(Turn::Ready((1, 11, 1), 1, None)));
    assert_eq!(turns.next(held), None);
    push(&mut turns, (1, 10, 2));
    assert_eq!(next(&mut turns), None, "it has to be released first");
    assert!(!turns.release(StreamId(6)) && turns.release(StreamId(5)));
    let rest: Vec<_> = std::iter::from_fn(|| next(&mut turns)).collect();
    assert_eq!(rest, [0, 1, 2].map(|number| Turn::Ready((1, 10, number), 1, None)));
}

#[test]
fn a_strand_runs_one_at_a_time_in_the_order_of_arrival_of_all_callers() {
    let mut turns = turns();
    // Two came before the service was there.
    let jobs = [(3, 10, 0), (3, 11, 1), (3, 10, 2), (3, 10, 3), (3, 11, 4)];
    jobs[..2].iter().for_each(|job| push(&mut turns, *job));
    assert!(turns.add("service 3", 3));
    jobs[2..].iter().for_each(|job| push(&mut turns, *job));
    for job in jobs {
        let Some(Turn::Ready(given, 3, Some(place))) = next(&mut turns) else { panic!("{job:?} is next") };
        assert_eq!(given, job);
        assert_eq!(next(&mut turns), None, "one at a time");
        turns.done(place);
    }
    assert_eq!(next(&mut turns), None);
}

#[test]
fn who_waits_for_a_call_may_take_it_out_of_its_turn() {
    let mut turns = turns();
    turns.add("service 1", 1);
    turns.add("service 3", 3);
    let mine = (ME, Handle::new(5000));
    push(&mut turns, (1, 10, 0));
    push_nested(&mut turns, (1, 10, 1), &[id((1, 9, 9)), mine]).unwrap();
    push_nested(&mut turns, (3, 10, 2), &[mine]).unwrap();
    push(&mut turns, (1, 10, 3));
    assert_eq!(turns.next_nested(Handle::new(5001)), None);
    assert_eq!(turns.next_nested(mine.1), Some(Turn::Ready((1, 10, 1), 1, None)));
    let Some(Turn::Ready((3, 10, 2), 3, Some(place))) = turns.next_nested(mine.1) else { panic!("it is next") };
    assert_eq!(turns.next_nested(mine.1), None);
    push_nested(&mut turns, (3, 10, 4), &[mine]).unwrap();
    assert_eq!(turns.next_nested(mine.1), None, "the strand is busy");
    assert_eq!(turns.done(place), [mine.1], "it is worth another look");
    assert!(turns.next_nested(mine.1).is_some());
    let rest: Vec<_> = std::iter::from_fn(|| next(&mut turns)).collect();
    assert_eq!(rest, [0, 3].map(|number| Turn::Ready((1, 10, number), 1, None)));
    assert_eq!((turns.waiting(), turns.nested.len()), (0, 0));
}

#[test]
fn a_place_that_a_nested_job_has_shut_gives_nothing_out() {
    let mut turns = turns();
    turns.add("service 3", 3);
    let mine = (ME, Handle::new(5000));
    for (service, numbers) in [(3, [0, 1]), (1, [2, 3])] {
        push_nested(&mut turns, (service, 10, numbers[0]), &[mine]).unwrap();
        push(&mut turns, (service, 11, numbers[1]));
    }
    let Some(Turn::Ready((3, 10, 0), 3, Some(strand))) = turns.next_nested(mine.1) else { panic!("it is next") };
    let Some(Turn::Vacant((1, 10, 2), vacant)) = turns.next_nested(mine.1) else { panic!("it is next") };
    assert_eq!(next(&mut turns), None, "one runs, and one is made");
    turns.done(strand);
    assert!(matches!(next(&mut turns), Some(Turn::Ready((3, 11, 1), 3, Some(_)))));
    turns.settle(vacant, Settled::Made(1, (1, 10, 2)));
    let rest: Vec<_> = std::iter::from_fn(|| next(&mut turns)).collect();
    assert_eq!(rest, [(1, 10, 2), (1, 11, 3)].map(|job| Turn::Ready(job, 1, None)));
}

#[test]
fn a_call_that_would_wait_for_itself_is_given_back() {
    let mut turns = turns();
    turns.add("service 3", 3);
    let running = (3, 10, 0);
    push(&mut turns, running);
    assert!(next(&mut turns).is_some());
    let nested = (3, 11, 0);
    assert_eq!(push_nested(&mut turns, nested, &[id(running), (ME, Handle::new(5000))]), Err(nested));
    assert_eq!(push_nested(&mut turns, nested, &[id((3, 10, 1))]), Ok(()), "another one may wait");
    // The same for a service that is being made.
    push(&mut turns, (1, 10, 0));
    assert!(matches!(next(&mut turns), Some(Turn::Vacant(..))));
    assert_eq!(push_nested(&mut turns, (1, 11, 0), &[id((1, 10, 0))]), Err((1, 11, 0)));
}

#[test]
fn the_oldest_job_goes_first_that_a_call_waits_for_and_can_be_given_out() {
    let mut turns = turns();
    assert!(turns.add("service 1", 1) && turns.add("service 3", 3));
    let mine = (ME, Handle::new(5000));
    push(&mut turns, (3, 10, 0));
    assert!(next(&mut turns).is_some(), "the strand is busy from here on");
    for job in [(3, 10, 1), (2, 10, 2), (1, 10, 3), (1, 11, 4)] {
        push_nested(&mut turns, job, &[mine]).unwrap();
    }
    assert!(matches!(turns.next_nested(mine.1), Some(Turn::Vacant((2, 10, 2), _))));
    assert_eq!(turns.next_nested(mine.1), Some(Turn::Ready((1, 10, 3), 1, None)));
    assert_eq!(turns.next_nested(mine.1), Some(Turn::Ready((1, 11, 4), 1, None)));
    assert_eq!(turns.next_nested(mine.1), None);
}

#[test]
fn only_who_has_looked_in_vain_is_told_that_a_place_has_opened() {
    let mut turns = turns();
    turns.add("service 3", 3);
    push(&mut turns, (3, 10, 0));
    let Some(Turn::Ready(_, _, Some(place))) = next(&mut turns) else { panic!("it is ready") };
    let handles = [5000, 5001, 5002].map(Handle::new);
    for (number, handle) in (1..).zip(handles) {
        push_nested(&mut turns, (3, 10, number), &[(ME, handle)]).unwrap();
    }
    assert_eq!(turns.next_nested(handles[2]), None);
    assert_eq!(turns.next_nested(handles[1]), None);
    assert_eq!(turns.done(place), handles[1..], "and once");
    assert_eq!(turns.done(place), []);
    assert!(turns.next_nested(handles[0]).is_some());
}

/// A chain is what a caller says. What is not pending here nobody waits for.
#[test]
fn handles_that_no_call_here_has_are_not_kept() {
    let mut turns = turns();
    turns.add("service 1", 1);
    let forged: Vec<_> = (0..32)
        .map(|number| Waiter { id: (ME, Handle::new(7000 + number)), is_pending_here: false })
        .chain([Waiter { id: id((1, 11, 0)), is_pending_here: false }])
        .collect();
    for number in 0..100 {
        push_behind(&mut turns, (1, 10, number), &forged).unwrap();
    }
    assert!(turns.nested.is_empty());
    assert_eq!(turns.next_nested(Handle::new(7000)), None);
    // A call of this context to itself is pending, whatever the chain says.
    push_behind(&mut turns, (1, ME.get(), 0), &forged).unwrap();
    assert_eq!(turns.nested.len(), 1);
    // And what runs somewhere is known by its name, be it pending or not.
    turns.add("service 3", 3);
    push(&mut turns, (3, 10, 0));
    let running = std::iter::from_fn(|| next(&mut turns)).find(|turn| matches!(turn, Turn::Ready(_, 3, _)));
    assert!(running.is_some());
    let circle = [Waiter { id: id((3, 10, 0)), is_pending_here: false }];
    assert_eq!(push_behind(&mut turns, (3, 11, 0), &circle), Err((3, 11, 0)));
}

/// The same in the simplest way: all jobs in a list, and when each service and lane came last.
#[derive(Default)]
struct Oracle {
    jobs: Vec<Job>,
    /// The handles that wait for a job, by its number.
    mine: BTreeMap<u32, BTreeSet<u32>>,
    states: BTreeMap<u32, &'static str>,
    /// When a lane or, with caller 0, a service took its place at the end of its row. It keeps the
    /// place until its turn comes, even if everything has been taken out of it meanwhile.
    since: BTreeMap<(u32, u32), u32>,
    held: Vec<(u32, u32)>,
    /// The strand of the third service runs something.
    busy: bool,
    /// The handles that have found something only where nothing is given out, by the service.
    in_vain: BTreeMap<u32, BTreeSet<u32>>,
    now: u32,
}

impl Oracle {
    fn state(&self, service: u32) -> &'static str {
        if service == 0 { "nowhere" } else { self.states.get(&service).copied().unwrap_or("vacant") }
    }

    fn is_strand(&self, service: u32) -> bool {
        service == 3 && self.state(service) == "ready"
    }

    fn is_shut(&self, service: u32) -> bool {
        self.state(service) == "making" || self.is_strand(service) && self.busy
    }

    fn push(&mut self, job: Job, mine: BTreeSet<u32>) {
        self.jobs.push(job);
        self.mine.insert(job.2, mine);
        self.line_up_lane(job.0, job.1);
    }

    /// What has waited for a service lines up anew, in the order in which it came.
    fn made(&mut self, service: u32) {
        self.states.insert(service, "ready");
        self.forget_lanes(service);
        // A strand is another place than that of its service.
        if service == 3 {
            self.since.remove(&(service, 0));
        }
        let callers: Vec<_> = self.jobs.iter().filter(|job| job.0 == service).map(|job| job.1).collect();
        for caller in callers {
            self.line_up_lane(service, caller);
        }
    }

    fn forget_lanes(&mut self, service: u32) {
        self.held.retain(|lane| lane.0 != service);
        self.since.retain(|who, _| who.0 != service || who.1 == 0);
    }

    /// The caller whose turn it is.
    fn next_caller(&self, service: u32) -> Option<u32> {
        let lanes: Vec<_> = (1..4).filter(|caller| self.since.contains_key(&(service, *caller))).collect();
        if self.is_strand(service) {
            let first = self.jobs.iter().find(|job| job.0 == service && lanes.contains(&job.1));
            return first.map(|job| job.1);
        }
        lanes.into_iter().min_by_key(|caller| self.since[&(service, *caller)])
    }

    fn next(&mut self, held: Option<u32>) -> Option<(Job, &'static str)> {
        loop {
            let rows = (0..4).filter(|service| self.since.contains_key(&(*service, 0)));
            let service = rows.min_by_key(|service| self.since[&(*service, 0)])?;
            self.since.remove(&(service, 0));
            if self.is_strand(service) && !self.busy {
                // The oldest job goes first, so all lanes are looked at, and empty ones forgotten.
                let Self { jobs, since, .. } = self;
                since.retain(|who, _| who.0 != service || jobs.iter().any(|job| (job.0, job.1) == *who));
            }
            while !self.is_shut(service) {
                let Some(caller) = self.next_caller(service) else { break };
                self.since.remove(&(service, caller));
                let Some(job) = self.jobs.iter().copied().find(|job| (job.0, job.1) == (service, caller)) else {
                    continue;
                };
                if held == Some(caller) {
                    self.held.push((service, caller));
                    continue;
                }
                let given = self.take(job);
                if self.jobs.iter().any(|job| (job.0, job.1) == (service, caller)) {
                    self.line_up((service, caller));
                }
                self.give_turn(service);
                return Some(given);
            }
        }
    }

    /// The first job that a call waits for, if any is where something is given out.
    fn first_nested(&self, handle: u32) -> Option<Job> {
        let waited_for = self.jobs.iter().filter(|job| self.mine[&job.2].contains(&handle));
        waited_for.copied().find(|job| !self.is_shut(job.0))
    }

    fn next_nested(&mut self, handle: u32) -> Option<(Job, &'static str)> {
        if let Some(job) = self.first_nested(handle) {
            return Some(self.take(job));
        }
        for job in self.jobs.iter().filter(|job| self.mine[&job.2].contains(&handle)) {
            self.in_vain.entry(job.0).or_default().insert(handle);
        }
        None
    }

    fn take(&mut self, job: Job) -> (Job, &'static str) {
        let state = self.state(job.0);
        if state == "vacant" {
            self.states.insert(job.0, "making");
        }
        self.busy |= self.is_strand(job.0);
        self.jobs.retain(|other| *other != job);
        (job, state)
    }

    fn release(&mut self, caller: u32) {
        for lane in self.held.clone().into_iter().filter(|lane| lane.1 == caller) {
            self.held.retain(|held| *held != lane);
            if self.jobs.iter().any(|job| (job.0, job.1) == lane) {
                self.line_up(lane);
                self.give_turn(lane.0);
            }
        }
    }

    fn line_up_lane(&mut self, service: u32, caller: u32) {
        if !self.held.contains(&(service, caller)) {
            self.line_up((service, caller));
        }
        self.give_turn(service);
    }

    fn give_turn(&mut self, service: u32) {
        let has_lane = (1..4).any(|caller| self.since.contains_key(&(service, caller)));
        if has_lane && !self.is_shut(service) {
            self.line_up((service, 0));
        }
    }

    fn line_up(&mut self, who: (u32, u32)) {
        self.now += 1;
        self.since.entry(who).or_insert(self.now);
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// To a service, from a caller, waited for by these handles, and perhaps by all that run.
    Push(u32, u32, BTreeSet<u32>, bool),
    Next(Option<u32>),
    Nested(u32),
    Release(u32),
    Settle(u8),
    Add(u32),
    Done,
}

fn op() -> impl Strategy<Value = Op> {
    let handles = proptest::collection::btree_set(5000u32..5003, 0..3);
    prop_oneof![
        6 => (0u32..4, 1u32..4, handles, proptest::bool::weighted(0.1))
            .prop_map(|(service, caller, mine, behind)| Op::Push(service, caller, mine, behind)),
        4 => proptest::option::weighted(0.3, 1u32..4).prop_map(Op::Next),
        4 => (5000u32..5003).prop_map(Op::Nested),
        1 => (1u32..4).prop_map(Op::Release),
        2 => (0u8..3).prop_map(Op::Settle),
        1 => (1u32..4).prop_map(Op::Add),
        2 => Just(Op::Done),
    ]
}

/// What has come of the test so far, beside the two that are compared.
#[derive(Default)]
struct Run {
    making: Vec<(Job, Place)>,
    running: Option<(Job, Place)>,
    /// The handles whose threads have looked, have found nothing, and were not woken since.
    asleep: BTreeSet<u32>,
}

impl Run {
    /// What was given out, as the oracle tells it.
    fn given(&mut self, turn: Option<Turn<Job, u32>>) -> Option<(Job, &'static str)> {
        Some(match turn? {
            Turn::Nowhere(job) => (job, "nowhere"),
            Turn::Ready(job, _, place) => {
                self.running = place.map(|place| (job, place)).or(self.running);
                (job, "ready")
            }
            Turn::Vacant(job, place) => {
                self.making.push((job, place));
                (job, "vacant")
            }
        })
    }

    /// The calls that run where only one can.
    fn all_that_run(&self) -> Vec<CallId> {
        self.making.iter().chain(&self.running).map(|(job, _)| id(*job)).collect()
    }

    fn wake(&mut self, handles: &BTreeSet<u32>) {
        self.asleep.retain(|handle| !handles.contains(handle));
    }
}

fn numbers(handles: Vec<Handle>) -> BTreeSet<u32> {
    handles.into_iter().map(Handle::get).collect()
}

proptest! {
    /// Every job is given out once and in its turn, or out of it to who waits for it; nobody who
    /// waits sleeps while there is something to do for them; and nobody is woken for nothing.
    #[test]
    fn every_job_is_given_out_once_in_its_turn_or_to_who_waits_for_it(
        ops in proptest::collection::vec(op(), 0..120),
    ) {
        let mut turns = turns();
        let mut oracle = Oracle::default();
        let mut run = Run::default();
        for (number, op) in ops.into_iter().enumerate() {
            match op {
                Op::Push(service, caller, mine, behind) => {
                    let job = (service, caller, number as u32);
                    let mut chain: Vec<_> = mine.iter().map(|handle| (ME, Handle::new(*handle))).collect();
                    if behind {
                        chain.extend(run.all_that_run());
                    }
                    let circle = behind && oracle.is_shut(service);
                    prop_assert_eq!(push_nested(&mut turns, job, &chain).is_err(), circle);
                    if !circle {
                        // Whoever pushes wakes those who wait for it.
                        run.wake(&mine);
                        oracle.push(job, mine);
                    }
                }
                Op::Next(held) => {
                    let stream = |job: &Job| held.filter(|held| job.1 == *held).map(|held| StreamId(held.into()));
                    let given = run.given(turns.next(stream));
                    prop_assert_eq!(given, oracle.next(held));
                }
                Op::Nested(handle) => {
                    let given = run.given(turns.next_nested(Handle::new(handle)));
                    prop_assert_eq!(given, oracle.next_nested(handle));
                    if given.is_none() {
                        run.asleep.insert(handle);
                    }
                }
                Op::Release(caller) => {
                    turns.release(StreamId(caller.into()));
                    oracle.release(caller);
                }
                Op::Settle(how) if !run.making.is_empty() => {
                    let (job, place) = run.making.remove(0);
                    let service = job.0;
                    let mut woken = oracle.in_vain.remove(&service).unwrap_or_default();
                    let (settled, state) = match how {
                        0 => (Settled::Made(service, job), "ready"),
                        1 => (Settled::Failed, "vacant"),
                        _ => (Settled::Refused, "vacant"),
                    };
                    let (mut failed, nested) = turns.settle(place, settled);
                    failed.sort();
                    let mut expected = Vec::new();
                    oracle.states.insert(service, state);
                    match how {
                        0 => {
                            let at = oracle.jobs.iter().position(|other| other.2 > job.2);
                            oracle.jobs.insert(at.unwrap_or(oracle.jobs.len()), job);
                            woken.extend(&oracle.mine[&job.2]);
                            oracle.made(service);
                        }
                        1 => {
                            expected = oracle.jobs.extract_if(.., |job| job.0 == service).collect();
                            oracle.forget_lanes(service);
                        }
                        _ => oracle.give_turn(service),
                    }
                    expected.sort();
                    prop_assert_eq!(failed, expected);
                    run.wake(&woken);
                    prop_assert_eq!(numbers(nested), woken);
                }
                Op::Settle(_) => {}
                Op::Done => {
                    if let Some((_, place)) = run.running.take() {
                        let nested = numbers(turns.done(place));
                        oracle.busy = false;
                        oracle.give_turn(3);
                        run.wake(&nested);
                        prop_assert_eq!(nested, oracle.in_vain.remove(&3).unwrap_or_default());
                    }
                }
                Op::Add(service) => {
                    let added = turns.add(&format!("service {service}"), service);
                    prop_assert_eq!(added, oracle.state(service) == "vacant");
                    if added {
                        oracle.made(service);
                    }
                }
            }
            prop_assert_eq!(turns.waiting(), oracle.jobs.len());
            for handle in &run.asleep {
                prop_assert_eq!(oracle.first_nested(*handle), None, "{} sleeps", handle);
            }
            let indexed: usize = turns.nested.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum();
            let waits: usize = oracle.jobs.iter().map(|job| oracle.mine[&job.2].len()).sum();
            prop_assert_eq!(indexed, waits);
        }
        let mut rest = turns.drain_all();
        rest.sort();
        oracle.jobs.sort();
        prop_assert_eq!(rest, oracle.jobs);
        prop_assert!(turns.nested.is_empty());
    }
}
