//! `DeduplicatingInvoker`: one execution for all who ask the same, and its result for those who come
//! later.
//!
//! The letters are those of the table in docs/parity.md.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mitogen_service::{
    AllowAny, AllowParents, Authorized, Blob, Call, CallError, Caller, ConcurrentInvoker, Context,
    DeduplicatingInvoker, Executed, Invoker, Pool, Reply, Router, ServiceScope, Uncached, service,
};
use mitogen_service_tests::LONG;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, Worker};
use crate::upstream_defects::Peer;

/// A text that may have no encoding.
#[derive(Debug, PartialEq, Deserialize)]
struct Text(String);

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_str() {
            "broken" => Err(serde::ser::Error::custom("it is broken")),
            text => serializer.serialize_str(text),
        }
    }
}

/// Runs when the test lets it.
struct Slow {
    runs: AtomicUsize,
    /// Who has come.
    arrivals: mpsc::Sender<String>,
    go: Mutex<mpsc::Receiver<()>>,
}

#[service(name = "slow", invoker = DeduplicatingInvoker)]
impl Slow {
    /// What was asked for and how many have run, or something that goes wrong.
    #[expose(policy = AllowAny)]
    fn run(&self, what: String) -> Result<Text, String> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.arrivals.send(format!("run {what}")).unwrap();
        // A test that is over lets everybody go.
        let _ = self.go.lock().unwrap().recv();
        match what.as_str() {
            "panic" => panic!("as wanted"),
            "error" => Err("as wanted".into()),
            "broken" => Ok(Text("broken".into())),
            "large" => Ok(Text("x".repeat(1 << 20))),
            _ => Ok(Text(format!("{what} {run}"))),
        }
    }

    /// Comes after all calls that the same caller has made before.
    #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
    fn mark(&self, name: String) {
        self.arrivals.send(format!("mark {name}")).unwrap();
    }

    #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

/// The other end of [`Slow`].
struct Hand {
    arrivals: mpsc::Receiver<String>,
    go: mpsc::Sender<()>,
}

impl Hand {
    fn expect(&self, arrival: &str) {
        assert_eq!(self.arrivals.recv_timeout(LONG).unwrap(), arrival);
    }

    fn go(&self) {
        self.go.send(()).unwrap();
    }
}

fn slow() -> (Slow, Hand) {
    let (arrive, arrivals) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    (Slow { runs: AtomicUsize::new(0), arrivals: arrive, go: Mutex::new(gone) }, Hand { arrivals, go })
}

/// A router with a pool of this many threads, and [`Slow`] in it.
fn pooled(threads: usize) -> (Router, SlowStub, Hand) {
    let router = Router::builder().max_message_size(1 << 18).build().unwrap();
    let (slow, hand) = slow();
    Pool::builder(&router).size(threads).service(slow).start().unwrap();
    let stub = Slow::stub(&router.myself());
    (router, stub, hand)
}

/// A call that executes and two that wait for it.
fn three(slow: &SlowStub, hand: &Hand, what: &str) -> [Call<Text>; 3] {
    let first = slow.run(what.into());
    hand.expect(&format!("run {what}"));
    let others = [slow.run(what.into()), slow.run(what.into())];
    slow.mark(what.into()).wait_timeout(LONG).unwrap();
    hand.expect(&format!("mark {what}"));
    let [second, third] = others;
    [first, second, third]
}

/// Asks for others.
#[derive(Default)]
struct Agent;

#[service(activate)]
impl Agent {
    #[expose(policy = AllowAny)]
    fn ask(&self, of: Context, what: String) -> Result<Text, CallError> {
        let slow = Slow::stub(&of);
        let call = slow.run(what.clone());
        slow.mark(what).wait()?;
        call.wait()
    }

    /// Asks the same many times at once; gives the answers that differ from the first, and it.
    #[expose(policy = AllowAny)]
    fn flood(&self, of: Context, calls: usize) -> Result<(usize, Text), CallError> {
        let slow = Slow::stub(&of);
        let mut calls: Vec<_> = (0..calls).map(|_| slow.run("flood".into())).collect();
        slow.mark("flood".into()).wait()?;
        let first = calls.remove(0).wait()?;
        let others: Result<Vec<_>, _> = calls.into_iter().map(Call::wait).collect();
        Ok((others?.into_iter().filter(|answer| *answer != first).count(), first))
    }
}

