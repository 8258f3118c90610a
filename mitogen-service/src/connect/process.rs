//! The process of a local child: watched through its pidfd, reaped, and its last words kept.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitid,
};
use tracing::Level;

use super::last_words::LastWords;
use super::request::Output;
use crate::error::Exit;
use crate::io::{BrokerHandle, Interest, LineReader, Source, Stream, StreamId, TimerId, Token};
use crate::ledger::Entry;
use crate::router::{Core, Death, Process};
use crate::sync::Mutex;

/// How long a process may live on after it has closed its stream. A context that ends in good order
/// has 300 ms for what its services do at the end, and then exits.
const GRACE: Duration = Duration::from_millis(500);

/// How long a killed process may take until it can be reaped. One that hangs in the kernel takes for
/// ever, and whoever waits for its answers shall not.
const REAP_BOUND: Duration = Duration::from_secs(2);

/// A process that this one has started.
pub(super) struct LocalProcess {
    name: String,
    core: Arc<Core>,
    broker: BrokerHandle,
    pidfd: OwnedFd,
    child: Mutex<Child>,
    state: Mutex<State>,
    words: Arc<Mutex<LastWords>>,
    output: Mutex<Vec<Arc<LineReader>>>,
    printer: Printer,
    /// It leads a process group of its own, which is killed with it.
    leads_group: bool,
    /// This process has killed it, so that nobody needs to be told.
    killed: AtomicBool,
    /// What is to stay open as long as it is watched: the terminal of a command.
    _held: Option<OwnedFd>,
}

struct State {
    end: End,
    token: Option<Token>,
    stream: Option<Arc<Stream>>,
    /// What is told of the end of the stream.
    reason: String,
    /// Kills a process that has closed its stream and lives on.
    timer: Option<TimerId>,
    entries: Vec<Entry>,
}

/// How far a process has come to its end: the stream's end and the process's exit are two events,
/// in any order, and only both together make the end that others learn of.
#[derive(Debug, Default)]
struct End {
    stream: Option<StreamId>,
    exit: Option<Option<Exit>>,
    told: bool,
}

/// What is to be done after an event.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Wait for the process, and kill it if it outlives its stream for long.
    AwaitExit,
    /// Read what is left in the stream, and close it.
    CloseStream,
    /// Tell everybody.
    Tell(StreamId),
    /// Nothing: it has been told.
    Nothing,
}

impl End {
    fn stream_closed(&mut self, stream: StreamId) -> Step {
        self.stream = Some(stream);
        if self.exit.is_none() { Step::AwaitExit } else { self.tell(stream) }
    }

    fn exited(&mut self, exit: Option<Exit>) -> Step {
        self.exit = Some(exit);
        match self.stream {
            Some(stream) => self.tell(stream),
            None => Step::CloseStream,
        }
    }

    fn tell(&mut self, stream: StreamId) -> Step {
        if std::mem::replace(&mut self.told, true) { Step::Nothing } else { Step::Tell(stream) }
    }
}

/// What is needed to watch a process.
pub(super) struct Started {
    pub(super) name: String,
    pub(super) child: Child,
    /// What is to stay open as long as it is watched.
    pub(super) held: Option<OwnedFd>,
    /// Where its lines go.
    pub(super) output: Output,
    /// It was started with a process group of its own.
    pub(super) leads_group: bool,
}

/// Passes on what a process prints.
#[derive(Clone)]
struct Printer {
    core: Arc<Core>,
    name: Arc<str>,
    output: Output,
}

impl Printer {
    /// Passes a line on; whether it is within the rate matters where nothing else bounds it.
    fn print(&self, source: &'static str, line: &str, within_rate: bool) {
        match &self.output {
            Output::Log if within_rate => self.core.log_output(&self.name, source, line),
            Output::Inherit if within_rate => self.core.print_output(line),
            // Who takes lines more slowly than they come does without some of them.
            Output::Lines(sender) => drop(sender.try_send(line.to_owned())),
            Output::Log | Output::Inherit | Output::Null => {}
        }
    }
}

