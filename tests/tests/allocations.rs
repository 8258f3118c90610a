//! How often the heap is asked for memory, counted in all threads of a process.
//!
//! A test binary of its own, because the counting allocator is the allocator of the whole process, and
//! of the children that are started from it.
#![allow(unsafe_code, reason = "an allocator is unsafe code")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mitogen_service::{AllowParents, Context, Router, service};

/// Of so many calls the mean is taken.
const CALLS: u64 = 500;

/// How often that is done; the least counts, since a count can only be disturbed upwards.
const ROUNDS: usize = 3;

/// How many allocations a side may need for one sequential call with two small arguments.
const GOAL: f64 = 4.0;

/// What a mean may have from elsewhere: the two calls that ask for a count.
const NOISE: f64 = 0.25;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is done by the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_here() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Tests of this binary must not run at the same time.
static ALONE: Mutex<()> = Mutex::new(());

#[derive(Default)]
struct Counted;

#[service(activate)]
impl Counted {
    #[expose(policy = AllowParents)]
    fn sum(&self, number: u64, text: &str) -> u64 {
        number + text.len() as u64
    }

    #[expose(policy = AllowParents)]
    fn allocations(&self) -> u64 {
        allocations_here()
    }

    #[expose(policy = AllowParents)]
    fn start(&self, router: &Router) -> mitogen_service::Result<Context> {
        router.local().name("below").connect()
    }
}

fn calls(stub: &CountedStub) {
    for number in 0..CALLS {
        assert_eq!(stub.sum(number, "a small text").wait().unwrap(), number + 12);
    }
}

/// How many allocations a call takes, by a counter that is read before and after many calls.
fn for_each_call(stub: &CountedStub, counter: impl Fn() -> u64) -> f64 {
    // What is made once and kept is there after the first calls.
    calls(stub);
    let round = || {
        let before = counter();
        calls(stub);
        (counter() - before) as f64 / CALLS as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn child(router: &Router) -> CountedStub {
    Counted::stub(&router.local().name("child").connect().unwrap())
}

#[test]
fn a_sequential_call_takes_few_allocations_on_the_callers_side() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let router = Router::builder().build().unwrap();
    let count = for_each_call(&child(&router), allocations_here);
    assert!(count <= GOAL + NOISE, "{count:.2} allocations a call on the caller's side, and {GOAL} are allowed");
}

#[test]
fn a_sequential_call_takes_few_allocations_on_the_callees_side() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let router = Router::builder().build().unwrap();
    let stub = child(&router);
    let count = for_each_call(&stub, || stub.allocations().wait().unwrap());
    assert!(count <= GOAL + NOISE, "{count:.2} allocations a call on the callee's side, and {GOAL} are allowed");
}

#[test]
fn a_hop_forwards_a_frame_without_an_allocation() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let router = Router::builder().build().unwrap();
    let hop = child(&router);
    let below = Counted::stub(&hop.start().wait().unwrap());
    // A call and its reply are two frames.
    let count = for_each_call(&below, || hop.allocations().wait().unwrap()) / 2.0;
    assert!(count <= NOISE, "{count:.2} allocations for each frame that a hop forwards, and none is allowed");
}
