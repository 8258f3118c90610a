//! A call that is under way, and its answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use super::answer::{Link, read_and_wait};
use super::held::Held;
use super::nested::{self, Helper};
use crate::error::{CallError, DeadlineBy, Executed, Trace};
use crate::io::cork::{self, Haste};
use crate::io::{Patience, Reading, Stream, TimerId, Waits};
use crate::latch::Latch;
use crate::router::{Context, Death, Delivery, Listener, TooMany, decoding_for};
use crate::sync::Mutex;
use crate::wire::{
    ContextId, DeadCode, DeadReason, Encoding, FEATURE_CANCEL, Handle, Message, Reply, control, payload, value,
};

/// Turns the value of an answer into the call's result.
pub(crate) type Decode<T> = fn(&[u8]) -> Result<T, value::DecodeError>;

/// A call that has been sent, and whose answer is on its way.
///
/// Wait for it with [`wait`](Self::wait), or `.await` it on any executor. Starting many calls before
/// waiting for the first one pipelines them.
///
/// A waker runs on the thread that reads the answer, so it must not block, as with any other reactor;
/// those of executors only queue their task.
///
/// [`wait`](Self::wait) reads the answer by itself where nobody else does, which is the fastest way.
/// [`wait_timeout`](Self::wait_timeout), [`try_wait`](Self::try_wait), `.await` and
/// [`Select`](crate::Select) are woken by another thread.
///
/// Dropping a call cancels it: if it is still queued it will not run, and if it runs,
/// [`Caller::is_cancelled`](crate::Caller::is_cancelled) tells the method so. Use
/// [`detach`](Self::detach) to let it run without waiting.
///
/// ```
/// use mitogen_service::{Call, CallError};
///
/// let call: Call<u32> = Call::ready(Ok(7));
/// assert_eq!(call.wait()?, 7);
/// # Ok::<(), CallError>(())
/// ```
#[must_use = "dropping a call cancels it; `wait` for it, `.await` it, or `detach` it"]
pub struct Call<T> {
    state: State<T>,
}

enum State<T> {
    Ready(Result<T, CallError>),
    Pending(Pending, Decode<T>),
    Finished,
}

/// A message that asks for an answer.
pub(crate) struct Request {
    /// Whom to ask.
    pub(crate) context: Context,
    /// With whose authority, if not this context's own.
    pub(crate) auth_id: Option<ContextId>,
    /// Which of its handles.
    pub(crate) handle: Handle,
    /// What to say.
    pub(crate) payload: Vec<u8>,
    /// When the caller gives up.
    pub(crate) deadline: Option<Instant>,
    /// Whether to wait while this process's own bounds are full.
    pub(crate) wait: bool,
    /// The senders of channels that are in it.
    pub(crate) held: Vec<Held>,
}

/// What the answer's side holds of a call.
struct Waiting {
    latch: Latch<Outcome>,
    /// Kept until the callee has them for certain, or will not get them.
    held: Mutex<Vec<Held>>,
}

/// What comes of a call.
enum Outcome {
    Answer(Message),
    Dead(Arc<Death>),
    TimeOver,
}

/// What the caller's side holds of a call; dropping it cancels the call.
struct Pending {
    context: Context,
    /// `None` once the answer has come or nobody wants it.
    handle: Option<Handle>,
    waiting: Arc<Waiting>,
    /// The stream that the answer comes over, unless it does not come from another process. A call that
    /// nobody looks at keeps nothing open.
    link: Weak<Stream>,
    deadline: Option<Instant>,
    /// By which the broker will tell when the deadline has passed.
    timer: Option<TimerId>,
}

impl Waiting {
    fn let_go(&self) {
        let held = std::mem::take(&mut *self.held.lock());
        drop(held);
    }
}

impl Waits for Waiting {
    fn promote(&self) {
        self.latch.summon();
    }

    fn is_done(&self) -> bool {
        self.latch.is_full()
    }
}

