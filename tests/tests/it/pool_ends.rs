//! Services that start while others of their name do, or while their pool ends; pools that follow one
//! another; ends that meet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mitogen_service::{
    Activator, AllowAny, Authorized, CallError, Caller, Error, Event, Executed, Hosted, Invoker, Pool, Reply, Router,
    Sender, Service, ServiceScope, service,
};
use mitogen_service_tests::{LONG, within};

fn router() -> Router {
    Router::builder().build().unwrap()
}

/// Adds a service on a thread of its own.
fn adding(pool: &Pool, service: impl Service + Send) -> JoinHandle<mitogen_service::Result<()>> {
    let pool = pool.clone();
    thread::spawn(move || pool.add(service))
}

/// Tells what it does, and waits in its hooks if it is told to.
struct Actor {
    says: mpsc::Sender<&'static str>,
    start: Mutex<Option<mpsc::Receiver<()>>>,
    end: Mutex<Option<mpsc::Receiver<()>>>,
}

/// What the test has of an [`Actor`].
struct Stage {
    said: mpsc::Receiver<&'static str>,
    /// Lets it go on.
    go: mpsc::Sender<()>,
}

impl Stage {
    fn next(&self) -> &'static str {
        self.said.recv_timeout(LONG).expect("it says something")
    }

    /// What else it has said, once it is gone.
    fn rest(&self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.said.recv_timeout(LONG).ok()).collect()
    }

    fn go(&self) {
        self.go.send(()).unwrap();
    }
}

impl Actor {
    fn new(wait: &str) -> (Self, Stage) {
        let (says, said) = mpsc::channel();
        let (go, waits) = mpsc::channel();
        let (start, end) = match wait {
            "start" => (Some(waits), None),
            "end" => (None, Some(waits)),
            _ => (None, None),
        };
        (Self { says, start: Mutex::new(start), end: Mutex::new(end) }, Stage { said, go })
    }

    fn say(&self, what: &'static str) {
        // A test that is over does not listen.
        let _ = self.says.send(what);
    }

    fn wait(&self, at: &Mutex<Option<mpsc::Receiver<()>>>) {
        if let Some(wait) = &*at.lock().unwrap() {
            wait.recv_timeout(LONG).expect("the test lets it go on");
        }
    }
}

#[service(name = "actor", activate = Self::create)]
impl Actor {
    fn create(_: &ServiceScope) -> Result<Self, String> {
        Err("it has to be added".to_owned())
    }

    #[on_start]
    fn begin(&self) {
        self.say("starts");
        self.wait(&self.start);
        self.say("has started");
    }

    #[expose(policy = AllowAny)]
    fn act(&self) {
        self.say("acts");
    }

    #[on_shutdown]
    fn end(&self) {
        self.say("ends");
        self.wait(&self.end);
        self.say("has ended");
    }
}

#[test]
fn of_two_services_of_one_name_that_are_added_at_once_one_starts() {
    let router = router();
    let pool = Pool::builder(&router).size(1).start().unwrap();
    let (first, stage) = Actor::new("start");
    let adding = adding(&pool, first);
    assert_eq!(stage.next(), "starts");
    let (second, other) = Actor::new("");
    let error = pool.add(second).unwrap_err();
    assert!(matches!(&error, Error::ServiceExists { name } if name == "actor"), "{error:?}");
    assert!(other.rest().is_empty(), "it has not started");
    // Who calls while it starts waits for it, and has nothing made in its place.
    let call = Actor::stub(&router.myself()).act();
    stage.go();
    adding.join().unwrap().unwrap();
    call.wait_timeout(LONG).unwrap();
    assert_eq!([stage.next(), stage.next()], ["has started", "acts"]);
}

/// Makes nothing, and takes its time to say so.
struct Ponders(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>);

impl Activator for Ponders {
    fn is_authorized(&self, _name: &str, _caller: &Caller) -> bool {
        self.0.send(()).unwrap();
        self.1.lock().unwrap().recv_timeout(LONG).unwrap();
        false
    }

    fn activate(&self, _name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        None
    }
}

#[test]
fn a_call_that_may_not_have_a_service_made_does_not_keep_its_name_from_another() {
    let router = router();
    let ((asks, asked), (go, wait)) = (mpsc::channel(), mpsc::channel());
    let pool = Pool::builder(&router).size(1).activator(Ponders(asks, Mutex::new(wait))).start().unwrap();
    let call = Actor::stub(&router.myself()).act();
    asked.recv_timeout(LONG).unwrap();
    let (actor, stage) = Actor::new("");
    let adding = adding(&pool, actor);
    go.send(()).unwrap();
    adding.join().unwrap().unwrap();
    assert!(matches!(call.wait_timeout(LONG), Err(CallError::NotActivated { .. })));
    Actor::stub(&router.myself()).act().wait_timeout(LONG).unwrap();
    assert_eq!([stage.next(), stage.next(), stage.next()], ["starts", "has started", "acts"]);
}

