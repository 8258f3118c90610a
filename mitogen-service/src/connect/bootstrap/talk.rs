//! Talks to a command that was started: its stdin, stdout, stderr and terminal at once, with a deadline. Blocks, on
//! the thread that connects.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::{Pipes, Token, Wire};
use crate::connect::process::LocalProcess;
use crate::connect::request::{Prompt, Secret};

/// How much is read before the mark at most: whoever prints more is no login script.
const MAX_NOISE: usize = 1024 * 1024;

/// How much of it is kept.
const KEPT_NOISE: usize = 2 * 1024;

/// The longest line of the first stage.
const MAX_LINE: usize = 4 * 1024;

/// The longest line of stderr that is kept whole.
const MAX_STDERR_LINE: usize = 8 * 1024;

/// How much is written at once.
const CHUNK: usize = 64 * 1024;

/// Why a talk has ended before its time.
#[derive(Debug)]
pub(super) enum Stop {
    /// It has closed its stdout, or ended.
    Eof,
    /// The time was over.
    Timeout,
    /// A password was asked for, and there is none.
    PasswordRequired,
    /// A password was asked for again.
    PasswordIncorrect,
    /// It says what nobody can understand.
    Noise(String),
    /// The system said no.
    Io(&'static str, std::io::Error),
}

/// What there is to do first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// Something can be read from stdout.
    Stdout,
    /// Something can be written to stdin.
    Stdin,
}

/// Where a command speaks to people: its stderr, and its terminal if it has one.
struct Words {
    /// `None` after its end.
    fd: Option<OwnedFd>,
    /// The line that has no end yet.
    partial: Vec<u8>,
}

/// The places of both.
const STDERR: usize = 0;
const TERMINAL: usize = 1;

/// The descriptors of a command.
pub(super) struct Talk<'a> {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    /// Where it speaks to people.
    words: [Words; 2],
    /// Whether a password is typed at the terminal, and not sent to stdin.
    type_password: bool,
    /// The end of what came before the mark.
    noise: Vec<u8>,
    process: &'a LocalProcess,
    token: &'a Token,
    deadline: Instant,
    prompt: Option<(&'a Prompt, Option<&'a Secret>)>,
    password_sent: bool,
}

