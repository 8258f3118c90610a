//! The floor of starting a process: a fork, and nothing else.
#![allow(unsafe_code, reason = "nothing safe forks")]

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::support::Result;

/// Forks this process, and tells how long it takes until the copy has answered one byte with one byte.
pub(crate) fn start_and_call() -> Result<Duration> {
    let started = Instant::now();
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: the child makes system calls alone, on memory of its own stack, until it exits: it
    // allocates nothing and takes no lock that another thread may have held.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let answered = answer(&theirs);
        // SAFETY: it runs no handlers and does not return.
        unsafe { libc::_exit(i32::from(!answered)) }
    }
    let pid = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(std::io::Error::last_os_error)?;
    drop(theirs);
    rustix::io::write(&ours, b"?")?;
    let mut reply = [0];
    let count = rustix::io::read(&ours, &mut reply)?;
    let elapsed = started.elapsed();
    let status = waitpid(Some(pid), WaitOptions::empty())?;
    match (count, status.and_then(|(_, status)| status.exit_status())) {
        (1, Some(0)) => Ok(elapsed),
        _ => Err("a forked process has not answered".into()),
    }
}

fn answer(socket: impl AsFd) -> bool {
    let mut request = [0];
    rustix::io::read(&socket, &mut request) == Ok(1) && rustix::io::write(&socket, &request) == Ok(1)
}
