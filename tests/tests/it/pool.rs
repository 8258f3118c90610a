//! The pool: its threads, its end, its bounds, and what happens to user code that panics in it.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mitogen_service::{
    Activator, AllowAny, Authorized, CallError, Caller, Error, Executed, Hosted, Invoker, Pool, Reply, Router,
    ServiceScope, service, testing,
};
use mitogen_service_tests::{LONG, within};

use crate::bench::{Bench, Worker};

fn router() -> Router {
    Router::builder().build().unwrap()
}

/// Ends the pool from the inside.
struct Inside;

#[service(name = "inside")]
impl Inside {
    #[expose(policy = AllowAny)]
    fn stop(&self, router: &Router) -> String {
        router.pool().unwrap().stop();
        "stopped".to_owned()
    }

    /// The names of the methods that still run.
    #[expose(policy = AllowAny)]
    fn close(&self, router: &Router) -> Vec<String> {
        let running = router.pool().unwrap().close(Duration::from_secs(600));
        running.into_iter().map(|running| running.method.to_owned()).collect()
    }

    #[expose(policy = |_: &Self, _: &Caller| false)]
    #[no_reply]
    fn refused_quietly(&self) {}

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn panic_quietly(&self) {
        panic!("nobody is told");
    }
}

#[test]
fn one_thread_runs_calls_one_after_the_other() {
    let router = router();
    let (enter, entered) = mpsc::channel();
    let pool = Pool::builder(&router).size(1).service(OneByOne(enter, Mutex::default())).start().unwrap();
    assert_eq!(pool.size(), 1);
    let one = OneByOne::stub(&router.myself());
    let calls: Vec<_> = (0..200).map(|number| one.enter(number)).collect();
    for call in calls {
        call.wait().unwrap();
    }
    assert!(entered.try_iter().eq(0..200), "in the order of their arrival");
    assert!(pool.close(LONG).is_empty());
}

struct OneByOne(mpsc::Sender<u32>, Mutex<()>);

#[service]
impl OneByOne {
    #[expose(policy = AllowAny)]
    fn enter(&self, number: u32) {
        let _alone = self.1.try_lock().expect("nobody else is inside");
        self.0.send(number).unwrap();
    }
}

#[test]
fn what_is_queued_when_the_pool_of_a_child_stops_is_answered_stopped() {
    let bench = Bench::new();
    let child = bench.child("child");
    let worker = Worker::stub(&child);
    // One of two threads stops the pool while the other one is busy, and calls wait for both.
    let held = worker.hold(bench.root(), "one".into());
    let stopping = Control::stub(&child).stop_when_told(bench.root());
    let mut visits = [bench.visit(), bench.visit()];
    visits.sort_by(|one, other| one.name.cmp(&other.name));
    let queued: Vec<_> = (0..100).map(|_| worker.mark()).collect();
    let [held_visit, stop_visit] = visits;
    stop_visit.go();
    stopping.wait_timeout(LONG).unwrap();
    for call in queued {
        assert!(matches!(call.wait_timeout(LONG), Err(CallError::Stopped { .. })));
    }
    held_visit.go();
    assert_eq!(held.wait_timeout(LONG).unwrap(), "one");
    assert!(child.is_connected());
}

/// Stops the pool of a child.
#[derive(Default)]
struct Control;

#[service(activate)]
impl Control {
    #[expose(policy = AllowAny)]
    fn stop_when_told(&self, gate: mitogen_service::Context, router: &Router) -> Result<(), CallError> {
        crate::bench::Gate::stub(&gate).pass("stop".into()).wait()?;
        router.pool().unwrap().stop();
        Ok(())
    }
}

/// Keeps a thread until it is let go.
struct Busy(mpsc::Sender<mpsc::Sender<()>>);

#[service(name = "busy")]
impl Busy {
    #[expose(policy = AllowAny)]
    fn run(&self) {
        let (go, gone) = mpsc::channel();
        self.0.send(go).unwrap();
        // Let go by a message, or by a test that is over.
        let _ = gone.recv();
    }

    #[expose(policy = AllowAny)]
    fn nothing(&self) {}

