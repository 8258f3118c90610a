//! A stream of numbers: its shell is the crate's, its descriptor the [`Kernel`](super::poller).

use std::io::stdin;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};

use super::Reading;
use super::broker::BrokerHandle;
use super::laziness::ROW;
use super::poller::{Interest, Kernel};
use super::ready::Ready;
use super::role::{Join, Leave};
use super::shared_role::{Post, Promoted, Reads, SharedRole, Until};
use super::stream::Stream;
use crate::answer;
use crate::latch::Latch;
use crate::sync::{Mutex, let_time_pass, time_is_over};

/// Takes a number; tells whether it was an answer.
type Sink = Box<dyn Fn(usize) -> bool + Send + Sync>;

/// A stream that can be read.
pub(crate) struct Link {
    role: SharedRole<Waiter, ()>,
    ready: Arc<Ready>,
    broker: BrokerHandle,
    bell: Waker,
    token: Mutex<Option<u64>>,
    sink: Sink,
    ended: Box<dyn Fn() + Send + Sync>,
}

/// A caller in the queue for the role.
struct Waiter(Arc<dyn Waits>);

trait Waits: Send + Sync {
    fn promote(&self);

    fn is_done(&self) -> bool;
}

impl<T: Send> Waits for Latch<T> {
    fn promote(&self) {
        self.summon();
    }

    fn is_done(&self) -> bool {
        self.is_full()
    }
}

/// Wakes the one who reads.
struct Bell(std::sync::Arc<Kernel>);

impl Link {
    /// A stream that is read from now on.
    pub(crate) fn start(
        ready: &Arc<Ready>,
        broker: &BrokerHandle,
        sink: impl Fn(usize) -> bool + Send + Sync + 'static,
        ended: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let link = Arc::new(Self {
            role: SharedRole::new(ROW),
            ready: ready.clone(),
            broker: broker.clone(),
            bell: Waker::from(Arc::new(Bell(broker.kernel()))),
            token: Mutex::default(),
            sink: Box::new(sink),
            ended: Box::new(ended),
        });
        assert!(link.role.start());
        let told: Weak<Self> = Arc::downgrade(&link);
        let stream = Arc::new(Stream::new(move |closed| {
            if let Some(link) = told.upgrade() {
                link.role.edge(&link, closed);
            }
        }));
        *link.token.lock() = Some(ready.add(stdin().as_fd(), &stream).unwrap());
        link.role.leave(&link, Leave::Lazily);
        link
    }

    /// The other end sends a number.
    pub(crate) fn brings(&self, number: usize) {
        self.broker.kernel().brings(|input| input.messages.insert(0, number));
    }

    /// The other end closes.
    pub(crate) fn closes(&self) {
        self.broker.kernel().brings(|input| input.closed = true);
    }

    /// This end closes, by way of the I/O thread.
    pub(crate) fn disconnect(self: &Arc<Self>) {
        let link = self.clone();
        self.broker.call_after(move |_| match link.role.end(()) {
            Some(()) => link.end_as_holder(),
            None => link.bell.wake_by_ref(),
        });
    }

    fn end_as_holder(&self) {
        let token = self.token.lock().take();
        if let Some(token) = token {
            self.ready.remove(stdin().as_fd(), token);
            self.role.finish().iter().for_each(Waiter::promote);
            (self.ended)();
        }
    }

    /// So many calls have followed each other that callers leave the stream disarmed from now on.
    pub(crate) fn has_flow(self: &Arc<Self>) {
        for _ in 0..17 {
            assert!(matches!(self.role.join(|| Waiter(Arc::new(Latch::<()>::new()))), Join::Read { .. }));
            self.role.leave_reading(self, 1);
        }
    }

    /// Somebody waits who does not read.
    pub(crate) fn attend(self: &Arc<Self>) {
        self.role.attend(self);
    }
}