impl Listener for Waiting {
    fn deliver(&self, delivery: Delivery<'_>) {
        self.let_go();
        self.latch.put(Outcome::Answer(delivery.message));
    }

    fn end(&self, death: &Arc<Death>) {
        self.let_go();
        self.latch.put(Outcome::Dead(death.clone()));
    }

    fn nudge(&self) {
        self.latch.nudge();
    }
}

/// Sends a request. Blocks only while the router's bounds are full.
pub(crate) fn start<T>(request: Request, decode: Decode<T>) -> Call<T> {
    let state = match Pending::send(request) {
        Ok(pending) => State::Pending(pending, decode),
        Err(error) => State::Ready(Err(error)),
    };
    Call { state }
}

/// Sends a request that wants no answer.
pub(crate) fn post(request: Request) -> Result<(), CallError> {
    let Request { context, auth_id, handle, payload, deadline, wait, held: _held } = request;
    let patience = patience(wait, deadline);
    let length = payload.len();
    let message = Message::new(Encoding::MessagePack, context.id(), handle, Handle::NONE, payload.into());
    if !context.is_connected() {
        return Err(refusal(&context, length, DeadReason::disconnected()).with_executed(Executed::No));
    }
    let sent = context.core().send_as(message, auth_id, (patience, Haste::Now));
    sent.map(drop).map_err(|reason| not_sent(&context, length, reason, patience))
}

impl Pending {
    fn send(request: Request) -> Result<Self, CallError> {
        let Request { context, auth_id, handle, payload, deadline, wait, held } = request;
        let core = context.core().clone();
        let patience = patience(wait, deadline);
        let waiting = Arc::new(Waiting { latch: Latch::new(), held: Mutex::new(held) });
        let closed = || closed(&context).with_executed(Executed::No);
        let reply_to = core.await_one(context.id(), waiting.clone(), patience);
        let reply_to = reply_to.map_err(|TooMany| too_many(patience))?;
        let reply_to = reply_to.ok_or_else(closed)?;
        let length = payload.len();
        let message = Message::new(Encoding::MessagePack, context.id(), handle, reply_to, payload.into());
        let sent = core.send_as(message, auth_id, (patience, Haste::Call));
        let mut pending = Self { context, handle: Some(reply_to), waiting, link: Weak::new(), deadline, timer: None };
        match sent {
            Ok(link) => {
                pending.link = link.as_ref().map_or_else(Weak::new, Arc::downgrade);
                Ok(pending)
            }
            Err(reason) => Err(not_sent(&pending.forget(), length, reason, patience)),
        }
    }

    /// Waits for what comes of the call, until its deadline, and reads what comes by itself if nobody else
    /// does. A thread of a pool runs meanwhile what is needed for the answer.
    fn wait(&self) -> Option<Outcome> {
        if let Some(outcome) = self.waiting.latch.take() {
            return Some(outcome);
        }
        cork::let_go();
        let helper = nested::helper(self.context.core());
        let outcome = match self.link.upgrade() {
            Some(stream) => {
                let (latch, link) = (&self.waiting.latch, Reader { pending: self, stream });
                match helper.as_deref() {
                    None => read_and_wait(latch, &link, self.deadline, None),
                    Some(helper) => read_and_wait(latch, &link, self.deadline, Some(&mut || self.help(helper))),
                }
            }
            None => self.wait_only(self.deadline, helper.as_deref()),
        };
        outcome.or_else(|| self.is_over().then_some(Outcome::TimeOver))
    }