    #[expose(policy = AllowAny)]
    fn take(&self, data: mitogen_service::Blob) -> usize {
        data.len()
    }
}

/// A pool of one thread, which is busy.
fn busy() -> (Router, Pool, mitogen_service::Call<()>, mpsc::Sender<()>) {
    busy_on(router())
}

fn busy_on(router: Router) -> (Router, Pool, mitogen_service::Call<()>, mpsc::Sender<()>) {
    let (arrive, arrived) = mpsc::channel();
    let pool = Pool::builder(&router).size(1).service(Busy(arrive)).start().unwrap();
    let running = Busy::stub(&router.myself()).run();
    let go = arrived.recv_timeout(LONG).unwrap();
    (router, pool, running, go)
}

#[test]
fn stop_returns_at_once_and_join_names_what_still_runs() {
    let (router, pool, running, go) = busy();
    let queued: Vec<_> = (0..10).map(|_| Busy::stub(&router.myself()).nothing()).collect();
    let (deferred, ran) = mpsc::channel();
    pool.defer(move || deferred.send(()).unwrap()).unwrap();
    pool.stop();
    for call in queued {
        assert!(matches!(call.wait_timeout(LONG), Err(CallError::Stopped { .. })));
    }
    let still = pool.join(Duration::from_millis(10));
    assert_eq!(still.len(), 1);
    assert_eq!((&*still[0].service, &*still[0].method), ("busy", "run"));
    assert!(matches!(Busy::stub(&router.myself()).nothing().wait(), Err(CallError::Stopped { .. })));
    assert!(matches!(pool.defer(|| {}), Err(Error::PoolStopped)));
    go.send(()).unwrap();
    running.wait().unwrap();
    assert!(pool.join(LONG).is_empty());
    assert!(ran.try_recv().is_err(), "what was deferred is dropped");
    assert!(pool.close(LONG).is_empty(), "a second time is harmless");
}

#[test]
fn a_method_can_stop_its_own_pool() {
    let router = router();
    let pool = Pool::builder(&router).size(1).service(Inside).start().unwrap();
    let inside = Inside::stub(&router.myself());
    assert_eq!(inside.stop().wait_timeout(LONG).unwrap(), "stopped", "it comes to its end and is answered");
    assert!(matches!(inside.stop().wait_timeout(LONG), Err(CallError::Stopped { .. })));
    assert!(pool.join(LONG).is_empty());
}

#[test]
fn a_method_can_close_its_own_pool_and_does_not_wait_for_itself() {
    for size in [1, 3] {
        let router = router();
        let pool = Pool::builder(&router).size(size).service(Inside).start().unwrap();
        let inside = Inside::stub(&router.myself());
        assert_eq!(inside.close().wait_timeout(LONG).unwrap(), Vec::<String>::new());
        assert!(pool.join(LONG).is_empty());
    }
}

#[test]
fn a_deferred_function_can_close_its_own_pool_and_does_not_wait_for_itself() {
    let router = router();
    let pool = Pool::builder(&router).size(2).start().unwrap();
    let (done, closed) = mpsc::channel();
    let inner = pool.clone();
    pool.defer(move || {
        let started = Instant::now();
        inner.close(LONG);
        done.send(started.elapsed()).unwrap();
    })
    .unwrap();
    let elapsed = closed.recv_timeout(2 * LONG).unwrap();
    assert!(elapsed < LONG, "it waited for itself: {elapsed:?}");
}

#[test]
fn a_router_may_be_shut_down_from_inside_a_method() {
    within(3 * LONG, || {
        let router = router();
        let _pool = Pool::builder(&router).size(2).service(EndsRouter).start().unwrap();
        let child = router.local().connect().unwrap();
        Worker::stub(&child).marks().wait().unwrap();
        // Its answer may or may not come before the end of everything that could wait for it.
        drop(EndsRouter::stub(&router.myself()).end().wait());
        router.wait();
        assert!(!child.is_connected());
    });
}

struct EndsRouter;

#[service(name = "ends")]
impl EndsRouter {
    #[expose(policy = AllowAny)]
    fn end(&self, router: &Router) {
        router.shutdown(LONG);
    }
}