// (g) answers are sent while nothing is locked, and those who wait hold no thread.
#[test]
fn ten_thousand_callers_are_answered_by_one_execution_while_others_are_served() {
    let bench = Bench::new();
    let (slow, hand) = slow();
    bench.pool.add(slow).unwrap();
    bench.pool.add(Worker::default()).unwrap();
    let child = bench.child("child");
    let flood = Agent::stub(&child).flood(bench.root(), 10_000);
    hand.expect("run flood");
    // The mark comes when the only other thread of the pool has seen all of them.
    hand.expect("mark flood");
    for number in 0..100 {
        let text = number.to_string();
        assert_eq!(Worker::stub(&bench.root()).echo(text.clone()).wait_timeout(LONG).unwrap(), text);
    }
    hand.go();
    assert_eq!(flood.wait_timeout(LONG).unwrap(), (0, Text("flood 1".into())));
    assert_eq!(Slow::stub(&bench.root()).runs().wait_timeout(LONG).unwrap(), 1);
}

#[test]
fn who_comes_later_gets_what_was_kept() {
    let (_router, slow, hand) = pooled(2);
    let calls = three(&slow, &hand, "a");
    hand.go();
    for call in calls {
        assert_eq!(call.wait_timeout(LONG).unwrap(), Text("a 1".into()));
    }
    assert_eq!(slow.run("a".into()).wait_timeout(LONG).unwrap(), Text("a 1".into()));
    let other = slow.run("b".into());
    hand.expect("run b");
    hand.go();
    assert_eq!(other.wait_timeout(LONG).unwrap(), Text("b 2".into()));
}

// (c) errors are not kept; (f) nor is what cannot be sent, and everybody is told.
#[test]
fn what_goes_wrong_is_told_to_all_who_wait_and_not_kept() {
    let (_router, slow, hand) = pooled(2);
    for what in ["error", "panic", "broken", "large"] {
        let before = slow.runs().wait_timeout(LONG).unwrap();
        for _ in 0..2 {
            let calls = three(&slow, &hand, what);
            hand.go();
            for call in calls {
                let error = call.wait_timeout(LONG).unwrap_err();
                let is_right = match what {
                    "error" => matches!(&error, CallError::Failed { message, .. } if message == "as wanted"),
                    "panic" => matches!(&error, CallError::Panicked { message, .. } if message == "as wanted"),
                    "broken" => matches!(error, CallError::Encode { .. }),
                    _ => matches!(error, CallError::TooLarge { .. }),
                };
                assert!(is_right, "{what}: {error:?}");
                assert_eq!(error.executed(), Executed::Yes, "{what}");
            }
        }
        assert_eq!(slow.runs().wait_timeout(LONG).unwrap(), before + 2, "{what}");
    }
}

#[test]
fn the_end_of_the_first_caller_takes_nothing_from_the_others() {
    let bench = Bench::new();
    let (slow, hand) = slow();
    bench.pool.add(slow).unwrap();
    let (first, second) = (bench.child("first"), bench.child("second"));
    let doomed = Agent::stub(&first).ask(bench.root(), "x".into());
    let mut came: Vec<_> = (0..2).map(|_| hand.arrivals.recv_timeout(LONG).unwrap()).collect();
    came.sort();
    assert_eq!(came, ["mark x", "run x"]);
    let waiting = Agent::stub(&second).ask(bench.root(), "x".into());
    hand.expect("mark x");
    first.kill().unwrap();
    assert!(matches!(doomed.wait_timeout(LONG), Err(CallError::Dead { .. })));
    hand.go();
    assert_eq!(waiting.wait_timeout(LONG).unwrap(), Text("x 1".into()));
}

#[test]
fn an_execution_is_joined_until_the_last_who_waits_has_gone() {
    let (_router, slow, hand) = pooled(2);
    let [first, second, third] = three(&slow, &hand, "x");
    drop(first);
    drop(third);
    let fourth = slow.run("x".into());
    slow.mark("joined".into()).wait_timeout(LONG).unwrap();
    hand.expect("mark joined");
    drop(second);
    drop(fourth);
    let fifth = slow.run("x".into());
    hand.expect("run x");
    hand.go();
    hand.go();
    assert_eq!(fifth.wait_timeout(LONG).unwrap(), Text("x 2".into()));
    assert_eq!(slow.run("x".into()).wait_timeout(LONG).unwrap(), Text("x 2".into()), "what nobody waited for is gone");
}

