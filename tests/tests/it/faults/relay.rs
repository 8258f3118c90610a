//! A child whose stream runs through this process, which counts its messages and lets something happen at one.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use mitogen_service::{Context, Router, testing};
use rustix::process::{Pid, Signal, getpid, kill_process};

/// What happens when a message is about to be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The child is killed.
    KillPeer,
    /// The stream ends in the middle of the message, in both directions.
    Cut,
    /// This process is killed.
    KillOwn,
}

/// Whatever else shall happen then.
type Hook = Box<dyn FnOnce() + Send>;

/// Counts the messages of a stream in both directions.
#[derive(Default)]
struct Gate {
    seen: usize,
    /// At which message something happens.
    at: usize,
    fault: Option<Fault>,
    hook: Option<Hook>,
    has_happened: bool,
    over: bool,
}

/// What is done with a message.
enum Passage {
    Pass,
    PassAfter(Hook),
    Break(Fault),
    Over,
}

impl Gate {
    fn arrive(&mut self) -> Passage {
        if self.over {
            return Passage::Over;
        }
        self.seen += 1;
        if self.seen != self.at {
            return Passage::Pass;
        }
        self.has_happened = true;
        if let Some(hook) = self.hook.take() {
            return Passage::PassAfter(hook);
        }
        let Some(fault) = self.fault.take() else { return Passage::Pass };
        self.over = true;
        Passage::Break(fault)
    }
}

/// A child behind a relay.
pub(super) struct Relay {
    gate: Arc<Mutex<Gate>>,
    socket: UnixStream,
    child: Child,
    pumps: [JoinHandle<()>; 2],
}

impl Relay {
    /// Starts a child of this test binary, and joins it.
    pub(super) fn start(router: &Router, name: &str) -> (Self, Context) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--mitogen-service-child", name, "stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (socket, theirs) = UnixStream::pair().unwrap();
        let gate = Arc::new(Mutex::new(Gate::default()));
        let pid = Pid::from_child(&child);
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let pump = |from: Box<dyn Read + Send>, to: Box<dyn Write + Send>| {
            let link = Link { gate: gate.clone(), socket: socket.try_clone().unwrap(), pid };
            std::thread::spawn(move || link.pump(from, to))
        };
        let pumps = [
            pump(Box::new(socket.try_clone().unwrap()), Box::new(stdin)),
            pump(Box::new(stdout), Box::new(socket.try_clone().unwrap())),
        ];
        let context = testing::join(router, name, theirs).unwrap();
        (Self { gate, socket, child, pumps }, context)
    }

    /// Lets a fault happen at the message of this number, counted from now on.
    pub(super) fn arm(&self, at: usize, fault: Fault) {
        *self.gate.lock().unwrap() = Gate { at, fault: Some(fault), ..Gate::default() };
    }

    /// The same with anything else, after which the message is passed on.
    pub(super) fn hook(&self, at: usize, hook: impl FnOnce() + Send + 'static) {
        *self.gate.lock().unwrap() = Gate { at, hook: Some(Box::new(hook)), ..Gate::default() };
    }

    /// Lets nothing happen any more; gives how many messages there were, and whether it has happened.
    pub(super) fn disarm(&self) -> (usize, bool) {
        let mut gate = self.gate.lock().unwrap();
        gate.at = 0;
        (gate.seen, gate.has_happened)
    }

    /// Ends the child, and waits until nothing is left of it.
    pub(super) fn end(mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.child.wait().unwrap();
        self.pumps.into_iter().for_each(|pump| pump.join().unwrap());
    }
}

/// What both directions need to end the stream.
struct Link {
    gate: Arc<Mutex<Gate>>,
    socket: UnixStream,
    pid: Pid,
}

impl Link {
    /// Passes one direction on until it ends.
    fn pump(&self, mut from: impl Read, mut to: impl Write) {
        // Whoever has ended the stream knows why.
        let _ = self.pass_on(&mut from, &mut to);
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn pass_on(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        // The hello: 16 bytes, the last four of which are the length of the rest.
        to.write_all(&frame(from, 16)?)?;
        loop {
            let frame = frame(from, 26)?;
            let passage = self.gate.lock().unwrap().arrive();
            match passage {
                Passage::Pass => to.write_all(&frame)?,
                Passage::PassAfter(hook) => {
                    hook();
                    to.write_all(&frame)?;
                }
                Passage::Over => return Ok(()),
                Passage::Break(Fault::KillPeer) => return Ok(kill_process(self.pid, Signal::KILL)?),
                Passage::Break(Fault::KillOwn) => return Ok(kill_process(getpid(), Signal::KILL)?),
                Passage::Break(Fault::Cut) => return to.write_all(&frame[..frame.len() / 2]),
            }
        }
    }
}

/// A header, whose last four bytes say how much follows it, and that.
fn frame(from: &mut impl Read, header: usize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; header];
    from.read_exact(&mut frame)?;
    let length = u32::from_be_bytes(frame[header - 4..].try_into().unwrap());
    frame.resize(header + length as usize, 0);
    from.read_exact(&mut frame[header..])?;
    Ok(frame)
}
