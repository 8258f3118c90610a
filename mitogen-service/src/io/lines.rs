//! What a child writes to its stdout and stderr, as lines.

use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::broker::{BrokerHandle, Source, Token};
use super::poller::Interest;
use crate::ledger::{Entry, Ledger};
use crate::sync::Mutex;

/// The longest line that is kept whole; a longer one is cut into several.
const MAX_LINE: usize = 8 * 1024;

/// How much of one source's text is passed on in a second; what is beyond is read and dropped.
const MAX_RATE: usize = 1024 * 1024;

/// How much is read in one turn, so that a child that writes without end stops nobody.
const MAX_TURN: usize = 64 * 1024;

/// Reads a descriptor line by line on the broker's thread, until its end.
pub(crate) struct LineReader {
    /// Held from the read until the lines are passed on, so that whoever finishes has them all.
    turn: Mutex<()>,
    state: Mutex<State>,
    on_line: OnLine,
}

/// Gets each line, and whether it is within the rate; what is beyond is to be dropped by whoever
/// cannot bound it otherwise.
type OnLine = Box<dyn Fn(&str, bool) + Send + Sync>;

struct State {
    open: Option<Open>,
    splitter: Splitter,
    rate: Rate,
}

struct Open {
    fd: OwnedFd,
    token: Option<Token>,
    _entry: Entry,
}

impl LineReader {
    /// Starts to read; `on_line` runs on the broker's thread and must not block.
    pub(crate) fn start(
        broker: &BrokerHandle,
        ledger: &Ledger,
        fd: OwnedFd,
        on_line: impl Fn(&str, bool) + Send + Sync + 'static,
    ) -> std::io::Result<Arc<Self>> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let reader = Arc::new(Self {
            turn: Mutex::new(()),
            state: Mutex::new(State {
                open: Some(Open { fd, token: None, _entry: ledger.fds(1) }),
                splitter: Splitter::default(),
                rate: Rate::new(Instant::now()),
            }),
            on_line: Box::new(on_line),
        });
        let mut state = reader.state.lock();
        if let Some(open) = &mut state.open {
            open.token = Some(broker.register(open.fd.as_fd(), Interest::Read, reader.clone())?);
        }
        drop(state);
        Ok(reader)
    }

    /// Reads what is there at this moment.
    fn drain(&self, broker: &BrokerHandle) {
        let _turn = self.turn.lock();
        let mut lines = Vec::new();
        self.read(broker, &mut lines);
        self.pass_on(lines);
    }

    /// Reads what is there, and stops for good: the process that wrote has ended.
    pub(crate) fn finish(&self, broker: &BrokerHandle) {
        let _turn = self.turn.lock();
        let mut lines = Vec::new();
        self.read(broker, &mut lines);
        let dropped = {
            let mut state = self.state.lock();
            lines.extend(state.splitter.finish());
            close(&mut state, broker);
            state.rate.dropped
        };
        self.pass_on(lines);
        self.tell_dropped(dropped);
    }

    fn pass_on(&self, lines: Vec<String>) {
        for line in lines {
            let (within, dropped) = self.state.lock().rate.take(line.len() + 1, Instant::now());
            self.tell_dropped(dropped);
            (self.on_line)(&line, within);
        }
    }

    fn tell_dropped(&self, bytes: usize) {
        if bytes > 0 {
            (self.on_line)(&format!("({bytes} bytes of output dropped: more than {MAX_RATE} in a second)"), true);
        }
    }

    fn read(&self, broker: &BrokerHandle, lines: &mut Vec<String>) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(open) = &state.open else { return };
        let mut buffer = Vec::with_capacity(MAX_TURN);
        let ended = loop {
            match rustix::io::read(&open.fd, rustix::buffer::spare_capacity(&mut buffer)) {
                Ok(0) => break true,
                Ok(_) if buffer.len() == buffer.capacity() => break false,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break false,
                Err(_) => break true,
            }
        };
        state.splitter.feed(&buffer, lines);
        if ended {
            lines.extend(state.splitter.finish());
            close(state, broker);
        }
    }
}

fn close(state: &mut State, broker: &BrokerHandle) {
    if let Some(open) = state.open.take()
        && let Some(token) = open.token
    {
        broker.deregister(open.fd.as_fd(), token);
    }
}

impl Source for LineReader {
    fn ready(self: Arc<Self>, broker: &BrokerHandle, _token: Token) {
        self.drain(broker);
    }
}

/// Cuts bytes into lines, without their ends. What is not UTF-8 is shown as `\u{fffd}`, a control
/// character by its escape.
#[derive(Default)]
struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    fn feed(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let mut rest = piece;
            while self.partial.len() + rest.len() > MAX_LINE {
                let (now, later) = rest.split_at(MAX_LINE - self.partial.len());
                self.partial.extend_from_slice(now);
                lines.extend(self.finish());
                rest = later;
            }
            self.partial.extend_from_slice(rest);
            if self.partial.last() == Some(&b'\n') {
                lines.extend(self.finish_line());
            }
        }
    }

    /// The last line, if it has no end.
    fn finish(&mut self) -> Option<String> {
        if self.partial.is_empty() { None } else { self.finish_line() }
    }

    fn finish_line(&mut self) -> Option<String> {
        let mut line = std::mem::take(&mut self.partial);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(harmless(String::from_utf8_lossy(&line)))
    }
}

/// Shows control characters instead of passing them on: a terminal obeys some of them, and the
/// child may have written what somebody else has sent it.
fn harmless(line: Cow<'_, str>) -> String {
    let is_harmful = |c: char| c.is_control() && c != '\t';
    if !line.contains(is_harmful) {
        return line.into_owned();
    }
    let mut shown = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if is_harmful(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// How much may pass in each second.
struct Rate {
    since: Instant,
    passed: usize,
    dropped: usize,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { since: now, passed: 0, dropped: 0 }
    }

    /// Whether so many bytes may pass, and how many were dropped in the second that is over.
    fn take(&mut self, bytes: usize, now: Instant) -> (bool, usize) {
        let mut told = 0;
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            told = self.dropped;
            *self = Self::new(now);
        }
        let within = self.dropped == 0 && self.passed + bytes <= MAX_RATE;
        match within {
            true => self.passed += bytes,
            false => self.dropped += bytes,
        }
        (within, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.feed(piece, &mut lines);
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        assert_eq!(split(&[b""]), Vec::<String>::new());
        assert_eq!(split(&[b"\n"]), [""]);
        assert_eq!(split(&[b"one\r\ntw", b"o\nthree"]), ["one", "two", "three"]);
        assert_eq!(split(&[b"\xff\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn control_characters_are_shown_and_not_passed_on() {
        let red = b"\x1b[31mred\x1b[0m\tand \x07\x00 and \xc2\x9b\n";
        assert_eq!(split(&[red]), ["\\u{1b}[31mred\\u{1b}[0m\tand \\u{7}\\u{0} and \\u{9b}"]);
        assert_eq!(split(&[b"10 %\r20 %\n"]), ["10 %\\r20 %"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let lines = split(&[&[b'x'; MAX_LINE * 2 + 5]]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE, 5]);
    }

    #[test]
    fn what_exceeds_the_rate_is_dropped_and_told() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        assert_eq!(rate.take(MAX_RATE - 1, now), (true, 0));
        assert_eq!(rate.take(10, now), (false, 0));
        assert_eq!(rate.take(1, now), (false, 0));
        assert_eq!(rate.take(10, now + Duration::from_secs(1)), (true, 11));
    }
}
