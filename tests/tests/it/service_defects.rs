//! What is known to be wrong in Mitogen's services, channels and selects, and what happens here
//! instead. The numbers are those of the table in docs/parity.md, as in `upstream_defects/`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mitogen_service::{
    AllowAny, CallError, Caller, Context, EventKind, Pool, Router, Select, SerializedInvoker, service, testing,
};
use mitogen_service_tests::{LONG, within};

use crate::bench::{Bench, Worker};
use crate::channel::Feeder;

fn router() -> Router {
    Router::builder().build().unwrap()
}

// B5
#[test]
fn a_member_that_ends_is_named_and_a_oneshot_iteration_comes_to_its_end() {
    let bench = Bench::new();
    let child = bench.child("child");
    let select = Select::oneshot();
    for key in ["one", "two", "three"] {
        let receiver = bench.router.receiver::<u32>();
        Feeder::stub(&child).keep(receiver.sender()).wait().unwrap();
        select.add(receiver, key).unwrap();
    }
    Feeder::stub(&child).close_kept().wait().unwrap();
    let mut ended: Vec<_> = within(LONG, move || {
        let ended = select.iter().map(|event| {
            let EventKind::Ended(why) = &event.kind else { panic!("{event:?}") };
            assert_eq!(why.to_string(), "Channel closed by remote end.");
            event.key.to_string()
        });
        let ended = ended.collect();
        assert!(select.is_empty());
        ended
    });
    ended.sort();
    assert_eq!(ended, ["one", "three", "two"]);
}

// B6
#[test]
fn the_close_of_this_side_wakes_a_select_as_well() {
    let router = router();
    let receiver = router.receiver::<u32>();
    let sender = receiver.sender();
    // Otherwise there would be nobody whose end it could be.
    sender.send(1).unwrap();
    let select = Arc::new(Select::new());
    select.add(receiver, "numbers").unwrap();
    assert_eq!(select.get().unwrap().decode::<u32>().unwrap(), 1);
    let waiting = thread::spawn({
        let select = select.clone();
        move || select.get().unwrap()
    });
    sender.close();
    let event = within(LONG, move || waiting.join().unwrap());
    let EventKind::Ended(why) = &event.kind else { panic!("{event:?}") };
    assert_eq!((why.to_string().as_str(), event.key == "numbers"), ("Channel closed by remote end.", true));
}

/// Methods whose names for things are also ours.
struct Names;

#[service(name = "names")]
impl Names {
    #[expose(policy = AllowAny)]
    fn echo(&self, msg: String, caller: u32, router: u32, reply: String, args: u32) -> (String, u32) {
        let message = format!("{msg} {reply}");
        let context = caller + router + args;
        (message, context)
    }

    /// What is ours comes by its type, and under any name.
    #[expose(policy = AllowAny)]
    fn whose(&self, msg: &Caller, call: u32) -> (Context, u32) {
        let caller = msg.context();
        (caller, call)
    }
}

// B10
#[test]
fn what_arguments_and_variables_are_called_makes_no_difference() {
    let router = router();
    Pool::builder(&router).size(1).service(Names).start().unwrap();
    let names = Names::stub(&router.myself());
    let echoed = names.echo("hello".into(), 1, 2, "there".into(), 4).wait_timeout(LONG).unwrap();
    assert_eq!(echoed, ("hello there".to_owned(), 7));
    assert_eq!(names.whose(7).wait_timeout(LONG).unwrap(), (router.myself(), 7));
}

// B11
#[test]
fn a_pool_made_by_hand_stays_the_one_that_is_called() {
    let (parent, child) = testing::pair();
    let pool = Pool::builder(&child).size(1).service(Names).start().unwrap();
    // Calls of a parent, of the context itself, and of things that are not there would make one.
    for whom in [parent.children().remove(0), child.myself()] {
        assert_eq!(Names::stub(&whom).whose(1).wait_timeout(LONG).unwrap().1, 1);
        Worker::stub(&whom).marks().wait_timeout(LONG).unwrap();
        assert!(whom.call_service::<()>("nobody", "nothing", &()).wait_timeout(LONG).is_err());
        assert_eq!(child.pool().unwrap().size(), 1);
        assert!(pool.get_service::<Worker>().is_some(), "what was asked for runs there");
    }
    assert!(pool.close(LONG).is_empty());
}

// B12
#[test]
fn a_call_may_be_dropped_at_any_moment_around_its_answer() {
    let bench = Bench::with(Router::builder().max_pending_calls(64).build().unwrap());
    let worker = Worker::stub(&bench.child("worker"));
    for round in 0..2000 {
        let mut call = worker.echo("x".into());
        if round % 2 == 0 {
            // In the middle of its way there or back.
            (0..round % 70).for_each(|_| thread::yield_now());
        } else {
            drop(call.try_wait(Duration::from_micros(round % 200)));
        }
        drop(call);
    }
    // All places are free again: as many calls as there may be have to wait for nobody.
    let calls: Vec<_> = (0..64).map(|number| worker.no_wait().echo(number.to_string())).collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait_timeout(LONG).unwrap(), number.to_string());
    }
}

