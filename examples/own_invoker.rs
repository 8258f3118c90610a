//! An invoker of one's own: a service that runs at most two calls at a time, on a pool of four threads.
//!
//! `cargo run --example own_invoker`
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mitogen_service::{AllowAny, Authorized, Invoker, Pool, Router, service};

/// Runs at most so many calls at a time. The others wait here, and hold no thread.
struct AtMost {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: VecDeque<Authorized>,
}

impl AtMost {
    fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Takes a call in; gives it back if it may run.
    fn enter(&self, call: Authorized) -> Option<Authorized> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.running == self.most {
            state.waiting.push_back(call);
            return None;
        }
        state.running += 1;
        Some(call)
    }

    /// A call has run; gives the next one.
    fn leave(&self) -> Option<Authorized> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = state.waiting.pop_front();
        state.running -= usize::from(next.is_none());
        next
    }
}

impl Invoker for AtMost {
    fn invoke(&self, call: Authorized) {
        let mut next = self.enter(call);
        while let Some(call) = next {
            // It answers the caller, also if the method panics.
            call.run();
            next = self.leave();
        }
    }
}

/// A disk that does not like more than two readers.
#[derive(Default)]
struct Disk {
    readers: AtomicUsize,
    most: AtomicUsize,
}

#[service(invoker = AtMost::new(2))]
impl Disk {
    #[expose(policy = AllowAny)]
    fn read(&self, block: usize) -> usize {
        let readers = self.readers.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(readers, Ordering::SeqCst);
        // Disks take their time.
        thread::sleep(Duration::from_millis(5));
        self.readers.fetch_sub(1, Ordering::SeqCst);
        block * 512
    }

    #[expose(policy = AllowAny)]
    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

#[mitogen_service::main]
fn main(router: &Router) -> mitogen_service::Result<()> {
    let pool = Pool::builder(router).size(4).service(Disk::default()).start()?;
    let disk = Disk::stub(&router.myself());
    let calls: Vec<_> = (0..20).map(|block| disk.read(block)).collect();
    for (block, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait()?, block * 512);
    }
    let most = disk.most().wait()?;
    assert!((1..=2).contains(&most), "{most} readers at a time");
    println!("20 calls, at most {most} of them at a time");
    pool.close(Duration::from_secs(1));
    Ok(())
}
