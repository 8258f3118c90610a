//! What a call costs, beside floors that are measured in the same rounds.
//!
//! `cargo bench -p mitogen-service --bench call [-- OPTIONS]`; see `docs/performance.md`.
#![forbid(unsafe_code)]

mod support;

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use mitogen_service::{Pool, Router};

use support::options::Options;
use support::ours::{Echo, Ours};
use support::placement::Placement;
use support::report::{Goal, OURS, RAW, Report};
use support::samples::Samples;
use support::sequence::{self, Place, Sequence};
use support::syscalls::Counter;
use support::{Result, broker, floor, peer};

use Placement::{Free, Packed, Spread};

const PIPES: &str = "raw pipes";
const BROKER: &str = "plain broker";

const SECTIONS: [&str; 7] = ["sequential", "callers", "pipelined", "children", "hop", "blocking", "syscalls"];

/// How often the variants take turns within a round.
const TURNS: usize = 4;

/// Calls that are under way together when calls are pipelined.
const IN_FLIGHT: usize = 64;

const BATCHES: &str = "64 at once";
const ALWAYS: &str = "always 64 under way";

/// How many threads call at once.
const CALLERS: [usize; 3] = [1, 4, 16];

/// How many children are called at once, each by a thread of its own.
const CHILDREN: [usize; 3] = [2, 8, 32];

/// How long a method blocks that does.
const BLOCKED: Duration = Duration::from_millis(10);

/// How many threads of this process run methods.
const POOL: usize = 4;

fn main() -> Result<()> {
    peer::enter();
    mitogen_service::init();
    let options = Options::from_args(&SECTIONS)?;
    let mut bench = Bench::new(options)?;
    for round in 1..=bench.options.rounds {
        eprintln!("round {round} of {}", bench.options.rounds);
        for placement in Placement::all() {
            placement.apply(&bench.pids())?;
            bench.round(placement)?;
        }
    }
    if bench.options.runs("syscalls") {
        bench.system_calls()?;
    }
    judge(&mut bench.report);
    bench.report.finish("call", &bench.options)
}

/// All that is measured.
struct Bench {
    router: Router,
    options: Options,
    report: Report,
    socket: floor::Echo,
    pipes: floor::Echo,
    broker: broker::Client,
    ours: Ours,
    /// A child of the child.
    below: Ours,
    children: Vec<Ours>,
}

impl Bench {
    fn new(options: Options) -> Result<Self> {
        let router = Router::builder().build()?;
        let ours = Ours::start(&router, "echo")?;
        let frames = ours.frames()?;
        let below = ours.start_below()?;
        let count = if options.runs("children") { CHILDREN[CHILDREN.len() - 1] } else { 0 };
        let children = (0..count).map(|number| Ours::start(&router, &format!("echo.{number}")));
        let children = children.collect::<Result<_>>()?;
        let mut report = Report::new(options.rounds);
        let (request, reply) = (frames.request, frames.reply);
        report.note(format!("a call takes {request} bytes there and {reply} back, those of the floors as well"));
        // What the child calls while methods block.
        Pool::builder(&router).size(POOL).service(Echo).start()?;
        Ok(Self {
            router,
            options,
            report,
            socket: floor::Echo::over_socket(frames)?,
            pipes: floor::Echo::over_pipes(frames)?,
            broker: broker::Client::new(frames, IN_FLIGHT)?,
            ours,
            below,
            children,
        })
    }

    fn pids(&self) -> Vec<u32> {
        let floors = [self.socket.pid(), self.pipes.pid(), self.broker.pid()];
        let ours = [&self.ours, &self.below].into_iter().chain(&self.children).map(|ours| ours.pid);
        floors.into_iter().chain(ours).collect()
    }

    /// What takes long where CPUs have to be woken is left out there; so is what has no goal there.
    fn round(&mut self, placement: Placement) -> Result<()> {
        let runs = |section| self.options.runs(section);
        let [sequential, callers, pipelined, children, hop, block, _] = SECTIONS.map(runs);
        if sequential {
            self.sequential(placement)?;
        }
        if pipelined {
            self.pipelined(placement)?;
        }
        if callers && placement != Spread {
            self.callers(placement)?;
        }
        if children && placement != Spread {
            self.children(placement)?;
        }
        if hop && placement != Spread {
            self.through_a_hop(placement)?;
        }
        if block && placement != Spread {
            self.while_methods_block(placement)?;
        }
        Ok(())
    }

    /// A call of one of the variants, and the process that answers it.
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

