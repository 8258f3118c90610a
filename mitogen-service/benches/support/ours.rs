//! What is measured: a service with small methods, and the children that it runs in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mitogen_service::{AllowAny, AllowParents, Call, CallError, Context, Router, service};

use super::peer::Frames;
use super::process;

const TEXT: &str = "0123456789abcdefghijklmnopqrstuv";

#[derive(Default)]
pub(crate) struct Echo;

#[service(activate)]
impl Echo {
    /// Two small arguments and a small result.
    #[expose(policy = AllowAny)]
    fn echo(&self, number: u64, text: &str) -> u64 {
        number + text.len() as u64
    }

    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Holds its thread, and tells for how long it did.
    #[expose(policy = AllowAny)]
    fn block(&self, time: Duration) -> Duration {
        let before = Instant::now();
        std::thread::sleep(time);
        before.elapsed()
    }

    /// Calls a method that blocks from several threads, so often from each, and tells how many of the
    /// other context's threads were busy with it.
    #[expose(policy = AllowParents)]
    fn keep_busy(&self, other: Context, time: Duration, callers: usize, each: usize) -> Result<f64, CallError> {
        let stub = Echo::stub(&other);
        let started = Instant::now();
        let blocked = thread::scope(|scope| {
            let block = || (0..each).map(|_| stub.block(time).wait()).sum::<Result<Duration, CallError>>();
            let threads: Vec<_> = (0..callers).map(|_| scope.spawn(block)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it returns its error")).sum::<Result<Duration, _>>()
        })?;
        Ok(blocked.as_secs_f64() / started.elapsed().as_secs_f64())
    }

    /// Tells how long each of many calls takes, in nanoseconds, while several other threads call a
    /// method that blocks.
    #[expose(policy = AllowParents)]
    fn echo_meanwhile(
        &self,
        other: Context,
        time: Duration,
        blockers: usize,
        calls: usize,
    ) -> Result<Vec<u64>, CallError> {
        let stub = Echo::stub(&other);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let block = || -> Result<(), CallError> {
                while !over.load(Ordering::Relaxed) {
                    stub.block(time).wait()?;
                }
                Ok(())
            };
            let blockers: Vec<_> = (0..blockers).map(|_| scope.spawn(block)).collect();
            // So that all of them block already.
            thread::sleep(time / 2);
            let echo = |number| -> Result<u64, CallError> {
                let before = Instant::now();
                let sum = stub.echo(number, TEXT).wait()?;
                assert_eq!(sum, number + TEXT.len() as u64, "the reply to another call");
                Ok(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX))
            };
            let samples = (0..calls as u64).map(echo).collect();
            over.store(true, Ordering::Relaxed);
            for blocker in blockers {
                blocker.join().expect("it returns its error")?;
            }
            samples
        })
    }

    /// Starts a child of the child.
    #[expose(policy = AllowParents)]
    fn start(&self, router: &Router) -> mitogen_service::Result<Context> {
        router.local().name("below").connect()
    }
}

/// A child, and how to call it.
pub(crate) struct Ours {
    pub(crate) stub: EchoStub,
    pub(crate) pid: u32,
}

impl Ours {
    pub(crate) fn start(router: &Router, name: &str) -> super::Result<Self> {
        Self::of(&router.local().name(name).connect()?)
    }

    /// The first call makes the child's pool and service.
    pub(crate) fn of(child: &Context) -> super::Result<Self> {
        let stub = Echo::stub(child);
        let pid = stub.pid().wait()?;
        Ok(Self { stub, pid })
    }

    /// Starts a child of this child.
    pub(crate) fn start_below(&self) -> super::Result<Self> {
        Self::of(&self.stub.start().wait()?)
    }

    pub(crate) fn call(&self, number: u64) -> super::Result<()> {
        self.begin(number).finish()
    }

    pub(crate) fn begin(&self, number: u64) -> Begun {
        Begun { number, call: self.stub.echo(number, TEXT) }
    }

    /// How many bytes a call and its reply take, as the child's own reads and writes say.
    pub(crate) fn frames(&self) -> super::Result<Frames> {
        const CALLS: u64 = 2000;
        let before = process::bytes_of(self.pid);
        // Numbers that take as much room as those of longer runs.
        (0..CALLS).try_for_each(|number| self.call(number))?;
        let after = process::bytes_of(self.pid);
        let (Some([read, written]), Some([read_after, written_after])) = (before, after) else {
            return Err("/proc does not tell how much a process reads and writes".into());
        };
        let [request, reply] = [read_after - read, written_after - written].map(|bytes| (bytes / CALLS) as usize);
        // A header alone has 26 bytes.
        if request.min(reply) < 26 {
            return Err(format!("a call seems to take {request} bytes there and {reply} back, which cannot be").into());
        }
        Ok(Frames { request, reply })
    }
}

/// A call that is under way.
pub(crate) struct Begun {
    number: u64,
    call: Call<u64>,
}

impl Begun {
    /// Waits for the reply, and checks it.
    pub(crate) fn finish(self) -> super::Result<()> {
        assert_eq!(self.call.wait()?, self.number + TEXT.len() as u64, "the reply to another call");
        Ok(())
    }
}
