//! Everything at once for some time: many callers, fast and blocking methods, nested calls, channels, children
//! that are killed, pools that follow each other, and bounds and pipes that hold next to nothing.
//!
//! Each answer is checked. If nobody can tell what has become of one for [`PATIENCE`], the test says who waits
//! for what and fails; at the end it fails for what is left, and for memory that has grown.
//!
//! `SOAK_SECONDS` says how long (10 if not set), `SOAK_SEED` repeats the choices of an earlier run, though not
//! its schedule, and `SOAK_HOLD` keeps a process that hangs for a debugger.
//!
//! ```sh
//! SOAK_SECONDS=300 cargo test -p mitogen-service-tests --test soak -- --nocapture
//! ```

mod callers;
mod children;
mod pipes;
mod watchdog;

use std::env;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mitogen_service_tests::Holdings;

use callers::Rig;
use watchdog::Watchdog;

/// Within this time something comes of every call.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the memory may grow by once everything has been done for some time: what the allocator keeps of the
/// largest moments.
const GROWTH_KIB: u64 = 64 * 1024;

/// Choices that can be repeated (splitmix64).
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of so many times.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Another sequence, which follows from this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn whatever_happens_every_call_ends_and_nothing_is_left() {
    let seconds = Duration::from_secs(number("SOAK_SECONDS").unwrap_or(10));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("SOAK_SEED").unwrap_or(now.as_nanos() as u64 % 1_000_000_000);
    tell(&format!("SOAK_SEED={seed} SOAK_SECONDS={}", seconds.as_secs()));
    let mut random = Random(seed);
    // What the process gets once and keeps.
    soak(Duration::from_millis(500), &mut random.fork());
    let before = Holdings::of_this_process();
    soak(seconds, &mut random);
    assert_eq!(Holdings::added_since(&before), Holdings::default(), "this is left (seed {seed})");
}

fn soak(time: Duration, random: &mut Random) {
    let watchdog = Watchdog::start();
    let rigs = [Rig::roomy(), Rig::tiny(), Rig::restless()].map(Arc::new);
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = rigs.iter().flat_map(|rig| rig.start(&watchdog, &over, random)).collect();
    // The memory is looked at twice, both times with everything running.
    let sleep = |time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until && !over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(50));
        }
        resident()
    };
    let (early, late) = (sleep(time / 3), sleep(time - time / 3));
    over.store(true, Ordering::SeqCst);
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
    let ending = watchdog.begins("the end", "the routers");
    for rig in &rigs {
        tell(&rig.told());
    }
    drop(rigs);
    drop(ending);
    watchdog.stop();
    assert!(late < early + GROWTH_KIB, "memory grows: {early} KiB at first, then {late} KiB");
}

/// Writes a line that is seen though the harness keeps what tests print, even if the process aborts.
pub(crate) fn tell(line: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel counts memory");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}
