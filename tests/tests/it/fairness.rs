//! One child has hundreds of calls under way, and another one has one. What the second one notices of
//! the first.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mitogen_service::{AllowAny, Call, CallError, Caller, Context, ContextId, Pool, Router, service};
use mitogen_service_tests::LONG;

/// What everybody wants.
struct Desk {
    served: mpsc::Sender<ContextId>,
    go: Mutex<mpsc::Receiver<()>>,
}

#[service(name = "desk")]
impl Desk {
    /// Keeps the thread until the test lets it go.
    #[expose(policy = AllowAny)]
    fn close(&self) {
        // A test that is over lets everybody go.
        let _ = self.go.lock().unwrap().recv();
    }

    #[expose(policy = AllowAny)]
    fn note(&self, caller: &Caller) {
        self.served.send(caller.context().id()).unwrap();
    }

    /// Takes a millisecond.
    #[expose(policy = AllowAny)]
    fn work(&self) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Calls the desk.
#[derive(Default)]
struct Customer {
    has_enough: AtomicBool,
}

#[service(activate)]
impl Customer {
    /// So many calls at once; they have arrived at the desk when this is answered, since they go the
    /// same way.
    #[expose(policy = AllowAny)]
    fn note(&self, at: Context, calls: usize) {
        (0..calls).for_each(|_| Desk::stub(&at).note().detach());
    }

    /// Has so many calls under way until [`enough`](Self::enough); tells how many were answered.
    #[expose(policy = AllowAny)]
    fn flood(&self, at: Context, outstanding: usize) -> Result<usize, CallError> {
        let desk = Desk::stub(&at);
        self.has_enough.store(false, Ordering::SeqCst);
        let mut under_way: VecDeque<_> = (0..outstanding).map(|_| desk.work()).collect();
        let mut answered = 0;
        while !self.has_enough.load(Ordering::SeqCst) {
            under_way.pop_front().map_or(Ok(()), Call::wait)?;
            answered += 1;
            under_way.push_back(desk.work());
        }
        // What is left is not run.
        Ok(answered)
    }

    #[expose(policy = AllowAny)]
    fn enough(&self) {
        self.has_enough.store(true, Ordering::SeqCst);
    }

    /// One call after the other; how many microseconds each has taken.
    #[expose(policy = AllowAny)]
    fn work(&self, at: Context, calls: usize) -> Result<Vec<u64>, CallError> {
        let desk = Desk::stub(&at);
        let timed = |_| {
            let began = Instant::now();
            desk.work().wait().map(|()| began.elapsed().as_micros() as u64)
        };
        (0..calls).map(timed).collect()
    }
}

struct Office {
    router: Router,
    served: mpsc::Receiver<ContextId>,
    go: mpsc::Sender<()>,
    flooding: Context,
    quiet: Vec<Context>,
}

/// A root with so many threads for its desk, one child that floods it, and others.
fn office(threads: usize, quiet: usize) -> Office {
    let router = Router::builder().build().unwrap();
    let (serve, served) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    Pool::builder(&router).size(threads).service(Desk { served: serve, go: Mutex::new(gone) }).start().unwrap();
    let flooding = router.local().name("flooding").connect().unwrap();
    let quiet = (0..quiet).map(|number| router.local().name(format!("quiet {number}")).connect().unwrap()).collect();
    Office { router, served, go, flooding, quiet }
}

#[test]
fn whoever_has_one_call_waits_for_one_of_each_who_have_hundreds() {
    let office = office(1, 3);
    let closed = Desk::stub(&office.router.myself()).close();
    Customer::stub(&office.flooding).note(office.router.myself(), 500).wait_timeout(LONG).unwrap();
    for quiet in &office.quiet {
        Customer::stub(quiet).note(office.router.myself(), 1).wait_timeout(LONG).unwrap();
    }
    office.go.send(()).unwrap();
    closed.wait_timeout(LONG).unwrap();
    let served: Vec<_> = (0..503).map(|_| office.served.recv_timeout(LONG).unwrap()).collect();
    let mut first: Vec<_> = served[..4].to_vec();
    first.sort();
    let mut expected: Vec<_> = office.quiet.iter().chain([&office.flooding]).map(Context::id).collect();
    expected.sort();
    assert_eq!(first, expected, "each once before anybody twice");
}

/// The middle and the 99th of a hundred.
fn quantiles(mut times: Vec<u64>) -> (u64, u64) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// What a quiet child's calls take without and with a flood, in turns.
fn measure(office: &Office) -> [(u64, u64); 2] {
    const OUTSTANDING: usize = 300;
    const ROUNDS: usize = 5;
    let (root, quiet) = (office.router.myself(), Customer::stub(&office.quiet[0]));
    let flooding = Customer::stub(&office.flooding);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut answered = 0;
    for _ in 0..ROUNDS {
        without.extend(quiet.work(root.clone(), 50).wait_timeout(LONG).unwrap());
        let flood = flooding.flood(root.clone(), OUTSTANDING);
        // It is there before anything is measured.
        while office.router.pool().unwrap().stats().queued < OUTSTANDING / 2 {
            thread::yield_now();
        }
        with.extend(quiet.work(root.clone(), 50).wait_timeout(LONG).unwrap());
        flooding.enough().wait_timeout(LONG).unwrap();
        answered += flood.wait_timeout(LONG).unwrap();
    }
    println!("the flood had {answered} answers");
    [without, with].map(quantiles)
}

#[test]
fn a_flood_of_one_child_makes_calls_of_another_less_than_three_times_as_long() {
    let office = office(2, 1);
    // What else happens on this machine may spoil a measurement, and not five of them.
    let is_fair = (0..5).any(|_| {
        let [(p50, p99), (flooded_p50, flooded_p99)] = measure(&office);
        println!("calls of 1 ms: p50 {p50} us, p99 {p99} us; in a flood p50 {flooded_p50} us, p99 {flooded_p99} us");
        flooded_p50 < 3 * p50
    });
    assert!(is_fair);
}
