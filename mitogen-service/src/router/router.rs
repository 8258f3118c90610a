//! The router as a program holds it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bounds::Bounds;
use super::context::Context;
use super::control;
use super::core::{Close, Core, Delivery, Identity};
use super::death::Death;
use super::handles::Listener;
use super::lifecycle::Ending;
use crate::error::{Error, Result};
use crate::executable::{Executable, uname_names};
use crate::latch::Latch;
use crate::ledger::Ledger;
use crate::wire::{ChannelBounds, ContextId, IdBlock};

/// The largest message that a router takes unless told otherwise, in bytes of payload.
const MAX_MESSAGE_SIZE: usize = 128 * 1024 * 1024;

/// The name of the context in which a tree begins.
const ROOT_NAME: &str = "root";

/// How long a router may take to give back what it holds, once it is closed.
const SETTLE_BOUND: Duration = Duration::from_secs(1);

/// Delivers messages between this process and the others of its tree, and starts those.
///
/// A program has one router, given to its `main` by [`main`](macro@crate::main) or made by
/// [`Router::builder`]. A clone is another handle to the same router. When the last handle that the
/// program holds is dropped, the router closes: everything below it ends.
///
/// ```
/// # fn main() -> mitogen_service::Result<()> {
/// let router = mitogen_service::Router::builder().build()?;
/// assert_eq!(router.myself().id(), mitogen_service::ContextId::ROOT);
/// assert!(router.parent().is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Router {
    core: Arc<Core>,
    /// Present in the handles of the program that made the router, absent in those that services
    /// get, so that a service that keeps one does not keep its own router alive.
    _owner: Option<Arc<Owner>>,
}

/// Closes the router when the last handle goes.
struct Owner {
    core: Arc<Core>,
}

/// Sets up a router; see [`Router::builder`].
#[derive(Clone, Debug)]
#[must_use = "call `build` to get the router"]
pub struct RouterBuilder {
    max_message_size: usize,
    unidirectional: bool,
    keep_alive: Option<Duration>,
    channels: ChannelBounds,
    executables: Vec<(String, PathBuf)>,
    bounds: Bounds,
}

impl Router {
    /// Sets up a router at the root of a new tree.
    pub fn builder() -> RouterBuilder {
        RouterBuilder {
            max_message_size: MAX_MESSAGE_SIZE,
            unidirectional: false,
            keep_alive: None,
            channels: ChannelBounds::default(),
            executables: Vec::new(),
            bounds: Bounds::default(),
        }
    }

    /// This process, as others see it.
    pub fn myself(&self) -> Context {
        self.core.context(self.core.identity().id)
    }

    /// The process that has started this one, `None` at the root.
    pub fn parent(&self) -> Option<Context> {
        self.core.identity().parents.first().map(|(id, _)| self.core.context(*id))
    }

    /// The process in which the tree begins.
    pub fn root(&self) -> Context {
        self.core.context(ContextId::ROOT)
    }

    /// The contexts that this process has started and that are connected, oldest first.
    pub fn children(&self) -> Vec<Context> {
        self.core.children()
    }

    /// The context with this number, whether or not anything of that number exists.
    pub fn context_by_id(&self, id: ContextId) -> Context {
        self.core.context(id)
    }

    /// Closes the router: gracefully within `bound`, hard after that.
    ///
    /// Here and in every context below, queued calls are answered with `Stopped`, and running methods and
    /// answers that are held as [`Reply`](crate::Reply) may come to their end; what is left after `bound` is
    /// killed. Returns when all of it
    /// is over. Whatever is asked of the router later fails with [`Error::Closed`].
    pub fn shutdown(&self, bound: Duration) {
        self.core.close(Close::Within(bound));
    }

    /// Waits until the router is closed, by [`shutdown`](Self::shutdown) in another thread or, in a
    /// child, by its parent.
    pub fn wait(&self) {
        self.core.lifecycle().wait_closed();
    }

    /// A router that closes when its last handle is dropped.
    pub(crate) fn owning(core: Arc<Core>) -> Self {
        let owner = Arc::new(Owner { core: core.clone() });
        Self { core, _owner: Some(owner) }
    }

