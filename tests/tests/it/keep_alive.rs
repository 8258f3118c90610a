//! Keep-alive: whoever gives no sign of life is given up, and nobody else.
//!
//! A [`Stranger`] that says nothing is the clock of these tests: it is asked after one interval, and
//! given up after three. So nothing here sleeps.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mitogen_service::{AllowAny, CallError, Caller, Context, Router, service};
use mitogen_service_tests::{LONG, Watched};
use rustix::process::Signal;

use crate::bench::{Bench, Worker};
use crate::hostile::peer::{
    Answer, CALL_SERVICE, FEATURE_CANCEL, FEATURE_PING, Frame, INVALID_HANDLE, PING, PONG, ROOT, Stranger,
};

/// The interval where somebody is to be given up.
const SHORT: Duration = Duration::from_millis(100);

/// The interval where somebody is not to be given up, though the machine may be busy.
const INTERVAL: Duration = Duration::from_millis(400);

const LOST: &str = "the respondent Context has disconnected: no sign of life for 300ms (keep-alive)";

fn watching(interval: Duration) -> Bench {
    Bench::with(Router::builder().keep_alive(interval).build().unwrap())
}

fn process(context: &Context) -> Watched {
    Watched::new(Worker::stub(context).pid().wait_timeout(LONG).unwrap())
}

fn below(parent: &Context, name: &str) -> Context {
    Worker::stub(parent).start_child(name.to_owned()).wait_timeout(LONG).unwrap()
}

/// Who was given up, and how the process has ended then.
fn assert_lost(error: &CallError, who: &str) {
    let CallError::Dead { context, reason, exit, .. } = error else { panic!("{error:?}") };
    assert_eq!((context.as_str(), reason.as_str()), (who, LOST));
    assert_eq!(exit.and_then(|exit| exit.signal_name()), Some("SIGKILL"));
}

/// A stranger that understands PING.
fn stranger(bench: &Bench, name: &str) -> Stranger {
    Stranger::join_with(&bench.router, name, FEATURE_CANCEL | FEATURE_PING)
}

/// Waits until the router wants a sign of life.
fn until_asked(stranger: &mut Stranger) {
    let ping = stranger.ears.next().expect("the stream is open");
    let expected = Frame { dst: stranger.id, src: ROOT, auth: ROOT, ..stranger.voice.frame(0, PING, 0, Vec::new()) };
    assert_eq!(ping, expected);
}

/// The next thing that a stranger hears is the answer to this.
fn assert_hears_nothing_else(stranger: &mut Stranger) {
    let nowhere = stranger.voice.frame(ROOT, 5000, 0x2000_0000, Vec::new());
    stranger.voice.send(&nowhere);
    let answer = stranger.ears.next().expect("the stream is open");
    assert_eq!(answer.handle, 0x2000_0000, "{answer:?}");
    assert!(matches!(answer.into_answer(), Answer::Dead(INVALID_HANDLE, _)));
}

#[test]
fn a_process_that_is_stopped_is_given_up_and_its_siblings_go_on() {
    let bench = watching(SHORT);
    let (stopped, sibling) = (bench.child("stopped"), bench.child("sibling"));
    let (worker, honest) = (Worker::stub(&stopped), Worker::stub(&sibling));
    let process = process(&stopped);
    let call = worker.hold(bench.root(), "root".into());
    let _visit = bench.visit();
    let siblings = honest.hold_at(stopped.clone(), bench.root(), "sibling".into());
    let _visit = bench.visit();
    process.stop();
    assert_lost(&call.wait_timeout(LONG).unwrap_err(), "stopped");
    assert!(!process.is_listed(), "it was killed and reaped before anybody was told");
    let error = siblings.wait_timeout(LONG).unwrap_err();
    assert_lost(&error, "stopped");
    assert_eq!(error.path(), ["sibling"]);
    let late = worker.marks().wait_timeout(LONG).unwrap_err();
    assert!(matches!(late, CallError::Dead { exit: Some(_), .. }), "{late:?}");
    assert_eq!(honest.echo("on".into()).wait_timeout(LONG).unwrap(), "on");
    assert_eq!(bench.router.children(), [sibling]);
}

#[test]
fn a_process_further_down_is_given_up_by_its_own_parent() {
    let bench = watching(SHORT);
    let middle = bench.child("middle");
    let far = below(&middle, "far");
    let process = process(&far);
    let call = Worker::stub(&far).hold(bench.root(), "held".into());
    let _visit = bench.visit();
    process.stop();
    assert_lost(&call.wait_timeout(LONG).unwrap_err(), "far");
    assert!(!process.is_listed());
    assert_eq!(Worker::stub(&middle).echo("on".into()).wait_timeout(LONG).unwrap(), "on");
}

#[test]
fn what_is_below_a_process_that_is_stopped_ends_as_well() {
    let bench = watching(SHORT);
    let middle = bench.child("middle");
    let far = below(&middle, "far");
    let processes = [&middle, &far].map(process);
    let call = Worker::stub(&far).hold(bench.root(), "held".into());
    let _visit = bench.visit();
    processes[0].stop();
    assert_lost(&call.wait_timeout(LONG).unwrap_err(), "middle");
    for process in &processes {
        assert!(process.ends_within(LONG));
    }
    assert!(!far.is_connected());
}

