//! Routers with children, and the threads that call them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mitogen_service::{Call, CallError, Pool, Router, as_completed};
use mitogen_service_tests::signal;
use rustix::process::Signal;

use crate::Random;
use crate::children::{Child, Soaked, changed};
use crate::pipes;
use crate::watchdog::{Watchdog, Watched};

/// Threads that call, for each router.
const CALLERS: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With the bounds that a program gets that sets none.
    Roomy,
    /// Whatever can be full is.
    Tiny,
    /// Its pool is stopped again and again, and the next one takes its place.
    Restless,
}

/// A router, and what its threads know of its children.
pub(crate) struct Rig {
    kind: Kind,
    children: Mutex<Vec<Child>>,
    pool: Mutex<Option<Pool>>,
    calls: AtomicU64,
    kills: AtomicU64,
    pools: AtomicU64,
    refused: AtomicU64,
    router: Router,
}

/// Whoever fails ends the test for all.
struct EndsAll(Arc<AtomicBool>);

impl Drop for EndsAll {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// A thread that calls.
struct Worker {
    rig: Arc<Rig>,
    random: Random,
    watched: Watched,
    name: String,
}

impl Rig {
    pub(crate) fn roomy() -> Self {
        Self::new(Kind::Roomy, Router::builder().build().unwrap())
    }

    pub(crate) fn tiny() -> Self {
        let builder = Router::builder().max_output(2048).receiver_window(4096).max_pending_calls(24);
        Self::new(Kind::Tiny, builder.max_queued_calls(24).max_queued_bytes(8192).build().unwrap())
    }

    pub(crate) fn restless() -> Self {
        Self::new(Kind::Restless, Router::builder().build().unwrap())
    }

    fn new(kind: Kind, router: Router) -> Self {
        let pool = Mutex::new(Some(start_pool(&router)));
        let [calls, kills, pools, refused] = [(); 4].map(|()| AtomicU64::new(0));
        let rig = Self { kind, children: Mutex::default(), pool, calls, kills, pools, refused, router };
        for _ in 0..2 {
            let child = rig.connect(true);
            let start = if kind == Kind::Tiny { child.stub.start_tiny() } else { child.stub.start() };
            let below = Child::new(start.wait().unwrap(), true);
            below.stub.marks().wait().unwrap();
            rig.children.lock().unwrap().extend([child, below]);
        }
        let mortal: Vec<_> = (0..2).map(|_| rig.connect(false)).collect();
        rig.children.lock().unwrap().extend(mortal);
        rig
    }

    fn connect(&self, is_lasting: bool) -> Child {
        let context = self.router.local().connect().unwrap();
        if self.kind == Kind::Tiny {
            pipes::shrink();
        }
        let child = Child::new(context, is_lasting);
        // So that its service is there for everybody.
        child.stub.marks().wait().unwrap();
        child
    }

    /// Starts what there is to be done, until it is `over`.
    pub(crate) fn start(
        self: &Arc<Self>,
        watchdog: &Watchdog,
        over: &Arc<AtomicBool>,
        random: &mut Random,
    ) -> Vec<JoinHandle<()>> {
        let mut threads = Vec::new();
        for number in 0..CALLERS + 2 {
            let name = format!("{:?} {number}", self.kind);
            let mut worker = Worker { rig: self.clone(), random: random.fork(), watched: watchdog.watched(), name };
            let over = over.clone();
            threads.push(thread::spawn(move || {
                let _over = EndsAll(over.clone());
                while !over.load(Ordering::SeqCst) {
                    match number {
                        0 => worker.kill_one(),
                        1 if worker.rig.kind == Kind::Restless => worker.change_pool(),
                        _ => worker.call(),
                    }
                }
                if number == 0 {
                    worker.check_marks();
                }
            }));
        }
        threads
    }

