//! How fast a call goes there and back: one at a time, and many under way at once.
//!
//! `cargo run --release --example ping_pong [CALLS]`
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use mitogen_service::{AllowParents, CallError, Router, service};

/// Gives back what it gets, plus one, so that every answer can be told from its question.
#[derive(Default)]
struct PingPong;

#[service(activate)]
impl PingPong {
    #[expose(policy = AllowParents)]
    fn ping(&self, number: u64) -> u64 {
        number + 1
    }
}

#[mitogen_service::main]
fn main(router: &Router) -> Result<(), Box<dyn std::error::Error>> {
    let calls = std::env::args().nth(1).map_or(Ok(10_000), |calls| calls.parse::<u64>())?;
    let started = Instant::now();
    let child = router.local().name("pong").connect()?;
    println!("the child joined after {:.1?}", started.elapsed());

    let stub = PingPong::stub(&child);
    // The first call starts the child's pool and the service, and is not measured.
    assert_eq!(stub.ping(0).wait()?, 1);

    let elapsed = measured(|| one_by_one(&stub, calls))?;
    println!("{calls} round trips, one after the other: {}", rate(calls, elapsed));
    let elapsed = measured(|| pipelined(&stub, calls))?;
    println!("{calls} calls, sent before the first answer is waited for: {}", rate(calls, elapsed));
    Ok(())
}

fn one_by_one(stub: &PingPongStub, calls: u64) -> Result<(), CallError> {
    for number in 0..calls {
        assert_eq!(stub.ping(number).wait()?, number + 1);
    }
    Ok(())
}

fn pipelined(stub: &PingPongStub, calls: u64) -> Result<(), CallError> {
    // Stays far below the number of pending calls at which a router makes its callers wait.
    const AT_ONCE: u64 = 10_000;
    for start in (0..calls).step_by(AT_ONCE as usize) {
        let numbers = start..calls.min(start + AT_ONCE);
        let pending: Vec<_> = numbers.clone().map(|number| stub.ping(number)).collect();
        for (number, call) in numbers.zip(pending) {
            assert_eq!(call.wait()?, number + 1);
        }
    }
    Ok(())
}

fn measured(work: impl FnOnce() -> Result<(), CallError>) -> Result<Duration, CallError> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

fn rate(calls: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    format!("{:.0} per second, {:.1} µs each", calls as f64 / seconds, seconds * 1e6 / calls as f64)
}