    /// A handle that does not keep the router open.
    pub(crate) fn borrowed(core: &Arc<Core>) -> Self {
        Self { core: core.clone(), _owner: None }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// An id for a new child, asked from the contexts above if this one has none left.
    pub(crate) fn allocate_id(&self, deadline: Instant) -> Result<ContextId, String> {
        loop {
            if let Some(id) = self.core.with_table(|table| table.ids().take()) {
                return Ok(id);
            }
            if self.core.with_table(|table| table.ids().is_root()) {
                return Err("all 2^32 are used up".to_owned());
            }
            let answer = Arc::new(BlockAnswer(Latch::new()));
            control::ask_for_block(&self.core, answer.clone());
            answer.0.wait(Some(deadline)).ok_or("the contexts above did not answer in time")??;
        }
    }
}

/// Waits for a block of ids. One that comes too late is kept for the next child.
struct BlockAnswer(Latch<std::result::Result<(), String>>);

impl Listener for BlockAnswer {
    fn deliver(&self, delivery: Delivery<'_>) {
        let answer = match delivery.message.dead_reason() {
            Some(reason) => Err(reason.text),
            None => IdBlock::decode(&delivery.message.payload).map_err(|error| error.to_string()),
        };
        let kept = answer.map(|block| {
            delivery.core.with_table(|table| table.add_own_block(block.start..block.end));
        });
        self.0.put(kept);
    }

    fn end(&self, death: &Arc<Death>) {
        self.0.put(Err(death.reason.clone()));
    }
}

impl RouterBuilder {
    /// The largest payload of a message in bytes, 128 MiB by default; all contexts below inherit it.
    ///
    /// A call with larger arguments fails at once with
    /// [`CallError::TooLarge`](crate::CallError::TooLarge), one with a larger result when it answers.
    ///
    /// ```
    /// use mitogen_service::{Blob, CallError, Router};
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().max_message_size(1024 * 1024).build()?;
    /// let receiver = router.receiver::<Blob>();
    /// let error = receiver.sender().send(vec![0; 1024 * 1024 + 1].into()).unwrap_err();
    /// assert!(matches!(error, CallError::TooLarge { .. }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Whether contexts may talk only to their parents and to the contexts below them, not to their
    /// siblings. Off by default; all contexts below inherit it.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = mitogen_service::Router::builder().unidirectional(true).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn unidirectional(mut self, unidirectional: bool) -> Self {
        self.unidirectional = unidirectional;
        self
    }

