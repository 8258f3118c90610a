//! How messages are read, held back and passed on, where one thread could wait for what only another brings.
//!
//! One test for each way in which that has gone wrong somewhere; what the state machines decide is tested
//! beside them, and their threads in `tests/model`.

use std::fs;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mitogen_service::{
    AllowAny, Blob, Call, CallError, Caller, Context, Pool, Router, SerializedInvoker, as_completed, service, testing,
};
use mitogen_service_tests::{LONG, within};

use rustix::process::Pid;
use rustix::thread::gettid;

use crate::bench::{Bench, Worker};

/// Calls that are enough for a method to be known as fast, and for a stream to be left disarmed.
const FLOW: u32 = 300;

/// What an end waits for methods that do not come back.
const SHORT: Duration = Duration::from_millis(100);

/// A method's way to tell the test that it runs, and to wait until it may go on.
struct Stop {
    runs: mpsc::Sender<u32>,
    goes_on: Mutex<mpsc::Receiver<()>>,
}

/// The test's side of it.
struct Stopped {
    runs: mpsc::Receiver<u32>,
    go_on: mpsc::Sender<()>,
}

/// Methods that are fast until they are told otherwise.
struct Engine {
    stop: Stop,
}

#[service(name = "engine")]
impl Engine {
    /// Blocks in the system if it shall, as no method does that is known to be fast.
    #[expose(policy = AllowAny)]
    fn step(&self, number: u32, blocks: bool) -> u32 {
        if blocks {
            self.block(number);
        }
        number
    }

    /// Asks somebody else if it shall.
    #[expose(policy = AllowAny)]
    fn ask(&self, number: u32, at: Option<Context>) -> Result<u32, CallError> {
        match at {
            None => Ok(number),
            Some(at) => Engine::stub(&at).step(number, true).wait(),
        }
    }

    /// Asks somebody else, one call after the other.
    #[expose(policy = AllowAny)]
    fn ask_often(&self, at: Context, times: u32) -> Result<u32, CallError> {
        let stub = Engine::stub(&at);
        (0..times).map(|number| stub.step(number, false).wait()).try_fold(0, |sum, number| Ok(sum + number?))
    }

    /// Waits until its caller wants no answer any more, and tells so.
    #[expose(policy = AllowAny)]
    fn until_cancelled(&self, caller: &Caller) {
        let _ = self.stop.runs.send(0);
        while !caller.is_cancelled() {
            // There is nothing to wait for: a method asks now and then.
            thread::sleep(Duration::from_millis(1));
        }
        let _ = self.stop.runs.send(1);
    }

    #[expose(policy = AllowAny)]
    fn invert(&self, data: Blob) -> Blob {
        data.iter().map(|byte| !byte).collect::<Vec<_>>().into()
    }
}

impl Engine {
    fn new() -> (Self, Stopped) {
        let ((tells, runs), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
        (Self { stop: Stop { runs: tells, goes_on: Mutex::new(goes_on) } }, Stopped { runs, go_on })
    }

    fn block(&self, number: u32) {
        // A test that has ended waits for nothing.
        let _ = self.stop.runs.send(number);
        let _ = self.stop.goes_on.lock().unwrap().recv();
    }
}

impl Stopped {
    /// Waits until somebody is stopped, and gives the number.
    fn who(&self) -> u32 {
        self.runs.recv_timeout(LONG).expect("a method runs")
    }

    fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }
}

/// Two contexts in this process, each with an [`Engine`].
struct Pair {
    // In the order in which they are dropped.
    _pools: [Pool; 2],
    parent: Router,
    child: Router,
    at_parent: Stopped,
    at_child: Stopped,
}

impl Pair {
    /// With so many threads for the child's methods.
    fn new(threads: usize) -> Self {
        let (parent, child) = testing::pair();
        let ((of_parent, at_parent), (of_child, at_child)) = (Engine::new(), Engine::new());
        let _pools = [
            Pool::builder(&parent).size(2).service(of_parent).start().unwrap(),
            Pool::builder(&child).size(threads).service(of_child).start().unwrap(),
        ];
        Self { _pools, parent, child, at_parent, at_child }
    }

