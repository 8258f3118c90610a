//! All unsafe code of the crate: four things that no safe crate offers.
//!
//! It must know nothing of what the rest of the crate does.
#![allow(unsafe_code)]

/// Ends the process at once: no exit handlers, no destructors, no flushing.
///
/// A context whose parent is gone ends this way from its I/O thread. Exit handlers could wait for
/// a thread that runs a method that never returns, and then an orphan would stay behind.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: `_exit` takes a plain number, touches no memory of ours and does not return.
    unsafe { libc::_exit(status) }
}

/// Ignores SIGPIPE, so that writing to a context that has ended is an error and not our death.
///
/// The standard library does the same before `main`; a child of a test binary is entered earlier.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: SIG_IGN installs no handler, so there is no code that could run at a bad moment.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// Closes a descriptor that this process was given by number, and that nothing in it owns.
pub(crate) fn close_inherited(fd: i32) {
    // SAFETY: `close` takes a plain number. The caller knows it from the command line, where it is told to
    // be ours; it was open before anything ran here, so nothing here can have been given the same one.
    unsafe {
        libc::close(fd);
    }
}

/// Enters children of test binaries before the test harness sees their arguments.
#[cfg(feature = "testing")]
mod init_array {
    /// The C library calls each function of this section before `main`.
    // SAFETY: the section wants pointers to functions of the C calling convention that take what
    // the loader passes (ignored here); the function below is one, and it never unwinds.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static ENTER: extern "C" fn() = enter;

    extern "C" fn enter() {
        crate::entry::enter_before_main();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Set in the copy of the test binary that shall exit.
    const CHILD: &str = "MITOGEN_SERVICE_TEST_EXIT_NOW";

    #[test]
    fn exit_now_ends_the_process_with_its_status_and_runs_nothing_else() {
        if std::env::var_os(CHILD).is_some() {
            super::exit_now(7);
        }
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sys::tests::exit_now_ends_the_process_with_its_status_and_runs_nothing_else"])
            .env(CHILD, "1")
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn a_descriptor_that_nothing_owns_is_closed() {
        use std::os::fd::IntoRawFd;
        let (read, write) = rustix::pipe::pipe().unwrap();
        super::close_inherited(write.into_raw_fd());
        assert_eq!(rustix::io::read(&read, &mut [0; 1]), Ok(0), "nobody can write any more");
    }

    #[test]
    fn writing_to_a_closed_pipe_is_an_error_once_sigpipe_is_ignored() {
        super::ignore_sigpipe();
        let (read, write) = rustix::pipe::pipe().unwrap();
        drop(read);
        assert_eq!(rustix::io::write(&write, b"x"), Err(rustix::io::Errno::PIPE));
    }
}