#[test]
fn a_process_whose_parent_is_stopped_ends() {
    // The root does not watch, so the parent lives on.
    let bench = Bench::new();
    let child = bench.child("child");
    let own = Watched::new(Stranded::stub(&child).start_a_tree().wait_timeout(LONG).unwrap());
    let parent = process(&child);
    parent.stop();
    assert!(own.ends_within(LONG));
    assert!(!parent.ends_within(Duration::ZERO));
    parent.signal(Signal::CONT);
    assert_eq!(Worker::stub(&child).echo("on".into()).wait_timeout(LONG).unwrap(), "on");
}

#[test]
fn a_busy_process_is_not_given_up() {
    let bench = watching(INTERVAL);
    let child = bench.child("busy");
    let call = Stranded::stub(&child).spin(bench.root());
    bench.pass("running");
    stranger(&bench, "clock").until_cut();
    assert!(child.is_connected());
    drop(call);
    bench.pass("cancelled");
}

#[test]
fn a_process_that_goes_on_in_time_is_not_given_up() {
    let bench = watching(INTERVAL);
    let child = bench.child("pauses");
    let process = process(&child);
    process.stop();
    let mut clock = stranger(&bench, "clock");
    // One interval has passed since it was stopped.
    until_asked(&mut clock);
    process.signal(Signal::CONT);
    clock.until_cut();
    assert!(child.is_connected());
    assert_eq!(Worker::stub(&child).echo("on".into()).wait_timeout(LONG).unwrap(), "on");
}

#[test]
fn any_byte_of_a_stranger_keeps_it() {
    let bench = watching(INTERVAL);
    let mut stranger = stranger(&bench, "stranger");
    let pong = stranger.voice.frame(ROOT, PONG, 0, Vec::new()).encode();
    let other = stranger.voice.frame(ROOT, 5000, 0, Vec::new()).encode();
    // Half of a message, the other half, one that nobody listens for, and what was asked for.
    for bytes in [&other[..7], &other[7..], &other, &pong] {
        until_asked(&mut stranger);
        stranger.voice.try_send_bytes(bytes).unwrap();
    }
    until_asked(&mut stranger);
    assert_hears_nothing_else(&mut stranger);
    assert!(stranger.context.is_connected());
}

#[test]
fn a_stranger_that_is_silent_is_cut() {
    let bench = watching(SHORT);
    let mut stranger = stranger(&bench, "stranger");
    let call = Worker::stub(&stranger.context).marks();
    let error = call.wait_timeout(LONG).unwrap_err();
    let CallError::Dead { context, reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!((context.as_str(), reason.as_str()), ("stranger", LOST));
    // The call is not asked for a second time, and the two questions are all that follows it.
    assert_eq!(stranger.ears.next().expect("the call").handle, CALL_SERVICE);
    until_asked(&mut stranger);
    until_asked(&mut stranger);
    assert_eq!(stranger.ears.next(), None);
}

#[test]
fn only_who_says_so_in_its_hello_is_watched_and_only_if_that_is_on() {
    let (watching, off) = (watching(INTERVAL), Bench::new());
    let mut unaware = Stranger::join(&watching.router, "unaware");
    let mut unwatched = stranger(&off, "unwatched");
    stranger(&watching, "clock").until_cut();
    assert!(unaware.context.is_connected() && unwatched.context.is_connected());
    assert_hears_nothing_else(&mut unwatched);
    // Nobody is sent what it has not said that it understands, also if it asks.
    let ping = unaware.voice.frame(ROOT, PING, 0, Vec::new());
    unaware.voice.send(&ping);
    assert_hears_nothing_else(&mut unaware);
    // Who does is answered, whether or not it is watched itself.
    let ping = unwatched.voice.frame(ROOT, PING, 0, Vec::new());
    unwatched.voice.send(&ping);
    let pong = unwatched.ears.next().expect("the stream is open");
    assert_eq!((pong.handle, pong.reply_to, pong.payload.len()), (PONG, 0, 0));
}

/// What keeps a process from giving signs of life, or from hearing them.
#[derive(Default)]
struct Stranded {
    tree: Mutex<Option<Router>>,
}

#[service(activate)]
impl Stranded {
    /// Starts a process below a root of its own, which watches; gives its number.
    #[expose(policy = AllowAny)]
    fn start_a_tree(&self) -> Result<u32, CallError> {
        let router = Router::builder().keep_alive(SHORT).build().map_err(CallError::failed)?;
        let child = router.local().connect().map_err(CallError::failed)?;
        *self.tree.lock().unwrap_or_else(PoisonError::into_inner) = Some(router);
        Worker::stub(&child).pid().wait()
    }

    /// Keeps a processor busy until it is cancelled, and says so at the gate.
    #[expose(policy = AllowAny)]
    fn spin(&self, gate: Context, caller: &Caller) -> Result<(), CallError> {
        let gate = crate::bench::Gate::stub(&gate);
        gate.pass("running".into()).wait()?;
        while !caller.is_cancelled() {
            std::hint::spin_loop();
        }
        gate.pass("cancelled".into()).wait()
    }
}
