//! What the children do, and the root for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mitogen_service::{AllowAny, Blob, CallError, Context, Router, Sender, service};

/// What comes of a number: an answer that cannot be that of another call.
pub(crate) fn changed(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
}

#[derive(Default)]
pub(crate) struct Soaked {
    marks: AtomicU64,
}

#[service(activate)]
impl Soaked {
    #[expose(policy = AllowAny)]
    fn change(&self, number: u64) -> u64 {
        changed(number)
    }

    /// Takes some time, always.
    #[expose(policy = AllowAny)]
    fn slowly(&self, number: u64, micros: u64) -> u64 {
        thread::sleep(Duration::from_micros(micros));
        changed(number)
    }

    /// Is known to be fast, until it is not.
    #[expose(policy = AllowAny)]
    fn mostly_fast(&self, number: u64) -> u64 {
        if number.is_multiple_of(251) {
            thread::sleep(Duration::from_millis(number % 23));
        }
        changed(number)
    }

    #[expose(policy = AllowAny)]
    fn invert(&self, data: Blob) -> Blob {
        data.iter().map(|byte| !byte).collect::<Vec<_>>().into()
    }

    /// Asks somebody else.
    #[expose(policy = AllowAny)]
    fn ask(&self, at: Context, number: u64) -> Result<u64, CallError> {
        Self::stub(&at).change(number).wait()
    }

    /// Asks somebody else, by calls that are started together.
    #[expose(policy = AllowAny)]
    fn ask_many(&self, at: Context, number: u64, times: u64) -> Result<u64, CallError> {
        let stub = Self::stub(&at);
        let calls: Vec<_> = (0..times).map(|time| stub.mostly_fast(number + time)).collect();
        let answers = calls.into_iter().map(mitogen_service::Call::wait).collect::<Result<Vec<_>, _>>()?;
        Ok(answers.into_iter().fold(0, u64::wrapping_add))
    }

    /// Goes back and forth between two contexts.
    #[expose(policy = AllowAny)]
    fn bounce(&self, here: Context, there: Context, times: u64) -> Result<u64, CallError> {
        if times == 0 {
            return Ok(0);
        }
        Ok(1 + Self::stub(&there).bounce(there, here, times - 1).wait()?)
    }

    /// Sends this many numbers from there on.
    #[expose(policy = AllowAny)]
    fn feed(&self, to: Sender<u64>, first: u64, count: u64) -> Result<(), CallError> {
        (first..first + count).try_for_each(|number| to.send(changed(number)))
    }

    #[expose(policy = AllowAny)]
    fn mark(&self) {
        self.marks.fetch_add(1, Ordering::SeqCst);
    }

    #[expose(policy = AllowAny)]
    fn marks(&self) -> u64 {
        self.marks.load(Ordering::SeqCst)
    }

    #[expose(policy = AllowAny)]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// A child of this one.
    #[expose(policy = AllowAny)]
    fn start(&self, router: &Router) -> mitogen_service::Result<Context> {
        router.local().connect()
    }

    /// The same with small pipes.
    #[expose(policy = AllowAny)]
    fn start_tiny(&self, router: &Router) -> mitogen_service::Result<Context> {
        let child = router.local().connect()?;
        crate::pipes::shrink();
        Ok(child)
    }

    /// What this process holds: descriptors, threads, KiB of memory.
    #[expose(policy = AllowAny)]
    fn held(&self) -> (usize, usize, u64) {
        let count = |path: &str| std::fs::read_dir(path).map_or(0, Iterator::count);
        (count("/proc/self/fd"), count("/proc/self/task"), crate::resident())
    }
}

/// A child, and what it can be asked.
#[derive(Clone)]
pub(crate) struct Child {
    pub(crate) context: Context,
    pub(crate) stub: SoakedStub,
    /// How many marks it was sent by calls that nobody waits for.
    pub(crate) marks: Arc<AtomicU64>,
    /// It is never killed.
    pub(crate) is_lasting: bool,
}

impl Child {
    pub(crate) fn new(context: Context, is_lasting: bool) -> Self {
        Self { stub: Soaked::stub(&context), context, marks: Arc::default(), is_lasting }
    }
}