    /// The floor that the figures of a section are put beside.
    fn raw(&mut self, section: &str, placement: Placement) -> Result<()> {
        let calls = self.options.scaled(2500);
        sequence::raw(&mut self.report, (section, placement), calls, &mut self.socket)
    }

    fn sequential(&mut self, placement: Placement) -> Result<()> {
        let calls = self.options.scaled(2500);
        let variants = [RAW, PIPES, BROKER, OURS];
        let mut sequences = variants.map(|_| Sequence::new(calls * TURNS));
        for _ in 0..TURNS {
            for (variant, sequence) in variants.iter().zip(&mut sequences) {
                let pid = self.pid(variant);
                sequence.run(calls, &[pid], |number| self.call(variant, number))?;
            }
        }
        for (variant, sequence) in variants.into_iter().zip(&mut sequences) {
            sequence.report(&mut self.report, Place { section: "sequential", variant, placement });
        }
        Ok(())
    }

    /// Several threads, each with one call after the other.
    fn callers(&mut self, placement: Placement) -> Result<()> {
        let section = "callers";
        self.raw(section, placement)?;
        for callers in CALLERS {
            let each = self.options.scaled(12_000) / callers;
            let mut measure = |variant: &str, pid, call: &(dyn Fn(usize) -> Result<()> + Sync)| {
                let place = Place { section, variant, placement };
                sequence::rate(&mut self.report, place, each * callers, &[pid], || {
                    together(callers, |thread| (0..each).try_for_each(|_| call(thread)))
                })
            };
            let broker = &self.broker;
            measure(&format!("{BROKER}, {callers}"), broker.pid(), &|thread| broker.call(thread))?;
            let ours = &self.ours;
            measure(&format!("{OURS}, {callers}"), ours.pid, &|thread| ours.call(thread as u64))?;
        }
        Ok(())
    }

    /// One thread that begins many calls before it waits for the first.
    fn pipelined(&mut self, placement: Placement) -> Result<()> {
        let section = "pipelined";
        self.raw(section, placement)?;
        let calls = self.options.scaled(40_000) / IN_FLIGHT * IN_FLIGHT;
        let batches = calls / IN_FLIGHT;
        let mut measure = |variant: &str, pid, work: &dyn Fn() -> Result<()>| {
            sequence::rate(&mut self.report, Place { section, variant, placement }, calls, &[pid], work)
        };
        let broker = &self.broker;
        measure(&format!("{BROKER}, {BATCHES}"), broker.pid(), &|| {
            (0..batches).try_for_each(|_| {
                (0..IN_FLIGHT).try_for_each(|slot| broker.start(slot))?;
                (0..IN_FLIGHT).for_each(|slot| broker.wait(slot));
                Ok(())
            })
        })?;
        let ours = &self.ours;
        measure(&format!("{OURS}, {BATCHES}"), ours.pid, &|| {
            let mut begun = Vec::with_capacity(IN_FLIGHT);
            (0..batches).try_for_each(|_| {
                begun.extend((0..IN_FLIGHT as u64).map(|number| ours.begin(number)));
                begun.drain(..).try_for_each(|call| call.finish())
            })
        })?;
        measure(&format!("{OURS}, {ALWAYS}"), ours.pid, &|| {
            let mut begun: VecDeque<_> = (0..IN_FLIGHT as u64).map(|number| ours.begin(number)).collect();
            for number in IN_FLIGHT as u64..calls as u64 {
                if let Some(oldest) = begun.pop_front() {
                    oldest.finish()?;
                }
                begun.push_back(ours.begin(number));
            }
            begun.into_iter().try_for_each(|call| call.finish())
        })
    }

    /// Several children, each called by a thread of its own.
    fn children(&mut self, placement: Placement) -> Result<()> {
        let section = "children";
        self.raw(section, placement)?;
        for count in CHILDREN {
            let each = self.options.scaled(12_000) / count;
            let children = &self.children[..count];
            let pids: Vec<_> = children.iter().map(|child| child.pid).collect();
            let place = Place { section, variant: &format!("{OURS}, {count}"), placement };
            sequence::rate(&mut self.report, place, each * count, &pids, || {
                together(count, |thread| (0..each as u64).try_for_each(|number| children[thread].call(number)))
            })?;
        }
        Ok(())
    }