    /// The same until `bound` at most, and reads nothing.
    fn wait_within(&self, bound: Option<Instant>) -> Option<Outcome> {
        if let Some(outcome) = self.waiting.latch.take() {
            return Some(outcome);
        }
        self.attend();
        let helper = nested::helper(self.context.core());
        let outcome = self.wait_only(bound.into_iter().chain(self.deadline).min(), helper.as_deref());
        outcome.or_else(|| self.is_over().then_some(Outcome::TimeOver))
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    fn wait_only(&self, deadline: Option<Instant>, helper: Option<&dyn Helper>) -> Option<Outcome> {
        match helper {
            None => self.waiting.latch.wait(deadline),
            Some(helper) => self.waiting.latch.wait_and(deadline, Some(&mut || self.help(helper))),
        }
    }

    /// Sees to it that somebody reads, since this one only waits.
    fn attend(&self) {
        cork::let_go();
        if let Some(link) = self.link.upgrade() {
            link.attend();
        }
    }

    /// Does what is needed for the answer now, for one who is woken for what is needed later.
    fn help_once(&self) {
        if let Some(helper) = nested::helper(self.context.core()) {
            // Before it looks, so that what comes meanwhile is seen here or wakes.
            self.waiting.latch.offer_help();
            self.help(&*helper);
        }
    }

    fn help(&self, helper: &dyn Helper) {
        while self.handle.is_some_and(|handle| helper.run_one(handle)) {}
    }

    /// Sees to it that who waits without a thread learns that the time is over.
    fn watch_deadline(&mut self) {
        let Some(deadline) = self.deadline.filter(|_| self.timer.is_none()) else { return };
        let waiting = self.waiting.clone();
        let left = deadline.saturating_duration_since(Instant::now());
        if let Ok(broker) = self.context.core().broker() {
            self.timer = broker.call_after(left, move |_| {
                waiting.latch.put(Outcome::TimeOver);
            });
        }
    }

    /// Gives the handle back without a word to the callee, where the call may run on.
    fn forget(mut self) -> Context {
        if let Some(handle) = self.handle.take() {
            self.context.core().give_up(handle);
        }
        self.context.clone()
    }

    /// Reads what has come, which has used the handle up.
    fn finish<T>(mut self, outcome: Outcome, decode: Decode<T>) -> Result<T, CallError> {
        if let Outcome::TimeOver = outcome {
            // Dropping it cancels the call.
            return Err(given_up());
        }
        self.handle = None;
        match outcome {
            Outcome::TimeOver => Err(given_up()),
            Outcome::Answer(message) => read(&self.context, &message, decode),
            Outcome::Dead(death) if death.is_own(self.context.core()) => Err(closed(&self.context)),
            Outcome::Dead(death) => Err(Death::clone(&death).into_call_error()),
        }
    }
}

/// A call that waits, with the stream that its answer comes over.
struct Reader<'a> {
    pending: &'a Pending,
    stream: Arc<Stream>,
}

impl Link for Reader<'_> {
    fn is_over(&self) -> bool {
        self.pending.is_over()
    }

    fn join(&self) -> Reading {
        self.stream.join(&self.pending.waiting)
    }

    fn quit(&self) -> bool {
        self.stream.quit(&self.pending.waiting)
    }

    fn is_ended(&self) -> bool {
        self.stream.is_ended()
    }

    fn read_until(&self, deadline: Option<Instant>, is_done: impl FnMut(Option<&Waker>) -> bool) -> bool {
        self.stream.read_until(deadline, is_done)
    }

    fn leave_reading(&self) {
        self.stream.leave_reading();
    }

    fn attend(&self) {
        self.stream.attend();
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let core = self.context.core();
        if let Some(timer) = self.timer.take()
            && let Ok(broker) = core.broker()
        {
            broker.cancel(timer);
        }
        let Some(handle) = self.handle.take() else { return };
        if core.give_up(handle) && core.neighbour_has(self.context.id(), FEATURE_CANCEL) {
            core.post(self.context.id(), Handle::CANCEL, control::encode_cancel(handle));
        }
    }
}

