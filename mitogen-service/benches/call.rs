//! What a call costs, beside floors that are measured in the same rounds.
//!
//! `cargo bench -p mitogen-service --bench call [-- OPTIONS]`; see `docs/performance.md`.
#![forbid(unsafe_code)]

mod support;

use std::time::Instant;

use mitogen_service::{AllowParents, Context, Router, service};

use support::options::Options;
use support::peer::Frames;
use support::placement::Placement;
use support::report::{Better, Goal, OURS, RAW, Report};
use support::samples::Samples;
use support::{Result, broker, floor, peer, process};

const PIPES: &str = "raw pipes";
const BROKER: &str = "plain broker";

const SECTIONS: [&str; 2] = ["sequential", "pipelined"];

/// Calls that are under way together when calls are pipelined.
const IN_FLIGHT: usize = 64;

/// How often the variants take turns within a round.
const TURNS: usize = 4;

const TEXT: &str = "0123456789abcdefghijklmnopqrstuv";

#[derive(Default)]
struct Echo;

#[service(activate)]
impl Echo {
    /// Two small arguments and a small result.
    #[expose(policy = AllowParents)]
    fn echo(&self, number: u64, text: &str) -> u64 {
        number + text.len() as u64
    }

    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        std::process::id()
    }
}

/// A child, and how to call it.
struct Ours {
    stub: EchoStub,
    pid: u32,
}

impl Ours {
    fn new(child: &Context) -> Result<Self> {
        let stub = Echo::stub(child);
        let pid = stub.pid().wait()?;
        Ok(Self { stub, pid })
    }

    fn call(&self, number: u64) -> Result<()> {
        assert_eq!(self.stub.echo(number, TEXT).wait()?, number + TEXT.len() as u64);
        Ok(())
    }

    /// How many bytes a call and its reply take, as the child's own reads and writes say.
    fn frames(&self) -> Result<Frames> {
        const CALLS: u64 = 2000;
        let before = process::bytes_of(self.pid);
        (0..CALLS).try_for_each(|number| self.call(number))?;
        let after = process::bytes_of(self.pid);
        let (Some([read, written]), Some([read_after, written_after])) = (before, after) else {
            return Err("/proc does not tell how much a process reads and writes".into());
        };
        let frames = [read_after - read, written_after - written].map(|bytes| (bytes / CALLS) as usize);
        // A header alone has 26 bytes.
        let [request, reply] = frames;
        if request.min(reply) < 26 {
            return Err(format!("a call seems to take {frames:?} bytes there and back, which cannot be").into());
        }
        Ok(Frames { request, reply })
    }
}

/// All that is measured, each with its process.
struct Variants {
    socket: floor::Echo,
    pipes: floor::Echo,
    broker: broker::Client,
    ours: Ours,
}

impl Variants {
    fn pids(&self) -> [u32; 4] {
        [self.socket.pid(), self.pipes.pid(), self.broker.pid(), self.ours.pid]
    }

    fn call(&mut self, variant: &str, number: u64) -> Result<()> {
        match variant {
            RAW => self.socket.call(number),
            PIPES => self.pipes.call(number),
            BROKER => self.broker.call(0),
            _ => self.ours.call(number),
        }
    }

    fn pid(&self, variant: &str) -> u32 {
        match variant {
            RAW => self.socket.pid(),
            PIPES => self.pipes.pid(),
            BROKER => self.broker.pid(),
            _ => self.ours.pid,
        }
    }
}

/// One call after the other.
struct Sequence {
    samples: Samples,
    cpu: f64,
}

impl Sequence {
    fn new(calls: usize) -> Self {
        Self { samples: Samples::with_capacity(calls), cpu: 0.0 }
    }

    fn run(&mut self, calls: usize, pids: &[u32], mut call: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let cpu = process::cpu_with(pids);
        let mut before = Instant::now();
        for number in 0..calls as u64 {
            call(number)?;
            let now = Instant::now();
            self.samples.push(now - before);
            before = now;
        }
        self.cpu += (process::cpu_with(pids) - cpu).as_secs_f64();
        Ok(())
    }

    fn report(&mut self, report: &mut Report, section: &str, variant: &str, placement: Placement) {
        let mut add = |figure, value| report.add(section, variant, placement, figure, value);
        add("p50 us", self.samples.percentile_us(0.5));
        add("p99 us", self.samples.percentile_us(0.99));
        add("mean us", self.samples.mean_us());
        add("CPU us", self.cpu * 1e6 / self.samples.len() as f64);
    }
}

fn main() -> Result<()> {
    peer::enter();
    mitogen_service::init();
    let options = Options::from_args(&SECTIONS)?;
    let router = Router::builder().build()?;
    let ours = Ours::new(&router.local().name("echo").connect()?)?;
    let frames = ours.frames()?;
    let mut variants = Variants {
        socket: floor::Echo::over_socket(frames)?,
        pipes: floor::Echo::over_pipes(frames)?,
        broker: broker::Client::new(frames, IN_FLIGHT)?,
        ours,
    };
    let mut report = Report::new(options.rounds);
    report
        .note(format!("a call takes {} bytes there and {} back, for the floors as well", frames.request, frames.reply));
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for placement in Placement::all() {
            placement.apply(&variants.pids())?;
            if options.runs("sequential") {
                sequential(&mut variants, placement, &options, &mut report)?;
            }
            if options.runs("pipelined") {
                pipelined(&mut variants, placement, &options, &mut report)?;
            }
        }
    }
    judge(&mut report);
    report.finish("call", &options)
}