// B12
#[test]
fn a_receiver_may_be_closed_after_the_end_of_its_respondent() {
    let bench = Bench::new();
    let child = bench.child("child");
    let receivers: Vec<_> = (0..20).map(|_| bench.router.receiver::<u32>().from(&child)).collect();
    for receiver in &receivers {
        Feeder::stub(&child).keep(receiver.sender()).wait().unwrap();
    }
    // Half of them are closed while it ends.
    let ending = thread::spawn(move || child.kill().unwrap());
    for receiver in &receivers[10..] {
        receiver.close();
    }
    ending.join().unwrap();
    for receiver in receivers {
        assert!(receiver.recv_timeout(LONG).is_err());
        receiver.close();
        receiver.close();
    }
}

// B20
#[test]
fn a_sender_that_was_an_argument_learns_the_end_of_its_receivers_context() {
    let bench = Bench::new();
    let (receiving, sending) = (bench.child("receiving"), bench.child("sending"));
    let sender = Feeder::stub(&receiving).open().wait().unwrap();
    let feeder = Feeder::stub(&sending);
    feeder.keep(sender).wait().unwrap();
    feeder.send_kept(1).wait().unwrap();
    receiving.kill().unwrap();
    let deadline = Instant::now() + LONG;
    let error = loop {
        match feeder.send_kept(2).wait_timeout(LONG) {
            Ok(()) => assert!(Instant::now() < deadline, "it is never told"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, CallError::Dead { context, .. } if context == "receiving"), "{error:?}");
}

/// Waits for others.
struct Waiting(mpsc::Sender<Result<String, CallError>>);

#[service(name = "waiting")]
impl Waiting {
    #[expose(policy = AllowAny)]
    fn wait_for(&self, whom: Context, gate: Context) {
        self.0.send(Worker::stub(&whom).hold(gate, "held".into()).wait()).unwrap();
    }
}

// B22
#[test]
fn a_router_ends_while_its_methods_wait_for_other_contexts() {
    for let_go in [true, false] {
        let bench = Bench::new();
        let (tell, told) = mpsc::channel();
        bench.pool.add(Waiting(tell)).unwrap();
        let child = bench.child("child");
        Waiting::stub(&bench.root()).wait_for(child.clone(), bench.root()).detach();
        let visit = bench.visit();
        let router = bench.router.clone();
        let bound = if let_go { 3 * LONG } else { Duration::from_millis(200) };
        let ending = thread::spawn(move || router.shutdown(bound));
        // No new call is taken, so it has begun.
        while child.is_connected() && Worker::stub(&child).marks().wait().is_ok() {}
        if let_go {
            visit.go();
        }
        within(LONG, move || ending.join().unwrap());
        let result = told.recv_timeout(LONG).expect("the method has come to its end");
        println!("let go: {let_go}, result: {result:?}");
        assert!(let_go || matches!(result, Err(CallError::Dead { .. })), "{result:?}");
    }
}

// B23
#[test]
fn a_timeout_does_not_begin_anew_when_others_take_what_has_come() {
    const TIMEOUT: Duration = Duration::from_millis(50);
    let router = router();
    let (select, direct) = (Arc::new(Select::new()), Arc::new(router.receiver::<u32>()));
    let selected = router.receiver::<u32>();
    let senders = [selected.sender(), direct.sender()];
    select.add(selected, "numbers").unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let noise = thread::spawn({
        let (select, direct, is_over) = (select.clone(), direct.clone(), is_over.clone());
        let mut rounds = 0;
        move || {
            while !is_over.load(Ordering::SeqCst) {
                for sender in &senders {
                    sender.send(1).unwrap();
                }
                // Mostly before those who have been woken.
                drop((select.try_get(), direct.try_recv()));
                rounds += 1;
                thread::sleep(Duration::from_millis(1));
            }
            rounds
        }
    });
    type Wait = Box<dyn Fn() -> Result<(), CallError>>;
    let waits: [Wait; 2] = [
        Box::new(move || select.get_timeout(TIMEOUT).map(drop)),
        Box::new(move || direct.recv_timeout(TIMEOUT).map(drop)),
    ];
    for wait in waits {
        // Now and then it is quicker than the one that takes everything.
        for _ in 0..20 {
            let began = Instant::now();
            let result = wait();
            assert!(began.elapsed() < LONG / 2, "{:?} for a timeout of {TIMEOUT:?}", began.elapsed());
            if let Err(error) = result {
                assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error:?}");
                assert!(began.elapsed() >= TIMEOUT);
            }
        }
    }
    is_over.store(true, Ordering::SeqCst);
    println!("woken {} times for nothing, or nearly so", noise.join().unwrap());
}

