//! Calls that methods make: who runs them, how long they may take, and what happens in a circle.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mitogen_service::{
    AllowAny, Call, CallError, Caller, Context, DeadlineBy, Executed, Pool, Reply, Router, SerializedInvoker,
    as_completed, service, testing,
};
use mitogen_service_tests::LONG;

use crate::calls::block_on;

/// Calls back and forth between two contexts.
struct Bounce;

#[service(name = "bounce")]
impl Bounce {
    #[expose(policy = AllowAny)]
    fn bounce(&self, here: Context, there: Context, times: u32) -> Result<u32, CallError> {
        if times == 0 {
            return Ok(0);
        }
        Ok(1 + Bounce::stub(&there).bounce(there, here, times - 1).wait()?)
    }

    /// The same with the other ways to wait.
    #[expose(policy = AllowAny)]
    fn bounce_otherwise(&self, here: Context, there: Context, times: u32) -> Result<u32, CallError> {
        if times == 0 {
            return Ok(0);
        }
        let call = || Bounce::stub(&there).bounce_otherwise(there.clone(), here.clone(), times - 1);
        let deep = match times % 3 {
            0 => call().wait_timeout(LONG)?,
            1 => call().try_wait(LONG).expect("it is not late")?,
            _ => as_completed([call(), call()]).map(|(_, result)| result).collect::<Result<Vec<_>, _>>()?[1],
        };
        Ok(1 + deep)
    }

    #[expose(policy = AllowAny)]
    fn plain(&self) {}
}

/// One call at a time.
struct Serial;

#[service(name = "serial", invoker = SerializedInvoker)]
impl Serial {
    #[expose(policy = AllowAny)]
    fn around(&self, here: Context, there: Context, times: u32) -> Result<u32, CallError> {
        if times == 0 {
            return Ok(0);
        }
        Serial::stub(&there).around(there, here, times - 1).wait()
    }
}

