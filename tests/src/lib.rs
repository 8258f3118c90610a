//! Helpers of the whole-system tests: processes watched from outside, and bounds on waiting.
#![forbid(unsafe_code)]

pub mod strict;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// How long anything may take that takes milliseconds on an idle machine.
pub const LONG: Duration = Duration::from_secs(20);

/// Gives a result, or fails the test: whatever hangs shall fail and not stop all others.
///
/// # Panics
/// If `body` has not returned within `bound`, or panics.
pub fn within<T: Send + 'static>(bound: Duration, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        // The receiver is gone if the time was over.
        let _ = done.send(body());
    });
    match result.recv_timeout(bound) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still not done after {bound:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a body that returns sends its result"),
        },
    }
}

/// A process that is not ours to wait for, watched through its pidfd, so that its number cannot
/// come to mean another one.
#[derive(Debug)]
pub struct Watched {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Watched {
    /// Begins to watch a process that is alive.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn new(pid: u32) -> Self {
        let pid = pid_of(pid);
        Self { pid, pidfd: pidfd_open(pid, PidfdFlags::empty()).expect("the process is alive") }
    }

    /// Begins to watch a process, if there is one of this number.
    pub fn find(pid: u32) -> Option<Self> {
        let pid = pid_of(pid);
        pidfd_open(pid, PidfdFlags::empty()).ok().map(|pidfd| Self { pid, pidfd })
    }

    /// Kills the process, if it has not ended.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits until the process has ended; `false` if it lives on after `bound`.
    pub fn ends_within(&self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(ready) => return ready > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("cannot wait for a process: {error}"),
            }
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the process is alive");
    }

    /// Stops the process, and waits until the last of its threads has stopped.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let stopped = |task: std::fs::DirEntry| {
            // The state follows the name, which stands in brackets and may hold anything.
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        let tasks = format!("/proc/{}/task", self.pid.as_raw_nonzero());
        while !std::fs::read_dir(&tasks).expect("the process is alive").flatten().all(stopped) {
            thread::yield_now();
        }
    }

    /// Whether the process is still in the table of processes, alive or a zombie.
    pub fn is_listed(&self) -> bool {
        std::path::Path::new(&format!("/proc/{}", self.pid.as_raw_nonzero())).exists()
    }
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid fits")).expect("a pid is not 0")
}

/// Sends a signal to a process.
///
/// # Panics
/// If there is no such process.
pub fn signal(pid: u32, signal: Signal) {
    kill_process(pid_of(pid), signal).expect("the process is alive");
}

/// The most memory that this process has had, in KiB (`VmHWM`).
///
/// # Panics
/// If /proc cannot be read.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts memory");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}

/// What this process holds of the system's goods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Open descriptors, each with what it is: `5 -> pipe:[1234]`.
    pub fds: BTreeSet<String>,
    /// The names of the threads, with their numbers.
    pub threads: BTreeSet<String>,
    /// Processes started by this one that are not reaped.
    pub children: BTreeSet<u32>,
}

impl Holdings {
    /// Looks at /proc.
    ///
    /// # Panics
    /// If /proc cannot be read.
    pub fn of_this_process() -> Self {
        let fds = std::fs::read_dir("/proc/self/fd").expect("/proc is there");
        let fds = fds.filter_map(|entry| {
            let entry = entry.ok()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            // The directory that is being read.
            let listing = target.to_str().is_some_and(|target| target.starts_with("/proc/"));
            (!listing).then(|| format!("{} -> {}", entry.file_name().display(), target.display()))
        });
        let tasks: Vec<_> = std::fs::read_dir("/proc/self/task").expect("/proc is there").flatten().collect();
        let read = |task: &std::fs::DirEntry, file: &str| {
            std::fs::read_to_string(task.path().join(file)).unwrap_or_default().trim().to_owned()
        };
        let threads = tasks.iter().map(|task| format!("{} {}", task.file_name().display(), read(task, "comm")));
        let children = tasks.iter().flat_map(|task| {
            read(task, "children").split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        });
        Self { fds: fds.collect(), threads: threads.collect(), children: children.collect() }
    }

    /// What is held now and was not before; waits a moment for threads that are about to leave,
    /// which the kernel lists for an instant after they have been joined.
    pub fn added_since(before: &Self) -> Self {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let now = Self::of_this_process();
            let added = Self {
                fds: &now.fds - &before.fds,
                threads: &now.threads - &before.threads,
                children: &now.children - &before.children,
            };
            if added == Self::default() || Instant::now() > deadline {
                return added;
            }
            thread::yield_now();
        }
    }
}