#[test]
fn who_calls_a_service_that_does_not_start_is_told_so() {
    struct Fails(Mutex<mpsc::Receiver<()>>, mpsc::Sender<()>);

    #[service(name = "fails")]
    impl Fails {
        #[on_start]
        fn begin(&self) -> Result<(), String> {
            self.1.send(()).unwrap();
            self.0.lock().unwrap().recv_timeout(LONG).unwrap();
            Err("no disk".to_owned())
        }

        #[expose(policy = AllowAny)]
        fn nothing(&self) {}
    }

    let router = router();
    let pool = Pool::builder(&router).size(1).start().unwrap();
    let ((go, wait), (begins, begun)) = (mpsc::channel(), mpsc::channel());
    let adding = adding(&pool, Fails(Mutex::new(wait), begins));
    begun.recv_timeout(LONG).unwrap();
    let call = Fails::stub(&router.myself()).nothing();
    go.send(()).unwrap();
    assert!(adding.join().unwrap().unwrap_err().to_string().contains("no disk"));
    let error = call.wait_timeout(LONG).unwrap_err();
    assert!(matches!(&error, CallError::NoSuchService { .. }), "{error:?}");
    assert!(pool.service_named("fails").is_none());
}

/// Calls itself when it starts.
struct Narcissus;

#[service(name = "narcissus")]
impl Narcissus {
    #[on_start]
    fn begin(&self, scope: &ServiceScope) -> Result<(), CallError> {
        Self::stub(&scope.router().myself()).look().wait()
    }

    #[expose(policy = AllowAny)]
    fn look(&self) {}
}