#[test]
fn a_router_has_one_pool() {
    let router = router();
    let first = Pool::builder(&router).start().unwrap();
    let error = Pool::builder(&router).service(Inside).start().unwrap_err();
    assert!(matches!(error, Error::PoolExists), "{error:?}");
    assert!(error.to_string().contains("`router.pool()` and `Pool::add`"), "{error}");
    router.pool().unwrap().add(Inside).unwrap();
    assert_eq!(Inside::stub(&router.myself()).stop().wait().unwrap(), "stopped");
    assert!(first.join(LONG).is_empty());
}

#[test]
fn a_name_stands_for_one_service() {
    let router = router();
    let error = Pool::builder(&router).service(Inside).service(Inside).start().unwrap_err();
    assert!(matches!(&error, Error::ServiceExists { name } if name == "inside"), "{error:?}");
    assert!(router.pool().is_none());
    let pool = Pool::builder(&router).service(Inside).start().unwrap();
    let error = pool.add(Inside).unwrap_err();
    assert!(error.to_string().starts_with("service named 'inside' already registered"), "{error}");
    pool.stop();
    assert!(matches!(pool.add(Control), Err(Error::PoolStopped)));
}

#[test]
fn another_pool_may_follow_one_that_was_closed() {
    let router = router();
    let first = Pool::builder(&router).service(Inside).start().unwrap();
    let error = Pool::builder(&router).start().unwrap_err();
    assert!(matches!(error, Error::PoolExists), "{error:?}");
    assert!(first.close(LONG).is_empty());
    let second = Pool::builder(&router).size(3).service(Busy(mpsc::channel().0)).start().unwrap();
    assert_eq!(router.pool().map(|pool| pool.size()), Some(3));
    Busy::stub(&router.myself()).nothing().wait_timeout(LONG).unwrap();
    assert!(second.close(LONG).is_empty());
}

#[test]
fn a_size_that_cannot_be_one_is_refused() {
    let router = router();
    for size in [0, 4097, usize::MAX] {
        let error = Pool::builder(&router).size(size).start().unwrap_err();
        assert!(matches!(&error, Error::Invalid { what } if what.contains("between 1 and 4096")), "{error:?}");
    }
    Pool::builder(&router).size(64).start().unwrap();
}

#[test]
fn a_full_queue_answers_at_once() {
    const MIB: usize = 1024 * 1024;
    let (router, pool, running, go) = busy();
    let stub = Busy::stub(&router.myself());
    // Three times five MiB are within the 16 that one caller may have, the fourth is not.
    let calls: Vec<_> = (0..3).map(|_| stub.take(vec![0; 5 * MIB].into())).collect();
    let error = stub.take(vec![0; 5 * MIB].into()).wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Overloaded { .. }), "{error:?}");
    let small: Vec<_> = (0..1000).map(|_| stub.nothing()).collect();
    go.send(()).unwrap();
    running.wait().unwrap();
    for call in calls {
        assert_eq!(call.wait().unwrap(), 5 * MIB);
    }
    small.into_iter().for_each(|call| call.wait().unwrap());
    assert_eq!(stub.take(vec![0; 70 * MIB].into()).wait().unwrap(), 70 * MIB, "one of any size is taken");
    assert!(pool.close(LONG).is_empty());
}

#[test]
fn a_queue_takes_so_many_calls_and_answers_the_rest_at_once() {
    let (router, pool, running, go) = busy();
    let stub = Busy::stub(&router.myself());
    // One runs already, and all are of one caller, who may have a quarter.
    for _ in 1..65_536 / 4 {
        stub.nothing().detach();
    }
    let error = stub.nothing().wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Overloaded { .. }), "{error:?}");
    for _ in 0..65_536 {
        pool.defer(|| {}).unwrap();
    }
    assert!(matches!(pool.defer(|| {}), Err(Error::Call(CallError::Overloaded { .. }))));
    go.send(()).unwrap();
    running.wait().unwrap();
    while let Err(error) = stub.nothing().wait() {
        assert!(matches!(error, CallError::Overloaded { .. }), "{error:?}");
    }
    assert!(pool.close(LONG).is_empty());
}