impl LocalProcess {
    /// Begins to watch a process that was just started, and to read what it prints.
    pub(super) fn watch(core: &Arc<Core>, broker: &BrokerHandle, mut started: Started) -> std::io::Result<Arc<Self>> {
        let pidfd = match open_pidfd(&started.child) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // It is ours and not reaped, so its number cannot be anybody else's.
                let _ = started.child.kill();
                let _ = started.child.wait();
                return Err(error);
            }
        };
        let (stdout, stderr) = (started.child.stdout.take(), started.child.stderr.take());
        let Started { name, child, held, output, leads_group } = started;
        let fds = 1 + usize::from(held.is_some());
        let entries = vec![core.ledger().child(), core.ledger().fds(fds)];
        let process = Arc::new(Self {
            printer: Printer { core: core.clone(), name: name.as_str().into(), output },
            name,
            core: core.clone(),
            broker: broker.clone(),
            pidfd,
            child: Mutex::new(child),
            state: Mutex::new(State {
                end: End::default(),
                token: None,
                stream: None,
                reason: String::new(),
                timer: None,
                entries,
            }),
            words: Arc::default(),
            output: Mutex::default(),
            leads_group,
            killed: AtomicBool::new(false),
            _held: held,
        });
        let pipes = [stdout.map(|pipe| (pipe.into(), "stdout")), stderr.map(|pipe| (pipe.into(), "stderr"))];
        for (pipe, source) in pipes.into_iter().flatten() {
            if let Err(error) = process.read(pipe, source) {
                process.abandon(true);
                return Err(error);
            }
        }
        Ok(process)
    }

    /// Begins to read what the process prints.
    pub(super) fn read(&self, pipe: OwnedFd, source: &'static str) -> std::io::Result<()> {
        let (words, printer) = (self.words.clone(), self.printer.clone());
        let reader = LineReader::start(&self.broker, self.core.ledger(), pipe, move |line, within_rate| {
            if source == "stderr" {
                words.lock().push(line);
            }
            printer.print(source, line, within_rate);
        })?;
        self.output.lock().push(reader);
        Ok(())
    }

    /// Takes a line of its stderr that somebody else has read.
    pub(super) fn printed(&self, line: &str) {
        self.words.lock().push(line);
        self.printer.print("stderr", line, true);
    }

    /// Keeps a line for the error that may come, and passes it on to nobody.
    pub(super) fn remember(&self, line: &str) {
        self.words.lock().push(line);
    }

    /// Readable once the process has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The stream of the child, which its exit closes.
    pub(super) fn attach(&self, stream: &Arc<Stream>) {
        self.state.lock().stream = Some(stream.clone());
    }

    /// The child has joined: from now on its exit is watched.
    pub(super) fn watch_exit(self: &Arc<Self>) -> std::io::Result<()> {
        let mut state = self.state.lock();
        state.token = Some(self.broker.register(self.pidfd.as_fd(), Interest::Read, self.clone())?);
        Ok(())
    }

    /// The child will not join: ends it, and tells how it ended and its last words.
    pub(super) fn abandon(&self, kill: bool) -> (Option<Exit>, String) {
        self.state.lock().end.told = true;
        self.unwatch();
        if kill || !self.exits_soon() {
            self.kill();
        } else {
            // It has ended by itself, and may have left behind what it had started.
            self.kill_group();
        }
        let exit = self.reap();
        (exit, self.close_output())
    }

    /// Kills whatever is in the process group, if that is its own.
    fn kill_group(&self) {
        if !self.leads_group {
            return;
        }
        // While nobody can reap the process, the number of its group is its own.
        let child = self.child.lock();
        let unreaped = waitid(
            WaitId::PidFd(self.pidfd.as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
        );
        if let (Ok(_), Some(group)) = (unreaped, pid_of(&child)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits for the exit of a process that is about to end. One that cannot be killed, since it belongs
    /// to somebody else or hangs in the kernel, is not waited for without end.
    fn reap(&self) -> Option<Exit> {
        let bound = Timespec { tv_sec: REAP_BOUND.as_secs() as i64, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&bound));
        self.child.lock().try_wait().ok().flatten().map(Exit::from)
    }

    fn unwatch(&self) {
        let token = self.state.lock().token.take();
        if let Some(token) = token {
            self.broker.deregister(self.pidfd.as_fd(), token);
        }
    }

    /// Waits for the exit of a process that has given up its end; some close it and live on.
    fn exits_soon(&self) -> bool {
        let grace = Timespec { tv_sec: 0, tv_nsec: GRACE.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&grace)).is_ok_and(|ready| ready > 0)
    }

    /// Reads what it printed last, and closes the pipes.
    fn close_output(&self) -> String {
        let readers = std::mem::take(&mut *self.output.lock());
        for reader in readers {
            reader.finish(&self.broker);
        }
        self.state.lock().entries.clear();
        self.words.lock().text()
    }

    /// Kills the process; if the kernel cannot end it soon, nobody waits for it any longer.
    fn kill_or_give_up(self: Arc<Self>, stream: StreamId) {
        self.kill();
        let process = self.clone();
        self.after(REAP_BOUND, move || {
            let step = process.state.lock().end.tell(stream);
            if step != Step::Nothing {
                process.unwatch();
                process.tell(stream);
            }
        });
    }

    fn after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) {
        let timer = self.broker.call_after(delay, move |_| job());
        self.state.lock().timer = timer;
    }

    fn exited(self: &Arc<Self>) {
        // Whoever holds it waits for the exit already.
        let Some(status) = self.child.try_lock().map(|mut child| child.try_wait()) else { return };
        let exit = match status {
            Ok(Some(status)) => Some(Exit::from(status)),
            Ok(None) => return,
            // Somebody else has reaped it: it is gone, and nobody knows how.
            Err(_) => None,
        };
        self.unwatch();
        let (step, stream) = {
            let mut state = self.state.lock();
            (state.end.exited(exit), state.stream.take())
        };
        match step {
            Step::Tell(stream) => self.tell(stream),
            Step::CloseStream => {
                if let Some(stream) = stream {
                    stream.finish();
                }
            }
            Step::AwaitExit | Step::Nothing => {}
        }
    }

    fn tell(&self, stream: StreamId) {
        let (timer, exit, reason) = {
            let mut state = self.state.lock();
            (state.timer.take(), state.end.exit.flatten(), std::mem::take(&mut state.reason))
        };
        if let Some(timer) = timer {
            self.broker.cancel(timer);
        }
        let stderr_tail = self.close_output();
        let death = Death { context: self.name.clone(), reason, exit, stderr_tail };
        if let Some(exit @ Exit::Signal { .. }) = exit
            && !self.killed.load(Ordering::Relaxed)
        {
            self.core.log(Level::WARN, format!("context `{}` was {exit}", self.name));
        }
        self.core.lost(stream, death);
    }
}

