//! On which CPUs the processes of a bench run.
//!
//! Placement decides a latency more than any code does: waking a CPU that sleeps can take longer than the
//! whole rest of a round trip. So each figure is taken in all placements.

use std::fmt;
use std::sync::OnceLock;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Placement {
    /// All processes on one CPU.
    Packed,
    /// This process on one CPU, all others on a second one.
    Spread,
    /// Wherever the scheduler puts them.
    Free,
}

impl Placement {
    /// Those that this machine can do.
    pub(crate) fn all() -> Vec<Self> {
        match allowed().len() {
            0 | 1 => vec![Self::Packed, Self::Free],
            _ => vec![Self::Packed, Self::Spread, Self::Free],
        }
    }

    /// Moves this process and the others, with all threads that they have now; those that start later
    /// inherit it.
    pub(crate) fn apply(self, others: &[u32]) -> Result<()> {
        let (ours, theirs) = match self {
            Self::Packed => (&allowed()[..1], &allowed()[..1]),
            Self::Spread => (&allowed()[..1], &allowed()[1..2]),
            Self::Free => (allowed(), allowed()),
        };
        place(std::process::id(), ours)?;
        others.iter().try_for_each(|pid| place(*pid, theirs))
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packed => "packed",
            Self::Spread => "spread",
            Self::Free => "free",
        })
    }
}

/// The CPUs that this process might use when it was started.
fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        let set = sched_getaffinity(None).expect("a process may ask for its own CPUs");
        (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
    })
}

/// Moves all threads of a process to these CPUs.
pub(crate) fn place(pid: u32, cpus: &[usize]) -> Result<()> {
    allowed();
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.file_name().to_string_lossy().parse()?;
        match sched_setaffinity(Pid::from_raw(task), &set) {
            // It has ended since the directory was read.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
