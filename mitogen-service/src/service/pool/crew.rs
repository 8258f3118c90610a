//! How many threads a pool needs at a moment: a plain state machine without locks or threads.
//!
//! A thread of a pool is in one of four states. One is the *reader*: it has nothing to do, and waits for
//! a stream that can be read or for help to be wanted. Others that have nothing to do are *parked*. A
//! thread is *slow* while it runs something that may take long or wait, which is everything that is not
//! known to be fast. And it is *coming* in between: it reads, or runs a method that is known to be fast,
//! and looks for the next job soon.
//!
//! There is one reader because the answer to a call wakes the caller at once, on the same CPU: the next
//! call comes before the thread that has sent the answer is back. With a second reader that one would be
//! woken, to find the first one's locks held.
//!
//! To wake a thread for a job costs more than a fast method, so nobody is woken for what a coming thread
//! will take. The rules are:
//!
//! * A job that is pushed wakes a parked thread if there is one, or else the reader; if there is neither
//!   and none is coming, a thread is started, until there are as many as the pool may have.
//! * A thread that becomes slow while jobs wait does the same for those it leaves behind. So helpers are
//!   woken in a chain, one after the other.
//! * While there is no reader and nobody is coming, the router's I/O thread looks after the streams (*the
//!   watch*): it reads, queues, and executes nothing.
//!
//! A method that was fast may block all the same. So one is trusted only while a *tick* runs, which
//! comes every few milliseconds while calls flow: if it finds that few jobs were taken since the last
//! tick it ends, and those who run a trusted method at this moment are slow from then on.

/// What is to be done after an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// Wake one thread that is parked.
    pub(super) unpark: bool,
    /// Wake the reader.
    pub(super) help: bool,
    /// Start one more thread; if that fails, [`Crew::not_started`].
    pub(super) start: bool,
    /// From now on the I/O thread looks after the streams, or does not.
    pub(super) watch: Option<bool>,
    /// Begin to call [`Crew::tick`] again and again.
    pub(super) tick: bool,
}

/// How many calls of fast methods between two ticks make it worth to tick.
const FLOW: u32 = 8;

/// What a thread does that finds no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is the reader, until it [comes](Crew::comes).
    Read,
    /// It waits until it is unparked, which makes it a coming one.
    Park,
}

/// What a thread runs, for [`Crew::ran`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// It is slow meanwhile.
    Slow,
    /// It is coming, unless the ticks have ended since; they are numbered.
    Trusted(u64),
}

/// The threads of a pool.
#[derive(Debug)]
pub(super) struct Crew {
    size: usize,
    started: usize,
    reader: bool,
    parked: usize,
    slow: usize,
    /// The coming ones that run a method which is known to be fast.
    trusted: usize,
    /// A wake-up is under way to the reader.
    helping: bool,
    /// The I/O thread looks after the streams.
    watched: bool,
    ticking: bool,
    /// How often the ticks have ended.
    generation: u64,
    /// Jobs that were taken since the last tick.
    taken: u32,
    /// Calls of fast methods that were not trusted, since no tick runs.
    untrusted: u32,
}