static INSTANCES: AtomicUsize = AtomicUsize::new(0);

/// Is there once, and does one thing at a time.
struct Alone(AtomicBool);

impl Default for Alone {
    fn default() -> Self {
        INSTANCES.fetch_add(1, Ordering::SeqCst);
        // Others come meanwhile.
        thread::sleep(Duration::from_millis(20));
        Self(AtomicBool::new(false))
    }
}

#[service(activate, invoker = SerializedInvoker)]
impl Alone {
    #[expose(policy = AllowAny)]
    fn enter(&self) -> usize {
        assert!(!self.0.swap(true, Ordering::SeqCst), "somebody is inside");
        thread::yield_now();
        assert!(self.0.swap(false, Ordering::SeqCst));
        INSTANCES.load(Ordering::SeqCst)
    }
}

// B25
#[test]
fn calls_that_come_while_a_service_is_activated_run_one_at_a_time_on_one_instance() {
    let bench = Bench::new();
    for _ in 0..5 {
        let child = bench.child("child");
        let together = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    let calls: Vec<_> = (0..25).map(|_| Alone::stub(&child).enter()).collect();
                    for call in calls {
                        assert_eq!(call.wait_timeout(LONG).unwrap(), 1, "instances");
                    }
                });
            }
        });
    }
}

/// Methods without a reply, called by names and asked for one.
struct Quiet;

#[service(name = "quiet")]
impl Quiet {
    #[expose(policy = AllowAny)]
    #[no_reply]
    fn panic(&self) {
        panic!("not a success");
    }

    #[expose(policy = |_: &Self, _: &Caller| false)]
    #[no_reply]
    fn refused(&self) {}

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn nothing(&self) {}
}

// B26
#[test]
fn a_no_reply_method_that_fails_is_no_success_for_whoever_asks() {
    let router = router();
    Pool::builder(&router).size(1).service(Quiet).start().unwrap();
    let ask = |method: &str| router.myself().call_service::<()>("quiet", method, &()).wait_timeout(LONG);
    let error = ask("panic").unwrap_err();
    assert!(matches!(&error, CallError::Panicked { message, .. } if message == "not a success"), "{error:?}");
    assert!(matches!(ask("refused"), Err(CallError::Unauthorized { .. })));
    ask("nothing").unwrap();
}

// B31
#[test]
fn a_select_that_has_refused_a_member_is_as_it_was_and_can_be_closed() {
    let router = router();
    let select = Select::new();
    select.add(router.receiver::<u32>(), "key").unwrap();
    for _ in 0..3 {
        select.add(router.receiver::<u32>(), "key").unwrap_err();
        select.add(Select::new(), "key").unwrap_err();
        assert_eq!(select.len(), 1);
    }
    select.close();
    assert!(select.is_empty());
    select.add(router.receiver::<u32>(), "late").unwrap_err();
    select.close();
    assert!(select.is_empty());
}

// B32
#[test]
fn a_first_call_waits_for_no_method_of_another_service() {
    let bench = Bench::new();
    let child = bench.child("child");
    // It runs from the moment on in which the child has a pool.
    let held = Worker::stub(&child).hold(bench.root(), "held".into());
    let visit = bench.visit();
    let to = Feeder::stub(&child).open().wait_timeout(LONG).unwrap();
    to.send(1).unwrap();
    assert_eq!(Alone::stub(&child).enter().wait_timeout(LONG).unwrap(), 1);
    visit.go();
    assert_eq!(held.wait_timeout(LONG).unwrap(), "held");
}

/// Lets a context end while the answer of one of its calls is in another thread's hands; gives what
/// becomes of the call.
fn answered_aside_at_the_end() -> Result<String, CallError> {
    let bench = Bench::new();
    let child = bench.child("child");
    let worker = Worker::stub(&child);
    let aside = worker.hold_aside(bench.root(), "aside".into());
    let visit = bench.visit();
    let ending = thread::spawn(move || child.shutdown(LONG));
    // No new call is taken, so it has begun.
    while worker.marks().wait().is_ok() {}
    visit.go();
    let result = aside.wait_timeout(LONG);
    within(LONG, move || ending.join().unwrap()).unwrap();
    result
}

// B34
#[test]
fn an_answer_that_another_thread_gives_while_the_context_ends_is_not_lost_in_silence() {
    for _ in 0..10 {
        let result = answered_aside_at_the_end();
        assert!(matches!(result, Ok(_) | Err(CallError::Dead { .. })), "{result:?}");
    }
}

// B34
#[test]
fn a_context_that_ends_waits_for_the_answers_that_its_other_threads_give() {
    for _ in 0..10 {
        assert_eq!(answered_aside_at_the_end().unwrap(), "aside");
    }
}