    /// The child, as the parent calls it.
    fn stub(&self) -> EngineStub {
        Engine::stub(&self.parent.children()[0])
    }

    /// So many calls that both sides count on more.
    fn flow(&self) -> EngineStub {
        let stub = self.stub();
        for _ in 0..3 {
            let calls: Vec<_> = (0..FLOW).map(|number| (number, stub.step(number, false))).collect();
            calls.into_iter().for_each(|(number, call)| assert_eq!(call.wait().unwrap(), number));
            for number in 0..FLOW {
                assert_eq!(stub.ask(number, None).wait().unwrap(), number);
            }
        }
        stub
    }
}

/// Those that are given before are there, whatever the thread does that has given them.
fn arrive(calls: impl IntoIterator<Item = Call<u32>>) -> Vec<u32> {
    calls.into_iter().map(|call| call.wait_timeout(LONG).unwrap()).collect()
}

#[test]
fn answers_do_not_wait_behind_a_method_that_was_fast_and_blocks() {
    let pair = Pair::new(1);
    let stub = pair.flow();
    let before: Vec<_> = (0..20).map(|number| stub.step(number, false)).collect();
    let blocks = stub.step(20, true);
    let after: Vec<_> = (21..40).map(|number| stub.step(number, false)).collect();
    assert_eq!(pair.at_child.who(), 20);
    assert_eq!(arrive(before), (0..20).collect::<Vec<_>>());
    pair.at_child.go_on();
    assert_eq!(arrive([blocks]), [20]);
    assert_eq!(arrive(after), (21..40).collect::<Vec<_>>());
}

#[test]
fn answers_do_not_wait_behind_a_method_that_calls_somebody_else() {
    let pair = Pair::new(1);
    let stub = pair.flow();
    let before: Vec<_> = (0..20).map(|number| stub.ask(number, None)).collect();
    let asks = stub.ask(20, Some(pair.parent.myself()));
    let after: Vec<_> = (21..40).map(|number| stub.ask(number, None)).collect();
    assert_eq!(pair.at_parent.who(), 20);
    assert_eq!(arrive(before), (0..20).collect::<Vec<_>>());
    pair.at_parent.go_on();
    assert_eq!(arrive([asks]), [20]);
    assert_eq!(arrive(after), (21..40).collect::<Vec<_>>());
}

#[test]
fn a_method_that_was_fast_and_blocks_leaves_the_other_calls_to_other_threads() {
    let pair = Pair::new(2);
    let stub = pair.flow();
    let blocks = stub.step(0, true);
    let others: Vec<_> = (1..50).map(|number| stub.step(number, false)).collect();
    assert_eq!(pair.at_child.who(), 0);
    assert_eq!(arrive(others), (1..50).collect::<Vec<_>>());
    // And those that come once it is known to block.
    for number in 0..FLOW {
        assert_eq!(stub.step(number, false).wait_timeout(LONG).unwrap(), number);
    }
    pair.at_child.go_on();
    assert_eq!(arrive([blocks]), [0]);
}

#[test]
fn a_context_whose_only_thread_is_busy_hears_that_a_call_is_cancelled() {
    let pair = Pair::new(1);
    let call = pair.flow().until_cancelled();
    assert_eq!(pair.at_child.who(), 0);
    drop(call);
    assert_eq!(pair.at_child.who(), 1, "the method has heard of it");
}

#[test]
fn a_context_whose_only_thread_is_busy_hears_of_the_end_of_its_parent() {
    let Pair { _pools, parent, child, at_child, .. } = Pair::new(1);
    let call = Engine::stub(&parent.children()[0]).step(7, true);
    assert_eq!(at_child.who(), 7);
    let (tell, told) = mpsc::channel();
    let watch = child.root().on_disconnect(move || tell.send(()).unwrap());
    drop(parent);
    told.recv_timeout(LONG).expect("the end of the parent is told");
    at_child.go_on();
    drop((watch, call));
}