/// What a method learns of its time.
struct Time(mpsc::Sender<&'static str>, Arc<AtomicUsize>, mpsc::Sender<Reply<()>>);

#[service(name = "time")]
impl Time {
    #[expose(policy = AllowAny)]
    fn remaining(&self, caller: &Caller) -> Option<Duration> {
        caller.remaining()
    }

    #[expose(policy = AllowAny)]
    fn nested(&self, at: Context) -> Result<Option<Duration>, CallError> {
        Time::stub(&at).remaining().wait()
    }

    #[expose(policy = AllowAny)]
    fn in_a_thread(&self, at: Context, caller: &Caller) -> Result<Option<Duration>, CallError> {
        let caller = caller.clone();
        let thread = std::thread::spawn(move || caller.scope(|| Time::stub(&at).remaining().wait()));
        thread.join().unwrap()
    }

    /// Returns when its caller has given up.
    #[expose(policy = AllowAny)]
    fn until_cancelled(&self, caller: &Caller) {
        self.0.send("begun").unwrap();
        while !caller.is_cancelled() {
            std::thread::yield_now();
        }
        self.0.send("cancelled").unwrap();
    }

    /// Does not return before the test lets it.
    #[expose(policy = AllowAny)]
    fn stay(&self, reply: Reply<()>) {
        self.2.send(reply).unwrap();
    }

    #[expose(policy = AllowAny)]
    fn count(&self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Two contexts with pools of one thread.
struct Two {
    parent: Router,
    child: Router,
    at_parent: Context,
    at_child: Context,
    told: mpsc::Receiver<&'static str>,
    counted: Arc<AtomicUsize>,
    stayed: mpsc::Receiver<Reply<()>>,
}

fn two() -> Two {
    let (parent, child) = testing::pair();
    let (tell, told) = mpsc::channel();
    let (stay, stayed) = mpsc::channel();
    let counted = Arc::new(AtomicUsize::new(0));
    for router in [&parent, &child] {
        let time = Time(tell.clone(), counted.clone(), stay.clone());
        Pool::builder(router).size(1).service(Bounce).service(Serial).service(time).start().unwrap();
    }
    let (at_parent, at_child) = (parent.myself(), parent.children().remove(0));
    Two { parent, child, at_parent, at_child, told, counted, stayed }
}

#[test]
fn contexts_with_one_thread_each_call_each_other_back() {
    let two = two();
    let bounce = Bounce::stub(&two.at_child);
    let times = 30;
    assert_eq!(bounce.bounce(two.at_child.clone(), two.at_parent.clone(), times).wait_timeout(LONG).unwrap(), times);
    assert_eq!(bounce.bounce_otherwise(two.at_child.clone(), two.at_parent.clone(), 9).wait_timeout(LONG).unwrap(), 9);
    // A context calls itself.
    let me = two.parent.myself();
    assert_eq!(Bounce::stub(&me).bounce(me.clone(), me.clone(), times).wait_timeout(LONG).unwrap(), times);
    bounce.plain().wait_timeout(LONG).unwrap();
}

#[test]
fn a_circle_without_end_is_refused_with_its_chain() {
    let two = two();
    let bounce = Bounce::stub(&two.at_child);
    let error = bounce.bounce(two.at_child.clone(), two.at_parent.clone(), 1000).wait_timeout(LONG).unwrap_err();
    let CallError::Deadlock { chain, .. } = &error else { panic!("{error:?}") };
    assert_eq!(chain.len(), 34, "{error}");
    assert_eq!(chain[..2], ["bounce.bounce in child", "bounce.bounce in root"]);
    assert_eq!(chain[33], "... (more than 32 calls deep)");
    bounce.plain().wait_timeout(LONG).unwrap();
}

#[test]
fn a_call_that_waits_for_its_own_queue_is_refused_with_the_chain() {
    let two = two();
    let serial = Serial::stub(&two.at_child);
    let around = |times| serial.around(two.at_child.clone(), two.at_parent.clone(), times).wait_timeout(LONG);
    assert_eq!(around(1).unwrap(), 0);
    let error = around(2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the call would wait for itself: serial.around in child -> serial.around in root -> serial.around in child"
    );
    assert_eq!(error.executed(), Executed::Yes, "the outermost method has run");
    assert_eq!(around(0).unwrap(), 0, "the queue goes on");
}

#[test]
fn a_thread_that_waits_runs_nothing_that_its_answer_does_not_need() {
    let two = two();
    // The child's only thread waits for one that does not come back, and another caller's call has to wait.
    let busy = Time::stub(&two.at_parent).until_cancelled();
    assert_eq!(two.told.recv_timeout(LONG).unwrap(), "begun");
    let waiting = Time::stub(&two.at_child).nested(two.at_parent.clone());
    let mut other = Bounce::stub(&two.at_child).plain();
    assert!(other.try_wait(Duration::from_millis(50)).is_none());
    drop(busy);
    assert_eq!(waiting.wait_timeout(LONG).unwrap(), None);
    other.wait_timeout(LONG).unwrap();
}

#[test]
fn time_travels_with_calls_and_what_they_call_inherits_it() {
    let two = two();
    let time = Time::stub(&two.at_child);
    assert_eq!(time.remaining().wait_timeout(LONG).unwrap(), None);
    let bound = Duration::from_secs(100);
    let within = |left: Option<Duration>| assert!(left.unwrap() <= bound && left.unwrap() > bound / 2, "{left:?}");
    let timed = time.with_timeout(bound);
    within(timed.remaining().wait().unwrap());
    within(timed.nested(two.at_parent.clone()).wait().unwrap());
    within(timed.in_a_thread(two.at_parent.clone()).wait().unwrap());
    let left = timed.with_timeout(bound * 2).nested(two.at_parent.clone()).wait().unwrap();
    assert!(left.unwrap() > bound, "{left:?}");
}

#[test]
fn a_call_is_given_up_when_its_time_is_over_however_it_is_waited_for() {
    let two = two();
    let timed = Time::stub(&two.at_child).with_timeout(Duration::from_millis(30));
    type Wait = fn(Call<()>) -> Result<(), CallError>;
    let ways: [Wait; 4] = [
        Call::wait,
        |call| call.wait_timeout(LONG),
        |call| block_on(call),
        |call| as_completed([call]).next().unwrap().1,
    ];
    for wait in ways {
        let began = Instant::now();
        let error = wait(timed.stay()).unwrap_err();
        assert!(matches!(error, CallError::DeadlineExceeded { by: DeadlineBy::Caller, .. }), "{error:?}");
        assert_eq!(error.executed(), Executed::Maybe);
        assert!(began.elapsed() >= Duration::from_millis(30) && began.elapsed() < LONG);
        let reply = two.stayed.recv_timeout(LONG).unwrap();
        // The callee's clock began a moment later.
        while !reply.is_cancelled() {
            assert!(began.elapsed() < LONG);
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_queued_call_whose_time_is_over_does_not_run() {
    let two = two();
    let time = Time::stub(&two.at_child);
    let busy = time.until_cancelled();
    assert_eq!(two.told.recv_timeout(LONG).unwrap(), "begun");
    let error = time.with_timeout(Duration::from_millis(20)).count().wait().unwrap_err();
    assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error:?}");
    drop(busy);
    Bounce::stub(&two.at_child).plain().wait_timeout(LONG).unwrap();
    assert_eq!(two.counted.load(Ordering::SeqCst), 0);
    let error = time.with_timeout(Duration::ZERO).count().wait().unwrap_err();
    assert_eq!(error.executed(), Executed::No, "{error:?}");
    drop(two.child);
}

#[test]
fn a_call_that_would_have_to_wait_fails_at_once_if_that_is_wanted() {
    let router = Router::builder().max_pending_calls(1).build().unwrap();
    let (tell, told) = mpsc::channel();
    Pool::builder(&router).size(1).service(Time(tell, Arc::default(), mpsc::channel().0)).start().unwrap();
    let time = Time::stub(&router.myself());
    let busy = time.until_cancelled();
    assert_eq!(told.recv_timeout(LONG).unwrap(), "begun");
    let error = time.no_wait().count().wait().unwrap_err();
    assert!(matches!(error, CallError::Overloaded { .. }), "{error:?}");
    assert_eq!(error.executed(), Executed::No);
    drop(busy);
    time.no_wait().count().wait_timeout(LONG).unwrap();
}

#[test]
fn the_time_of_a_call_covers_its_wait_for_a_place_among_those_that_are_pending() {
    let router = Router::builder().max_pending_calls(1).build().unwrap();
    let (tell, told) = mpsc::channel();
    let counted = Arc::new(AtomicUsize::new(0));
    let service = Time(tell, counted.clone(), mpsc::channel().0);
    let pool = Pool::builder(&router).size(1).service(service).start().unwrap();
    let time = Time::stub(&router.myself());
    let busy = time.until_cancelled();
    assert_eq!(told.recv_timeout(LONG).unwrap(), "begun");
    let began = Instant::now();
    let error = time.with_timeout(Duration::from_millis(30)).count().wait().unwrap_err();
    assert!(matches!(error, CallError::DeadlineExceeded { by: DeadlineBy::Caller, .. }), "{error:?}");
    assert_eq!(error.executed(), Executed::No, "it was not sent");
    assert!(began.elapsed() >= Duration::from_millis(30));
    // Who has time enough gets the place that the other one leaves.
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| time.with_timeout(LONG).count().wait());
        drop(busy);
        patient.join().unwrap().unwrap();
    });
    assert_eq!((pool.stats().queued, counted.load(Ordering::SeqCst)), (0, 1));
}