impl<T> Call<T> {
    /// A call that has its result already, for doubles.
    pub fn ready(result: Result<T, CallError>) -> Self {
        Self { state: State::Ready(result) }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// See [`CallError`]; a context that ends while the call waits gives [`CallError::Dead`].
    pub fn wait(mut self) -> Result<T, CallError> {
        self.wait_by(Pending::wait).unwrap_or_else(|| Err(given_up()))
    }

    /// Waits for the result, for `timeout` at most, and cancels the call after that.
    ///
    /// # Errors
    /// [`CallError::DeadlineExceeded`] when the time is over, and those of [`wait`](Self::wait).
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<T, CallError> {
        self.try_wait(timeout).unwrap_or_else(|| Err(given_up()))
    }

    /// Waits for the result, for `timeout` at most, and spoils nothing: `None` means not yet, and
    /// the call goes on. After the result has been taken it is `None` always.
    pub fn try_wait(&mut self, timeout: Duration) -> Option<Result<T, CallError>> {
        // A time too far away to be counted is no bound at all.
        let bound = Instant::now().checked_add(timeout);
        self.wait_by(|pending| pending.wait_within(bound))
    }

    /// Lets the call run, and waits for nothing.
    pub fn detach(mut self) {
        let State::Pending(mut pending, _) = self.take() else { return };
        cork::let_go();
        if pending.waiting.held.lock().is_empty() {
            pending.forget();
        } else {
            // The senders that the call was given are on their way until its answer comes.
            pending.handle = None;
        }
    }

    /// Whether the result is there; if not, the waker is woken when it is. No code of a user runs.
    pub(super) fn is_ready_or_wakes(&mut self, waker: &Waker) -> bool {
        match &mut self.state {
            State::Pending(pending, _) => {
                pending.watch_deadline();
                pending.attend();
                pending.waiting.latch.is_full_or_wakes(waker)
            }
            State::Ready(_) | State::Finished => true,
        }
    }

    /// The call itself, once its result is there.
    pub(super) fn take_if_ready(&mut self) -> Option<Self> {
        if let State::Pending(pending, _) = &self.state
            && !pending.waiting.latch.is_full()
        {
            return None;
        }
        Some(Self { state: self.take() })
    }

    /// Who was called, if anybody was.
    pub(super) fn callee(&self) -> Option<Context> {
        match &self.state {
            State::Pending(pending, _) => Some(pending.context.clone()),
            State::Ready(_) | State::Finished => None,
        }
    }

    fn wait_by(&mut self, wait: impl FnOnce(&Pending) -> Option<Outcome>) -> Option<Result<T, CallError>> {
        if let State::Pending(pending, _) = &self.state {
            let outcome = wait(pending)?;
            return self.finish(outcome);
        }
        match self.take() {
            State::Ready(result) => Some(result),
            State::Pending(..) | State::Finished => None,
        }
    }

    fn finish(&mut self, outcome: Outcome) -> Option<Result<T, CallError>> {
        match self.take() {
            State::Pending(pending, decode) => Some(pending.finish(outcome, decode)),
            State::Ready(_) | State::Finished => None,
        }
    }

    /// Does what a waiting thread of a pool is needed for.
    pub(super) fn help(&self) {
        if let State::Pending(pending, _) = &self.state {
            pending.help_once();
        }
    }

    fn take(&mut self) -> State<T> {
        std::mem::replace(&mut self.state, State::Finished)
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let State::Pending(pending, _) = &mut self.state {
            pending.watch_deadline();
            pending.attend();
            let Poll::Ready(outcome) = pending.waiting.latch.poll(task) else {
                // A thread of a pool does what its answer needs; what comes later wakes the task for it.
                pending.help_once();
                return Poll::Pending;
            };
            let result = self.finish(outcome);
            return Poll::Ready(result.unwrap_or_else(|| Err(taken())));
        }
        match self.take() {
            State::Ready(result) => Poll::Ready(result),
            State::Pending(..) | State::Finished => Poll::Ready(Err(taken())),
        }
    }
}

/// Nothing in a call is pinned.
impl<T> Unpin for Call<T> {}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Ready(_) => f.write_str("Call(ready)"),
            State::Pending(pending, _) => write!(f, "Call(pending in {:?})", pending.context),
            State::Finished => f.write_str("Call(finished)"),
        }
    }
}

