//! How many system calls some processes make, counted from outside: by `perf` where the kernel lets it
//! count, else by `strace`, which slows them down.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Result;

/// What counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Perf,
    Strace,
}

impl Counter {
    /// The first one that works here.
    pub(crate) fn find() -> Option<Self> {
        [Self::Perf, Self::Strace].into_iter().find(|counter| {
            let pids = [std::process::id()];
            let counted = counter.count(&pids, || {
                (0..1000).for_each(|_| _ = rustix::process::getppid());
                Ok(())
            });
            counted.is_ok_and(|count| count >= 1000)
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Strace => "strace",
        }
    }

    /// System calls for each of many calls: what more calls take more, so that the rest does not count.
    pub(crate) fn for_each(self, pids: &[u32], calls: usize, mut call: impl FnMut(u64) -> Result<()>) -> Result<f64> {
        let mut count = |calls: usize| self.count(pids, || (0..calls as u64).try_for_each(&mut call));
        let few = count(calls)?;
        let many = count(3 * calls)?;
        Ok((many as f64 - few as f64) / (2 * calls) as f64)
    }

    fn count(self, pids: &[u32], work: impl FnOnce() -> Result<()>) -> Result<u64> {
        let file = Scratch::new(self.name());
        let mut counting = self.attach(pids, &file)?;
        let worked = work();
        let pid = Pid::from_raw(i32::try_from(counting.id())?).ok_or("a process has a number")?;
        // Both print what they have counted when they are interrupted. An error: it has ended by itself.
        let _ = kill_process(pid, Signal::INT);
        counting.wait()?;
        worked?;
        let text = fs::read_to_string(&file.0)?;
        self.parse(&text).ok_or_else(|| format!("{} does not tell a number: {text:?}", self.name()).into())
    }

    fn attach(self, pids: &[u32], file: &Scratch) -> Result<Child> {
        let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
        let mut command = Command::new(self.name());
        match self {
            Self::Perf => {
                command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pids.join(",")]);
            }
            Self::Strace => {
                command.args(["-c", "-f", "-q"]).args(pids.iter().flat_map(|pid| ["-p", pid]));
            }
        }
        command.arg("-o").arg(&file.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        // Neither says when it has begun. If it takes longer still, both counts of `for_each` miss as much.
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return Err(format!("{} has ended: {status}", self.name()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(child)
    }

    fn parse(self, text: &str) -> Option<u64> {
        match self {
            // 12345,,raw_syscalls:sys_enter,...
            Self::Perf => text.lines().find(|line| line.contains("sys_enter"))?.split(',').next()?.parse().ok(),
            // 100.00    0.000055          18         3         1 total
            Self::Strace => {
                let line = text.lines().find(|line| line.ends_with("total"))?;
                line.split_whitespace().nth(3)?.parse().ok()
            }
        }
    }
}

/// A file of this process alone, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("mitogen-service-bench-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
