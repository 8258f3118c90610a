//! The kernel: a pipe that is as full as the other end lets it be, and a poller that says once when it
//! takes more.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;

use shuttle::rand::{Rng, thread_rng};

use crate::sync::{Condvar, Mutex};
use crate::wire::Header;

/// The sender of frames that are not counted.
pub(super) const SIGN: u8 = u8::MAX;

/// All that anybody can wait for below a stream.
pub(crate) struct Kernel {
    state: Mutex<State>,
    changed: Condvar,
}

pub(super) type Job = Box<dyn FnOnce() + Send>;

struct State {
    /// What the pipe holds, and may hold.
    bytes: usize,
    capacity: usize,
    arrived: Arrived,
    /// The other end has closed.
    closed: bool,
    /// It reads no more.
    unread: bool,
    /// This end was shut, for those who wait.
    shut: bool,
    /// The poller shall tell.
    asked: bool,
    jobs: VecDeque<Job>,
    stopping: bool,
}

/// The frames that were taken, put together again.
#[derive(Default)]
struct Arrived {
    header: Vec<u8>,
    /// What is left of the payload of the frame that has begun.
    left: usize,
    /// How many whole ones have come of each sender.
    numbers: BTreeMap<u8, u8>,
}

/// What the I/O thread has to do.
pub(super) enum Work {
    Write,
    Job(Job),
    Stop,
}

impl Kernel {
    /// A pipe that holds so many bytes.
    pub(super) fn new(capacity: usize) -> Self {
        let state = State {
            bytes: 0,
            capacity,
            arrived: Arrived::default(),
            closed: false,
            unread: false,
            shut: false,
            asked: false,
            jobs: VecDeque::new(),
            stopping: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let changed = change(&mut self.state.lock());
        self.changed.notify_all();
        changed
    }

    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
        let mut state = self.state.lock();
        if state.closed || state.shut {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        let mut room = state.capacity - state.bytes;
        let mut taken = 0;
        assert!(slices.iter().any(|slice| !slice.is_empty()), "something is written");
        for slice in slices {
            let piece = &slice[..slice.len().min(room)];
            room -= piece.len();
            taken += piece.len();
            state.arrived.take(piece);
        }
        state.bytes += taken;
        drop(state);
        self.changed.notify_all();
        Ok(taken)
    }

    pub(super) fn ask(&self, wanted: bool) {
        self.change(|state| state.asked = wanted);
    }

    pub(super) fn shut(&self) {
        self.change(|state| state.shut = true);
    }

    pub(super) fn wait_writable(&self) {
        let mut state = self.state.lock();
        while !state.tells() {
            self.changed.wait(&mut state);
        }
    }

    pub(super) fn job(&self, job: Job) {
        self.change(|state| state.jobs.push_back(job));
    }

    pub(super) fn stop(&self) {
        self.change(|state| state.stopping = true);
    }

    pub(super) fn next_work(&self) -> Work {
        let mut state = self.state.lock();
        loop {
            // Which comes first is as it happens.
            let jobs_first = thread_rng().gen_range(0..2) == 0;
            let tells = state.asked && state.tells();
            if tells && (!jobs_first || state.jobs.is_empty()) {
                state.asked = false;
                return Work::Write;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Work::Job(job);
            }
            if state.stopping {
                return Work::Stop;
            }
            self.changed.wait(&mut state);
        }
    }

    /// The other end reads what there is, or some of it. `false` when there is nothing more to come.
    pub(super) fn read(&self) -> bool {
        let mut state = self.state.lock();
        while state.bytes == 0 {
            if state.stopping || state.closed {
                return false;
            }
            self.changed.wait(&mut state);
        }
        if state.unread {
            return false;
        }
        let bytes = state.bytes;
        state.bytes -= if thread_rng().gen_range(0..2) == 0 { bytes } else { bytes.div_ceil(2) };
        drop(state);
        self.changed.notify_all();
        true
    }

    /// The pipe holds so much from now on.
    pub(crate) fn widen(&self, capacity: usize) {
        self.change(|state| state.capacity = capacity);
    }

    /// The other end reads no more.
    pub(crate) fn leave_unread(&self) {
        self.change(|state| state.unread = true);
    }

    /// The other end closes.
    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Waits until so many whole frames have come.
    pub(crate) fn has_brought(&self, frames: usize) {
        let mut state = self.state.lock();
        while state.arrived.count() < frames {
            self.changed.wait(&mut state);
        }
        assert_eq!((state.arrived.count(), state.arrived.is_whole()), (frames, true), "and nothing else");
    }

    /// How many whole frames have come.
    pub(crate) fn frames(&self) -> usize {
        self.state.lock().arrived.count()
    }
}

impl State {
    fn tells(&self) -> bool {
        self.closed || self.shut || self.bytes < self.capacity
    }
}

impl Arrived {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let piece = self.left.min(bytes.len());
                bytes = &bytes[piece..];
                self.left -= piece;
                if self.left == 0 {
                    self.frame_ends();
                }
                continue;
            }
            self.header.push(bytes[0]);
            bytes = &bytes[1..];
            if let Ok(header) = self.header.as_slice().try_into() {
                self.left = Header::decode(header).length as usize;
                if self.left == 0 {
                    self.frame_ends();
                }
            }
        }
    }

    fn frame_ends(&mut self) {
        let header = self.header.as_slice().try_into().expect("it is whole");
        let Header { sender, number, .. } = Header::decode(header);
        self.header.clear();
        if sender == SIGN {
            return;
        }
        let next = self.numbers.entry(sender).or_default();
        assert_eq!(number, *next, "each frame comes once and in the order of its sender {sender}");
        *next += 1;
    }

    fn count(&self) -> usize {
        self.numbers.values().map(|count| usize::from(*count)).sum()
    }

    fn is_whole(&self) -> bool {
        self.header.is_empty()
    }
}