#[test]
fn a_caller_without_patience_takes_nothing_from_the_others() {
    let (_router, slow, hand) = pooled(2);
    // Long enough for the other one to join while this one waits, however busy the machine is.
    let short = slow.with_timeout(Duration::from_secs(1)).run("x".into());
    hand.expect("run x");
    let long = slow.run("x".into());
    slow.mark("joined".into()).wait_timeout(LONG).unwrap();
    assert!(matches!(short.wait(), Err(CallError::DeadlineExceeded { .. })));
    hand.go();
    assert_eq!(long.wait_timeout(LONG).unwrap(), Text("x 1".into()));
}

/// Tells how often it has run.
#[derive(Default)]
struct Counted {
    runs: AtomicUsize,
}

impl Counted {
    fn next(&self) -> usize {
        self.runs.fetch_add(1, Ordering::SeqCst) + 1
    }
}

#[service(name = "counted", invoker = DeduplicatingInvoker::new())]
impl Counted {
    #[expose(policy = AllowAny)]
    #[arg_spec(wide(check = |wide: &u64| *wide < 1000))]
    fn many(&self, wide: u64, text: Option<String>, #[arg(default = 7)] number: i32) -> usize {
        let _ = (wide, text, number);
        self.next()
    }

    #[expose(policy = AllowAny)]
    fn map(&self, map: HashMap<String, HashMap<u32, bool>>) -> usize {
        let _ = map;
        self.next()
    }

    #[expose(policy = AllowAny)]
    fn bytes(&self, one: Blob, other: &[u8]) -> usize {
        let _ = (one, other);
        self.next()
    }

    #[expose(policy = AllowAny)]
    fn float(&self, number: f64) -> usize {
        let _ = number;
        self.next()
    }

    #[expose(policy = AllowParents)]
    fn guarded(&self) -> usize {
        self.next()
    }

    #[expose(policy = AllowAny)]
    fn uncached(&self) -> Uncached<usize> {
        Uncached(self.next())
    }

    #[expose(policy = AllowAny)]
    fn uncached_result(&self) -> Result<Uncached<usize>, Infallible> {
        Ok(Uncached(self.next()))
    }

    #[expose(policy = AllowAny, invoker = DeduplicatingInvoker::new().max_entries(2))]
    fn two(&self, number: u8) -> usize {
        let _ = number;
        self.next()
    }

    #[expose(policy = AllowAny, invoker = DeduplicatingInvoker::new().max_bytes(10_000))]
    fn small(&self, size: usize) -> (usize, Blob) {
        (self.next(), vec![0; size].into())
    }

    #[expose(policy = AllowAny, invoker = DeduplicatingInvoker::new().max_age(Duration::ZERO))]
    fn brief(&self) -> usize {
        self.next()
    }

    #[expose(policy = AllowAny, invoker = DeduplicatingInvoker::new().cache_errors(true))]
    fn error(&self, panics: bool) -> Result<(), String> {
        let run = self.next();
        assert!(!panics, "run {run}");
        Err(format!("run {run}"))
    }

    #[expose(policy = AllowAny)]
    fn unit(&self) {
        self.next();
    }

    #[expose(policy = AllowAny)]
    fn itself(&self, router: &Router) -> Result<usize, CallError> {
        Self::stub(&router.myself()).itself().wait()
    }

    #[expose(policy = AllowAny)]
    fn nested_time(&self, router: &Router) -> Result<Option<Duration>, CallError> {
        Self::stub(&router.myself()).time().wait()
    }

    #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
    fn time(&self, caller: &Caller) -> Option<Duration> {
        caller.remaining()
    }
}

fn counted() -> (Router, Pool, CountedStub) {
    let router = Router::builder().build().unwrap();
    let pool = Pool::builder(&router).size(2).service(Counted::default()).start().unwrap();
    let stub = Counted::stub(&router.myself());
    (router, pool, stub)
}

