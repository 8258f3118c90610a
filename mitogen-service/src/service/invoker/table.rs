//! Which calls run, which wait for those, and what is kept of their results: a plain state machine.
//!
//! It never drops a waiter, whose drop may answer a call: it takes them in, and gives them back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::service::in_flight::CallId;

/// What an entry is counted with beside its key and its value: about what the maps use for it.
const OVERHEAD: usize = 256;

/// What calls have to have in common to be one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The number of the service; an invoker may be shared by several.
    pub(super) service: u64,
    pub(super) method: &'static str,
    /// The arguments, written in the one way in which they can be.
    pub(super) args: Bytes,
}

/// Who waits for a result.
pub(super) trait Waiter {
    /// Whether it does not wait any more. Once it says so it must go on to.
    fn is_gone(&self) -> bool;
}

/// What is kept at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// The name of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

/// A call that asks for a result.
pub(super) struct Asker<'a, W> {
    /// The name of the call, unless nobody waits for it.
    pub(super) id: Option<CallId>,
    /// The calls that wait for it.
    pub(super) chain: &'a [CallId],
    pub(super) waiter: W,
}

/// What a call is told.
pub(super) enum Asked<W> {
    /// The result is there.
    Kept(Bytes, W),
    /// Another call executes; this one waits for that.
    Waits,
    /// It has to execute, and to say so when it has: [`Table::finish`].
    Runs(Ticket),
    /// It would wait for itself.
    Circle(W),
}

/// The executions and the results of an invoker.
pub(super) struct Table<W> {
    limits: Limits,
    kept: HashMap<Key, Kept>,
    /// The keys of what is kept, in the order of their last use and in that of their age.
    by_use: BTreeMap<u64, Key>,
    by_age: BTreeMap<u64, Key>,
    /// What all that is kept is counted with.
    bytes: usize,
    /// Numbers uses, entries and executions.
    ticks: u64,
    runs: HashMap<Ticket, Run<W>>,
    /// The executions that a call may join, and whose results may be kept.
    current: HashMap<Key, Ticket>,
    /// Which calls execute.
    executors: HashMap<CallId, Ticket>,
}

struct Kept {
    value: Bytes,
    since: Instant,
    size: usize,
    /// Its places in `by_use` and `by_age`.
    used: u64,
    entered: u64,
}

struct Run<W> {
    key: Key,
    executor: Option<CallId>,
    /// The call that executes is the first of them.
    waiters: Vec<W>,
    /// How many of them, from the first on, are known to be gone.
    gone: usize,
    /// The executions that cannot end before this one.
    awaited_by: HashSet<Ticket>,
}

impl<W: Waiter> Run<W> {
    /// Whether nobody waits any more. Each waiter is asked until it says once that it is gone.
    fn is_abandoned(&mut self) -> bool {
        let more = self.waiters[self.gone..].iter().take_while(|waiter| waiter.is_gone()).count();
        self.gone += more;
        self.gone == self.waiters.len()
    }
}

