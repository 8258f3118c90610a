//! A terminal for commands that will not do without: `su`, and sudo where its rules say `requiretty`.
//!
//! What becomes the wire is a socket all the same, so that it carries every byte: the command's stdout,
//! from both sides. The terminal is there to ask for the password and is the controlling one of the
//! command's session, so that nobody is asked at the terminal that this program was started from.
//!
//! A session can be made only by the process that is to lead it, and nothing of ours runs between fork and
//! exec. So this executable is started with [a mark](crate::process::TERMINAL_MARK) of its own; it makes the
//! session and becomes the command.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pty::OpenptFlags;
use rustix::termios::{ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex};

use crate::process::{Stdin, TERMINAL_MARK};
use crate::{executable, sys};

/// The status of a shell that does not find a command.
const CANNOT_RUN: i32 = 127;

/// Both ends of a pseudo-terminal.
pub(super) struct Terminal {
    /// What a person would sit at.
    pub(super) master: OwnedFd,
    /// Held open: as long as nobody has it open, reading the other end is an error.
    pub(super) slave: OwnedFd,
}

impl Terminal {
    /// A terminal that shows nothing of what is typed and takes each character but the end of a line as
    /// it is, so that a password may have any.
    pub(super) fn new() -> rustix::io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::unlockpt(&master)?;
        // By its descriptor: in a mount namespace, the name may be that of another one, or of none.
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        let mut modes = rustix::termios::tcgetattr(&slave)?;
        modes.input_modes = InputModes::empty();
        modes.output_modes = OutputModes::empty();
        modes.control_modes |= ControlModes::CS8;
        modes.local_modes = LocalModes::ICANON;
        for code in [
            SpecialCodeIndex::VERASE,
            SpecialCodeIndex::VKILL,
            SpecialCodeIndex::VEOF,
            SpecialCodeIndex::VEOL,
            SpecialCodeIndex::VEOL2,
        ] {
            // No character at all.
            modes.special_codes[code] = 0;
        }
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, &modes)?;
        Ok(Self { master, slave })
    }

    /// Makes a command run in a session of its own with this terminal; gives our end of its wire.
    pub(super) fn host(&self, argv: &[std::ffi::OsString], stdin: Stdin) -> rustix::io::Result<(Command, OwnedFd)> {
        let (ours, wire) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(executable::OWN);
        command.arg0("mitogen-service").args([TERMINAL_MARK, stdin.word()]).args(argv);
        command.stdin(Stdio::from(rustix::io::fcntl_dupfd_cloexec(&self.slave, 3)?)).stdout(Stdio::from(wire));
        Ok((command, ours))
    }
}

/// Makes the session, and becomes the command. The terminal is stdin, the wire is stdout.
pub(super) fn enter(stdin: Stdin, argv: &[std::ffi::OsString]) -> ! {
    let Some((program, args)) = argv.split_first() else { sys::exit_now(CANNOT_RUN) };
    let problem = match lead_session(stdin) {
        Ok(()) => Command::new(program).args(args).exec(),
        Err(error) => error.into(),
    };
    eprintln!("mitogen-service: {} cannot be run in a terminal: {problem}", program.to_string_lossy());
    sys::exit_now(CANNOT_RUN)
}

fn lead_session(stdin: Stdin) -> rustix::io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin().as_fd())?;
    match stdin {
        Stdin::Terminal => Ok(()),
        Stdin::Wire => rustix::stdio::dup2_stdin(rustix::stdio::stdout()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_through_as_it_is_and_is_not_shown() {
        let terminal = Terminal::new().unwrap();
        let typed = b"\x03\x04\x08\x11\x13\x15\x16\x17\x1a\x1c\x7f\r\xff\xc3\xa9 \t\n";
        rustix::io::write(&terminal.master, typed).unwrap();
        let mut buffer = [0; 64];
        let got = rustix::io::read(&terminal.slave, &mut buffer).unwrap();
        assert_eq!(&buffer[..got], typed);
        rustix::io::write(&terminal.slave, b"Password: \n").unwrap();
        let got = rustix::io::read(&terminal.master, &mut buffer).unwrap();
        assert_eq!(&buffer[..got], b"Password: \n");
    }
}
