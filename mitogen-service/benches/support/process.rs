//! What the kernel knows about processes: CPU time and memory.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// User and system time of this process so far.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// User and system time of another process: to the nanosecond for threads that live and sleep, where the
/// kernel tells that, else in hundredths of a second.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let times = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    match times.sum() {
        0 => ticks_of(pid).unwrap_or_default(),
        nanos => Duration::from_nanos(nanos),
    }
}

/// User and system time of the children of this process that have ended and were waited for, and of theirs; in
/// hundredths of a second.
pub(crate) fn cpu_of_ended_children() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    // The fields 16 and 17.
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis(10 * (ticks(13) + ticks(14)))
}

/// User and system time of another process and of all threads that it has had, in hundredths of a second.
pub(crate) fn ticks_of(pid: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, and ends with the last bracket; the times are fields 14 and 15.
    let fields: Vec<_> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(10 * ticks))
}

/// User and system time of this process and of others.
pub(crate) fn cpu_with(others: &[u32]) -> Duration {
    own_cpu() + others.iter().map(|pid| cpu_of(*pid)).sum::<Duration>()
}

/// What a process holds of the machine's memory, in KiB, and how many threads it has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) rss_kib: u64,
    pub(crate) hwm_kib: u64,
    /// What is shared with other processes counts in part.
    pub(crate) pss_kib: u64,
    pub(crate) threads: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> std::io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Ok(Self {
            rss_kib: field(&status, "VmRSS:"),
            hwm_kib: field(&status, "VmHWM:"),
            pss_kib: field(&rollup, "Pss:"),
            threads: field(&status, "Threads:"),
        })
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How many bytes a process has read and written so far, by the calls that /proc counts: those on files
/// and pipes, and not those on sockets alone.
pub(crate) fn bytes_of(pid: u32) -> Option<[u64; 2]> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    Some([field(&io, "rchar:"), field(&io, "wchar:")])
}