impl<W: Waiter> Table<W> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            kept: HashMap::new(),
            by_use: BTreeMap::new(),
            by_age: BTreeMap::new(),
            bytes: 0,
            ticks: 0,
            runs: HashMap::new(),
            current: HashMap::new(),
            executors: HashMap::new(),
        }
    }

    /// How many results are kept, and what they take.
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }

    /// The bounds, which hold for what is kept from now on.
    pub(super) fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// A call asks for the result of a key.
    pub(super) fn ask(&mut self, key: Key, asker: Asker<'_, W>, now: Instant) -> Asked<W> {
        if let Some(value) = self.look_up(&key, now) {
            return Asked::Kept(value, asker.waiter);
        }
        let waiting: Vec<_> = asker.chain.iter().filter_map(|id| self.executors.get(id).copied()).collect();
        if let Some(&ticket) = self.current.get(&key) {
            if self.waits_for_any(ticket, &waiting) {
                return Asked::Circle(asker.waiter);
            }
            if let Some(run) = self.runs.get_mut(&ticket)
                && !run.is_abandoned()
            {
                run.waiters.push(asker.waiter);
                run.awaited_by.extend(waiting);
                return Asked::Waits;
            }
            // It may have seen that nobody waits, and come to an early end.
        }
        Asked::Runs(self.start(key, asker, waiting))
    }

    fn start(&mut self, key: Key, asker: Asker<'_, W>, waiting: Vec<Ticket>) -> Ticket {
        let ticket = Ticket(self.tick());
        self.current.insert(key.clone(), ticket);
        if let Some(id) = asker.id {
            self.executors.insert(id, ticket);
        }
        let awaited_by = waiting.into_iter().collect();
        self.runs.insert(ticket, Run { key, executor: asker.id, waiters: vec![asker.waiter], gone: 0, awaited_by });
        ticket
    }

    /// Whether an execution cannot end before one of these has.
    fn waits_for_any(&self, ticket: Ticket, others: &[Ticket]) -> bool {
        let mut seen: HashSet<Ticket> = others.iter().copied().collect();
        let mut todo = others.to_vec();
        while let Some(next) = todo.pop() {
            if next == ticket {
                return true;
            }
            if let Some(run) = self.runs.get(&next) {
                todo.extend(run.awaited_by.iter().filter(|other| seen.insert(**other)));
            }
        }
        false
    }

    /// Whether nobody waits for the end of an execution.
    pub(super) fn is_abandoned(&mut self, ticket: Ticket) -> bool {
        self.runs.get_mut(&ticket).is_none_or(Run::is_abandoned)
    }

    /// An execution has come to its end; gives who has waited for it. Its result is kept, if there is
    /// one to keep, unless results of its time are not valid any more.
    pub(super) fn finish(&mut self, ticket: Ticket, keep: Option<Bytes>, now: Instant) -> Vec<W> {
        let Some(run) = self.runs.remove(&ticket) else { return Vec::new() };
        if let Some(id) = run.executor.filter(|id| self.executors.get(id) == Some(&ticket)) {
            self.executors.remove(&id);
        }
        if self.current.get(&run.key) == Some(&ticket) {
            self.current.remove(&run.key);
            if let Some(value) = keep {
                self.keep(run.key, value, now);
            }
        }
        run.waiters
    }

    /// What there is of a method, or of all of them, is not valid any more. Who waits goes on to.
    pub(super) fn invalidate(&mut self, method: Option<&str>) {
        let is_meant = |key: &Key| method.is_none_or(|method| key.method == method);
        self.current.retain(|key, _| !is_meant(key));
        let keys: Vec<_> = self.kept.keys().filter(|key| is_meant(key)).cloned().collect();
        for key in keys {
            self.forget(&key);
        }
    }

    fn look_up(&mut self, key: &Key, now: Instant) -> Option<Bytes> {
        let used = self.tick();
        let age = self.limits.age;
        let kept = self.kept.get_mut(key)?;
        if is_old(kept, age, now) {
            self.forget(key);
            return None;
        }
        self.by_use.remove(&kept.used);
        self.by_use.insert(used, key.clone());
        kept.used = used;
        Some(kept.value.clone())
    }

    fn keep(&mut self, key: Key, value: Bytes, now: Instant) {
        let Limits { entries, bytes, .. } = self.limits;
        let size = key.args.len() + value.len() + OVERHEAD;
        if size > bytes || entries == 0 {
            return;
        }
        self.forget(&key);
        self.forget_old(now);
        while self.kept.len() >= entries || self.bytes + size > bytes {
            let Some((_, least)) = self.by_use.first_key_value() else { break };
            let least = least.clone();
            self.forget(&least);
        }
        let (used, entered) = (self.tick(), self.tick());
        self.by_use.insert(used, key.clone());
        self.by_age.insert(entered, key.clone());
        self.bytes += size;
        self.kept.insert(key, Kept { value, since: now, size, used, entered });
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((_, oldest)) = self.by_age.first_key_value() {
            if !self.kept.get(oldest).is_some_and(|kept| is_old(kept, self.limits.age, now)) {
                break;
            }
            let oldest = oldest.clone();
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.by_use.remove(&kept.used);
            self.by_age.remove(&kept.entered);
            self.bytes -= kept.size;
        }
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}

