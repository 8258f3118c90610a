//! How fast much data goes from a child to its parent, and from the parent to the child, beside a loop over a raw
//! socket.
//!
//! `cargo bench -p mitogen-service --bench bulk [-- OPTIONS]`; see `docs/performance.md`.
#![forbid(unsafe_code)]

mod support;

use std::thread;
use std::time::Instant;

use bytes::Bytes;
use mitogen_service::{AllowParents, Blob, CallError, Receiver, Router, Sender, service};

use support::options::Options;
use support::placement::Placement;
use support::report::{Goal, OURS, RAW, Report};
use support::sequence::Place;
use support::{Result, floor, peer, process};

use Placement::{Free, Packed};

/// The size that the goal is about.
const MESSAGE: usize = 128 << 10;

/// Smaller and larger ones, with the names of their sections.
const SIZES: [(&str, usize); 3] = [("32 KiB", 32 << 10), ("128 KiB", MESSAGE), ("512 KiB", 512 << 10)];

/// How much goes in one turn.
const TOTAL: usize = 1 << 30;

/// The other direction: from the parent to the child.
const DOWNWARD: &str = "mitogen-service, to the child";

/// How many messages differ from each other.
const KINDS: usize = 8;

/// How far they begin from each other: a line of the caches, since what begins anywhere else is copied more slowly,
/// and the raw loop sends from the beginning of its memory.
const STEP: usize = 64;

#[derive(Default)]
struct Source;

#[service(activate)]
impl Source {
    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Sends so many messages, of all kinds in turn.
    #[expose(policy = AllowParents)]
    fn send(&self, size: usize, count: usize, to: Sender<Blob>) -> std::result::Result<(), CallError> {
        send(&memory(size), count, &to)
    }

    /// Takes so many messages on a thread of its own, and tells when all have come.
    #[expose(policy = AllowParents)]
    fn open(&self, size: usize, count: usize, done: Sender<bool>, router: &Router) -> Sender<Blob> {
        let receiver = router.receiver();
        let sender = receiver.sender();
        // Whoever does not hear of it has ended.
        thread::spawn(move || drop(done.send(receive(&receiver, size, count).is_ok())));
        sender
    }
}

/// What all messages of one size lie in, as those of the raw loop do: eight times as much would not stay in the
/// caches.
fn memory(size: usize) -> Bytes {
    (0..size + KINDS * STEP).map(content).collect()
}

/// The byte at this place of the memory.
fn content(at: usize) -> u8 {
    (at / STEP) as u8
}

/// Sends so many messages, of all kinds in turn; a part of the memory is not copied.
fn send(memory: &Bytes, count: usize, to: &Sender<Blob>) -> std::result::Result<(), CallError> {
    let size = memory.len() - KINDS * STEP;
    let message = |number| Blob::from(memory.slice(number % KINDS * STEP..).slice(..size));
    (0..count).try_for_each(|number| to.send(message(number)))
}

fn main() -> Result<()> {
    peer::enter();
    mitogen_service::init();
    let options = Options::from_args(&SIZES.map(|(section, _)| section))?;
    let router = Router::builder().build()?;
    let stub = Source::stub(&router.local().name("source").connect()?);
    let pid = stub.pid().wait()?;
    let sizes = SIZES.into_iter().filter(|(section, _)| options.runs(section));
    let sizes: Vec<_> = sizes.collect();
    let floors = sizes.iter().map(|(_, size)| floor::Bulk::new(*size)).collect::<Result<Vec<_>>>();
    let mut floors = floors?;
    let pids: Vec<_> = floors.iter().map(floor::Bulk::pid).chain([pid]).collect();
    let mut report = Report::new(options.rounds);
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for placement in Placement::all() {
            placement.apply(&pids)?;
            for ((section, size), floor) in sizes.iter().zip(&mut floors) {
                let count = options.scaled(TOTAL) / size;
                let bytes = count * size;
                let raw = Place { section, variant: RAW, placement };
                let floor_pid = floor.pid();
                measure(&mut report, raw, bytes, floor_pid, || floor.receive(count))?;
                let ours = Place { section, variant: OURS, placement };
                measure(&mut report, ours, bytes, pid, || {
                    let receiver = router.receiver();
                    let call = stub.send(*size, count, receiver.sender());
                    receive(&receiver, *size, count)?;
                    Ok(call.wait()?)
                })?;
                let downward = Place { section, variant: DOWNWARD, placement };
                let memory = memory(*size);
                measure(&mut report, downward, bytes, pid, || {
                    let done = router.receiver();
                    let to = stub.open(*size, count, done.sender()).wait()?;
                    send(&memory, count, &to)?;
                    assert!(done.recv()?, "the child has not got everything");
                    Ok(())
                })?;
            }
        }
    }
    for (section, _) in sizes {
        for placement in [Packed, Free] {
            let stretch = if section == "512 KiB" { 1.2 } else { 1.0 };
            for (variant, way) in [(OURS, ""), (DOWNWARD, " to the child")] {
                let value = report.ratio(section, placement, (variant, "MB/s"), (RAW, "MB/s"));
                let what = format!("{section}{way}, {placement}, x raw socketpair loop");
                report.judge(what, value, Goal::at_least(0.85, 0.95, stretch));
            }
        }
    }
    report.finish("bulk", &options)
}

/// Takes all messages, and checks that they are whole and in order.
fn receive(receiver: &Receiver<Blob>, size: usize, count: usize) -> Result<()> {
    for number in 0..count {
        let message = receiver.recv()?;
        assert_eq!(message.len(), size, "a message is cut off");
        let first = number % KINDS * STEP;
        assert_eq!([message[0], message[size - 1]], [first, first + size - 1].map(content), "a message is missing");
    }
    Ok(())
}

fn measure(
    report: &mut Report,
    place: Place<'_>,
    bytes: usize,
    pid: u32,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // With what threads have taken that have ended since, as those of the child that receive.
    let cpu_now = || process::own_cpu() + process::ticks_of(pid).unwrap_or_default();
    let cpu = cpu_now();
    let started = Instant::now();
    work()?;
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = (cpu_now() - cpu).as_secs_f64();
    report.add(place, "MB/s", bytes as f64 / elapsed / 1e6);
    report.add(place, "CPU s/GiB", cpu / (bytes as f64 / f64::from(1 << 30)));
    Ok(())
}