#[test]
fn a_queue_takes_as_much_as_the_router_says() {
    let (router, pool, running, go) =
        busy_on(Router::builder().max_queued_calls(40).max_queued_bytes(40_000).build().unwrap());
    let stub = Busy::stub(&router.myself());
    let refused = |error: CallError, part: &str| {
        assert!(matches!(&error, CallError::Overloaded { .. }), "{error:?}");
        assert_eq!(error.executed(), Executed::No);
        assert!(error.to_string().contains(part), "{error}");
    };
    // One runs already; a quarter of both is for one caller.
    let bytes = stub.take(vec![0; 6000].into());
    refused(stub.take(vec![0; 6000].into()).wait_timeout(LONG).unwrap_err(), "(10 calls or 10000 bytes until");
    let calls: Vec<_> = (0..8).map(|_| stub.nothing()).collect();
    refused(stub.nothing().wait_timeout(LONG).unwrap_err(), "(10 calls or 10000 bytes until");
    go.send(()).unwrap();
    running.wait().unwrap();
    assert_eq!(bytes.wait().unwrap(), 6000);
    calls.into_iter().for_each(|call| call.wait().unwrap());
    assert_eq!(stub.take(vec![0; 100_000].into()).wait().unwrap(), 100_000, "one of any size is taken");
    assert!(pool.close(LONG).is_empty());
}

#[test]
fn errors_of_methods_without_reply_are_only_logged() {
    let router = router();
    let pool = Pool::builder(&router).size(1).service(Inside).start().unwrap();
    let inside = Inside::stub(&router.myself());
    for _ in 0..3 {
        inside.refused_quietly().unwrap();
        inside.panic_quietly().unwrap();
    }
    // The one thread is alive and in order.
    assert_eq!(inside.stop().wait_timeout(LONG).unwrap(), "stopped");
    assert!(pool.join(LONG).is_empty());
}

#[test]
fn deferred_functions_run_on_threads_of_the_pool_and_may_panic() {
    let router = router();
    let pool = Pool::builder(&router).size(1).start().unwrap();
    let (tell, told) = mpsc::channel();
    for number in 0..3 {
        pool.defer(|| panic!("a deferred function that panics")).unwrap();
        let tell = tell.clone();
        pool.defer(move || tell.send((number, thread::current().name().map(str::to_owned))).unwrap()).unwrap();
    }
    let told: Vec<_> = (0..3).map(|_| told.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(told[0].1.as_deref(), Some("mitogen-pool-0"));
    assert!(pool.close(LONG).is_empty());
}

/// Panics instead of running.
#[derive(Default)]
struct Panicking;

impl Invoker for Panicking {
    fn invoke(&self, _call: Authorized) {
        panic!("an invoker that panics");
    }
}

/// Drops what it should run.
#[derive(Default)]
struct Dropping;

impl Invoker for Dropping {
    fn invoke(&self, call: Authorized) {
        drop(call);
    }
}

/// Keeps calls and runs them on threads of its own.
#[derive(Default)]
struct Elsewhere;

impl Invoker for Elsewhere {
    fn invoke(&self, call: Authorized) {
        thread::spawn(|| call.run());
    }
}

struct Invoked;

#[service(name = "invoked")]
impl Invoked {
    #[expose(policy = AllowAny, invoker = Panicking)]
    fn panicking(&self) {}

    #[expose(policy = AllowAny, invoker = Dropping)]
    fn dropping(&self) {}

    #[expose(policy = AllowAny, invoker = Elsewhere)]
    fn elsewhere(&self) -> Option<String> {
        thread::current().name().map(str::to_owned)
    }

    #[expose(policy = AllowAny)]
    fn here(&self) -> Option<String> {
        thread::current().name().map(str::to_owned)
    }
}

#[test]
fn an_invoker_that_panics_costs_no_thread() {
    let router = router();
    let pool = Pool::builder(&router).size(1).service(Invoked).start().unwrap();
    let invoked = Invoked::stub(&router.myself());
    for _ in 0..3 {
        let error = invoked.panicking().wait_timeout(LONG).unwrap_err();
        assert!(!matches!(error, CallError::DeadlineExceeded { .. }), "{error:?}");
    }
    assert_eq!(invoked.here().wait_timeout(LONG).unwrap().as_deref(), Some("mitogen-pool-0"));
    assert!(pool.close(LONG).is_empty());
}

#[test]
fn an_invoker_may_drop_a_call_or_run_it_elsewhere() {
    let router = router();
    let pool = Pool::builder(&router).size(1).service(Invoked).start().unwrap();
    let invoked = Invoked::stub(&router.myself());
    let error = invoked.dropping().wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Cancelled { .. }), "{error:?}");
    assert_eq!(error.executed(), Executed::No);
    assert_eq!(invoked.elsewhere().wait_timeout(LONG).unwrap(), None);
    assert!(pool.close(LONG).is_empty());
}