    /// Calls to a child of the child, which the child forwards.
    fn through_a_hop(&mut self, placement: Placement) -> Result<()> {
        let section = "hop";
        self.raw(section, placement)?;
        let calls = self.options.scaled(4000);
        let mut sequence = Sequence::new(calls);
        sequence.run(calls, &[self.ours.pid, self.below.pid], |number| self.below.call(number))?;
        sequence.report(&mut self.report, Place { section, variant: OURS, placement });
        Ok(())
    }

    /// How many threads of this process methods keep busy that block, if more callers in the child wait
    /// than there are threads; and how long a call takes meanwhile, as long as one thread is left.
    fn while_methods_block(&mut self, placement: Placement) -> Result<()> {
        let section = "blocking";
        self.raw(section, placement)?;
        let place = Place { section, variant: OURS, placement };
        let (child, me) = (&self.ours.stub, || self.router.myself());
        let busy = child.keep_busy(me(), BLOCKED, 2 * POOL, self.options.scaled(20)).wait()?;
        let nanos = child.echo_meanwhile(me(), BLOCKED, POOL - 1, self.options.scaled(4000)).wait()?;
        sequence::report_samples(&mut self.report, place, &mut Samples::from_nanos(nanos));
        self.report.add(place, "busy threads", busy);
        Ok(())
    }

    /// Both sides together. Once is enough: this is not a matter of time.
    fn system_calls(&mut self) -> Result<()> {
        let Some(counter) = Counter::find() else {
            self.report.note("system calls were not counted: neither perf nor strace works here");
            return Ok(());
        };
        Packed.apply(&self.pids())?;
        for variant in [RAW, BROKER, OURS] {
            let pids = [std::process::id(), self.pid(variant)];
            let count = counter.for_each(&pids, self.options.scaled(2000), |number| self.call(variant, number))?;
            let place = Place { section: "syscalls", variant, placement: Packed };
            self.report.add(place, "for each sequential call", count);
        }
        self.report.note(format!("system calls were counted by {}", counter.name()));
        Ok(())
    }
}

/// Runs the same in several threads, each of which is told its number.
fn together(threads: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it returns its error"))
    })
}

fn judge(report: &mut Report) {
    let mut sequential = |what, placement, (figure, variant, floor), goal| {
        let value = report.ratio("sequential", placement, (OURS, figure), (variant, floor));
        report.judge(what, value, goal);
    };
    let p50 = ("p50 us", RAW, "p50 us");
    sequential("p50, packed, x raw socketpair", Packed, p50, Goal::at_most(1.35, 1.10, 0.70));
    sequential("p50, free, x raw socketpair", Free, p50, Goal::at_most(1.5, 1.15, 0.65));
    let mean = ("mean us", RAW, "mean us");
    sequential("mean, spread, x raw socketpair", Spread, mean, Goal::at_most(1.2, 0.6, 0.3));
    let p99 = ("p99 us", OURS, "p50 us");
    sequential("p99, packed, x its own p50", Packed, p99, Goal::at_most(3.0, 2.0, 1.5));
    let cpu = ("CPU us", RAW, "CPU us");
    sequential("CPU of both sides, packed, x raw socketpair", Packed, cpu, Goal::at_most(1.4, 1.15, 0.7));
    let broker = ("p50 us", BROKER, "p50 us");
    sequential("p50, packed, x plain broker", Packed, broker, Goal::at_most(0.65, 0.52, 0.33));

    let count = report.median("syscalls", OURS, Packed, "for each sequential call");
    report.judge("system calls of both sides", count, Goal::at_most(6.0, 5.0, 4.0));

    for placement in [Packed, Free] {
        let mut rate = |section, variant: &str, goal| {
            let value = report.ratio(section, placement, (variant, "calls/s"), (RAW, "calls/s"));
            report.judge(format!("{section}: {variant}, {placement}, x raw socketpair's rate"), value, goal);
        };
        rate("callers", &format!("{OURS}, 16"), Goal::at_least(0.9, 1.1, 1.6));
        for way in [BATCHES, ALWAYS] {
            rate("pipelined", &format!("{OURS}, {way}"), Goal::at_least(4.0, 15.0, 30.0));
        }
        let section = "blocking";
        let busy = report.median(section, OURS, placement, "busy threads");
        report.judge(format!("busy threads of 4, {placement}"), busy, Goal::must_be_at_least(3.6));
        let echo = report.ratio(section, placement, (OURS, "p50 us"), (RAW, "p50 us"));
        let goal = Goal::must_be_at_most(3.0);
        report.judge(format!("p50 while three methods block, {placement}, x raw socketpair"), echo, goal);
    }
}
