//! The numbers that the design promises, each of them run: so many callers, calls and bytes, and what
//! must hold meanwhile.
//!
//! Ten thousand callers of one deduplicated execution are in `deduplicating.rs`.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mitogen_service::{
    AllowAny, Call, CallError, Caller, Context, ContextId, Pool, Router, SerializedInvoker, service,
};
use mitogen_service_tests::LONG;

use crate::bench::{Bench, Gate, Visit, Worker};
use crate::programs::{self, Written};

/// Lets nobody in while somebody is inside, and knows who is next of each caller's calls.
#[derive(Default)]
struct Register {
    is_inside: AtomicBool,
    next: Mutex<HashMap<ContextId, u32>>,
}

#[service(name = "register", invoker = SerializedInvoker)]
impl Register {
    #[expose(policy = AllowAny)]
    fn enter(&self, number: u32, caller: &Caller) {
        assert!(!self.is_inside.swap(true, Ordering::SeqCst), "one at a time");
        {
            // Held for a moment only, so that it hides nothing.
            let mut next = self.next.try_lock().expect("nobody else is inside");
            let next = next.entry(caller.context().id()).or_default();
            assert_eq!(number, *next, "the calls of {} come in order", caller.context());
            *next += 1;
        }
        assert!(self.is_inside.swap(false, Ordering::SeqCst), "one at a time");
    }
}

/// Makes many calls.
#[derive(Default)]
struct Visitor;

#[service(activate)]
impl Visitor {
    /// Enters so often, with so many calls under way at most, and waits for all of them.
    #[expose(policy = AllowAny)]
    fn enter(&self, at: Context, times: u32, outstanding: usize) -> Result<(), CallError> {
        let register = Register::stub(&at);
        let mut under_way = VecDeque::new();
        for number in 0..times {
            if under_way.len() == outstanding {
                under_way.pop_front().map_or(Ok(()), Call::wait)?;
            }
            under_way.push_back(register.enter(number));
        }
        under_way.into_iter().try_for_each(Call::wait)
    }
}

#[test]
fn a_hundred_thousand_calls_of_eight_processes_run_one_at_a_time_and_in_order() {
    const EACH: u32 = 100_000 / 8;
    let bench = Bench::new();
    bench.pool.add(Register::default()).unwrap();
    let children: Vec<_> = (0..8).map(|number| bench.child(&format!("visitor {number}"))).collect();
    let began = Instant::now();
    let calls: Vec<_> = children.iter().map(|child| Visitor::stub(child).enter(bench.root(), EACH, 1000)).collect();
    for call in calls {
        call.wait_timeout(3 * LONG).unwrap();
    }
    println!("100,000 serialized calls of 8 processes took {:?}", began.elapsed());
    let register = bench.pool.get_service::<Register>().unwrap();
    let next = register.next.lock().unwrap();
    assert!(children.iter().all(|child| next[&child.id()] == EACH) && next.len() == 8, "{next:?}");
}

#[test]
fn a_gibibyte_to_a_slow_consumer_takes_little_memory() {
    let Written { stdout, stderr, success } = programs::run(programs::helper("stream"));
    assert!(success, "{stderr}");
    let numbers: Vec<u64> = stdout.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [receiver, sender, millis] = numbers[..] else { panic!("{stdout}") };
    println!("1 GiB in {millis} ms; most memory: receiver {receiver} KiB, sender {sender} KiB");
    assert!(receiver.max(sender) < 64 * 1024, "{receiver} KiB, {sender} KiB");
}

/// Calls back and forth.
#[derive(Default)]
struct Ring;

#[service(activate)]
impl Ring {
    /// From here on this context has so many threads for all of its services.
    #[expose(policy = AllowAny)]
    fn take_threads(&self, size: usize, router: &Router) -> mitogen_service::Result<()> {
        router.pool().expect("it runs this").close(LONG);
        Pool::builder(router).size(size).service(Ring).service(Turnstile).start()?;
        Ok(())
    }

    #[expose(policy = AllowAny)]
    fn threads(&self, router: &Router) -> Option<usize> {
        router.pool().map(|pool| pool.size())
    }

