//! Calls between a parent and the child that it starts, measured by a protocol that programs on other
//! frameworks can follow as well, so that anyone can put them side by side.
//!
//! `bench-client NAME MODE N` prints one JSON object as its last line; see `docs/performance.md`.
#![forbid(unsafe_code)]

mod report;
mod sink;
mod support;

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use mitogen_service::{AllowParents, Call, CallError, FileService, Pool, Router, service};

use report::Report;
use sink::{Sink, SinkStub};
use support::process::{Memory, cpu_with};
use support::samples::Samples;
use support::{Result, placement};

const USAGE: &str = "\
usage: bench-client NAME MODE N
  NAME     put into the output as it is
  MODE, N  rtt, inflight or par4 and a number of calls; bulk and MiB; startup and a number of children
environment
  RIVALS_CHILD_CPU  the core that all threads of the child move to before the timed part
  RIVALS_FILE       the file of which `bulk` delivers the first N MiB";

const TEXT: &str = "0123456789abcdefghijklmnopqrstuv";

/// How many calls are under way together in `inflight`.
const IN_FLIGHT: usize = 64;

/// How many threads call in `par4`.
const THREADS: u64 = 4;

/// How much of a file the service sends at a time.
const CHUNK: usize = 128 << 10;

#[derive(Default)]
struct Ping;

#[service(activate)]
impl Ping {
    #[expose(policy = AllowParents)]
    fn ping(&self, x: u64, s: &str) -> String {
        format!("{x:016x}{s}")
    }

    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        std::process::id()
    }
}

#[mitogen_service::main]
fn main(router: &Router) -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [name, mode, count] = args.as_slice() else { return Err(USAGE.into()) };
    let count: u64 = count.parse().map_err(|_| USAGE)?;
    if count == 0 {
        return Err("N is at least 1".into());
    }
    let mut report = Report::new(name, mode, count);
    match mode.as_str() {
        "rtt" => rtt(&Child::warm(router, count)?, count, &mut report)?,
        "inflight" => inflight(&Child::warm(router, count)?, count, &mut report)?,
        "par4" => par4(&Child::warm(router, count)?, count, &mut report)?,
        "bulk" => bulk(router, &Child::warm(router, count)?, count, &mut report)?,
        "startup" => startup(router, count, &mut report)?,
        _ => return Err(USAGE.into()),
    }
    println!("{report}");
    Ok(())
}

/// The child that is called.
struct Child {
    ping: PingStub,
    sink: SinkStub,
    pid: u32,
}

impl Child {
    /// It has joined and answered, and its answer was right.
    fn start(router: &Router) -> Result<Self> {
        let context = router.local().connect()?;
        let ping = Ping::stub(&context);
        check(0, &ping.ping(0, TEXT).wait()?);
        let pid = ping.pid().wait()?;
        Ok(Self { ping, sink: Sink::stub(&context), pid })
    }

    /// Has answered enough calls that nothing is new to it, and is on its core.
    fn warm(router: &Router, count: u64) -> Result<Self> {
        let child = Self::start(router)?;
        for x in 0..(count / 10).max(200) {
            check(x, &child.ping.ping(x, TEXT).wait()?);
        }
        if let Some(cpu) = std::env::var_os("RIVALS_CHILD_CPU") {
            let cpu = cpu.to_str().and_then(|cpu| cpu.parse().ok()).ok_or("RIVALS_CHILD_CPU is no number")?;
            placement::place(child.pid, &[cpu])?;
        }
        Ok(child)
    }

    /// Runs the timed part, and gives the time that it takes and the CPU time of both processes.
    fn timed(&self, work: impl FnOnce() -> Result<()>) -> Result<(Duration, Duration)> {
        let (cpu, started) = (cpu_with(&[self.pid]), Instant::now());
        work()?;
        let elapsed = started.elapsed();
        Ok((elapsed, cpu_with(&[self.pid]) - cpu))
    }

    fn report_memory(&self, report: &mut Report) -> Result<()> {
        report.memory("parent", Memory::of(std::process::id())?);
        report.memory("child", Memory::of(self.pid)?);
        Ok(())
    }
}

