//! Whoever waits says since when and for what, and one thread looks whether that ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{PATIENCE, tell};

/// What is waited for at this moment.
#[derive(Default)]
struct State {
    waits: Mutex<BTreeMap<u64, Wait>>,
    next: AtomicU64,
    over: AtomicBool,
}

struct Wait {
    who: String,
    what: String,
    since: Instant,
}

pub(crate) struct Watchdog {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

/// Takes word of those who wait.
#[derive(Clone)]
pub(crate) struct Watched(Arc<State>);

/// Something is under way until this is dropped.
pub(crate) struct Waiting {
    state: Arc<State>,
    number: u64,
}

impl Watchdog {
    pub(crate) fn start() -> Self {
        let state = Arc::<State>::default();
        let thread = thread::spawn({
            let state = state.clone();
            move || state.watch()
        });
        Self { state, thread }
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched(self.state.clone())
    }

    pub(crate) fn begins(&self, who: &str, what: &str) -> Waiting {
        self.watched().begins(who, what)
    }

    pub(crate) fn stop(self) {
        self.state.over.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        self.thread.join().unwrap();
    }
}

impl Watched {
    pub(crate) fn begins(&self, who: &str, what: &str) -> Waiting {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let wait = Wait { who: who.to_owned(), what: what.to_owned(), since: Instant::now() };
        self.0.waits.lock().unwrap().insert(number, wait);
        Waiting { state: self.0.clone(), number }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.state.waits.lock().unwrap().remove(&self.number);
    }
}

impl State {
    fn watch(&self) {
        while !self.over.load(Ordering::SeqCst) {
            thread::park_timeout(Duration::from_millis(500));
            let waits = self.waits.lock().unwrap();
            if waits.values().any(|wait| wait.since.elapsed() > PATIENCE) {
                for Wait { who, what, since } in waits.values() {
                    tell(&format!("{who} waits for {what}, {:.1?}", since.elapsed()));
                }
                tell_threads();
                if std::env::var_os("SOAK_HOLD").is_some() {
                    tell(&format!("process {} is there for a debugger", std::process::id()));
                    thread::sleep(Duration::MAX);
                }
                tell("something hangs");
                std::process::abort();
            }
        }
    }
}

/// What each thread of this process does, as the kernel sees it.
fn tell_threads() {
    for task in std::fs::read_dir("/proc/self/task").expect("/proc is there").flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let call = read("syscall");
        let call = call.split_whitespace().next().unwrap_or("-");
        println!(
            "thread {} {}: system call {call}, in {}",
            task.file_name().display(),
            read("comm").trim(),
            read("wchan")
        );
    }
}