fn is_old(kept: &Kept, age: Duration, now: Instant) -> bool {
    now.saturating_duration_since(kept.since) >= age
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{ContextId, Handle};

    /// A waiter with a name, who may go away.
    #[derive(Clone, Debug)]
    struct Named(usize, Rc<Cell<bool>>);

    impl Named {
        fn new(name: usize) -> Self {
            Self(name, Rc::default())
        }
    }

    impl Waiter for Named {
        fn is_gone(&self) -> bool {
            self.1.get()
        }
    }

    const METHODS: [&str; 2] = ["one", "two"];

    fn key(method: usize, args: u8) -> Key {
        Key { service: 0, method: METHODS[method], args: Bytes::copy_from_slice(&[args]) }
    }

    fn call(number: usize) -> CallId {
        (ContextId::ROOT, Handle::new(1000 + number as u32))
    }

    fn ask(table: &mut Table<Named>, key: Key, name: usize, chain: &[usize]) -> Asked<Named> {
        let chain: Vec<_> = chain.iter().map(|number| call(*number)).collect();
        let asker = Asker { id: Some(call(name)), chain: &chain, waiter: Named::new(name) };
        table.ask(key, asker, Instant::now())
    }

    fn run(table: &mut Table<Named>, key: Key, name: usize, chain: &[usize]) -> Ticket {
        match ask(table, key, name, chain) {
            Asked::Runs(ticket) => ticket,
            _ => panic!("{name} does not run"),
        }
    }

    fn names(waiters: Vec<Named>) -> Vec<usize> {
        waiters.into_iter().map(|waiter| waiter.0).collect()
    }

    const WIDE: Limits = Limits { entries: 10, bytes: 1 << 20, age: Duration::from_secs(60) };

    #[test]
    fn one_runs_for_all_and_the_result_is_kept() {
        let mut table = Table::new(WIDE);
        let ticket = run(&mut table, key(0, 0), 1, &[]);
        assert!(matches!(ask(&mut table, key(0, 0), 2, &[]), Asked::Waits));
        run(&mut table, key(0, 1), 3, &[]);
        run(&mut table, key(1, 0), 4, &[]);
        assert_eq!(names(table.finish(ticket, Some(Bytes::from_static(b"x")), Instant::now())), [1, 2]);
        assert!(matches!(ask(&mut table, key(0, 0), 5, &[]), Asked::Kept(value, _) if value == "x"));
        assert!(table.finish(ticket, None, Instant::now()).is_empty(), "it ends once");
    }

    #[test]
    fn a_service_has_results_of_its_own() {
        let mut table = Table::new(WIDE);
        let ticket = run(&mut table, key(0, 0), 1, &[]);
        table.finish(ticket, Some(Bytes::new()), Instant::now());
        run(&mut table, Key { service: 1, ..key(0, 0) }, 2, &[]);
    }

    #[test]
    fn a_call_that_would_wait_for_itself_is_told() {
        let mut table = Table::new(WIDE);
        run(&mut table, key(0, 0), 1, &[]);
        assert!(matches!(ask(&mut table, key(0, 0), 2, &[7, 1]), Asked::Circle(Named(2, _))));
        // The first one waits for a second one, which comes back to the first.
        run(&mut table, key(0, 1), 3, &[1]);
        assert!(matches!(ask(&mut table, key(0, 0), 4, &[3]), Asked::Circle(_)));
        assert!(matches!(ask(&mut table, key(0, 0), 5, &[6]), Asked::Waits), "others may wait");
    }

    #[test]
    fn executions_that_would_wait_for_one_another_are_told() {
        let mut table = Table::new(WIDE);
        run(&mut table, key(0, 0), 1, &[]);
        run(&mut table, key(0, 1), 2, &[]);
        assert!(matches!(ask(&mut table, key(0, 1), 3, &[1]), Asked::Waits), "the first one waits for the second");
        assert!(matches!(ask(&mut table, key(0, 0), 4, &[2]), Asked::Circle(_)), "and the second for the first");
    }

    #[test]
    fn an_execution_is_abandoned_once_all_are_gone_and_then_joined_by_nobody() {
        let mut table = Table::new(WIDE);
        let waiters: [Named; 3] = std::array::from_fn(Named::new);
        let mut asked = waiters.iter().map(|waiter| {
            let asker = Asker { id: Some(call(waiter.0)), chain: &[], waiter: waiter.clone() };
            table.ask(key(0, 0), asker, Instant::now())
        });
        let Some(Asked::Runs(ticket)) = asked.next() else { panic!("the first one runs") };
        assert!(asked.all(|asked| matches!(asked, Asked::Waits)));
        for at in [0, 2] {
            waiters[at].1.set(true);
            assert!(!table.is_abandoned(ticket), "{at}");
        }
        waiters[1].1.set(true);
        assert!(table.is_abandoned(ticket));
        let next = run(&mut table, key(0, 0), 4, &[]);
        assert_eq!(names(table.finish(ticket, Some(Bytes::new()), Instant::now())), [0, 1, 2]);
        assert!(matches!(ask(&mut table, key(0, 0), 5, &[]), Asked::Waits), "its result is not kept");
        assert_eq!(names(table.finish(next, None, Instant::now())), [4, 5]);
    }

    #[test]
    fn what_has_begun_before_is_neither_joined_nor_kept_after_an_invalidation() {
        let mut table = Table::new(WIDE);
        let tickets = [0, 1].map(|method| run(&mut table, key(method, 0), method, &[]));
        table.invalidate(Some("one"));
        let next = run(&mut table, key(0, 0), 5, &[]);
        assert!(matches!(ask(&mut table, key(1, 0), 6, &[]), Asked::Waits), "another method is not meant");
        table.finish(next, Some(Bytes::from_static(b"new")), Instant::now());
        table.finish(tickets[0], Some(Bytes::from_static(b"old")), Instant::now());
        assert!(matches!(ask(&mut table, key(0, 0), 7, &[]), Asked::Kept(value, _) if value == "new"));
        table.invalidate(None);
        run(&mut table, key(0, 0), 8, &[]);
        run(&mut table, key(1, 0), 9, &[]);
    }

    #[test]
    fn a_result_that_is_larger_than_all_may_be_is_not_kept_and_removes_nothing() {
        let size = 1 + OVERHEAD;
        let mut table = Table::new(Limits { bytes: size, ..WIDE });
        for (args, value, kept) in [(0, &b""[..], true), (1, b"x", false)] {
            let ticket = run(&mut table, key(0, args), 0, &[]);
            table.finish(ticket, Some(Bytes::from_static(value)), Instant::now());
            assert_eq!(matches!(ask(&mut table, key(0, args), 0, &[]), Asked::Kept(..)), kept);
        }
        assert!(matches!(ask(&mut table, key(0, 0), 0, &[]), Asked::Kept(..)));
    }

    // ---- against a list of what was kept ----

    #[derive(Clone, Debug)]
    enum Op {
        Ask { key: (usize, u8) },
        Finish { run: usize, size: Option<u8> },
        Leave { waiter: usize },
        Invalidate(Option<usize>),
        Pass { seconds: u8 },
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0..2_usize, 0..4_u8).prop_map(|key| Op::Ask { key }),
            4 => (any::<usize>(), proptest::option::weighted(0.9, any::<u8>()))
                .prop_map(|(run, size)| Op::Finish { run, size }),
            1 => any::<usize>().prop_map(|waiter| Op::Leave { waiter }),
            1 => proptest::option::of(0..2_usize).prop_map(Op::Invalidate),
            2 => (0..8_u8).prop_map(|seconds| Op::Pass { seconds }),
        ]
    }

    const NARROW: Limits = Limits { entries: 3, bytes: 3 * OVERHEAD + 400, age: Duration::from_secs(10) };

    /// Everything in lists, looked through from the beginning.
    #[derive(Default)]
    struct Oracle {
        /// What is kept, the least used one first.
        kept: Vec<((usize, u8), Bytes, Duration)>,
        runs: Vec<OracleRun>,
    }

    struct OracleRun {
        key: (usize, u8),
        ticket: Ticket,
        waiters: Vec<Named>,
        is_current: bool,
    }

    impl Oracle {
        fn expire(&mut self, now: Duration) {
            self.kept.retain(|(.., since)| now - *since < NARROW.age);
        }

        fn kept(&mut self, key: (usize, u8), now: Duration) -> Option<Bytes> {
            self.expire(now);
            let at = self.kept.iter().position(|kept| kept.0 == key)?;
            let kept = self.kept.remove(at);
            let value = kept.1.clone();
            self.kept.push(kept);
            Some(value)
        }

        fn running(&mut self, key: (usize, u8)) -> Option<&mut OracleRun> {
            self.runs.iter_mut().find(|run| run.key == key && run.is_current)
        }

        fn keep(&mut self, key: (usize, u8), value: Bytes, now: Duration) {
            let size = |value: &Bytes| value.len() + 1 + OVERHEAD;
            if size(&value) > NARROW.bytes {
                return;
            }
            self.expire(now);
            self.kept.push((key, value, now));
            while self.kept.len() > NARROW.entries
                || self.kept.iter().map(|kept| size(&kept.1)).sum::<usize>() > NARROW.bytes
            {
                self.kept.remove(0);
            }
        }
    }

    proptest! {
        #[test]
        fn every_call_runs_waits_or_is_answered_as_a_list_would_have_it(
            ops in proptest::collection::vec(op(), 0..120),
        ) {
            let (start, mut now) = (Instant::now(), Duration::ZERO);
            let (mut table, mut oracle) = (Table::new(NARROW), Oracle::default());
            let mut waiters: Vec<Named> = Vec::new();
            for op in ops {
                match op {
                    Op::Ask { key: (method, args) } => {
                        let waiter = Named::new(waiters.len());
                        waiters.push(waiter.clone());
                        let asker = Asker { id: Some(call(waiter.0)), chain: &[], waiter: waiter.clone() };
                        let asked = table.ask(key(method, args), asker, start + now);
                        if let Some(value) = oracle.kept((method, args), now) {
                            prop_assert!(matches!(asked, Asked::Kept(kept, _) if kept == value));
                            continue;
                        }
                        if let Some(run) = oracle.running((method, args)) {
                            if !run.waiters.iter().all(|waiter| waiter.1.get()) {
                                prop_assert!(matches!(asked, Asked::Waits));
                                run.waiters.push(waiter);
                                continue;
                            }
                            run.is_current = false;
                        }
                        let Asked::Runs(ticket) = asked else { panic!("it does not run") };
                        let run = OracleRun { key: (method, args), ticket, waiters: vec![waiter], is_current: true };
                        oracle.runs.push(run);
                    }
                    Op::Finish { run, size } => {
                        if oracle.runs.is_empty() {
                            continue;
                        }
                        let run = oracle.runs.remove(run % oracle.runs.len());
                        let gone = run.waiters.iter().all(|waiter| waiter.1.get());
                        prop_assert_eq!(table.is_abandoned(run.ticket), gone);
                        let value = size.map(|size| Bytes::from(vec![size; usize::from(size) * 4]));
                        let told = names(table.finish(run.ticket, value.clone(), start + now));
                        prop_assert_eq!(told, names(run.waiters));
                        if let Some(value) = value.filter(|_| run.is_current) {
                            oracle.keep(run.key, value, now);
                        }
                    }
                    Op::Leave { waiter } => {
                        if !waiters.is_empty() {
                            waiters[waiter % waiters.len()].1.set(true);
                        }
                    }
                    Op::Invalidate(method) => {
                        table.invalidate(method.map(|method| METHODS[method]));
                        let is_meant = |key: (usize, u8)| method.is_none_or(|method| key.0 == method);
                        oracle.kept.retain(|kept| !is_meant(kept.0));
                        oracle.runs.iter_mut().filter(|run| is_meant(run.key)).for_each(|run| run.is_current = false);
                    }
                    Op::Pass { seconds } => now += Duration::from_secs(u64::from(seconds)),
                }
                prop_assert!(table.kept.len() <= NARROW.entries && table.bytes <= NARROW.bytes);
                prop_assert_eq!(table.kept.len(), table.by_use.len());
                prop_assert_eq!(table.kept.len(), table.by_age.len());
                prop_assert_eq!(table.runs.len(), oracle.runs.len());
                prop_assert_eq!(table.executors.len(), oracle.runs.len());
            }
        }
    }
}