#[test]
fn what_nobody_waits_for_arrives_after_a_flow_of_calls() {
    let bench = Bench::new();
    let child = bench.child("child");
    let worker = Worker::stub(&child);
    for round in 0..8 {
        let name = format!("round {round}");
        // It comes to the gate from a thread of the child, once the end of this context is not waited for.
        let aside = worker.hold_aside(bench.root(), name.clone());
        let visit = bench.visit();
        assert_eq!(visit.name, name);
        for number in 0..FLOW {
            assert_eq!(worker.echo(number.to_string()).wait().unwrap(), number.to_string());
        }
        // This context has left the stream disarmed, and waits for none of its answers.
        let next = worker.hold_aside(bench.root(), "next".to_owned());
        bench.pass("next");
        visit.go();
        assert_eq!(aside.wait_timeout(LONG).unwrap(), name);
        assert_eq!(next.wait().unwrap(), "next");
    }
}

#[test]
fn calls_that_nobody_waits_for_reach_the_callee() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("child"));
    worker.marks().wait().unwrap();
    for _ in 0..20 {
        // The first ones leave at once, the others are held for more of them.
        let calls: Vec<_> = (0..5).map(|number| worker.hold_aside(bench.root(), number.to_string())).collect();
        let mut visits: Vec<_> = calls.iter().map(|_| bench.visit()).collect();
        visits.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(visits.iter().map(|visit| &*visit.name).collect::<String>(), "01234");
        visits.into_iter().for_each(crate::bench::Visit::go);
        calls.into_iter().for_each(|call| drop(call.wait().unwrap()));
    }
}

#[test]
fn calls_that_a_thread_leaves_behind_reach_the_callee() {
    let bench = Bench::new();
    let worker = Worker::stub(&bench.child("child"));
    for round in 1..=20 {
        let caller = worker.clone();
        thread::spawn(move || (0..10).for_each(|_| caller.mark().detach())).join().unwrap();
        within(LONG, {
            let worker = worker.clone();
            move || while worker.marks().wait().unwrap() < 10 * round {}
        });
    }
}

#[test]
fn contexts_that_send_each_other_more_than_fits_both_go_on() {
    let pair = Pair::new(2);
    let there = pair.stub();
    let back = Engine::stub(&pair.child.root());
    let send = |stub: EngineStub| {
        move || {
            for _ in 0..2 {
                let data: Vec<_> = (0..400_000).map(|at| (at % 251) as u8).collect();
                let calls = (0..20).map(|_| stub.invert(data.clone().into()));
                for (_, answer) in as_completed(calls) {
                    let answer = answer.unwrap();
                    assert!(answer.len() == data.len() && answer.iter().zip(&data).all(|(one, other)| *one == !other));
                }
            }
        }
    };
    let threads = [thread::spawn(send(there)), thread::spawn(send(back))];
    within(3 * LONG, move || threads.into_iter().for_each(|thread| thread.join().unwrap()));
}

/// One call at a time, however many threads there are.
struct Serial(Stop);

#[service(name = "serial", invoker = SerializedInvoker)]
impl Serial {
    #[expose(policy = AllowAny)]
    fn step(&self, number: u32, blocks: bool) -> u32 {
        if blocks {
            let _ = self.0.runs.send(number);
            let _ = self.0.goes_on.lock().unwrap().recv();
        }
        number
    }
}

#[test]
fn a_job_that_becomes_ready_while_all_threads_wait_is_taken() {
    let (parent, child) = testing::pair();
    let (Engine { stop }, stopped) = Engine::new();
    let _pool = Pool::builder(&child).size(3).service(Serial(stop)).start().unwrap();
    let stub = Serial::stub(&parent.children()[0]);
    for _ in 0..20 {
        let first = stub.step(0, true);
        assert_eq!(stopped.who(), 0);
        // They wait for their turn, while two threads wait for something to do.
        let next: Vec<_> = (1..10).map(|number| stub.step(number, false)).collect();
        stopped.go_on();
        assert_eq!(arrive([first]), [0]);
        assert_eq!(arrive(next), (1..10).collect::<Vec<_>>());
    }
}