/// Panics where it is asked whether it may, or when it makes something.
struct Grumpy(&'static str);

impl Activator for Grumpy {
    fn is_authorized(&self, name: &str, _caller: &Caller) -> bool {
        assert!(!(self.0 == "check" && name == "bad"), "an activator that panics");
        true
    }

    fn activate(&self, name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        assert!(name != "bad", "an activator that panics");
        (name == "inside").then(|| Ok(Hosted::new(Inside)))
    }
}

#[test]
fn an_activator_that_panics_costs_no_thread() {
    for place in ["check", "activation"] {
        let router = router();
        let pool = Pool::builder(&router).size(1).activator(Grumpy(place)).start().unwrap();
        let call = |name: &str| router.myself().call_service::<String>(name, "stop", &()).wait_timeout(LONG);
        for _ in 0..3 {
            assert!(!matches!(call("bad"), Ok(_) | Err(CallError::DeadlineExceeded { .. })), "{place}");
        }
        assert!(matches!(call("unknown"), Err(CallError::NoSuchService { .. })), "{place}");
        assert_eq!(call("inside").unwrap(), "stopped", "{place}");
        assert!(pool.close(LONG).is_empty(), "{place}");
    }
}

/// Counts how often it makes something, and waits for the test there.
struct Slow(Arc<Mutex<usize>>, Mutex<mpsc::Receiver<()>>);

impl Activator for Slow {
    fn activate(&self, name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        *self.0.lock().unwrap() += 1;
        self.1.lock().unwrap().recv().unwrap();
        match name {
            "inside" => Some(Ok(Hosted::new(Inside))),
            _ => Some(Err(CallError::failed("not today"))),
        }
    }
}

#[test]
fn calls_that_come_while_a_service_is_made_wait_for_it_without_a_thread() {
    let router = router();
    let made = Arc::<Mutex<usize>>::default();
    let (go, wait) = mpsc::channel();
    let slow = Slow(made.clone(), Mutex::new(wait));
    let (arrive, _arrived) = mpsc::channel();
    let pool = Pool::builder(&router).size(2).activator(slow).service(Busy(arrive)).start().unwrap();
    let fails: Vec<_> = (0..20).map(|_| router.myself().call_service::<()>("bad", "x", &())).collect();
    // One thread makes the service, the other one is free for others.
    Busy::stub(&router.myself()).nothing().wait_timeout(LONG).unwrap();
    go.send(()).unwrap();
    let mut answers = 0;
    for call in fails {
        let error = call.wait_timeout(LONG).unwrap_err();
        assert!(matches!(&error, CallError::NoSuchService { reason, .. } if reason.contains("not today")), "{error:?}");
        answers += 1;
        // A call that came too late for the first attempt makes another one.
        let _ = go.send(());
    }
    assert_eq!(answers, 20);
    assert!((1..=20).contains(&*made.lock().unwrap()));
    drop(go);
    assert!(pool.close(LONG).is_empty());
}

#[test]
fn a_pool_that_stops_answers_calls_that_wait_for_a_service_to_be_made() {
    let router = router();
    let (go, wait) = mpsc::channel();
    let slow = Slow(Arc::default(), Mutex::new(wait));
    let (arrive, _arrived) = mpsc::channel();
    let pool = Pool::builder(&router).size(2).activator(slow).service(Busy(arrive)).start().unwrap();
    // One of them makes the service, the others wait for it.
    let calls: Vec<_> = (0..20).map(|_| router.myself().call_service::<()>("bad", "x", &())).collect();
    Busy::stub(&router.myself()).nothing().wait_timeout(LONG).unwrap();
    pool.stop();
    let mut left = 0;
    let mut first = None;
    for mut call in calls {
        match call.try_wait(Duration::from_secs(1)) {
            Some(result) => assert!(matches!(result, Err(CallError::Stopped { .. })), "{result:?}"),
            None => {
                left += 1;
                first = Some(call);
            }
        }
    }
    // Let go in any case, so that the test ends.
    go.send(()).unwrap();
    assert_eq!(left, 1, "only the call whose thread makes the service is not answered yet");
    assert!(first.unwrap().wait_timeout(LONG).is_err());
    assert!(pool.close(LONG).is_empty());
}

struct Spiteful;

#[service(name = "spiteful")]
impl Spiteful {
    #[expose(policy = AllowAny)]
    fn nothing(&self) {}
}

impl Drop for Spiteful {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("a service that panics when it is dropped");
        }
    }
}

