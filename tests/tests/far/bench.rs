//! What a connection costs. `cargo test --release -p mitogen-service-tests --test far -- --ignored --nocapture bench`

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use mitogen_service::{Output, Router};
use mitogen_service_tests::within;

use crate::support::{Home, LONG, Probe};
use crate::world::World;

/// How many connections of each kind.
const ROUNDS: usize = 15;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What ssh says at its end of the bytes that it has sent and received, its own among them.
fn bytes_in(line: &str) -> Option<String> {
    let (_, figures) = line.split_once("Transferred: ")?;
    Some(figures.split(" bytes").next()?.to_owned())
}

/// Connects and ends; tells the bytes of it, and how long the connecting took.
fn transferred(world: &World, router: &Router, began: Instant) -> (String, Duration) {
    let lines = router.receiver::<String>();
    let ssh = world.ssh(router, "joe").option("LogLevel=VERBOSE").output(Output::Lines(lines.sender()));
    let context = ssh.connect().unwrap();
    let took = began.elapsed();
    context.shutdown(Duration::from_secs(5)).unwrap();
    let said = lines.into_iter().find_map(|line| bytes_in(&line));
    (said.expect("ssh tells its bytes at its end"), took)
}

/// What a further connection costs behind a command that does nothing else: the first stage, the start of the
/// executable, and the hellos.
fn without_ssh(router: &Router) -> Duration {
    let home = Home::new();
    let connect = || {
        let began = Instant::now();
        let context = router.command(home.command()).connect().unwrap();
        let took = began.elapsed();
        context.shutdown(Duration::from_secs(5)).unwrap();
        took
    };
    connect();
    median((0..2 * ROUNDS).map(|_| connect()).collect())
}

/// Neither side keeps a connection open (no ControlMaster): each pays for a login.
#[test]
#[ignore = "a measurement, for a release build that nothing else disturbs"]
fn a_second_connection_costs_little_more_than_ssh_itself() {
    within(LONG, || {
        let Some(world) = World::new() else { return };
        let router = Router::builder().build().unwrap();
        let began = Instant::now();
        let (first_bytes, first) = transferred(&world, &router, began);
        let (second_bytes, _) = transferred(&world, &router, Instant::now());
        let mut verbose = Command::new(world.path().join("ssh"));
        let verbose = verbose.args(["-o", "LogLevel=VERBOSE", "-l", "joe", "host", "true"]).output().unwrap();
        let plain_bytes = String::from_utf8(verbose.stderr).unwrap().lines().find_map(bytes_in);
        let size = fs::metadata(&world.cached("joe")[0]).unwrap().len();
        let (mut plain, mut ours) = (Vec::new(), Vec::new());
        // In turns, so that both have the same luck with whatever else the machine does.
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let ssh = Command::new(world.path().join("ssh")).args(["-l", "joe", "host", "true"]).status().unwrap();
            assert!(ssh.success());
            plain.push(began.elapsed());

            let began = Instant::now();
            let context = world.ssh(&router, "joe").connect().unwrap();
            ours.push(began.elapsed());
            assert!(Probe::stub(&context).pid().wait().is_ok());
            context.shutdown(Duration::from_secs(5)).unwrap();
        }
        let (plain, ours) = (median(plain), median(ours));
        let factor = ours.as_secs_f64() / plain.as_secs_f64();
        println!(
            "ssh true {plain:?}, second connection {ours:?}: {factor:.2} times; first {first:?} with {size} bytes"
        );
        println!("without ssh: {:?}", without_ssh(&router));
        println!("sent and received: ssh true {plain_bytes:?}, first {first_bytes}, second {second_bytes}");
        assert!(factor <= 1.3, "{factor:.2}");
    });
}