#[test]
fn neither_the_order_nor_the_presence_of_arguments_matters() {
    #[derive(Serialize)]
    struct Forth {
        wide: u64,
        text: Option<String>,
        number: i32,
    }
    #[derive(Serialize)]
    struct Back {
        number: i64,
        wide: i8,
    }
    let (router, _pool, stub) = counted();
    let ask = |args: &dyn Fn() -> Call<usize>| args().wait_timeout(LONG).unwrap();
    let me = router.myself();
    assert_eq!(ask(&|| stub.many(5, None, 7)), 1);
    assert_eq!(ask(&|| me.call_service("counted", "many", &Forth { wide: 5, text: None, number: 7 })), 1);
    assert_eq!(ask(&|| me.call_service("counted", "many", &Back { number: 7, wide: 5 })), 1);
    assert_eq!(ask(&|| me.call_service("counted", "many", &HashMap::from([("wide", 5)]))), 1);
    assert_eq!(ask(&|| stub.many(5, Some(String::new()), 7)), 2, "another argument");
    assert_eq!(ask(&|| stub.many(7, None, 5)), 3, "the same values elsewhere");
}

#[test]
fn nor_does_the_width_of_an_integer() {
    let (router, _pool, stub) = counted();
    assert_eq!(stub.many(5, None, 7).wait_timeout(LONG).unwrap(), 1);
    let mut peer = Peer::join(&router, "foreign");
    for five in [&b"\x05"[..], b"\xcc\x05", b"\xcf\0\0\0\0\0\0\0\x05", b"\xd3\0\0\0\0\0\0\0\x05"] {
        let payload = [&b"\x94\xa7counted\xa4many\xc0\x82\xa6number\xd1\0\x07\xa4wide"[..], five].concat();
        peer.send(110, 5000, &payload);
        assert_eq!(peer.next().payload, [0x92, 0, 1], "{five:x?}");
    }
}

#[test]
fn wrong_arguments_are_told_to_their_caller_and_start_nothing() {
    let (router, _pool, stub) = counted();
    let me = router.myself();
    let ask = |args: HashMap<&str, i64>| me.call_service::<usize>("counted", "many", &args).wait_timeout(LONG);
    assert!(matches!(ask([].into()), Err(CallError::ArgMissing { .. })));
    assert!(matches!(ask([("wide", 5), ("other", 5)].into()), Err(CallError::ArgUnknown { .. })));
    assert!(matches!(ask([("wide", -5)].into()), Err(CallError::ArgType { .. })));
    assert!(matches!(ask([("wide", 1000)].into()), Err(CallError::ArgInvalid { .. })));
    let error = ask([("wide", 5), ("text", 5)].into()).unwrap_err();
    assert!(matches!(&error, CallError::ArgType { name, .. } if name == "text"), "{error:?}");
    assert_eq!(error.executed(), Executed::No);
    assert_eq!(stub.many(5, None, 7).wait_timeout(LONG).unwrap(), 1);
}

#[test]
fn maps_are_the_same_in_any_order() {
    let (_router, _pool, stub) = counted();
    // Each has a seed, and so an order, of its own.
    let map = |last| -> HashMap<String, HashMap<u32, bool>> {
        let inner = |outer: u32| (0..50).map(|number| (number * 100, number > outer)).collect();
        (0..last).map(|number| (number.to_string(), inner(number))).collect()
    };
    for _ in 0..5 {
        assert_eq!(stub.map(map(50)).wait_timeout(LONG).unwrap(), 1);
    }
    assert_eq!(stub.map(map(49)).wait_timeout(LONG).unwrap(), 2);
}

// (d) keys are whole arguments, and not a text for people.
#[test]
fn different_arguments_never_share_an_answer() {
    let (_router, _pool, stub) = counted();
    let pairs = [(&b"ab"[..], &b"c"[..]), (b"a", b"bc"), (b"abc", b""), (b"xy", b"c"), (b"", b"")];
    for round in 0..2 {
        for (number, (one, other)) in pairs.iter().enumerate() {
            let run = stub.bytes(Blob::from(one.to_vec()), other).wait_timeout(LONG).unwrap();
            assert_eq!(run, number + 1, "round {round}");
        }
    }
    let floats = [0.0, -0.0, f64::NAN, f64::INFINITY];
    for number in floats.iter().chain(&floats).enumerate() {
        assert_eq!(stub.float(*number.1).wait_timeout(LONG).unwrap(), 6 + number.0 % 4);
    }
}

