//! Everybody else: a root and two honest children that go on calling each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mitogen_service::{AllowAny, AllowParents, CallError, Context, Router, service};
use mitogen_service_tests::LONG;

use crate::bench::{Bench, Worker};

/// How long an honest call may take beside whatever a stranger does. An idle machine needs less than
/// a millisecond.
const SLOW: Duration = Duration::from_secs(10);

/// How long an honest caller rests between two calls, so that it leaves the machine to others.
const REST: Duration = Duration::from_millis(1);

/// What strangers call in the root.
#[derive(Default)]
pub(crate) struct Target {
    runs: AtomicUsize,
}

#[service(name = "target")]
impl Target {
    #[expose(policy = AllowAny)]
    fn ping(&self) {}

    #[expose(policy = AllowAny)]
    fn echo(&self, text: String) -> String {
        text
    }

    #[expose(policy = AllowAny)]
    fn size(&self, text: String) -> usize {
        text.len()
    }

    /// Must never run for a child.
    #[expose(policy = AllowParents)]
    fn guarded(&self) {
        self.runs.fetch_add(1, Ordering::SeqCst);
    }

    #[expose(policy = AllowParents)]
    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

/// A root with a pool and two children, of which each calls another one without end: the root a
/// child, that child its sibling, and the sibling the root.
pub(crate) struct Everyone {
    pub(crate) bench: Bench,
    /// An honest child.
    pub(crate) one: Context,
    /// Its sibling.
    pub(crate) two: Context,
    pulse: Arc<Pulse>,
    callers: Vec<JoinHandle<()>>,
}

/// How the honest calls go.
#[derive(Default)]
struct Pulse {
    state: Mutex<State>,
    beaten: Condvar,
}

#[derive(Default)]
struct State {
    answered: [u64; 3],
    slowest: Duration,
    failure: Option<String>,
    over: bool,
}

impl Everyone {
    pub(crate) fn new() -> Self {
        Self::with(Router::builder().build().unwrap())
    }

    pub(crate) fn with(router: Router) -> Self {
        let bench = Bench::with(router);
        bench.pool.add(Target::default()).unwrap();
        let (one, two) = (bench.child("one"), bench.child("two"));
        // Only a parent has a service made.
        Worker::stub(&two).marks().wait().unwrap();
        let pulse = Arc::new(Pulse::default());
        let (root, from, to) = (bench.root(), one.clone(), two.clone());
        let callers = vec![
            pulse.clone().keep_calling(0, move |text| Worker::stub(&from).echo(text).wait()),
            pulse.clone().keep_calling(1, {
                let from = one.clone();
                move |text| Worker::stub(&from).echo_at(to.clone(), text).wait()
            }),
            pulse.clone().keep_calling(2, {
                let from = two.clone();
                move |text| Worker::stub(&from).ask(root.clone(), "target".into(), "ping".into()).wait().map(|()| text)
            }),
        ];
        let everyone = Self { bench, one, two, pulse, callers };
        everyone.go_on();
        everyone
    }

    pub(crate) fn router(&self) -> &Router {
        &self.bench.router
    }

    /// Everybody goes on: waits until each has made a whole call from now on.
    pub(crate) fn go_on(&self) {
        let state = self.pulse.state.lock().unwrap();
        let before = state.answered;
        // The call after the present one has begun later than this.
        let behind = |state: &mut State| {
            state.failure.is_none() && state.answered.iter().zip(before).any(|(now, before)| *now < before + 2)
        };
        let (state, waited) = self.pulse.beaten.wait_timeout_while(state, LONG, behind).unwrap();
        assert!(state.failure.is_none(), "{:?}", state.failure);
        assert!(!waited.timed_out(), "honest calls do not go on: {:?} answered, {before:?} before", state.answered);
    }

    /// The scenario is over: all honest calls were answered, as they should, and soon enough; what
    /// is only for parents never ran; and the router gives everything back.
    pub(crate) fn finish(self) {
        self.go_on();
        assert_eq!(Target::stub(&self.bench.root()).runs().wait().unwrap(), 0, "a stranger's call has run");
        self.pulse.state.lock().unwrap().over = true;
        self.pulse.beaten.notify_all();
        for caller in self.callers {
            caller.join().unwrap();
        }
        let state = self.pulse.state.lock().unwrap();
        assert!(state.failure.is_none(), "{:?}", state.failure);
        println!("honest calls: {:?}, the slowest took {:?}", state.answered, state.slowest);
        assert!(state.slowest < SLOW, "an honest call took {:?}", state.slowest);
    }
}

impl Pulse {
    /// Calls until the scenario is over; the answer has to be the text that is given.
    fn keep_calling(
        self: Arc<Self>,
        place: usize,
        call: impl Fn(String) -> Result<String, CallError> + Send + 'static,
    ) -> JoinHandle<()> {
        std::thread::spawn(move || {
            for number in 0.. {
                let text = format!("honest call {number} of {place}");
                let began = Instant::now();
                let answer = call(text.clone());
                if !self.beat(place, began.elapsed(), (answer != Ok(text)).then_some(answer)) {
                    break;
                }
            }
        })
    }

    /// Takes note of an answer; `false` when no more calls are to be made.
    fn beat(&self, place: usize, took: Duration, wrong: Option<Result<String, CallError>>) -> bool {
        let mut state = self.state.lock().unwrap();
        state.answered[place] += 1;
        state.slowest = state.slowest.max(took);
        if let Some(wrong) = wrong {
            state.failure.get_or_insert(format!("honest caller {place} got {wrong:?}"));
        }
        self.beaten.notify_all();
        let going = |state: &mut State| !state.over && state.failure.is_none();
        let (state, _) = self.beaten.wait_timeout_while(state, REST, going).unwrap();
        !state.over && state.failure.is_none()
    }
}