impl Crew {
    /// No thread runs yet; `size` may. The I/O thread looks after the streams.
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            started: 0,
            reader: false,
            parked: 0,
            slow: 0,
            trusted: 0,
            helping: false,
            watched: true,
            ticking: false,
            generation: 0,
            taken: 0,
            untrusted: 0,
        }
    }

    /// One thread more is started, whatever there is to do.
    pub(super) fn start_one(&mut self) {
        self.started += 1;
    }

    /// A thread could not be started.
    pub(super) fn not_started(&mut self) {
        self.started -= 1;
    }

    /// Jobs wait that the calling thread will not take.
    pub(super) fn pushed(&mut self) -> Orders {
        let mut orders = Orders::default();
        self.find_hands(&mut orders);
        orders
    }

    fn find_hands(&mut self, orders: &mut Orders) {
        if self.parked > 0 {
            self.parked -= 1;
            orders.unpark = true;
        } else if self.reader {
            orders.help = !std::mem::replace(&mut self.helping, true);
        } else if self.coming() == 0 && self.started < self.size {
            self.started += 1;
            orders.start = true;
        }
    }

    fn find_watch(&mut self, orders: &mut Orders) {
        if !self.reader && self.coming() == 0 && !self.watched {
            self.watched = true;
            orders.watch = Some(true);
        }
    }

    fn coming(&self) -> usize {
        self.started - usize::from(self.reader) - self.parked - self.slow
    }

    /// A thread has nothing to do.
    pub(super) fn rests(&mut self) -> (Rest, Orders) {
        if self.reader {
            self.parked += 1;
            return (Rest::Park, Orders::default());
        }
        self.reader = true;
        let watch = std::mem::replace(&mut self.watched, false).then_some(false);
        (Rest::Read, Orders { watch, ..Orders::default() })
    }

    /// The reader has waited; `helped` if it was woken to help.
    pub(super) fn comes(&mut self, helped: bool) {
        self.reader = false;
        self.helping &= !helped;
    }

    /// A thread takes a job.
    pub(super) fn takes(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }

    /// A thread is about to run something while `waiting` jobs wait; `fast` if it is known to be.
    pub(super) fn runs(&mut self, fast: bool, waiting: usize) -> (Run, Orders) {
        if fast && self.ticking {
            self.trusted += 1;
            return (Run::Trusted(self.generation), Orders::default());
        }
        self.slow += 1;
        let mut orders = Orders::default();
        if fast {
            self.untrusted += 1;
            self.ticking = self.untrusted >= FLOW;
            orders.tick = self.ticking;
        }
        if waiting > 0 {
            self.find_hands(&mut orders);
        }
        self.find_watch(&mut orders);
        (Run::Slow, orders)
    }

    /// It has run.
    pub(super) fn ran(&mut self, run: Run) {
        match run {
            Run::Trusted(generation) if generation == self.generation => self.trusted -= 1,
            Run::Trusted(_) | Run::Slow => self.slow -= 1,
        }
    }

    /// Some time has passed since the ticks began, or since the last one, and `waiting` jobs wait. Tells
    /// whether to tick on.
    pub(super) fn tick(&mut self, waiting: usize) -> (Orders, bool) {
        let taken = std::mem::take(&mut self.taken);
        self.untrusted = 0;
        if taken >= FLOW {
            return (Orders::default(), true);
        }
        // Whoever is trusted at this moment may take long, and nobody looks after it from now on.
        self.ticking = false;
        self.generation += 1;
        self.slow += std::mem::take(&mut self.trusted);
        let mut orders = Orders::default();
        if waiting > 0 {
            self.find_hands(&mut orders);
        }
        self.find_watch(&mut orders);
        (orders, false)
    }

    /// The ticks cannot begin, or end here.
    pub(super) fn tickless(&mut self) {
        self.ticking = false;
        self.generation += 1;
        self.slow += std::mem::take(&mut self.trusted);
    }

    /// A thread leaves for good. It passes the wake-up of a reader on: that may have been meant for the
    /// one of the pool after this.
    pub(super) fn leaves(&mut self) -> Orders {
        self.started -= 1;
        let mut orders = Orders { help: true, ..Orders::default() };
        self.find_watch(&mut orders);
        orders
    }

    /// All threads shall leave. Gives how many were parked, who are coming now, and whether there is a
    /// reader to be woken.
    pub(super) fn dismiss(&mut self) -> (usize, bool) {
        (std::mem::take(&mut self.parked), self.reader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: Orders = Orders { unpark: false, help: false, start: false, watch: None, tick: false };

    /// A crew whose first thread is the reader.
    fn idle(size: usize) -> Crew {
        let mut crew = Crew::new(size);
        crew.start_one();
        assert_eq!(crew.rests(), (Rest::Read, Orders { watch: Some(false), ..NOTHING }));
        crew
    }

    #[test]
    fn a_slow_method_leaves_the_streams_to_the_io_thread_and_jobs_to_another_thread() {
        let mut crew = idle(2);
        crew.comes(false);
        crew.takes();
        let (run, orders) = crew.runs(false, 0);
        assert_eq!((run, orders), (Run::Slow, Orders { watch: Some(true), ..NOTHING }));
        assert_eq!(crew.pushed(), Orders { start: true, ..NOTHING });
        assert_eq!(crew.pushed(), NOTHING, "the new thread is coming");
        crew.takes();
        assert_eq!(crew.runs(false, 5).1, NOTHING, "there are as many as may be, and it is watched");
        crew.ran(run);
        assert_eq!(crew.rests(), (Rest::Read, Orders { watch: Some(false), ..NOTHING }));
        assert_eq!(crew.pushed(), Orders { help: true, ..NOTHING });
        assert_eq!(crew.pushed(), NOTHING, "one wake-up at a time");
        crew.comes(true);
        assert_eq!(crew.pushed(), NOTHING, "it is coming");
    }

    #[test]
    fn helpers_are_woken_in_a_chain() {
        let mut crew = idle(3);
        for _ in 0..2 {
            crew.start_one();
            assert_eq!(crew.rests(), (Rest::Park, NOTHING));
        }
        crew.comes(false);
        assert_eq!(crew.runs(false, 2).1, Orders { unpark: true, ..NOTHING });
        assert_eq!(crew.runs(false, 1).1, Orders { unpark: true, watch: None, ..NOTHING });
        assert_eq!(crew.runs(false, 0).1, Orders { watch: Some(true), ..NOTHING });
    }

    #[test]
    fn fast_methods_wake_nobody_while_calls_flow_and_one_that_blocks_is_noticed() {
        let mut crew = idle(2);
        crew.comes(false);
        for call in 1..=FLOW {
            let (run, orders) = crew.runs(true, 0);
            assert_eq!((run, orders.tick), (Run::Slow, call == FLOW));
            crew.ran(run);
        }
        for _ in 0..FLOW {
            crew.takes();
            let (run, orders) = crew.runs(true, 3);
            assert_eq!((run, orders), (Run::Trusted(0), NOTHING));
            crew.ran(run);
        }
        assert_eq!(crew.tick(3), (NOTHING, true));
        crew.takes();
        let (blocks, _) = crew.runs(true, 3);
        // The watch was given away by the first calls, when no tick was running.
        assert_eq!(crew.tick(3), (Orders { start: true, ..NOTHING }, false));
        assert_eq!(crew.pushed(), NOTHING, "the new one is coming");
        crew.ran(blocks);
        assert_eq!((crew.slow, crew.trusted), (0, 0));
    }

    #[test]
    fn the_last_one_leaves_the_streams_to_the_io_thread() {
        let mut crew = idle(2);
        crew.start_one();
        crew.rests();
        assert_eq!(crew.dismiss(), (1, true));
        assert_eq!(crew.leaves(), Orders { help: true, ..NOTHING });
        crew.comes(true);
        assert_eq!(crew.leaves(), Orders { help: true, watch: Some(true), ..NOTHING });
    }

    /// What a thread is doing, as the test knows it.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Does {
        Nothing,
        Reads,
        Parked,
        Comes,
        Runs(Run, bool),
    }

    proptest! {
        /// Whatever happens: while jobs wait somebody is awake or on the way, or all threads there may be are
        /// busy; and while nobody looks for streams the I/O thread does.
        #[test]
        fn nobody_is_forgotten(steps in proptest::collection::vec((0..6u8, 0..4usize), 1..300), size in 1..4usize) {
            let mut crew = Crew::new(size);
            let (mut threads, mut waiting, mut help, mut watched, mut ticks) = (vec![Does::Nothing; size], 0, false, true, false);
            crew.start_one();
            threads[0] = Does::Comes;
            for (step, at) in steps {
                let at = at % size;
                let mut orders = NOTHING;
                match (step, threads[at]) {
                    (0, _) => {
                        waiting += 1;
                        orders = crew.pushed();
                    }
                    (1, Does::Comes) if waiting == 0 => {
                        let (rest, order) = crew.rests();
                        threads[at] = if rest == Rest::Read { Does::Reads } else { Does::Parked };
                        orders = order;
                    }
                    (2, Does::Reads) => {
                        crew.comes(std::mem::take(&mut help));
                        threads[at] = Does::Comes;
                    }
                    (3 | 4, Does::Comes) if waiting > 0 => {
                        waiting -= 1;
                        crew.takes();
                        let (run, order) = crew.runs(step == 3, waiting);
                        threads[at] = Does::Runs(run, step == 3);
                        orders = order;
                    }
                    (1 | 2, Does::Runs(run, _)) => {
                        crew.ran(run);
                        threads[at] = Does::Comes;
                    }
                    (5, _) if ticks => {
                        let (order, goes_on) = crew.tick(waiting);
                        ticks = goes_on;
                        orders = order;
                    }
                    _ => {}
                }
                help |= orders.help;
                if orders.unpark {
                    let parked = threads.iter().position(|does| *does == Does::Parked);
                    prop_assert!(parked.is_some(), "nobody is parked");
                    threads[parked.unwrap_or(0)] = Does::Comes;
                }
                ticks |= orders.tick;
                watched = orders.watch.unwrap_or(watched);
                if orders.start {
                    let free = threads.iter().position(|does| *does == Does::Nothing);
                    prop_assert!(free.is_some(), "more threads than there may be");
                    threads[free.unwrap_or(0)] = Does::Comes;
                }
                let any = |wanted: fn(&Does) -> bool| threads.iter().any(wanted);
                let is_coming = any(|does| matches!(does, Does::Comes));
                let is_trusted = ticks && any(|does| matches!(does, Does::Runs(Run::Trusted(_), true)));
                let reads = any(|does| *does == Does::Reads);
                let all_busy = !any(|does| matches!(does, Does::Nothing | Does::Parked | Does::Reads));
                prop_assert!(threads.iter().filter(|does| **does == Does::Reads).count() <= 1);
                if waiting > 0 {
                    prop_assert!(is_coming || is_trusted || (reads && help) || all_busy, "{threads:?} {crew:?}");
                }
                prop_assert!(is_coming || is_trusted || reads || watched, "{threads:?} {crew:?}");
            }
        }
    }
}