    /// What has been done.
    pub(crate) fn told(&self) -> String {
        let [calls, kills, pools, refused] =
            [&self.calls, &self.kills, &self.pools, &self.refused].map(|count| count.load(Ordering::Relaxed));
        let kind = self.kind;
        format!("{kind:?}: {calls} calls, {refused} refused, {kills} children killed, {pools} pools stopped")
    }
}

fn start_pool(router: &Router) -> Pool {
    Pool::builder(router).size(2).service(Soaked::default()).start().unwrap()
}

impl Worker {
    fn call(&mut self) {
        let child = self.child();
        // Whether anybody whom the call needs may be killed.
        let mut may_die = !child.is_lasting;
        let mut may_be_late = false;
        let what = self.random.below(100);
        let waiting = self.watched.begins(&self.name, &format!("{what} at {:?}", child.context));
        let result = match what {
            0..30 => self.one(&child),
            30..38 => self.many(&child),
            38..46 => self.slow(&child),
            46..54 => self.mostly_fast(&child),
            54..60 => self.large(&child),
            60..68 => {
                let number = self.random.next();
                let root = self.rig.router.myself();
                child.stub.ask(root, number).wait().map(|answer| assert_eq!(answer, changed(number)))
            }
            68..74 => {
                let other = self.child();
                may_die |= !other.is_lasting;
                let number = self.random.next();
                child.stub.ask(other.context, number).wait().map(|answer| assert_eq!(answer, changed(number)))
            }
            74..78 => self.many_at_root(&child),
            78..82 => {
                let times = self.random.below(9);
                let root = self.rig.router.myself();
                let back = child.stub.bounce(child.context.clone(), root, times).wait();
                back.map(|bounced| assert_eq!(bounced, times))
            }
            82..88 => self.channel(&child),
            88..92 => {
                may_be_late = true;
                self.hasty(&child)
            }
            92..94 => {
                let calls: Vec<_> = (0..self.random.below(20)).map(|_| child.stub.slowly(1, 500)).collect();
                drop(calls);
                Ok(())
            }
            94..97 => {
                // The next thing that this thread does may be to wait for something else.
                child.stub.mark().detach();
                child.marks.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            _ => self.completed(&child),
        };
        drop(waiting);
        self.rig.calls.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = result {
            self.rig.refused.fetch_add(1, Ordering::Relaxed);
            let is_allowed = match &error {
                CallError::Dead { .. } => may_die,
                CallError::DeadlineExceeded { .. } => may_be_late,
                CallError::Overloaded { .. } => self.rig.kind == Kind::Tiny,
                // A context that is shut down stops its pool first.
                CallError::Stopped { .. } => may_die || self.rig.kind == Kind::Restless,
                CallError::NoSuchService { .. } => self.rig.kind == Kind::Restless,
                _ => false,
            };
            assert!(
                is_allowed,
                "{}: {what} at {:?} (lasting: {}): {error}",
                self.name, child.context, child.is_lasting
            );
        }
    }

    fn child(&mut self) -> Child {
        let children = self.rig.children.lock().unwrap();
        children[self.random.below(children.len() as u64) as usize].clone()
    }

    fn one(&mut self, child: &Child) -> Result<(), CallError> {
        for _ in 0..self.random.below(30) {
            let number = self.random.next();
            assert_eq!(child.stub.change(number).wait()?, changed(number));
        }
        Ok(())
    }

    /// Calls that are under way together, and waited for in any order and in any way.
    fn many(&mut self, child: &Child) -> Result<(), CallError> {
        let mut calls = Vec::new();
        for _ in 0..self.some_calls() {
            let number = self.random.next();
            let call = if self.random.one_in(8) {
                child.stub.slowly(number, self.random.below(300))
            } else {
                child.stub.change(number)
            };
            calls.push((number, call));
        }
        while !calls.is_empty() {
            let at = self.random.below(calls.len() as u64) as usize;
            let (number, call) = calls.swap_remove(at);
            assert_eq!(self.wait(call)?, changed(number));
        }
        Ok(())
    }

    /// So many as the bounds admit; those of a tiny router have to be waited for.
    fn some_calls(&mut self) -> u64 {
        let end = if self.rig.kind == Kind::Tiny { 4 } else { 80 };
        self.random.below(end)
    }

    fn wait<T>(&mut self, mut call: Call<T>) -> Result<T, CallError> {
        match self.random.below(6) {
            0 => smol::block_on(call),
            1 => loop {
                if let Some(result) = call.try_wait(Duration::from_millis(self.random.below(20))) {
                    return result;
                }
            },
            _ => call.wait(),
        }
    }

    fn slow(&mut self, child: &Child) -> Result<(), CallError> {
        let (number, micros) = (self.random.next(), self.random.below(3000));
        child.stub.slowly(number, micros).wait().map(|answer| assert_eq!(answer, changed(number)))
    }

    fn mostly_fast(&mut self, child: &Child) -> Result<(), CallError> {
        let numbers: Vec<_> = (0..self.some_calls()).map(|_| self.random.next()).collect();
        let calls: Vec<_> = numbers.iter().map(|number| child.stub.mostly_fast(*number)).collect();
        for (number, call) in numbers.into_iter().zip(calls) {
            assert_eq!(call.wait()?, changed(number));
        }
        Ok(())
    }

    fn large(&mut self, child: &Child) -> Result<(), CallError> {
        let size = self.random.below(if self.rig.kind == Kind::Tiny { 20_000 } else { 300_000 }) as usize;
        let data: Vec<_> = (0..size).map(|at| (at % 251) as u8).collect();
        let back = child.stub.invert(data.clone().into()).wait()?;
        assert!(back.len() == size && back.iter().zip(&data).all(|(back, byte)| *back == !byte));
        Ok(())
    }

    fn many_at_root(&mut self, child: &Child) -> Result<(), CallError> {
        let (number, times) = (self.random.next() >> 8, self.some_calls());
        let sum = child.stub.ask_many(self.rig.router.myself(), number, times).wait()?;
        assert_eq!(sum, (0..times).fold(0, |sum, time| changed(number + time).wrapping_add(sum)));
        Ok(())
    }

    fn channel(&mut self, child: &Child) -> Result<(), CallError> {
        let (first, count) = (self.random.next() >> 8, self.random.below(400));
        let receiver = self.rig.router.receiver::<u64>().from(&child.context);
        let mut call = child.stub.feed(receiver.sender(), first, count);
        let mut next = first;
        let mut answer = None;
        let end = loop {
            match receiver.recv_timeout(Duration::from_millis(self.random.below(50))) {
                Ok(message) => {
                    assert_eq!(message, changed(next));
                    next += 1;
                }
                // A call that has failed may have given its sender to nobody, and then there is no end.
                Err(CallError::DeadlineExceeded { .. }) => {
                    match answer.take().or_else(|| call.try_wait(Duration::ZERO)) {
                        Some(Err(error)) => return Err(error),
                        other => answer = other,
                    }
                }
                Err(end) => break end,
            }
        };
        answer.unwrap_or_else(|| self.wait(call))?;
        if next == first + count { Ok(()) } else { Err(end) }
    }

    /// Has no time for most of its answers.
    fn hasty(&mut self, child: &Child) -> Result<(), CallError> {
        let bound = Duration::from_micros(self.random.below(2000));
        let number = self.random.next();
        let answer = if self.random.one_in(2) {
            child.stub.slowly(number, 800).wait_timeout(bound)
        } else {
            child.stub.with_timeout(bound).slowly(number, 800).wait()
        };
        answer.map(|answer| assert_eq!(answer, changed(number)))
    }

    fn completed(&mut self, child: &Child) -> Result<(), CallError> {
        let numbers: Vec<_> = (0..self.some_calls()).map(|_| self.random.next()).collect();
        let calls = as_completed(numbers.iter().map(|number| child.stub.change(*number)));
        let mut answers = HashMap::new();
        for (at, answer) in calls {
            answers.insert(at, answer?);
        }
        for (at, number) in numbers.iter().enumerate() {
            assert_eq!(answers.get(&at), Some(&changed(*number)));
        }
        Ok(())
    }

    /// Ends a child in one way or another, and puts the next one in its place.
    fn kill_one(&mut self) {
        let waiting = self.watched.begins(&self.name, "a child's end");
        let (at, child) = {
            let children = self.rig.children.lock().unwrap();
            let mortal: Vec<_> = children.iter().enumerate().filter(|(_, child)| !child.is_lasting).collect();
            let (at, child) = mortal[self.random.below(mortal.len() as u64) as usize];
            (at, child.clone())
        };
        match self.random.below(4) {
            0 => child.context.shutdown(Duration::from_secs(5)).unwrap(),
            1 => child.context.kill().unwrap(),
            _ => {
                if let Ok(pid) = child.stub.pid().wait() {
                    signal(pid, Signal::KILL);
                }
            }
        }
        self.rig.kills.fetch_add(1, Ordering::Relaxed);
        // Others go on to call the one that has gone for a moment.
        thread::sleep(Duration::from_millis(self.random.below(20)));
        let next = self.rig.connect(false);
        self.rig.children.lock().unwrap()[at] = next;
        drop(waiting);
        thread::sleep(Duration::from_millis(self.random.below(150)));
    }

    fn change_pool(&mut self) {
        thread::sleep(Duration::from_millis(self.random.below(60)));
        let waiting = self.watched.begins(&self.name, "the end of a pool");
        let mut pool = self.rig.pool.lock().unwrap();
        if let Some(pool) = pool.take() {
            if self.random.one_in(2) {
                pool.stop();
            } else {
                let running = pool.close(crate::PATIENCE / 2);
                assert!(running.is_empty(), "{running:?}");
            }
        }
        *pool = Some(start_pool(&self.rig.router));
        drop(waiting);
        self.rig.pools.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls that nobody has waited for have arrived.
    fn check_marks(&self) {
        if self.rig.kind == Kind::Tiny {
            return;
        }
        let _waiting = self.watched.begins(&self.name, "the marks");
        let children: Vec<Child> = self.rig.children.lock().unwrap().clone();
        let began = Instant::now();
        for child in children.iter().filter(|child| child.is_lasting) {
            // Others may be about to send their last ones.
            while child.stub.marks().wait().unwrap() != child.marks.load(Ordering::SeqCst) {
                assert!(began.elapsed() < crate::PATIENCE / 2, "calls that were let go have not arrived");
                thread::yield_now();
            }
            let (fds, threads, memory): (usize, usize, u64) = child.stub.held().wait().unwrap();
            assert!(
                fds < 40 && threads < 20 && memory < 200 * 1024,
                "{fds} descriptors, {threads} threads, {memory} KiB"
            );
        }
    }
}
