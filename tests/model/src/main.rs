//! The shells around the state machines, with the model checker's locks and threads in the place of the
//! real ones. Each model is tried in many schedules; a lost wake-up is a deadlock, which it reports
//! together with the schedule.
//!
//! The shells are the files of the crate itself; what they name of it stands below in its place.
//! Run by `.ci/model SCHEDULES`, or `.ci/model SCHEDULES PART` for those whose names contain that.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "each shell is there as a whole")]

#[path = "../../../mitogen-service/src/service/invoker/aggregate.rs"]
mod aggregate;
#[path = "../../../mitogen-service/src/channel/answer.rs"]
mod answer;
mod channel;
#[path = "../../../mitogen-service/src/service/pool/crew.rs"]
mod crew;
mod files;
#[path = "../../../mitogen-service/src/channel/select/gathering.rs"]
mod gathering;
#[path = "../../../mitogen-service/src/hash.rs"]
mod hash;
mod io;
#[path = "../../../mitogen-service/src/channel/select/key.rs"]
mod key;
#[path = "../../../mitogen-service/src/latch.rs"]
mod latch;
#[path = "../../../mitogen-service/src/service/life.rs"]
mod life;
#[path = "../../../mitogen-service/src/channel/select/members.rs"]
mod members;
mod models;
#[path = "../../../mitogen-service/src/panics.rs"]
mod panics;
#[path = "../../../mitogen-service/src/service/pool/queue.rs"]
mod queue;
mod router;
mod service;
mod sync;
#[path = "../../../mitogen-service/src/service/invoker/table.rs"]
mod table;
#[path = "../../../mitogen-service/src/service/pool/turns.rs"]
mod turns;
mod writing;

mod error {
    pub(crate) const SELECT_CLOSED: &str = "closed";

    #[derive(Debug, Default)]
    pub(crate) struct Trace(());

    #[derive(Debug)]
    pub(crate) enum CallError {
        Stopped { trace: Trace },
        Overloaded { what: String, trace: Trace },
        DeadlineExceeded { trace: Trace },
        Failed,
    }
}

mod ledger {
    use shuttle::rand::{Rng, thread_rng};
    use shuttle::sync::atomic::{AtomicBool, Ordering};
    use shuttle::thread::{self, JoinHandle};

    use crate::sync::Mutex;

    #[derive(Default)]
    pub(crate) struct Ledger {
        threads: Mutex<Vec<JoinHandle<()>>>,
        /// Now and then there is no thread.
        is_short: AtomicBool,
    }

    pub(crate) struct Entry;

    impl Ledger {
        /// Those that were started.
        pub(crate) fn threads(&self) -> &Mutex<Vec<JoinHandle<()>>> {
            &self.threads
        }

        pub(crate) fn run_short(&self) {
            self.is_short.store(true, Ordering::SeqCst);
        }

        pub(crate) fn spawn(&self, _: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
            if self.is_short.load(Ordering::SeqCst) && thread_rng().r#gen() {
                return Err(std::io::Error::other("there are no more"));
            }
            let thread = thread::spawn(body);
            self.threads.lock().push(thread);
            Ok(())
        }
    }

    impl Ledger {
        pub(crate) fn fds(&self, _: usize) -> Entry {
            Entry
        }
    }
}

mod wire {
    pub(crate) type Blob = Vec<u8>;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub(crate) struct ContextId(pub(crate) u32);

    impl std::fmt::Display for ContextId {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub(crate) struct Handle(pub(crate) u32);

    impl Handle {
        pub(crate) const NONE: Self = Self(0);
    }

    /// Whose frame it is, which one of them, and how much follows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Header {
        pub(crate) sender: u8,
        pub(crate) number: u8,
        pub(crate) length: u32,
    }

    #[derive(Debug)]
    pub(crate) struct Message {
        pub(crate) header: Header,
        pub(crate) payload: bytes::Bytes,
    }

    impl Header {
        pub(crate) const LEN: usize = 8;

        pub(crate) fn encode(&self) -> [u8; Self::LEN] {
            let [one, two, three, four] = self.length.to_be_bytes();
            [0xaa, self.sender, self.number, 0xbb, one, two, three, four]
        }

        pub(crate) fn decode([first, sender, number, last, length @ ..]: [u8; Self::LEN]) -> Self {
            assert_eq!((first, last), (0xaa, 0xbb), "a frame begins where one has ended");
            Self { sender, number, length: u32::from_be_bytes(length) }
        }
    }

    /// What is in front of a message makes no difference to who carries it, so there is nothing here.
    pub(crate) const FILLER: [u8; 0] = [];

    impl Message {
        pub(crate) fn filler() -> Self {
            unreachable!("an empty one is not cut")
        }

        pub(crate) fn new(sender: u8, number: u8, size: usize) -> Self {
            static PAYLOAD: [u8; 256 * 1024] = [0; 256 * 1024];
            Self {
                header: Header { sender, number, length: size as u32 },
                payload: bytes::Bytes::from_static(&PAYLOAD[..size]),
            }
        }

        pub(crate) fn size(&self) -> usize {
            Header::LEN + self.payload.len()
        }
    }
}

fn main() {
    let schedules: Option<usize> = std::env::args().nth(1).and_then(|schedules| schedules.parse().ok());
    let schedules = schedules.expect("the number of schedules for each model");
    let part = std::env::args().nth(2).unwrap_or_default();
    for (name, model) in models::ALL.into_iter().filter(|(name, _)| name.contains(&part)) {
        let began = std::time::Instant::now();
        // Half of them at random, half with few changes of priority, which finds what is rare at random.
        shuttle::check_random(model, schedules / 2);
        shuttle::check_pct(model, schedules / 2, 3);
        println!("{name}: {schedules} schedules in {:.1?}", began.elapsed());
    }
}