#[test]
fn a_start_that_calls_the_very_service_is_refused_as_a_deadlock() {
    let router = router();
    let pool = Pool::builder(&router).size(1).start().unwrap();
    let error = within(LONG, {
        let pool = pool.clone();
        move || pool.add(Narcissus).unwrap_err()
    });
    let Error::Call(CallError::Deadlock { chain, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(chain[..], ["narcissus.on_start in root", "narcissus.look in root"]);
    assert!(pool.service_named("narcissus").is_none());
}

#[test]
fn a_service_that_starts_while_its_pool_closes_is_told_of_the_end_once() {
    let router = router();
    let pool = Pool::builder(&router).size(1).start().unwrap();
    let (actor, stage) = Actor::new("start");
    let adding = adding(&pool, actor);
    assert_eq!(stage.next(), "starts");
    let call = Actor::stub(&router.myself()).act();
    pool.stop();
    assert!(matches!(call.wait_timeout(LONG), Err(CallError::Stopped { .. })));
    let still = pool.join(Duration::from_millis(1));
    assert!(still.iter().any(|running| running.service == "actor" && running.method.is_empty()), "{still:?}");
    let closing = thread::spawn({
        let pool = pool.clone();
        move || pool.close(LONG)
    });
    stage.go();
    assert!(matches!(adding.join().unwrap(), Err(Error::PoolStopped)));
    assert!(closing.join().unwrap().is_empty());
    drop((router, pool));
    assert_eq!(stage.rest(), ["has started", "ends", "has ended"]);
}

/// Makes what it has, once.
struct Makes(Mutex<Option<Hosted>>);

impl Activator for Makes {
    fn activate(&self, _name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        self.0.lock().unwrap().take().map(Ok)
    }
}

#[test]
fn a_service_that_is_made_while_its_pool_closes_is_told_of_the_end_once_and_not_called() {
    let router = router();
    let (actor, stage) = Actor::new("start");
    let makes = Makes(Mutex::new(Some(Hosted::new(actor))));
    let pool = Pool::builder(&router).size(2).activator(makes).start().unwrap();
    let call = Actor::stub(&router.myself()).act();
    assert_eq!(stage.next(), "starts");
    pool.stop();
    stage.go();
    assert!(matches!(call.wait_timeout(LONG), Err(CallError::Stopped { .. })));
    assert!(pool.close(LONG).is_empty());
    drop((router, pool));
    assert_eq!(stage.rest(), ["has started", "ends", "has ended"]);
}

#[test]
fn a_start_may_close_its_own_pool() {
    struct Closes(mpsc::Sender<&'static str>);

    #[service(name = "closes")]
    impl Closes {
        #[on_start]
        fn begin(&self, scope: &ServiceScope) {
            assert!(scope.router().pool().unwrap().close(LONG).is_empty());
            self.0.send("has started").unwrap();
        }

        #[on_shutdown]
        fn end(&self) {
            self.0.send("ends").unwrap();
        }
    }

    let router = router();
    let pool = Pool::builder(&router).size(2).start().unwrap();
    let (says, said) = mpsc::channel();
    let began = Instant::now();
    assert!(matches!(pool.add(Closes(says)), Err(Error::PoolStopped)));
    assert!(began.elapsed() < LONG, "it waited for itself");
    assert_eq!(said.iter().collect::<Vec<_>>(), ["has started", "ends"]);
}

#[test]
fn who_ends_a_pool_second_waits_until_the_services_have_said_farewell() {
    let router = router();
    let (actor, stage) = Actor::new("end");
    let pool = Pool::builder(&router).size(1).service(actor).start().unwrap();
    assert_eq!([stage.next(), stage.next()], ["starts", "has started"]);
    let close = |pool: &Pool| {
        let pool = pool.clone();
        thread::spawn(move || pool.close(LONG))
    };
    let first = close(&pool);
    assert_eq!(stage.next(), "ends");
    let second = thread::spawn({
        let router = router.clone();
        move || router.shutdown(LONG)
    });
    let third = close(&pool);
    stage.go();
    second.join().unwrap();
    assert_eq!(stage.said.try_recv(), Ok("has ended"), "before the router was closed");
    for closed in [first, third] {
        assert!(closed.join().unwrap().is_empty());
    }
    drop((router, pool));
    assert!(stage.rest().is_empty(), "it happens once");
}

#[test]
fn a_farewell_may_close_its_own_pool_and_does_not_wait_for_itself() {
    struct Closes(Mutex<Option<Pool>>, mpsc::Sender<Duration>);

    #[service(name = "closes")]
    impl Closes {
        #[on_shutdown]
        fn end(&self) {
            let pool = self.0.lock().unwrap().take().expect("it is told once");
            let began = Instant::now();
            pool.close(LONG);
            self.1.send(began.elapsed()).unwrap();
        }
    }

    let router = router();
    let (says, said) = mpsc::channel();
    let pool = Pool::builder(&router).service(Closes(Mutex::default(), says)).start().unwrap();
    *pool.get_service::<Closes>().unwrap().0.lock().unwrap() = Some(pool.clone());
    assert!(pool.close(LONG).is_empty());
    assert!(said.recv_timeout(LONG).unwrap() < LONG, "it waited for itself");
}

/// Keeps its calls, to run them later.
#[derive(Clone, Default)]
struct Keeps(Arc<(Mutex<Vec<Authorized>>, Condvar)>);

impl Invoker for Keeps {
    fn invoke(&self, call: Authorized) {
        self.0.0.lock().unwrap().push(call);
        self.0.1.notify_all();
    }
}

impl Keeps {
    /// Waits for the first call that it keeps.
    fn take(&self) -> Authorized {
        let (calls, kept) = &*self.0;
        let (mut calls, _) = kept.wait_timeout_while(calls.lock().unwrap(), LONG, |calls| calls.is_empty()).unwrap();
        calls.remove(0)
    }
}

static KEPT: Mutex<Option<Keeps>> = Mutex::new(None);

struct Kept(Arc<Mutex<Vec<&'static str>>>);

#[service(name = "kept", invoker = KEPT.lock().unwrap().get_or_insert_default().clone())]
impl Kept {
    #[expose(policy = AllowAny)]
    fn act(&self) {
        self.0.lock().unwrap().push("acts");
    }

    #[on_shutdown]
    fn end(&self) {
        self.0.lock().unwrap().push("ends");
    }
}

#[test]
fn a_call_that_an_invoker_has_kept_does_not_run_after_the_end() {
    let router = router();
    let done = Arc::<Mutex<Vec<_>>>::default();
    let pool = Pool::builder(&router).size(1).service(Kept(done.clone())).start().unwrap();
    let calls = [(); 2].map(|()| Kept::stub(&router.myself()).act());
    let keeps = KEPT.lock().unwrap().clone().unwrap();
    let [first, second] = calls;
    let [now, later] = [keeps.take(), keeps.take()];
    now.run();
    first.wait_timeout(LONG).unwrap();
    assert!(pool.close(LONG).is_empty());
    later.run();
    let error = second.wait_timeout(LONG).unwrap_err();
    assert!(matches!(&error, CallError::Stopped { .. }), "{error:?}");
    assert_eq!(error.executed(), Executed::No);
    assert_eq!(*done.lock().unwrap(), ["acts", "ends"]);
}

#[test]
fn a_pool_that_was_stopped_while_it_started_takes_nothing_from_the_one_after_it() {
    let router = router();
    let (slow, stage) = Actor::new("start");
    let starting = thread::spawn({
        let router = router.clone();
        move || Pool::builder(&router).size(1).service(slow).start().map(drop)
    });
    assert_eq!(stage.next(), "starts");
    router.pool().unwrap().stop();
    let (actor, other) = Actor::new("");
    let next = Pool::builder(&router).size(1).service(actor).start().unwrap();
    stage.go();
    assert!(matches!(starting.join().unwrap(), Err(Error::PoolStopped)));
    assert_eq!(stage.rest(), ["has started", "ends", "has ended"]);
    Actor::stub(&router.myself()).act().wait_timeout(LONG).unwrap();
    assert_eq!(router.pool().map(|pool| pool.stats().methods[0].calls), Some(1), "it is the one after it");
    assert!(next.close(LONG).is_empty());
    drop((router, next));
    assert_eq!(other.rest(), ["starts", "has started", "acts", "ends", "has ended"]);
}

#[test]
fn a_pool_whose_router_closes_while_it_starts_says_so() {
    let router = router();
    let (slow, stage) = Actor::new("start");
    let starting = thread::spawn({
        let router = router.clone();
        move || Pool::builder(&router).size(1).service(slow).start().map(drop)
    });
    assert_eq!(stage.next(), "starts");
    let closing = thread::spawn({
        let router = router.clone();
        move || router.shutdown(LONG)
    });
    let call = Actor::stub(&router.myself());
    // Closed for new calls, and waiting for the service that starts.
    while router.pool().is_some_and(|pool| !matches!(pool.defer(|| {}), Err(Error::PoolStopped))) {
        thread::yield_now();
    }
    stage.go();
    assert!(matches!(starting.join().unwrap(), Err(Error::Closed)));
    closing.join().unwrap();
    assert!(call.act().wait_timeout(LONG).is_err());
    assert_eq!(stage.rest(), ["has started", "ends", "has ended"]);
}

#[test]
fn pools_that_were_stopped_and_not_joined_hear_of_the_end_of_their_router() {
    let router = router();
    let mut stages = Vec::new();
    for _ in 0..3 {
        let (actor, stage) = Actor::new("");
        Pool::builder(&router).size(1).service(actor).start().unwrap().stop();
        stages.push(stage);
    }
    router.shutdown(LONG);
    for stage in &stages {
        assert_eq!(stage.rest(), ["starts", "has started", "ends", "has ended"]);
    }
}

/// The same service under every name.
struct Everywhere(Hosted);

impl Activator for Everywhere {
    fn activate(&self, _name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        Some(Ok(self.0.clone()))
    }
}

#[test]
fn a_service_of_several_names_starts_once_and_does_not_start_again_after_its_end() {
    let router = router();
    let (actor, stage) = Actor::new("");
    let hosted = Hosted::new(actor);
    let pool = Pool::builder(&router).size(2).activator(Everywhere(hosted.clone())).start().unwrap();
    for name in ["one", "other"] {
        router.myself().call_service::<()>(name, "act", &()).wait_timeout(LONG).unwrap();
    }
    assert!(pool.close(LONG).is_empty());
    drop(pool);
    let pool = Pool::builder(&router).size(2).activator(Everywhere(hosted)).start().unwrap();
    let error = router.myself().call_service::<()>("one", "act", &()).wait_timeout(LONG).unwrap_err();
    assert!(
        matches!(&error, CallError::NoSuchService { reason, .. } if reason.contains("told of the end")),
        "{error:?}"
    );
    assert!(pool.close(LONG).is_empty());
    drop((router, pool));
    assert_eq!(stage.rest(), ["starts", "has started", "acts", "acts", "ends", "has ended"]);
}

/// Adds up what arrives.
#[derive(Default)]
struct Sums {
    scope: Mutex<Option<ServiceScope>>,
    sum: AtomicUsize,
    asked: Mutex<Option<(usize, Reply<()>)>>,
}

#[service(name = "sums")]
impl Sums {
    #[on_start]
    fn begin(&self, scope: &ServiceScope) {
        *self.scope.lock().unwrap() = Some(scope.clone());
    }

    #[expose(policy = AllowAny)]
    fn open(&self) -> Result<Sender<usize>, Error> {
        let scope = self.scope.lock().unwrap().clone().unwrap();
        let numbers = scope.router().receiver::<usize>();
        let sender = numbers.sender();
        scope.select().add(numbers, "numbers")?;
        Ok(sender)
    }

    /// Answers when all has come that makes this sum.
    #[expose(policy = AllowAny)]
    fn reaches(&self, sum: usize, reply: Reply<()>) {
        *self.asked.lock().unwrap() = Some((sum, reply));
        self.look();
    }

    #[on_message(policy = AllowAny)]
    fn take(&self, event: Event) {
        if let Ok(number) = event.decode::<usize>() {
            self.sum.fetch_add(number, Ordering::SeqCst);
            self.look();
        }
    }

    fn look(&self) {
        let mut asked = self.asked.lock().unwrap();
        if let Some((_, reply)) = asked.take_if(|(sum, _)| self.sum.load(Ordering::SeqCst) == *sum) {
            reply.send(Ok(()));
        }
    }
}

#[test]
fn a_service_takes_messages_also_under_a_name_that_its_activator_has_chosen() {
    let router = router();
    let activator = Everywhere(Hosted::new(Sums::default()));
    let _pool = Pool::builder(&router).size(2).activator(activator).start().unwrap();
    let numbers: Sender<usize> = router.myself().call_service("sums:1", "open", &()).wait_timeout(LONG).unwrap();
    for _ in 0..100 {
        numbers.send(1).unwrap();
    }
    let args = std::collections::BTreeMap::from([("sum", 100)]);
    router.myself().call_service::<()>("sums:1", "reaches", &args).wait_timeout(LONG).unwrap();
}

/// Ends its router with the answer still in its hands.
struct EndsInHand;

#[service(name = "ends in hand")]
impl EndsInHand {
    #[expose(policy = AllowAny)]
    fn end(&self, router: &Router, reply: Reply<bool>) {
        let began = Instant::now();
        router.shutdown(LONG);
        reply.send(Ok(began.elapsed() < LONG));
    }
}

#[test]
fn an_end_from_inside_a_method_does_not_wait_for_the_answer_of_that_method() {
    let began = Instant::now();
    let router = router();
    let _pool = Pool::builder(&router).size(1).service(EndsInHand).start().unwrap();
    drop(EndsInHand::stub(&router.myself()).end().wait_timeout(2 * LONG));
    router.wait();
    assert!(began.elapsed() < LONG, "it waited for itself");
}

/// Has others answer.
struct Shelf(Mutex<mpsc::Sender<Reply<u32>>>);

#[service(name = "shelf")]
impl Shelf {
    #[expose(policy = AllowAny)]
    fn put(&self, reply: Reply<u32>) {
        self.0.lock().unwrap().send(reply).unwrap();
    }
}

#[test]
fn the_end_of_a_router_waits_for_answers_in_other_hands_and_not_beyond_its_bound() {
    for given in [true, false] {
        let router = router();
        let (puts, shelf) = mpsc::channel();
        let _pool = Pool::builder(&router).size(1).service(Shelf(Mutex::new(puts))).start().unwrap();
        let call = Shelf::stub(&router.myself()).put();
        let reply: Reply<u32> = shelf.recv_timeout(LONG).unwrap();
        let bound = if given { LONG } else { Duration::from_millis(50) };
        let closing = thread::spawn({
            let router = router.clone();
            move || within(LONG, move || router.shutdown(bound))
        });
        if given {
            // It has let go of the service, and so of the sender, before it waits for the answer.
            assert!(shelf.recv_timeout(LONG).is_err());
            reply.send(Ok(7));
            assert_eq!(call.wait_timeout(LONG).unwrap(), 7);
            closing.join().unwrap();
        } else {
            closing.join().unwrap();
            reply.send(Ok(7));
            assert!(matches!(call.wait_timeout(LONG), Err(CallError::Dead { .. })));
        }
    }
}

#[test]
fn answers_that_a_service_keeps_for_itself_do_not_hold_up_the_end() {
    struct Polls(Mutex<Vec<Reply<u32>>>, mpsc::Sender<()>);

    #[service(name = "polls")]
    impl Polls {
        #[expose(policy = AllowAny)]
        fn poll(&self, reply: Reply<u32>) {
            self.0.lock().unwrap().push(reply);
            self.1.send(()).unwrap();
        }
    }

    let router = router();
    let (says, said) = mpsc::channel();
    let _pool = Pool::builder(&router).size(1).service(Polls(Mutex::default(), says)).start().unwrap();
    let call = Polls::stub(&router.myself()).poll();
    said.recv_timeout(LONG).unwrap();
    let began = Instant::now();
    router.shutdown(LONG);
    assert!(began.elapsed() < LONG);
    assert!(matches!(call.wait_timeout(LONG), Err(CallError::Cancelled { .. })));
}
