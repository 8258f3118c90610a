//! How contexts die, and what those who waited for them get.

use std::os::fd::RawFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mitogen_service::{AllowParents, Call, CallError, ContextId, Executed, Exit, as_completed, service};
use mitogen_service_tests::{LONG, Watched};
use rustix::process::Signal;

use crate::bench::{Bench, Worker};

fn dead(error: &CallError) -> (&str, &str, Option<Exit>, &str) {
    let CallError::Dead { context, reason, exit, stderr_tail, .. } = error else { panic!("{error:?}") };
    (context, reason, *exit, stderr_tail)
}

/// Says where it is dropped.
struct Dropped(mpsc::Sender<Option<String>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().name().map(str::to_owned));
    }
}

#[test]
fn callbacks_beyond_the_bound_are_dropped_beside_the_io_thread() {
    let bench = Bench::new();
    let child = bench.child("child");
    // Of what has ended already callbacks are told at once, one after the other.
    let gone = bench.router.context_by_id(ContextId::new(4711));
    let (release, released) = mpsc::channel::<()>();
    gone.on_disconnect(move || assert!(released.recv().is_err(), "it is dropped in the end")).detach();
    for _ in 0..=65_536 {
        gone.on_disconnect(|| ()).detach();
    }
    let (sender, dropped) = mpsc::channel();
    for _ in 0..2 {
        let value = Dropped(sender.clone());
        child.on_disconnect(move || drop(value)).detach();
    }
    child.kill().unwrap();
    for _ in 0..2 {
        assert_eq!(dropped.recv_timeout(LONG).unwrap().as_deref(), Some("mitogen-drop"));
    }
    drop(release);
}

/// Kills a child during so many pending calls; gives the time until all were answered.
fn killed_with_pending_calls(pending: usize) -> Duration {
    let bench = Bench::new();
    let child = bench.child("victim");
    let worker = Worker::stub(&child);
    let process = Watched::new(worker.pid().wait().unwrap());
    let busy = ["one", "two"].map(|name| worker.hold(bench.root(), name.into()));
    let _visits = [bench.visit(), bench.visit()];
    let calls: Vec<Call<String>> =
        busy.into_iter().chain((2..pending).map(|number| worker.echo(number.to_string()))).collect();
    process.signal(Signal::KILL);
    let killed = Instant::now();
    let mut answers = vec![0; pending];
    for (index, result) in as_completed(calls) {
        answers[index] += 1;
        let error = result.unwrap_err();
        let (context, reason, exit, _) = dead(&error);
        assert_eq!((context, reason), ("victim", "the respondent Context has disconnected"));
        assert_eq!(exit.and_then(|exit| exit.signal_name()), Some("SIGKILL"));
        assert_eq!(error.executed(), Executed::Maybe);
    }
    let elapsed = killed.elapsed();
    assert!(answers.iter().all(|answers| *answers == 1), "none is lost, none is answered twice");
    assert!(!process.is_listed(), "it was reaped before anybody was told");
    elapsed
}

#[test]
fn all_pending_calls_fail_once_when_their_context_is_killed() {
    let elapsed = killed_with_pending_calls(1000);
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

/// `cargo test -p mitogen-service-tests -- --nocapture time_until` shows the times. The bound is on
/// the median alone, since the machine may be busy.
#[test]
fn time_until_a_thousand_pending_calls_have_failed() {
    let mut times: Vec<_> = (0..5).map(|_| killed_with_pending_calls(1000)).collect();
    times.sort();
    println!("1000 pending calls failed after {:?} (median), {:?} at most", times[2], times[4]);
    assert!(times[2] < Duration::from_millis(100), "{times:?}");
}

#[test]
fn a_crash_names_its_signal_and_the_last_lines_of_stderr() {
    let bench = Bench::new();
    for (how, signal) in [("abort", "SIGABRT"), ("segv", "SIGSEGV")] {
        let child = bench.child(how);
        let error = Worker::stub(&child).crash(how.into()).wait_timeout(LONG).unwrap_err();
        let (context, _, exit, tail) = dead(&error);
        assert_eq!(context, how);
        assert_eq!(exit.and_then(|exit| exit.signal_name()), Some(signal));
        assert!(tail.ends_with("last words 29\n"), "{tail}");
        assert!(!tail.contains("last words 0\n"), "only the last lines are kept: {tail}");
        let text = error.to_string();
        assert!(text.contains(&format!("its process was killed by {signal}")), "{text}");
        assert!(text.contains("the last lines of its stderr:\n"), "{text}");
        // Later calls get the same, since the context remembers.
        assert!(Worker::stub(&child).marks().wait().unwrap_err().to_string().contains(signal));
    }
}

#[test]
fn a_process_that_exits_in_a_method_tells_its_status() {
    let bench = Bench::new();
    let child = bench.child("worker");
    let error = Worker::stub(&child).crash("exit".into()).wait_timeout(LONG).unwrap_err();
    assert_eq!(dead(&error).2, Some(Exit::Code { code: 3 }));
    assert!(error.to_string().contains("its process exited with status 3"), "{error}");
}

#[test]
fn the_death_of_one_child_harms_no_other() {
    let bench = Bench::new();
    let (one, two) = (bench.child("one"), bench.child("two"));
    let held = Worker::stub(&two).hold(bench.root(), "held".into());
    let visit = bench.visit();
    Worker::stub(&one).crash("abort".into()).wait_timeout(LONG).unwrap_err();
    visit.go();
    assert_eq!(held.wait().unwrap(), "held");
    assert_eq!(bench.router.children(), [two]);
}

#[test]
fn a_running_method_learns_that_its_caller_has_died() {
    let bench = Bench::new();
    let (caller, callee) = (bench.child("caller"), bench.child("callee"));
    Worker::stub(&callee).marks().wait().unwrap();
    let call = Mischief::stub(&caller).wait_for_cancelled(callee.clone(), bench.root());
    bench.pass("running");
    caller.kill().unwrap();
    bench.pass("cancelled");
    assert!(matches!(call.wait_timeout(LONG), Err(CallError::Dead { .. })));
    assert!(callee.is_connected());
}

#[test]
fn callers_that_wait_for_room_in_a_stream_are_woken_by_its_end() {
    let bench = Bench::new();
    let child = bench.child("stopped");
    let worker = Worker::stub(&child);
    let process = Watched::new(worker.pid().wait().unwrap());
    process.stop();
    let (sent, progress) = std::sync::mpsc::channel();
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (worker, sent) = (worker.clone(), sent.clone());
            std::thread::spawn(move || {
                let calls: Vec<_> = (0..5)
                    .map(|_| worker.invert(vec![0; 3 << 20].into()))
                    .inspect(|_| sent.send(()).unwrap())
                    .collect();
                calls.into_iter().map(Call::wait).collect::<Vec<_>>()
            })
        })
        .collect();
    // Four MiB may wait, so some calls are sent and all others wait; nothing tells when they do.
    let sent = std::iter::from_fn(|| progress.recv_timeout(Duration::from_millis(300)).ok()).count();
    assert!((1..10).contains(&sent), "{sent}");
    process.signal(Signal::KILL);
    for sender in senders {
        for result in sender.join().unwrap() {
            assert!(matches!(result, Err(CallError::Dead { .. })), "{result:?}");
        }
    }
}