/// Waits as a caller that reads by itself, for a call that ends with this.
fn ends_the_wait(end: impl FnOnce(Bench, Context)) {
    let bench = Bench::new();
    let child = bench.child("child");
    let worker = Worker::stub(&child);
    let call = worker.hold_aside(bench.root(), "waits".to_owned());
    let other = worker.hold_aside(bench.root(), "waits as well".to_owned());
    let visits = [bench.visit(), bench.visit()];
    let waiting = [call, other].map(|call| thread::spawn(move || call.wait()));
    // By now both are answered and read what comes, or are about to.
    worker.marks().wait().unwrap();
    end(bench, child);
    for thread in waiting {
        let result = within(LONG, move || thread.join().unwrap());
        assert!(matches!(result, Err(CallError::Dead { .. })), "{result:?}");
    }
    drop(visits);
}

#[test]
fn a_caller_that_reads_hears_that_the_child_was_killed() {
    ends_the_wait(|_, child| child.kill().unwrap());
}

#[test]
fn a_caller_that_reads_hears_that_the_child_was_shut_down() {
    ends_the_wait(|_, child| child.shutdown(SHORT).unwrap());
}

#[test]
fn a_caller_that_reads_hears_that_the_router_ends() {
    ends_the_wait(|bench, _| bench.router.shutdown(SHORT));
}

#[test]
fn callers_beside_each_other_get_their_answers_however_they_wait() {
    let pair = Pair::new(2);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let stub = pair.stub();
            thread::spawn(move || {
                for number in 0..FLOW {
                    let number = number + thread * FLOW;
                    let call = stub.step(number, false);
                    let answer = match thread % 4 {
                        0 | 1 => call.wait(),
                        2 => call.wait_timeout(LONG),
                        _ => smol::block_on(call),
                    };
                    assert_eq!(answer.unwrap(), number);
                }
            })
        })
        .collect();
    within(3 * LONG, move || threads.into_iter().for_each(|thread| thread.join().unwrap()));
}

/// How often a thread of this process has gone to sleep.
fn sleeps(thread: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/self/task/{}/status", thread.as_raw_nonzero())).unwrap();
    let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    sleeps.and_then(|count| count.trim().parse().ok()).expect("the kernel counts")
}

/// A caller that waits for long is not woken for what others are waiting for.
#[test]
fn the_answers_to_quick_calls_do_not_come_by_way_of_a_slow_call() {
    const CALLS: u32 = 2000;
    let pair = Pair::new(2);
    let slow = pair.stub();
    let (tell, told) = mpsc::channel();
    let slow = thread::spawn(move || {
        tell.send(gettid()).unwrap();
        slow.step(7, true).wait()
    });
    let caller = told.recv().unwrap();
    assert_eq!(pair.at_child.who(), 7);
    let before = sleeps(caller);
    let stub = pair.stub();
    for number in 0..CALLS {
        assert_eq!(stub.step(number, false).wait().unwrap(), number);
    }
    let woken = sleeps(caller) - before;
    assert!(woken < u64::from(CALLS) / 4, "the slow call's thread was woken {woken} times");
    pair.at_child.go_on();
    assert_eq!(slow.join().unwrap().unwrap(), 7);
}

/// The same for the calls that its own callee makes: only a thread of a pool may be needed for those.
#[test]
fn a_caller_that_cannot_help_is_not_woken_for_the_calls_of_its_callee() {
    const CALLS: u32 = 2000;
    let pair = Pair::new(1);
    let (stub, me) = (pair.stub(), pair.parent.myself());
    let before = sleeps(gettid());
    assert_eq!(stub.ask_often(me, CALLS).wait().unwrap(), CALLS * (CALLS - 1) / 2);
    let woken = sleeps(gettid()) - before;
    assert!(woken < u64::from(CALLS) / 4, "the caller was woken {woken} times");
}