fn check(x: u64, reply: &str) {
    let right = reply.strip_suffix(TEXT).is_some_and(|number| number.len() == 16 && hex(number) == Some(x));
    assert!(right, "the reply to {x} is {reply:?}");
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// One call after the other.
fn rtt(child: &Child, count: u64, report: &mut Report) -> Result<()> {
    let mut samples = Samples::with_capacity(count as usize);
    let (_, cpu) = child.timed(|| {
        for x in 0..count {
            let before = Instant::now();
            let reply = child.ping.ping(x, TEXT).wait()?;
            samples.push(before.elapsed());
            check(x, &reply);
        }
        Ok(())
    })?;
    report.number("p50_us", samples.percentile_us(0.5));
    report.number("p99_us", samples.percentile_us(0.99));
    report.number("cpu_s_per_100k", cpu.as_secs_f64() * 1e5 / count as f64);
    child.report_memory(report)
}

/// Always so many calls under way, begun and waited for by one thread.
fn inflight(child: &Child, count: u64, report: &mut Report) -> Result<()> {
    let finish = |(x, call): (u64, Call<String>)| -> Result<()> {
        check(x, &call.wait()?);
        Ok(())
    };
    let timed = child.timed(|| {
        let mut begun = VecDeque::with_capacity(IN_FLIGHT);
        for x in 0..count {
            if begun.len() == IN_FLIGHT
                && let Some(oldest) = begun.pop_front()
            {
                finish(oldest)?;
            }
            begun.push_back((x, child.ping.ping(x, TEXT)));
        }
        begun.into_iter().try_for_each(finish)
    })?;
    report_rate(child, count, timed, report)
}

/// Several threads, each with one call after the other.
fn par4(child: &Child, count: u64, report: &mut Report) -> Result<()> {
    let each = count / THREADS;
    let timed = child.timed(|| {
        thread::scope(|scope| {
            let call = || -> std::result::Result<(), CallError> {
                (0..each).try_for_each(|x| {
                    check(x, &child.ping.ping(x, TEXT).wait()?);
                    Ok(())
                })
            };
            let threads = [(); THREADS as usize].map(|()| scope.spawn(call));
            threads.into_iter().try_for_each(|thread| thread.join().expect("it returns its error"))
        })?;
        Ok(())
    })?;
    report_rate(child, each * THREADS, timed, report)
}

fn report_rate(child: &Child, count: u64, (elapsed, cpu): (Duration, Duration), report: &mut Report) -> Result<()> {
    report.number("calls_per_s", count as f64 / elapsed.as_secs_f64());
    report.number("cpu_s_per_100k", cpu.as_secs_f64() * 1e5 / count as f64);
    child.report_memory(report)
}

/// The child fetches a file, counts its bytes and throws them away.
fn bulk(router: &Router, child: &Child, mib: u64, report: &mut Report) -> Result<()> {
    let path = std::env::var_os("RIVALS_FILE").ok_or("RIVALS_FILE is not set")?;
    let path = std::path::absolute(path)?;
    let files = FileService::new();
    let pool = Pool::builder(router).service(files.clone()).start()?;
    files.register(path.clone())?;
    let bytes = mib << 20;
    let cpu = || (support::process::own_cpu(), support::process::cpu_of(child.pid));
    let (parent_before, child_before) = cpu();
    let started = Instant::now();
    let taken = child.sink.fetch(router.myself(), path, bytes).wait()?;
    let elapsed = started.elapsed();
    let (parent_after, child_after) = cpu();
    assert_eq!(taken, bytes, "bytes that have come to the child");
    report.number("mib_s", mib as f64 / elapsed.as_secs_f64());
    report.number("chunk_kib", (CHUNK >> 10) as f64);
    report.number("cpu_parent_s", (parent_after - parent_before).as_secs_f64());
    report.number("cpu_child_s", (child_after - child_before).as_secs_f64());
    child.report_memory(report)?;
    pool.close(Duration::from_secs(5));
    Ok(())
}

/// One child after the other, each until its first reply was checked.
fn startup(router: &Router, count: u64, report: &mut Report) -> Result<()> {
    let mut samples = Samples::with_capacity(count as usize);
    let mut last = None;
    for number in 0..count {
        let before = Instant::now();
        let context = router.local().connect()?;
        check(number, &Ping::stub(&context).ping(number, TEXT).wait()?);
        samples.push(before.elapsed());
        if number + 1 < count {
            context.shutdown(Duration::from_secs(5))?;
        } else {
            last = Some(context);
        }
    }
    report.number("p50_us", samples.percentile_us(0.5));
    report.number("p99_us", samples.percentile_us(0.99));
    let context = last.ok_or("no child was started")?;
    let ping = Ping::stub(&context);
    let pid = ping.pid().wait()?;
    Child { ping, sink: Sink::stub(&context), pid }.report_memory(report)
}