// (h) who calls is judged by the policies, for each call.
#[test]
fn who_may_not_call_gets_nothing_that_is_kept() {
    let bench = Bench::new();
    bench.pool.add(Counted::default()).unwrap();
    let child = bench.child("child");
    assert_eq!(Counted::stub(&bench.root()).guarded().wait_timeout(LONG).unwrap(), 1);
    for _ in 0..2 {
        let refused = Worker::stub(&child).ask(bench.root(), "counted".into(), "guarded".into());
        assert!(matches!(refused.wait_timeout(LONG), Err(CallError::Unauthorized { .. })));
    }
    assert_eq!(Counted::stub(&bench.root()).guarded().wait_timeout(LONG).unwrap(), 1);
}

// (a) the methods are those of the service; (e) an unexposed one stays so.
#[test]
fn methods_without_arguments_and_results_are_run_once_too() {
    let (router, _pool, stub) = counted();
    for _ in 0..3 {
        stub.unit().wait_timeout(LONG).unwrap();
    }
    assert_eq!(stub.guarded().wait_timeout(LONG).unwrap(), 2);
    let none = router.myself().call_service::<usize>("counted", "next", &()).wait_timeout(LONG);
    assert!(matches!(none, Err(CallError::NoSuchMethod { .. })));
}

#[test]
fn an_uncached_result_is_not_kept() {
    let (_router, _pool, stub) = counted();
    let runs = [stub.uncached(), stub.uncached(), stub.uncached_result(), stub.uncached_result()];
    let mut runs = runs.map(|call| call.wait_timeout(LONG).unwrap()).to_vec();
    runs.extend([stub.uncached().wait().unwrap(), stub.uncached().wait().unwrap()]);
    assert_eq!(runs[5], runs[4] + 1, "{runs:?}");
}

#[test]
fn errors_are_kept_where_that_is_wanted_and_panics_are_not() {
    let (_router, _pool, stub) = counted();
    let text = |panics| stub.error(panics).wait_timeout(LONG).unwrap_err().to_string();
    assert_eq!([text(false), text(false)], ["run 1", "run 1"]);
    assert_eq!([text(true), text(true)], ["the method panicked: run 2", "the method panicked: run 3"]);
    assert_eq!(stub.error(false).wait_timeout(LONG).unwrap_err().executed(), Executed::Yes);
}

// (b) what is kept is bounded.
#[test]
fn what_is_kept_is_bounded_by_entries_bytes_and_age() {
    let (_router, _pool, stub) = counted();
    let two = |number| stub.two(number).wait_timeout(LONG).unwrap();
    assert_eq!([two(0), two(1), two(0), two(2)], [1, 2, 1, 3], "the third one takes the place of 1");
    assert_eq!([two(0), two(1)], [1, 4]);
    let small = |size| stub.small(size).wait_timeout(LONG).unwrap().0;
    assert_eq!([small(4000), small(4001), small(4000), small(20_000), small(20_000)], [5, 6, 5, 7, 8]);
    assert_eq!([small(4001), small(4002), small(4001), small(4000)], [6, 9, 6, 10]);
    assert_ne!(stub.brief().wait_timeout(LONG).unwrap(), stub.brief().wait_timeout(LONG).unwrap());
}