#[test]
fn a_child_that_closes_its_pipes_and_lives_on_is_ended() {
    let bench = Bench::new();
    let child = bench.child("deaf");
    let mischief = Mischief::stub(&child);
    let process = Watched::new(Worker::stub(&child).pid().wait().unwrap());
    let error = mischief.close_pipes().wait_timeout(LONG).unwrap_err();
    let (context, _, exit, _) = dead(&error);
    assert_eq!(context, "deaf");
    assert_eq!(exit.and_then(|exit| exit.signal_name()), Some("SIGKILL"));
    assert!(process.ends_within(Duration::ZERO) && !process.is_listed());
}

#[test]
fn a_process_left_behind_by_a_method_keeps_nobody_waiting() {
    let bench = Bench::new();
    let child = bench.child("careless");
    // It holds stdout and stderr of the child open.
    let left_behind = Watched::new(Mischief::stub(&child).leave_a_process().wait().unwrap());
    let started = Instant::now();
    child.shutdown(LONG).unwrap();
    assert!(!child.is_connected());
    drop(bench);
    assert!(started.elapsed() < LONG);
    assert!(!left_behind.ends_within(Duration::ZERO), "it is not ours to end");
    left_behind.signal(Signal::KILL);
}

#[test]
fn a_child_that_writes_without_end_keeps_nobody_from_calling() {
    let bench = Bench::new();
    let child = bench.child("talkative");
    Mischief::stub(&child).write_without_end().detach();
    let quiet = bench.child("quiet");
    for number in 0..100 {
        for context in [&child, &quiet] {
            let text = number.to_string();
            assert_eq!(Worker::stub(context).echo(text.clone()).wait_timeout(LONG).unwrap(), text);
        }
    }
    child.kill().unwrap();
}

/// What no method should do.
#[derive(Default)]
struct Mischief;

#[service(activate)]
impl Mischief {
    /// Closes every pipe but those of the outputs, and never returns.
    #[expose(policy = AllowParents)]
    fn close_pipes(&self) {
        // And the socket of the link for bulk.
        let is_wire = |fd: &RawFd| {
            let target = std::fs::read_link(format!("/proc/self/fd/{fd}"));
            target.is_ok_and(|to| ["pipe:", "socket:"].iter().any(|kind| to.to_string_lossy().starts_with(kind)))
        };
        // How it was opened: first those that are only read, so that this context cannot see the other end close
        // because of the others, and give up what is closed here already.
        let turn = |fd: &RawFd| {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            ["0", "2", "1"].iter().position(|mode| flags.ends_with(mode)).unwrap()
        };
        let mut wires: Vec<_> = (3..256).filter(is_wire).collect();
        wires.sort_by_cached_key(turn);
        for fd in wires {
            #[expect(unsafe_code, reason = "the owner of the pipe would not give it")]
            // SAFETY: nothing is opened in this process any more whose place such a number could
            // take, since its I/O thread only waits and this thread parks.
            unsafe {
                rustix::io::close(fd);
            }
        }
        loop {
            std::thread::park();
        }
    }

    /// Starts a process that inherits the outputs and lives longer than this one.
    #[expose(policy = AllowParents)]
    fn leave_a_process(&self) -> std::io::Result<u32> {
        Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().map(|process| process.id())
    }

    #[expose(policy = AllowParents)]
    fn write_without_end(&self) {
        loop {
            println!("{}", "x".repeat(1000));
        }
    }

    #[expose(policy = AllowParents)]
    fn wait_for_cancelled(
        &self,
        callee: mitogen_service::Context,
        gate: mitogen_service::Context,
    ) -> Result<(), CallError> {
        Worker::stub(&callee).hold_until_cancelled(gate).wait()
    }
}