impl Reads<()> for Arc<Link> {
    fn pump(&self, until: Until) -> bool {
        let kernel = self.broker.kernel();
        let (number, more, at_end) = {
            let mut state = kernel.lock();
            let number = state.input.messages.pop();
            let more = !state.input.messages.is_empty();
            // After a short read it is not known whether the other end has closed.
            (number, more, state.input.closed && !more && (number.is_none() || until == Until::Dry))
        };
        if number.is_some_and(|number| !(self.sink)(number)) {
            self.role.not_only_answers();
        }
        if at_end {
            assert!(self.role.end(()).is_none(), "this thread has the role");
        }
        more
    }

    fn ask_poller(&self, interest: Interest) {
        let token = *self.token.lock();
        if let Some(token) = token {
            self.ready.modify(stdin().as_fd(), token, interest);
        }
    }

    fn arm_soon(&self) {
        let link = self.clone();
        self.broker.call_after(move |_| {
            if link.role.stays_lazy(&link) {
                link.arm_soon();
            }
        });
    }

    fn end_with_role(&self, (): ()) {
        let link = self.clone();
        self.broker.call_after(move |_| link.end_as_holder());
    }
}

impl Post for Arc<Link> {
    fn waker(&self) -> &Waker {
        &self.bell
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<bool> {
        let kernel = self.broker.kernel();
        let mut state = kernel.lock();
        loop {
            let readable = !state.input.messages.is_empty() || state.input.closed;
            if std::mem::take(&mut state.input.interrupted) || readable {
                return Some(readable);
            }
            if deadline.is_some() {
                drop(state);
                let_time_pass();
                return None;
            }
            kernel.wait(&mut state);
        }
    }
}

impl Promoted for Waiter {
    fn promote(&self) {
        self.0.promote();
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.0.lock();
        state.input.interrupted = true;
        self.0.changed(state);
    }
}

/// A caller that waits for what comes over a link.
pub(crate) struct Caller<T> {
    pub(crate) latch: Arc<Latch<T>>,
}

impl<T: Send + 'static> Caller<T> {
    pub(crate) fn new() -> Self {
        Self { latch: Arc::new(Latch::new()) }
    }

    /// Waits as a call does; `None` when the time is over.
    pub(crate) fn wait(
        &self,
        link: &Arc<Link>,
        deadline: Option<Instant>,
        meanwhile: Option<&mut dyn FnMut()>,
    ) -> Option<T> {
        let link = Reader { link, latch: &self.latch, has_deadline: deadline.is_some(), began: Instant::now() };
        answer::read_and_wait(&self.latch, &link, deadline, meanwhile)
    }
}

struct Reader<'a, T> {
    link: &'a Arc<Link>,
    latch: &'a Arc<Latch<T>>,
    has_deadline: bool,
    began: Instant,
}

impl<T: Send + 'static> answer::Link for Reader<'_, T> {
    fn is_over(&self) -> bool {
        self.has_deadline && time_is_over()
    }

    fn join(&self) -> Reading {
        match self.link.role.join(|| Waiter(self.latch.clone())) {
            Join::Read { .. } => Reading::Own,
            Join::Wait => Reading::Others,
            Join::Ended => Reading::Nobody,
        }
    }

    fn quit(&self) -> bool {
        self.link.role.quit(&Waiter(self.latch.clone()))
    }

    fn is_ended(&self) -> bool {
        self.link.role.is_ended()
    }

    fn read_until(&self, deadline: Option<Instant>, is_done: impl FnMut(Option<&Waker>) -> bool) -> bool {
        self.link.role.read_until((self.link, self.link), deadline, is_done)
    }

    fn leave_reading(&self) {
        self.link.role.leave_reading(self.link, 1);
    }

    fn attend(&self) {
        self.link.attend();
    }

    /// Any caller may find at any time that it has read for others long enough.
    fn now(&self) -> Instant {
        let long = Duration::from_secs(u64::from(thread_rng().gen_bool(0.5)));
        self.began + long
    }
}