impl<'a> Talk<'a> {
    pub(super) fn new(
        pipes: Pipes,
        process: &'a LocalProcess,
        token: &'a Token,
        deadline: Instant,
    ) -> std::io::Result<Self> {
        let Pipes { stdin, stdout, stderr, terminal, type_password } = pipes;
        for fd in [&stdin, &stdout, &stderr].into_iter().chain(&terminal) {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        Ok(Self {
            stdin,
            stdout,
            words: [Some(stderr), terminal].map(|fd| Words { fd, partial: Vec::new() }),
            type_password,
            noise: Vec::new(),
            process,
            token,
            deadline,
            prompt: None,
            password_sent: false,
        })
    }

    /// Gives this password to whoever asks for it in this way, before the mark has come.
    pub(super) fn answer(&mut self, prompt: &'a Prompt, password: Option<&'a Secret>) {
        self.prompt = Some((prompt, password));
    }

    /// Reads until the mark stands in a line, whatever stands before it.
    pub(super) fn skip_to(&mut self, mark: &str) -> Result<(), Stop> {
        let mark = format!("{mark}\n").into_bytes();
        let mut seen = 0;
        loop {
            self.wait_for_stdout()?;
            // Not a byte more than the mark is still short of: what comes behind it may be the wire already.
            let mut buffer = [0; 64];
            let wanted = missing(&self.noise, &mark).min(buffer.len());
            let Some(got) = self.read_stdout(&mut buffer[..wanted])? else { continue };
            // A terminal ends its lines by two characters.
            self.noise.extend(buffer[..got].iter().filter(|byte| **byte != b'\r'));
            seen += got;
            if self.noise.ends_with(&mark) {
                self.noise.truncate(self.noise.len() - mark.len());
                self.prompt = None;
                return Ok(());
            }
            self.look_for_prompt_in_noise()?;
            if self.noise.len() > KEPT_NOISE + mark.len() {
                let excess = self.noise.len() - KEPT_NOISE - mark.len();
                self.noise.drain(..excess);
            }
            if seen > MAX_NOISE {
                return Err(Stop::Noise("it prints without end, and starts no shell".to_owned()));
            }
        }
    }

    /// The next line of the first stage, without its mark.
    pub(super) fn line(&mut self, mark: &str) -> Result<String, Stop> {
        let mut line = Vec::new();
        loop {
            self.wait_for_stdout()?;
            // What comes behind the line belongs to somebody else.
            let mut byte = [0];
            if self.read_stdout(&mut byte)?.is_none() {
                continue;
            }
            if byte != *b"\n" {
                line.extend_from_slice(&byte);
                if line.len() > MAX_LINE {
                    return Err(Stop::Noise("a line of the first stage has no end".to_owned()));
                }
                continue;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            match text.strip_prefix(mark) {
                Some(said) => return Ok(said.trim().to_owned()),
                // Something in the background of the login.
                None => self.process.remember(&format!("stdout: {}", printable(&text))),
            }
        }
    }

    /// Sends bytes. Stops without an error when the other side has something to say, or no ear.
    pub(super) fn send(&mut self, mut bytes: impl Read) -> Result<(), Stop> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let got = match bytes.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => got,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stop::Io("read the executable", error)),
            };
            let mut rest = &buffer[..got];
            while !rest.is_empty() {
                if self.wait(true)? == Ready::Stdout {
                    return Ok(());
                }
                match rustix::io::write(&self.stdin, rest) {
                    Ok(sent) => rest = &rest[sent..],
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    // What it has said at last is read by whoever asks next.
                    Err(Errno::PIPE) => return Ok(()),
                    Err(error) => return Err(Stop::Io("write to the command", error.into())),
                }
            }
        }
    }

    /// What has come before the mark, or instead of it.
    pub(super) fn noise(&self) -> String {
        let text = String::from_utf8_lossy(&self.noise);
        text.lines().map(printable).filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Reads what is left of its words after the end.
    pub(super) fn finish(&mut self) {
        for which in [STDERR, TERMINAL] {
            while let Ok(true) = self.read_words(which) {}
            self.end_line(which);
        }
    }

    /// Gives the descriptors back, to be the wire and its log.
    pub(super) fn into_wire(mut self) -> Wire {
        for which in [STDERR, TERMINAL] {
            self.end_line(which);
        }
        let [stderr, terminal] = self.words.map(|words| words.fd);
        Wire { read: self.stdout, write: self.stdin, stderr, terminal }
    }

    fn wait_for_stdout(&mut self) -> Result<(), Stop> {
        self.wait(false).map(drop)
    }

    /// `None` if there is nothing at the moment.
    fn read_stdout(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Stop> {
        match rustix::io::read(&self.stdout, buffer) {
            Ok(0) => Err(Stop::Eof),
            Ok(got) => Ok(Some(got)),
            Err(Errno::INTR | Errno::AGAIN) => Ok(None),
            Err(_) => Err(Stop::Eof),
        }
    }

    /// Waits for stdout, or also for room in stdin, and reads its words meanwhile.
    fn wait(&mut self, to_write: bool) -> Result<Ready, Stop> {
        loop {
            let [stdout, stdin, stderr, terminal, ended] = self.poll(to_write)?;
            if stderr {
                self.read_words(STDERR)?;
            }
            if terminal {
                self.read_words(TERMINAL)?;
            }
            if stdout {
                return Ok(Ready::Stdout);
            }
            if stdin {
                return Ok(Ready::Stdin);
            }
            if ended && !stderr && !terminal {
                return Err(Stop::Eof);
            }
        }
    }

    /// Whether there is something on stdout, stdin, stderr and the terminal, and whether the process has
    /// ended.
    fn poll(&self, to_write: bool) -> Result<[bool; 5], Stop> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let pidfd = self.process.pidfd();
        // Of a pidfd there is nothing to be told here that is not told below.
        let words = self.words.each_ref().map(|words| words.fd.as_ref().map(|fd| fd.as_fd()));
        let of = |fd: Option<BorrowedFd<'_>>| if fd.is_some() { PollFlags::IN } else { PollFlags::empty() };
        let out = if to_write { PollFlags::OUT } else { PollFlags::empty() };
        let mut fds = [
            PollFd::new(&self.stdout, PollFlags::IN),
            // Without room wanted, the end of the reader is no news either: stdout tells it.
            PollFd::from_borrowed_fd(if to_write { self.stdin.as_fd() } else { pidfd }, out),
            PollFd::from_borrowed_fd(words[STDERR].unwrap_or(pidfd), of(words[STDERR])),
            PollFd::from_borrowed_fd(words[TERMINAL].unwrap_or(pidfd), of(words[TERMINAL])),
            PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => Err(Stop::Timeout),
            Ok(_) => {
                let [stdout, stdin, stderr, terminal, ended] = fds.map(|fd| !fd.revents().is_empty());
                let has = words.map(|words| words.is_some());
                Ok([stdout, stdin && to_write, stderr && has[STDERR], terminal && has[TERMINAL], ended])
            }
            Err(Errno::INTR) => Ok([false; 5]),
            Err(error) => Err(Stop::Io("wait for the command", error.into())),
        }
    }

    /// Reads what it says there; tells whether there was anything.
    fn read_words(&mut self, which: usize) -> Result<bool, Stop> {
        let words = &mut self.words[which];
        let Some(fd) = &words.fd else { return Ok(false) };
        let mut buffer = [0; 1024];
        let got = match rustix::io::read(fd, &mut buffer) {
            Ok(got) if got > 0 => got,
            Err(Errno::INTR) => return Ok(true),
            Err(Errno::AGAIN) => return Ok(false),
            Ok(_) | Err(_) => {
                words.fd = None;
                return Ok(false);
            }
        };
        for &byte in &buffer[..got] {
            if byte == b'\n' || self.words[which].partial.len() >= MAX_STDERR_LINE {
                self.end_line(which);
            }
            if byte != b'\n' {
                self.words[which].partial.push(byte);
            }
        }
        self.look_for_prompt(which)?;
        Ok(true)
    }

    fn end_line(&mut self, which: usize) {
        let line = std::mem::take(&mut self.words[which].partial);
        let line = self.token.without_script(printable(&String::from_utf8_lossy(&line)));
        if !line.trim().is_empty() {
            self.process.printed(&line);
        }
    }

    fn look_for_prompt(&mut self, which: usize) -> Result<(), Stop> {
        if self.asks(&self.words[which].partial) {
            // What stands before it may be worth reading; the prompt itself is not.
            self.words[which].partial.clear();
            return self.give_password();
        }
        Ok(())
    }

    /// The su of busybox asks on its stdout.
    fn look_for_prompt_in_noise(&mut self) -> Result<(), Stop> {
        let line = self.noise.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if self.asks(&self.noise[line..]) {
            self.noise.truncate(line);
            return self.give_password();
        }
        Ok(())
    }

    /// Whether a line without an end asks for the password.
    fn asks(&self, line: &[u8]) -> bool {
        let Some((prompt, _)) = self.prompt else { return false };
        let text = String::from_utf8_lossy(line);
        match prompt {
            Prompt::Own(own) => text.contains(own.as_str()),
            Prompt::Password => text.trim_end().ends_with(':') && text.to_lowercase().contains("password"),
            Prompt::AskPass => false,
        }
    }

    fn give_password(&mut self) -> Result<(), Stop> {
        if self.password_sent {
            return Err(Stop::PasswordIncorrect);
        }
        let password = self.prompt.and_then(|(_, password)| password).ok_or(Stop::PasswordRequired)?.line();
        self.password_sent = true;
        let to = match &self.words[TERMINAL].fd {
            Some(terminal) if self.type_password => terminal,
            _ => &self.stdin,
        };
        // A line is smaller than the buffer of an empty pipe, or of a terminal.
        match rustix::io::write(to, &password) {
            Ok(_) => Ok(()),
            Err(error) => Err(Stop::Io("give the password", error.into())),
        }
    }
}

/// How many bytes have to come at least until what is wanted stands at the end of what has come.
fn missing(seen: &[u8], wanted: &[u8]) -> usize {
    let begun = (1..wanted.len()).rev().find(|&length| seen.ends_with(&wanted[..length]));
    wanted.len() - begun.unwrap_or(0)
}

/// A line as it may be shown.
fn printable(line: &str) -> String {
    line.chars().filter(|c| *c == '\t' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_is_read_than_the_mark_is_short_of() {
        let wanted = b"aab:1\n";
        for (seen, expected) in
            [("", 6), ("x", 6), ("a", 5), ("aa", 4), ("aaa", 4), ("aab", 3), ("aab:1", 1), ("aab:a", 5), ("aab:1x", 6)]
        {
            assert_eq!(missing(seen.as_bytes(), wanted), expected, "{seen:?}");
        }
    }
}
