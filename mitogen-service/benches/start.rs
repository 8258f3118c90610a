//! How long it takes to start children, and what they cost while they do nothing.
//!
//! `cargo bench -p mitogen-service --bench start [-- OPTIONS]`; see `docs/performance.md`.

#[path = "support/fork.rs"]
mod fork;
mod support;

use std::thread;
use std::time::Instant;

use mitogen_service::{AllowParents, Context, Router, service};

use support::options::Options;
use support::peer::Frames;
use support::placement::Placement;
use support::process::Memory;
use support::report::{Goal, OURS, Report};
use support::samples::{Samples, median};
use support::sequence::{Place, report_samples};
use support::{Result, floor, peer};

use Placement::Free;

const SECTIONS: [&str; 2] = ["one", "many"];

const FORK: &str = "fork alone";
const RAW_PROCESS: &str = "raw process";

/// How many are started at once.
const MANY: usize = 200;

/// Of a call that only asks whether somebody is there.
const FRAMES: Frames = Frames { request: 64, reply: 32 };

#[derive(Default)]
struct Started;

#[service(activate)]
impl Started {
    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        std::process::id()
    }
}

fn main() -> Result<()> {
    peer::enter();
    mitogen_service::init();
    let options = Options::from_args(&SECTIONS)?;
    let mut report = Report::new(options.rounds);
    // A process that was not used for a while takes its time to begin with.
    Free.apply(&[])?;
    fork::start_and_call()?;
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        if options.runs("one") {
            one_after_the_other(&options, &mut report)?;
        }
        if options.runs("many") {
            many_at_once(&options, &mut report)?;
        }
    }
    let ratio = report.ratio("one", Free, (OURS, "p50 us"), (FORK, "p50 us"));
    let goal = Goal::must_be_at_most(9.0);
    let goal = if cfg!(target_env = "musl") { goal.and_should_be(2.5) } else { goal };
    report.judge("one child, until its first reply, x fork alone", ratio, goal);
    report.note(format!("this executable is built for {}", target()));
    report.finish("start", &options)
}

/// Each until its first reply.
fn one_after_the_other(options: &Options, report: &mut Report) -> Result<()> {
    let count = options.scaled(40);
    let router = Router::builder().build()?;
    let mut samples = [FORK, RAW_PROCESS, OURS].map(|_| Samples::with_capacity(count));
    let [forks, processes, ours] = &mut samples;
    for number in 0..count as u64 {
        forks.push(fork::start_and_call()?);

        let before = Instant::now();
        let mut echo = floor::Echo::over_socket(FRAMES)?;
        echo.call(number)?;
        processes.push(before.elapsed());
        drop(echo);

        let before = Instant::now();
        let child = router.local().connect()?;
        assert_ne!(Started::stub(&child).pid().wait()?, std::process::id());
        ours.push(before.elapsed());
        child.kill()?;
    }
    for (variant, samples) in [FORK, RAW_PROCESS, OURS].into_iter().zip(&mut samples) {
        report_samples(report, Place { section: "one", variant, placement: Free }, samples);
    }
    Ok(())
}

/// All of them until the last one's first reply; what they cost then.
fn many_at_once(options: &Options, report: &mut Report) -> Result<()> {
    let count = options.scaled(MANY);
    let place = |variant| Place { section: "many", variant, placement: Free };

    let before = Instant::now();
    let mut echoes = (0..count).map(|_| floor::Echo::over_socket(FRAMES)).collect::<Result<Vec<_>>>()?;
    echoes.iter_mut().try_for_each(|echo| echo.call(0))?;
    let elapsed = before.elapsed();
    let pids: Vec<_> = echoes.iter().map(floor::Echo::pid).collect();
    report_many(report, place(RAW_PROCESS), elapsed.as_secs_f64(), &pids)?;
    drop(echoes);

    let router = Router::builder().build()?;
    let before = Instant::now();
    let children = thread::scope(|scope| {
        let start = || -> Result<(Context, u32)> {
            let child = router.local().connect()?;
            let pid = Started::stub(&child).pid().wait()?;
            Ok((child, pid))
        };
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it returns its error")).collect::<Result<Vec<_>>>()
    })?;
    let elapsed = before.elapsed();
    let pids: Vec<_> = children.iter().map(|(_, pid)| *pid).collect();
    report_many(report, place(OURS), elapsed.as_secs_f64(), &pids)
}

fn report_many(report: &mut Report, place: Place<'_>, seconds: f64, pids: &[u32]) -> Result<()> {
    let memory = pids.iter().map(|pid| Memory::of(*pid)).collect::<std::io::Result<Vec<_>>>()?;
    let middle = |of: fn(&Memory) -> u64| median(memory.iter().map(|memory| of(memory) as f64));
    report.add(place, "ms", seconds * 1e3);
    report.add(place, "RSS KiB each", middle(|memory| memory.rss_kib));
    report.add(place, "PSS KiB each", middle(|memory| memory.pss_kib));
    report.add(place, "threads each", middle(|memory| memory.threads));
    Ok(())
}

fn target() -> &'static str {
    match (cfg!(target_env = "musl"), cfg!(target_feature = "crt-static")) {
        (true, _) => "musl",
        (false, true) => "glibc, static",
        (false, false) => "glibc",
    }
}