    /// How many calls of this router may wait for their answers, 65,536 by default and at least one.
    /// Whoever makes one more waits until another one is answered, as long as its deadline lets it; a
    /// stub's `no_wait()` gives [`Overloaded`](crate::CallError::Overloaded) instead.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = mitogen_service::Router::builder().max_pending_calls(1000).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_pending_calls(mut self, calls: usize) -> Self {
        self.bounds.pending_calls = calls.max(1);
        self
    }

    /// How many calls may have arrived in this process and not be answered, 65,536 by default and at least
    /// one. The calls for one service may be half of that, and those of one caller a quarter; a child
    /// and all that is below it are one caller.
    ///
    /// A call beyond it is answered with [`Overloaded`](crate::CallError::Overloaded) at once.
    ///
    /// ```
    /// # use std::sync::Mutex;
    /// # use mitogen_service::{AllowAny, CallError, Pool, Reply, Router, service};
    /// #[derive(Default)]
    /// struct Later(Mutex<Vec<Reply<()>>>);
    ///
    /// #[service(name = "later")]
    /// impl Later {
    ///     #[expose(policy = AllowAny)]
    ///     fn answer_later(&self, reply: Reply<()>) {
    ///         self.0.lock().unwrap().push(reply);
    ///     }
    /// }
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().max_queued_calls(8).build()?;
    /// let pool = Pool::builder(&router).service(Later::default()).start()?;
    /// let later = Later::stub(&router.myself());
    /// let [_first, _second, third] = [(); 3].map(|()| later.answer_later());
    /// assert!(matches!(third.wait(), Err(CallError::Overloaded { .. })));
    /// # pool.close(std::time::Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_queued_calls(mut self, calls: usize) -> Self {
        self.bounds.queued_calls = calls.max(1);
        self
    }

    /// How many bytes the messages of these calls may have together, 64 MiB by default, shared in the same
    /// way; one call larger than that is admitted beside the others.
    ///
    /// A call beyond it is answered with [`Overloaded`](crate::CallError::Overloaded) at once.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = mitogen_service::Router::builder().max_queued_bytes(8 * 1024 * 1024).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.bounds.queued_bytes = bytes;
        self
    }

    /// How many bytes may wait to be written to one neighbour, 4 MiB by default. One message larger than
    /// that is admitted as soon as no more than half of the bound waits beside it.
    ///
    /// Beyond it a call of this process waits, a call that only passes through is refused as
    /// [`Overloaded`](crate::CallError::Overloaded), and calls from there do not begin to run.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = mitogen_service::Router::builder().max_output(64 * 1024).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.bounds.output = bytes;
        self
    }

    /// How many bytes the messages that have begun to arrive may hold together, 256 MiB by default;
    /// one message is admitted whatever its size.
    ///
    /// The message that exceeds it is read and thrown away, and its call is answered with
    /// [`Overloaded`](crate::CallError::Overloaded).
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = mitogen_service::Router::builder().max_reassembly(16 * 1024 * 1024).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_reassembly(mut self, bytes: usize) -> Self {
        self.bounds.reassembly = bytes;
        self
    }

    /// How many bytes may be under way from one context to one [`Receiver`](crate::Receiver) and not be
    /// taken there, 1 MiB by default; all contexts below inherit it. One value is admitted whatever its
    /// size, and each counts 64 bytes more than it has.
    ///
    /// At the limit `send` waits, `send_timeout` waits as long as it may, and `try_send` fails with
    /// [`Overloaded`](crate::CallError::Overloaded). A larger window keeps a fast link busy over a long
    /// way; a smaller one saves memory, since a receiver may have to hold one for each of its
    /// [senders](Self::senders_per_receiver). Stay well below [`max_output`](Self::max_output): what
    /// contexts on the way cannot keep for a slow one is refused, and ends the sender.
    ///
    /// ```
    /// use mitogen_service::{Blob, CallError, Router};
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().receiver_window(1000).build()?;
    /// let receiver = router.receiver::<Blob>();
    /// let sender = receiver.sender();
    /// sender.try_send(vec![0; 600].into())?;
    /// assert!(matches!(sender.try_send(vec![0; 600].into()), Err(CallError::Overloaded { .. })));
    /// receiver.recv()?;
    /// sender.try_send(vec![0; 600].into())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn receiver_window(mut self, bytes: usize) -> Self {
        self.channels.window = bytes as u64;
        self
    }

    /// How many contexts may send to one [`Receiver`](crate::Receiver) at a time, 256 by default and at
    /// least one; all contexts below inherit it. All senders of a context for a receiver count once,
    /// until they are dropped and what they have sent was taken.
    ///
    /// One context more is refused: its sends fail with [`Refused`](crate::CallError::Refused), and
    /// the receiver goes on with the others.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// // A receiver holds 16 MiB at most, of many that send to it little by little.
    /// let builder = mitogen_service::Router::builder();
    /// let router = builder.receiver_window(16 * 1024).senders_per_receiver(1024).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn senders_per_receiver(mut self, senders: usize) -> Self {
        self.channels.senders = senders.max(1) as u64;
        self
    }

    /// How long a neighbour may take nothing of what waits for it, or stop in the middle of a
    /// message, until it is disconnected; 45 seconds by default.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = mitogen_service::Router::builder().stall_timeout(std::time::Duration::from_secs(10)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.stall = timeout;
        self
    }

    /// Looks for a sign of life of each child once in this interval, and gives a child up that gives none
    /// three times in a row. Off by default; all contexts below inherit it, and each end of each stream
    /// watches the other: a process whose parent gives no sign of life ends, as if that had ended.
    ///
    /// Any byte is a sign of life, also one that is taken where more waits than the link can hold. If
    /// there is none for an interval the other end is asked, and its I/O thread answers, whatever its
    /// methods do: a busy process is not given up, one that is stopped (SIGSTOP, a debugger) or hangs in
    /// the kernel is. It is killed, and calls that wait for it fail with
    /// [`CallError::Dead`](crate::CallError::Dead) whose reason names keep-alive. Intervals are counted
    /// and no time is measured, so a tree that is stopped and continued as a whole goes on.
    ///
    /// Local processes need it only against being stopped: the end of a process is noticed in any case.
    /// Fifteen seconds are a good interval; one of milliseconds gives up processes that only wait for
    /// their turn on a busy machine.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mitogen_service::{Error, Router};
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().keep_alive(Duration::from_secs(15)).build()?;
    /// let refused = Router::builder().keep_alive(Duration::ZERO).build();
    /// assert!(matches!(refused, Err(Error::Invalid { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// How many contexts may be connecting at once, 32 by default and at least one; who connects one more
    /// waits for its turn. Each takes a thread, a process and three descriptors meanwhile.
    ///
    /// ```
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = mitogen_service::Router::builder().max_connecting(100).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_connecting(mut self, contexts: usize) -> Self {
        self.bounds.connecting = contexts.max(1);
        self
    }

    /// The same program built for another target, to be sent to machines that this executable does not
    /// run on. `target` is the target of rustc; one that ends in `-musl` runs with any C library.
    ///
    /// ```no_run
    /// # fn main() -> mitogen_service::Result<()> {
    /// let arm = "aarch64-unknown-linux-musl";
    /// let router = mitogen_service::Router::builder()
    ///     .executable_for(arm, format!("target/{arm}/release/fleet"))
    ///     .build()?;
    /// let board = router.ssh("board").connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn executable_for(mut self, target: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.executables.push((target.into(), path.into()));
        self
    }

    /// Makes the router. It has no thread and no descriptor until its first child starts.
    ///
    /// # Errors
    /// [`Error::NotEntered`] in a process that was started as a child, but whose `main` did not
    /// begin with [`init`](crate::init); [`Error::Invalid`] for settings that cannot work.
    pub fn build(self) -> Result<Router> {
        if crate::process::is_child() {
            return Err(Error::NotEntered);
        }
        Ok(Router::owning(self.build_core()?))
    }

    /// The root's state, without a look at the process that it is in.
    pub(crate) fn build_core(self) -> Result<Arc<Core>> {
        let Self { max_message_size, unidirectional, keep_alive, channels, executables, bounds } = self;
        if !(MIN_MESSAGE_SIZE..=u32::MAX as usize).contains(&max_message_size) {
            let what = format!(
                "max_message_size is {max_message_size}, and must be between {MIN_MESSAGE_SIZE} and {} bytes",
                u32::MAX
            );
            return Err(Error::Invalid { what });
        }
        if keep_alive.is_some_and(|interval| interval.is_zero()) {
            let what =
                "the interval of keep_alive is zero, and must be longer; leave it out to switch it off".to_owned();
            return Err(Error::Invalid { what });
        }
        for (target, path) in &executables {
            check_executable(target, path).map_err(|what| Error::Invalid { what })?;
        }
        crate::sys::ignore_sigpipe();
        let identity = Identity {
            id: ContextId::ROOT,
            name: ROOT_NAME.to_owned(),
            parents: Vec::new(),
            max_message_size,
            unidirectional,
            keep_alive,
            channels,
        };
        let core = Core::new(identity, Ending::Router, bounds);
        core.set_executables(executables);
        Ok(core)
    }
}