    /// Comes to the gate, and when it is let go calls another context on its own account, for so long.
    #[expose(policy = AllowAny)]
    fn meet(&self, gate: Context, other: Context, bound: Option<Duration>) -> Result<Option<usize>, CallError> {
        Gate::stub(&gate).pass("ring".to_owned()).wait()?;
        let other = Ring::stub(&other);
        let other = bound.map_or(other.clone(), |bound| other.with_timeout(bound));
        other.threads().wait()
    }

    /// Hands the call on to the next one in the circle until this was done so often.
    #[expose(policy = AllowAny)]
    fn hand_on(&self, mut circle: VecDeque<Context>, times: u32) -> Result<u32, CallError> {
        if times == 0 {
            return Ok(0);
        }
        circle.rotate_left(1);
        Ok(1 + Ring::stub(&circle[0]).hand_on(circle.clone(), times - 1).wait()?)
    }
}

/// The same where calls run one at a time.
struct Turnstile;

#[service(name = "turnstile", invoker = SerializedInvoker)]
impl Turnstile {
    #[expose(policy = AllowAny)]
    fn hand_on(&self, mut circle: VecDeque<Context>, times: u32) -> Result<u32, CallError> {
        if times == 0 {
            return Ok(0);
        }
        circle.rotate_left(1);
        Ok(1 + Turnstile::stub(&circle[0]).hand_on(circle.clone(), times - 1).wait()?)
    }
}

/// A root and two children of it with one thread each.
fn one_thread_each() -> (Router, [Context; 2]) {
    let router = Router::builder().build().unwrap();
    Pool::builder(&router).size(1).service(Ring).service(Turnstile).start().unwrap();
    let children = two_children(&router, 1);
    (router, children)
}

/// Two children with so many threads each.
fn two_children(router: &Router, threads: usize) -> [Context; 2] {
    let children = ["one", "two"].map(|name| router.local().name(name).connect().unwrap());
    for child in &children {
        let ring = Ring::stub(child);
        ring.take_threads(threads).wait_timeout(LONG).unwrap();
        assert_eq!(ring.threads().wait_timeout(LONG).unwrap(), Some(threads));
    }
    children
}

#[test]
fn processes_with_one_thread_each_call_each_other_back() {
    let (router, [one, two]) = one_thread_each();
    let hand_on = |circle: &[&Context], times| {
        let ring = Ring::stub(circle[0]);
        ring.hand_on(circle.iter().copied().cloned().collect(), times).wait_timeout(LONG).unwrap()
    };
    // A, B, A; there and back many times; and around a circle of three, the root among them.
    assert_eq!(hand_on(&[&one, &two], 2), 2);
    assert_eq!(hand_on(&[&one, &two], 30), 30);
    assert_eq!(hand_on(&[&one, &two, &router.myself()], 30), 30);
    assert_eq!(hand_on(&[&one, &one], 30), 30);
    // Many of them at once.
    let calls: Vec<_> = (0..50).map(|_| Ring::stub(&one).hand_on([one.clone(), two.clone()].into(), 4)).collect();
    assert!(calls.into_iter().all(|call| call.wait_timeout(LONG).unwrap() == 4));
}

/// Lets methods of two contexts call each other at the same moment, when so many run in each: no call is
/// a part of another one. Gives what has come of those from the first to the second, and of the others.
fn meet([one, two]: &[Context; 2], bench: &Bench, each: usize, bounds: [Option<Duration>; 2]) -> [Vec<Met>; 2] {
    let sides = [(one, two, bounds[0]), (two, one, bounds[1])];
    let call = |(from, to, bound): (&Context, &Context, _)| Ring::stub(from).meet(bench.root(), to.clone(), bound);
    let calls = sides.map(|side| (0..each).map(|_| call(side)).collect::<Vec<_>>());
    // They keep their threads while they wait here.
    let visits: Vec<_> = (0..2 * each).map(|_| bench.visit()).collect();
    visits.into_iter().for_each(Visit::go);
    calls.map(|calls| calls.into_iter().map(|call| call.wait_timeout(LONG)).collect())
}

type Met = Result<Option<usize>, CallError>;

/// The call's own deadline has ended it, and not the patience of the test.
fn in_its_time(result: &Met) -> bool {
    matches!(result, Err(error @ CallError::DeadlineExceeded { .. }) if !error.path().is_empty())
}

