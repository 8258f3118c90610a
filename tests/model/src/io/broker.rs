//! The I/O thread: it serves the streams while it shall, and what is to come after some time comes at any
//! time.

use shuttle::sync::Arc;
use shuttle::thread;

use super::poller::{Interest, Kernel, Poller, Work};
use super::ready::{Ready, Seat};
use crate::sync::Mutex;

#[derive(Clone, Default)]
pub(crate) struct BrokerHandle {
    kernel: Arc<Mutex<Option<Arc<Kernel>>>>,
}

impl BrokerHandle {
    /// Starts the thread; it ends when it is [stopped](Self::stop).
    pub(crate) fn start(ready: &std::sync::Arc<Ready>) -> (Self, thread::JoinHandle<()>) {
        let broker = Self::default();
        ready.attach(broker.clone()).unwrap();
        let (on_thread, ready) = (broker.clone(), ready.clone());
        let thread = thread::spawn(move || {
            let mut seat = Seat::of_broker();
            loop {
                // The others get on as well, however often it is woken.
                thread::yield_now();
                match on_thread.kernel().next_work() {
                    Work::Serve => ready.serve(&mut seat).unwrap(),
                    Work::Job(job) => job(&on_thread),
                    Work::Stop => return ready.detach(),
                }
            }
        });
        (broker, thread)
    }

    pub(crate) fn stop(&self) {
        let kernel = self.kernel();
        let mut state = kernel.lock();
        state.stopping = true;
        kernel.changed(state);
    }

    pub(crate) fn kernel(&self) -> Arc<Kernel> {
        self.kernel.lock().clone().expect("it has begun to watch")
    }

    pub(crate) fn call_after(&self, job: impl FnOnce(&Self) + Send + 'static) {
        let kernel = self.kernel();
        let mut state = kernel.lock();
        state.jobs.push(Box::new(job));
        kernel.changed(state);
    }

    pub(super) fn add_ready(&self, ready: &Poller, interest: Interest) -> std::io::Result<()> {
        *self.kernel.lock() = Some(ready.kernel().clone());
        self.watch_ready(ready, interest);
        Ok(())
    }

    pub(super) fn watch_ready(&self, ready: &Poller, interest: Interest) {
        ready.kernel().io_watches(interest == Interest::Read);
    }
}