#[test]
fn a_call_that_would_wait_for_itself_is_refused() {
    let (_router, _pool, stub) = counted();
    match stub.itself().wait_timeout(LONG) {
        Err(CallError::Deadlock { chain, .. }) => {
            assert_eq!(chain.len(), 2, "{chain:?}");
            assert!(chain.iter().all(|link| link.starts_with("counted.itself in ")), "{chain:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_execution_calls_has_no_deadline_of_the_first_caller() {
    let (_router, _pool, stub) = counted();
    assert_eq!(stub.with_timeout(LONG).nested_time().wait_timeout(LONG).unwrap(), None);
}

#[test]
fn results_of_services_that_were_added_by_hand_are_invalidated_from_outside() {
    let (_router, pool, stub) = counted();
    let ask = || [stub.guarded().wait_timeout(LONG).unwrap(), stub.many(1, None, 0).wait_timeout(LONG).unwrap()];
    assert_eq!(ask(), [1, 2]);
    pool.invalidate::<Counted>("guarded");
    assert_eq!(ask(), [3, 2]);
    pool.invalidate::<Counted>("does not exist");
    pool.invalidate::<Worker>("not there either");
    assert_eq!(ask(), [3, 2]);
}

/// Invalidates its own results.
struct Scoped {
    scope: ServiceScope,
    runs: Arc<AtomicUsize>,
}

#[service(activate = Self::create, invoker = DeduplicatingInvoker)]
impl Scoped {
    fn create(scope: &ServiceScope) -> Result<Self, Infallible> {
        scope.invalidate("one");
        scope.invalidate_all();
        Ok(Self { scope: scope.clone(), runs: Arc::default() })
    }

    #[expose(policy = AllowAny)]
    fn one(&self) -> usize {
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    #[expose(policy = AllowAny, invoker = DeduplicatingInvoker)]
    fn two(&self) -> usize {
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    /// Its result is outdated as soon as it is there.
    #[expose(policy = AllowAny)]
    fn outdated(&self) -> usize {
        self.scope.invalidate("outdated");
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
    fn invalidate(&self, method: Option<String>) {
        match method {
            Some(method) => self.scope.invalidate(&method),
            None => self.scope.invalidate_all(),
        }
    }
}

#[test]
fn a_service_invalidates_its_own_results() {
    let bench = Bench::new();
    let child = bench.child("child");
    let scoped = Scoped::stub(&child);
    let ask = || [scoped.one().wait_timeout(LONG).unwrap(), scoped.two().wait_timeout(LONG).unwrap()];
    let invalidate = |method: Option<&str>| scoped.invalidate(method.map(Into::into)).wait_timeout(LONG).unwrap();
    assert_eq!([ask(), ask()], [[0, 1], [0, 1]]);
    invalidate(Some("one"));
    assert_eq!(ask(), [2, 1]);
    invalidate(Some("two"));
    assert_eq!(ask(), [2, 3]);
    invalidate(Some("three"));
    assert_eq!(ask(), [2, 3]);
    invalidate(None);
    assert_eq!(ask(), [4, 5]);
    assert_eq!([(); 2].map(|()| scoped.outdated().wait_timeout(LONG).unwrap()), [6, 7]);
}

/// Passes calls on, and counts them.
#[derive(Default)]
struct Around {
    inner: DeduplicatingInvoker,
}

impl Invoker for Around {
    fn invoke(&self, call: Authorized) {
        self.inner.invoke(call);
    }

    fn invalidate(&self, method: Option<&str>) {
        self.inner.invalidate(method);
    }
}

#[derive(Default)]
struct Wrapped(AtomicUsize);

#[service(name = "wrapped", invoker = Around)]
impl Wrapped {
    #[expose(policy = AllowAny)]
    fn shared(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    #[expose(policy = AllowAny)]
    fn personal(&self, caller: &Caller) -> (usize, u32) {
        (self.0.fetch_add(1, Ordering::SeqCst), caller.context().id().get())
    }

    #[expose(policy = AllowAny)]
    fn later(&self, reply: Reply<usize>) {
        reply.send(Ok(self.0.fetch_add(1, Ordering::SeqCst)));
    }

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn quiet(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

// (e) what depends on the one call is run for each.
#[test]
fn an_invoker_around_it_runs_by_itself_what_is_personal() {
    let router = Router::builder().build().unwrap();
    let pool = Pool::builder(&router).size(1).service(Wrapped::default()).start().unwrap();
    let stub = Wrapped::stub(&router.myself());
    let shared = || stub.shared().wait_timeout(LONG).unwrap();
    assert_eq!([shared(), shared()], [0, 0]);
    let personal = || stub.personal().wait_timeout(LONG).unwrap();
    assert_eq!([personal(), personal()], [(1, 0), (2, 0)]);
    let later = || stub.later().wait_timeout(LONG).unwrap();
    assert_eq!([later(), later()], [3, 4]);
    stub.quiet().unwrap();
    stub.quiet().unwrap();
    assert_eq!(later(), 7);
    pool.invalidate::<Wrapped>("shared");
    assert_eq!(shared(), 8);
}