/// Whether a file is what it was said to be: another one would only fail on some host.
fn check_executable(target: &str, path: &Path) -> Result<(), String> {
    let executable = Executable::open(path)
        .map_err(|error| format!("the executable for {target}, {}, cannot be used: {error}", path.display()))?;
    let machine = executable.needs().machine;
    let names = uname_names(machine);
    // Rust's names of the 32-bit ones are many: armv7, thumbv7, i586, i686...
    let asked = target.split('-').next().unwrap_or_default();
    let fits = names.iter().chain([&machine]).any(|name| asked.starts_with(name)) || asked.starts_with(machine);
    if fits {
        return Ok(());
    }
    let is = executable.needs();
    Err(format!("the executable for {target}, {}, is one for {is}; build it with `--target {target}`", path.display()))
}

/// Below this, not even a refusal with its reason could travel.
const MIN_MESSAGE_SIZE: usize = 1024;

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.close(Close::Promptly);
        if cfg!(feature = "testing") && !std::thread::panicking() && !Ledger::counts_this_thread() {
            let left = self.core.ledger().settle(SETTLE_BOUND);
            assert!(
                left == crate::ledger::Left::default(),
                "a router ended and left behind: {left}; is a method or a callback still running?"
            );
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.core.identity();
        write!(f, "Router({}, {:?})", identity.id, identity.name)
    }
}