impl Source for LocalProcess {
    fn ready(self: Arc<Self>, _broker: &BrokerHandle, _token: Token) {
        self.exited();
    }
}

impl Process for LocalProcess {
    fn stream_closed(self: Arc<Self>, _core: &Arc<Core>, stream: StreamId, reason: String) {
        let step = {
            let mut state = self.state.lock();
            state.reason = reason;
            state.end.stream_closed(stream)
        };
        match step {
            Step::AwaitExit => {
                let process = self.clone();
                self.after(GRACE, move || process.kill_or_give_up(stream));
            }
            Step::Tell(stream) => self.tell(stream),
            Step::CloseStream | Step::Nothing => {}
        }
    }

    fn resume(&self) {
        // Fails only for a process that has ended.
        let _ = pidfd_send_signal(&self.pidfd, Signal::CONT);
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        self.kill_group();
        // Fails only for a process that has ended, or that is another user's by now.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn open_pidfd(child: &Child) -> std::io::Result<OwnedFd> {
    let pid = pid_of(child).ok_or_else(|| std::io::Error::other("the process has no number"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(1);

    #[test]
    fn the_end_is_told_once_when_stream_and_process_are_both_gone() {
        let mut end = End::default();
        assert_eq!(end.stream_closed(STREAM), Step::AwaitExit);
        assert_eq!(end.exited(None), Step::Tell(STREAM));
        assert_eq!(end.exited(None), Step::Nothing);

        let mut end = End::default();
        assert_eq!(end.exited(None), Step::CloseStream);
        assert_eq!(end.stream_closed(STREAM), Step::Tell(STREAM));
        assert_eq!(end.stream_closed(STREAM), Step::Nothing);
    }
}
