//! The end of a pool: what is queued is answered, the threads leave, and the services are told.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::Level;

use super::job::Job;
use super::shared::{Shared, stopped};
use super::threads::Running;
use crate::io::StreamId;
use crate::latch::Latch;
use crate::panics;
use crate::router::Workers;
use crate::service::hosted::Hosted;
use crate::service::nesting;
use crate::wire::ContextId;

/// How long services may take to say farewell, beyond what their methods may.
const FAREWELL: Duration = Duration::from_millis(300);

impl Shared {
    /// Takes no more calls, and answers those that are queued.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.answer_stopped(self.queue.close());
    }

    /// Begins to tell the services of the end, on a thread of its own, since their code may not come
    /// back. Where somebody else tells one of them, waits for that until `deadline`. Gives what is filled
    /// when all have been told, or nothing if there is nobody to tell.
    fn begin_farewell(&self, deadline: Instant) -> Option<Arc<Latch<()>>> {
        if !self.stopped.load(Ordering::SeqCst) {
            return None;
        }
        let services = self.to_be_told();
        if services.is_empty() {
            return None;
        }
        let done = Arc::new(Latch::new());
        let told = done.clone();
        let thread = self.core.ledger().spawn("mitogen-farewell", move || {
            say_farewell(services, deadline);
            told.put(());
        });
        if let Err(error) = thread {
            self.core.log(Level::ERROR, format!("cannot start a thread to run `on_shutdown`: {error}"));
            return None;
        }
        Some(done)
    }

    /// The services that are there and have not been told of the end.
    fn to_be_told(&self) -> Vec<Hosted> {
        self.queue.services().into_iter().filter(Hosted::waits_for_farewell).collect()
    }

    /// Waits until the services that are told of the end have been.
    fn end_farewell(&self, told: Option<Arc<Latch<()>>>, deadline: Instant) {
        if told.is_some_and(|told| told.wait(Some(deadline)).is_none()) {
            self.core.log(Level::WARN, "an `on_shutdown` still runs, and is left alone".to_owned());
        }
    }

    /// Lets the services go, if no thread is left that could be in one of them. Otherwise they stay until
    /// the pool goes.
    fn release_services(&self) {
        if self.threads.all_left() {
            for service in self.queue.clear() {
                panics::contain(|| drop(service));
            }
        }
    }

    pub(super) fn answer_stopped(&self, jobs: Vec<Job>) {
        for job in jobs {
            match job {
                // It was admitted, so there are only so many.
                Job::Call(call) => call.responder.fail(&stopped()),
                // What it owns is a user's.
                Job::Deferred(f) => panics::contain(|| drop(f)),
                Job::Message(_) => {}
            }
        }
    }

    /// Waits for the threads, and then until the services have been told of the end and are gone.
    pub(super) fn join(&self, deadline: Instant) -> Vec<Running> {
        let running = self.threads.join(deadline);
        let deadline = deadline + FAREWELL;
        self.end_farewell(self.begin_farewell(deadline), deadline);
        self.release_services();
        running
    }
}

/// What belongs to users may go with the last who knows the pool, and that may be the I/O thread.
impl Drop for Shared {
    fn drop(&mut self) {
        let (services, jobs) = (self.queue.clear(), self.queue.close());
        let activation = self.activation.take();
        self.core.drop_aside([(services, jobs, activation)]);
    }
}

impl Workers for Shared {
    fn stop(&self) {
        self.stop();
    }

    fn join(&self, deadline: Instant) {
        for Running { service, method, elapsed } in self.threads.join(deadline) {
            let what = format!("'{method}' of service '{service}' still runs after {elapsed:?}, and is left alone");
            self.core.log(Level::WARN, what);
        }
    }

    fn waits_for_farewell(&self) -> bool {
        self.queue.any_service(Hosted::waits_for_farewell)
    }

    fn farewell(&self, deadline: Instant) {
        say_farewell(self.to_be_told(), deadline);
    }

    fn begin_farewell(&self, deadline: Instant) -> Option<Arc<Latch<()>>> {
        self.begin_farewell(deadline)
    }

    fn end_farewell(&self, told: Option<Arc<Latch<()>>>, deadline: Instant) {
        self.end_farewell(told, deadline);
        self.release_services();
    }

    fn settle(&self, deadline: Instant) {
        self.in_flight.settle(deadline, &nesting::waited_for(&self.core));
    }

    fn is_idle(&self) -> bool {
        self.threads.all_left() && !self.waits_for_farewell() && self.in_flight.total().0 == 0
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn relieved(&self, stream: StreamId) {
        self.queue.release(stream);
    }

    fn callers_gone(&self, callers: &[ContextId]) {
        self.in_flight.cancel_all_of(callers);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Tells services of the end; where somebody else does so, waits for that until `deadline`.
fn say_farewell(services: Vec<Hosted>, deadline: Instant) {
    // Those come first that nobody tells yet: another one may take its time.
    for deadline in [Instant::now(), deadline] {
        for service in &services {
            service.farewell(deadline);
        }
    }
    // Before others go on, who let go of them as well: they are gone then, and not some time later.
    panics::contain(|| drop(services));
}
