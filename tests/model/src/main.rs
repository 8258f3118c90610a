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
#[path = "../../../mitogen-service/src/service/pool/crew.rs"]
mod crew;
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
mod sync;
#[path = "../../../mitogen-service/src/service/invoker/table.rs"]
mod table;
#[path = "../../../mitogen-service/src/service/pool/turns.rs"]
mod turns;

mod error {
    pub(crate) const SELECT_CLOSED: &str = "closed";
}

mod channel {
    pub(crate) mod mailbox {
        pub(crate) type Notify = std::sync::Arc<dyn Fn() + Send + Sync>;
    }
}

mod ledger {
    #[derive(Default)]
    pub(crate) struct Ledger;

    pub(crate) struct Entry;

    impl Ledger {
        pub(crate) fn fds(&self, _: usize) -> Entry {
            Entry
        }
    }
}

mod wire {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub(crate) struct ContextId(pub(crate) u32);

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub(crate) struct Handle(pub(crate) u32);
}

mod service {
    pub(crate) mod in_flight {
        pub(crate) type CallId = (crate::wire::ContextId, crate::wire::Handle);
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