fn sequential(variants: &mut Variants, placement: Placement, options: &Options, report: &mut Report) -> Result<()> {
    let calls = options.scaled(2500);
    let names = [RAW, PIPES, BROKER, OURS];
    let mut sequences = names.map(|_| Sequence::new(calls * TURNS));
    for _ in 0..TURNS {
        for (variant, sequence) in names.iter().zip(&mut sequences) {
            let pid = variants.pid(variant);
            // What the others have left in the caches is none of its business.
            (0..calls as u64 / 10).try_for_each(|number| variants.call(variant, number))?;
            sequence.run(calls, &[pid], |number| variants.call(variant, number))?;
        }
    }
    for (variant, sequence) in names.iter().zip(&mut sequences) {
        sequence.report(report, "sequential", variant, placement);
    }
    Ok(())
}

/// The floor's sequential rate, with which all rates are compared.
fn raw_floor(
    section: &str,
    variants: &mut Variants,
    placement: Placement,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let mut sequence = Sequence::new(options.scaled(2500));
    let pid = variants.socket.pid();
    sequence.run(options.scaled(2500), &[pid], |number| variants.socket.call(number))?;
    sequence.report(report, section, RAW, placement);
    report.add(section, RAW, placement, "calls/s", 1e6 / sequence.samples.mean_us());
    Ok(())
}

/// Measures how many calls a second `work` makes, which is told how many to make.
fn rate(
    (section, variant): (&str, &str),
    (calls, pids): (usize, &[u32]),
    placement: Placement,
    report: &mut Report,
    work: impl FnOnce(usize) -> Result<()>,
) -> Result<()> {
    let cpu = process::cpu_with(pids);
    let started = Instant::now();
    work(calls)?;
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = (process::cpu_with(pids) - cpu).as_secs_f64();
    report.add(section, variant, placement, "calls/s", calls as f64 / elapsed);
    report.add(section, variant, placement, "CPU us", cpu * 1e6 / calls as f64);
    Ok(())
}

fn pipelined(variants: &mut Variants, placement: Placement, options: &Options, report: &mut Report) -> Result<()> {
    let section = "pipelined";
    raw_floor(section, variants, placement, options, report)?;
    let calls = options.scaled(40_000) / IN_FLIGHT * IN_FLIGHT;
    let broker = &variants.broker;
    rate((section, "plain broker, 64 at once"), (calls, &[broker.pid()]), placement, report, |calls| {
        for _ in (0..calls).step_by(IN_FLIGHT) {
            (0..IN_FLIGHT).try_for_each(|slot| broker.start(slot))?;
            (0..IN_FLIGHT).for_each(|slot| broker.wait(slot));
        }
        Ok(())
    })?;
    let ours = &variants.ours;
    rate((section, "64 at once"), (calls, &[ours.pid]), placement, report, |calls| {
        let mut pending = Vec::with_capacity(IN_FLIGHT);
        for start in (0..calls as u64).step_by(IN_FLIGHT) {
            pending.extend((start..start + IN_FLIGHT as u64).map(|number| (number, ours.stub.echo(number, TEXT))));
            for (number, call) in pending.drain(..) {
                assert_eq!(call.wait()?, number + TEXT.len() as u64);
            }
        }
        Ok(())
    })?;
    rate((section, "always 64 under way"), (calls, &[ours.pid]), placement, report, |calls| {
        let mut pending = std::collections::VecDeque::with_capacity(IN_FLIGHT);
        for number in 0..calls as u64 {
            if pending.len() == IN_FLIGHT
                && let Some((number, call)) = pending.pop_front()
            {
                let call: mitogen_service::Call<u64> = call;
                assert_eq!(call.wait()?, number + TEXT.len() as u64);
            }
            pending.push_back((number, ours.stub.echo(number, TEXT)));
        }
        for (number, call) in pending {
            assert_eq!(call.wait()?, number + TEXT.len() as u64);
        }
        Ok(())
    })
}

fn judge(report: &mut Report) {
    use Placement::{Free, Packed, Spread};
    let s = "sequential";
    let ours = |figure| (OURS, figure);
    let raw = |figure| (RAW, figure);
    let value = report.ratio(s, Packed, ours("p50 us"), raw("p50 us"));
    report.judge("sequential p50, packed, x raw socketpair", value, Goal::at_most(1.35, 1.10, 0.70));
    let value = report.ratio(s, Free, ours("p50 us"), raw("p50 us"));
    report.judge("sequential p50, free, x raw socketpair", value, Goal::at_most(1.5, 1.15, 0.65));
    let value = report.ratio(s, Spread, ours("mean us"), raw("mean us"));
    report.judge("sequential mean, spread, x raw socketpair", value, Goal::at_most(1.2, 0.6, 0.3));
    let value = report.ratio(s, Packed, ours("p99 us"), ours("p50 us"));
    report.judge("sequential p99, packed, x its own p50", value, Goal::at_most(3.0, 2.0, 1.5));
    let value = report.ratio(s, Packed, ours("CPU us"), raw("CPU us"));
    report.judge("CPU of both sides a call, packed, x raw socketpair", value, Goal::at_most(1.4, 1.15, 0.7));
    let value = report.ratio(s, Packed, ours("p50 us"), (BROKER, "p50 us"));
    report.judge("sequential p50, packed, x plain broker", value, Goal::at_most(0.65, 0.52, 0.33));
    for (variant, placement) in
        [("64 at once", Packed), ("64 at once", Free), ("always 64 under way", Packed), ("always 64 under way", Free)]
    {
        let value = report.ratio("pipelined", placement, (variant, "calls/s"), raw("calls/s"));
        let what = format!("pipelined, {variant}, {placement}, x raw socketpair's sequential rate");
        report.judge(what, value, Goal::at_least(4.0, 15.0, 30.0));
    }
    let _ = Better::Higher;
}