#[test]
fn a_service_that_panics_when_it_is_dropped_keeps_no_router_from_ending() {
    within(LONG, || {
        let router = router();
        let child = router.local().connect().unwrap();
        let _pool = Pool::builder(&router).service(Spiteful).start().unwrap();
        Spiteful::stub(&router.myself()).nothing().wait().unwrap();
        // Whether the panic comes out here or is only reported; the end must come.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| router.shutdown(LONG)));
        router.wait();
        assert!(!child.is_connected());
    });
}

#[test]
fn a_call_beyond_the_bound_of_pending_ones_waits_for_a_place() {
    let (router, pool, running, go) = busy_on(Router::builder().max_pending_calls(1000).build().unwrap());
    let stub = Busy::stub(&router.myself());
    // One of them runs already.
    let mut pending: Vec<_> = (1..1000).map(|_| stub.nothing()).collect();
    let (tell, told) = mpsc::channel();
    let last = thread::spawn({
        let stub = stub.clone();
        move || {
            let call = stub.nothing();
            tell.send(()).unwrap();
            call.wait()
        }
    });
    // It must have time to go on where it should wait.
    assert!(told.recv_timeout(Duration::from_millis(100)).is_err(), "it does not wait");
    drop(pending.pop());
    told.recv_timeout(LONG).expect("a call that is given up makes room");
    go.send(()).unwrap();
    running.wait().unwrap();
    pending.into_iter().for_each(|call| call.wait().unwrap());
    last.join().unwrap().unwrap();
    assert!(pool.close(LONG).is_empty());
}

/// Panics before and after its answer.
struct Replies;

#[service(name = "replies")]
impl Replies {
    /// Answers, and panics after that.
    #[expose(policy = AllowAny)]
    fn answer_and_panic(&self, reply: Reply<u32>) {
        reply.send(Ok(7));
        panic!("after the answer");
    }

    /// Panics and has not answered.
    #[expose(policy = AllowAny)]
    fn panic_first(&self, reply: Reply<u32>) {
        let _reply = reply;
        panic!("before the answer");
    }
}

#[test]
fn a_panic_around_a_reply_gives_one_answer() {
    let (parent, child) = testing::pair();
    let pool = Pool::builder(&child).size(1).service(Replies).start().unwrap();
    let replies = Replies::stub(&parent.children()[0]);
    assert_eq!(replies.answer_and_panic().wait_timeout(LONG).unwrap(), 7);
    let error = replies.panic_first().wait_timeout(LONG).unwrap_err();
    assert!(matches!(error, CallError::Panicked { .. }), "{error:?}");
    assert_eq!(replies.answer_and_panic().wait_timeout(LONG).unwrap(), 7);
    assert!(pool.close(LONG).is_empty());
}