/// Each keeps the only thread that the other one needs. That is no circle, so no chain tells it; the
/// guide says what to do about it. This is the first way.
#[test]
fn calls_in_opposite_directions_that_keep_each_others_only_threads_end_with_a_deadline() {
    let bench = Bench::new();
    let children = two_children(&bench.router, 1);
    let soon = Some(Duration::from_millis(50));
    for _ in 0..3 {
        // One that gives up lets the other one have what it waits for.
        let [there, back] = meet(&children, &bench, 1, [soon, None]);
        assert!(in_its_time(&there[0]), "{there:?}");
        assert_eq!(back[0].clone().unwrap(), Some(1));
        // And where both have one, both come to their end.
        let both = meet(&children, &bench, 1, [soon, soon]).concat();
        assert!(both.iter().any(in_its_time), "{both:?}");
        assert!(both.iter().all(|result| in_its_time(result) || result == &Ok(Some(1))), "{both:?}");
    }
    // Nothing of all this is left, in either direction.
    for circle in [[&children[0], &children[1]], [&children[1], &children[0]]] {
        let circle: VecDeque<_> = circle.into_iter().cloned().collect();
        assert_eq!(Ring::stub(&circle[0]).hand_on(circle.clone(), 10).wait_timeout(LONG).unwrap(), 10);
    }
}

/// The other way: more threads than there are such calls at once.
#[test]
fn calls_in_opposite_directions_run_where_each_side_has_a_thread_more() {
    for threads in [2, 4] {
        let bench = Bench::new();
        let children = two_children(&bench.router, threads);
        for _ in 0..5 {
            let both = meet(&children, &bench, threads - 1, [None, None]).concat();
            assert_eq!(both.len(), 2 * (threads - 1));
            assert!(both.iter().all(|result| result == &Ok(Some(threads))), "{both:?}");
        }
    }
}

/// The pools that children make themselves have two threads, and here there are many more calls.
#[test]
fn many_calls_in_both_directions_come_to_their_end_with_deadlines() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    let stubs = [&one, &two].map(|child| Worker::stub(child).with_timeout(Duration::from_millis(300)));
    for child in [&one, &two] {
        Worker::stub(child).marks().wait().unwrap();
    }
    let calls: Vec<_> = (0..100)
        .flat_map(|number: usize| {
            let text = number.to_string();
            [stubs[0].echo_at(two.clone(), text.clone()), stubs[1].echo_at(one.clone(), text)]
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        match call.wait_timeout(LONG) {
            Ok(text) => assert_eq!(text, (number / 2).to_string()),
            Err(error) => assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error:?}"),
        }
    }
    for (here, there) in [(&one, &two), (&two, &one)] {
        let text = Worker::stub(here).echo_at(there.clone(), "again".to_owned()).wait_timeout(LONG).unwrap();
        assert_eq!(text, "again");
    }
}

#[test]
fn a_circle_of_processes_that_cannot_end_is_told_in_two_ways() {
    let (_router, [one, two]) = one_thread_each();
    let circle = VecDeque::from([one.clone(), two.clone()]);

    // Whoever is inside waits for itself.
    let turnstile = Turnstile::stub(&one);
    assert_eq!(turnstile.hand_on(circle.clone(), 1).wait_timeout(LONG).unwrap(), 1);
    let error = turnstile.hand_on(circle.clone(), 2).wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Deadlock { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the call would wait for itself: turnstile.hand_on in one -> turnstile.hand_on in two -> turnstile.hand_on in one"
    );
    assert_eq!(error.path(), ["one", "two", "one"]);
    assert_eq!(turnstile.hand_on(circle.clone(), 1).wait_timeout(LONG).unwrap(), 1, "nobody is inside any more");

    // Nobody waits for itself, and it has no end.
    let error = Ring::stub(&one).hand_on(circle, 1000).wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Deadlock { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("the call would wait for itself: it::shown::Ring.hand_on in one -> "), "{text}");
    assert!(text.ends_with(" -> ... (more than 32 calls deep)"), "{text}");
    assert_eq!(Ring::stub(&two).threads().wait_timeout(LONG).unwrap(), Some(1));
}