/// How a call waits for what bounds this process itself: its own time covers that, too.
fn patience(wait: bool, deadline: Option<Instant>) -> Patience {
    match deadline {
        _ if !wait => Patience::Refuse,
        None => Patience::Wait,
        Some(deadline) => Patience::Until(deadline),
    }
}

fn too_many(patience: Patience) -> CallError {
    if let Patience::Until(_) = patience {
        return not_begun();
    }
    let what = "as many calls of this process are pending as may be".to_owned();
    CallError::Overloaded { what, trace: Trace::default() }
}

/// Why a call was not sent.
fn not_sent(context: &Context, length: usize, reason: DeadReason, patience: Patience) -> CallError {
    match patience {
        // There was no room in the stream until then. A refusal that comes earlier is another one.
        Patience::Until(deadline) if reason.code == DeadCode::Overloaded && deadline <= Instant::now() => not_begun(),
        _ => refusal(context, length, reason),
    }
}

/// The time is over of something that has not left this process.
pub(super) fn not_begun() -> CallError {
    given_up().with_executed(Executed::No)
}

pub(super) fn given_up() -> CallError {
    CallError::DeadlineExceeded { by: DeadlineBy::Caller, trace: Trace::default() }
}

/// The router of this process is no more, so that nobody can be reached.
pub(super) fn closed(context: &Context) -> CallError {
    Death::router_closed(context.name()).into_call_error()
}

/// Asking a call again after its result was taken is a mistake, and shall not hang.
fn taken() -> CallError {
    let reason = "its result was taken before".to_owned();
    CallError::Cancelled { reason, trace: Trace::default() }.with_executed(Executed::Maybe)
}

/// Reads an answer.
fn read<T>(context: &Context, message: &Message, decode: Decode<T>) -> Result<T, CallError> {
    if let Some(reason) = message.dead_reason() {
        return Err(refusal(context, 0, reason));
    }
    let malformed = |reason: String| CallError::Malformed { reason, trace: Trace::default() }.through(context.name());
    if message.header.encoding != Encoding::MessagePack {
        return Err(malformed("the answer is not MessagePack".to_owned()));
    }
    let reply = Reply::decode(&message.payload).map_err(|error| malformed(error.to_string()))?;
    match reply {
        Reply::Ok(raw) => decoding_for(context.core(), || payload::with(message.payload.clone(), || decode(raw)))
            .map_err(|error| malformed(format!("the result is a {}: {}", error.got, error.reason))),
        Reply::Err(raw) => match value::decode::<CallError>(raw) {
            Ok(error) => Err(error.through(context.name())),
            Err(error) => Err(malformed(format!("the error is a {}: {}", error.got, error.reason))),
        },
    }
}

/// What a dead message means to the caller.
pub(super) fn refusal(context: &Context, sent: usize, reason: DeadReason) -> CallError {
    let trace = Trace::default();
    let name = context.name().to_owned();
    match reason.code {
        // The call never came there.
        DeadCode::NoRoute => gone(context, reason.text).with_executed(Executed::No),
        DeadCode::Disconnected | DeadCode::RouterClosed => gone(context, reason.text),
        DeadCode::TooLarge => {
            let max = context.core().identity().max_message_size as u64;
            CallError::TooLarge { got: sent as u64, max, trace }
        }
        DeadCode::Overloaded => overloaded(&reason.text),
        DeadCode::AnswerLost => overloaded(&reason.text).with_executed(Executed::Maybe),
        _ => CallError::Refused { reason: reason.text, context: name, trace },
    }
}

/// The words of a dead message stand alone; those of the error have the beginning already.
fn overloaded(text: &str) -> CallError {
    let what = text.strip_prefix("overloaded: ").unwrap_or(text).to_owned();
    CallError::Overloaded { what, trace: Trace::default() }
}

/// The context has ended; what is known of its end is told.
fn gone(context: &Context, reason: String) -> CallError {
    let known = context.death().map(|death| Death::clone(&death));
    let death = known.unwrap_or_else(|| Death::disconnected(context.name()));
    Death { reason, ..death }.into_call_error()
}
