//! A program with a hand-written `main` that may forget to enter its children, or end them early.
//!
//! Its argument tells what its children do; what came of it is printed.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use mitogen_service::{CallError, ConnectKind, Error, Router};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, getpid, kill_process};

/// Tells a child what to do.
const MODE: &str = "MITOGEN_SERVICE_TEST_STRANGER";

/// Has the effect of `#[mitogen_service::main]` on the linking: nothing is entered before `main`.
#[allow(dead_code, reason = "only its registration counts")]
mod decoy {
    #[mitogen_service::main]
    fn main() {}
}

fn main() {
    match std::env::var(MODE) {
        Ok(mode) => be_a_child(&mode),
        Err(_) => be_the_root(&std::env::args().nth(1).unwrap_or_default()),
    }
}

fn be_a_child(mode: &str) {
    match mode {
        "return" => eprintln!("goodbye from main"),
        "status" => std::process::exit(3),
        "linger" => std::thread::sleep(Duration::from_secs(600)),
        // It gives up what it was sent over stdin, and lives on.
        "daemon" => {
            let null = rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty()).unwrap();
            rustix::stdio::dup2_stdin(null.as_fd()).unwrap();
            std::thread::sleep(Duration::from_secs(600));
        }
        "router" => match Router::builder().build() {
            Err(error @ Error::NotEntered) => {
                eprintln!("{error}");
                std::process::exit(9);
            }
            // A fork bomb, if it goes on.
            other => panic!("a router where there must be none: {other:?}"),
        },
        _ => {
            let micros: u64 = mode.parse().unwrap();
            std::thread::spawn(move || {
                // The peer is to die at any moment of its start.
                std::thread::sleep(Duration::from_micros(micros));
                kill_process(getpid(), Signal::KILL).unwrap();
            });
            mitogen_service::init();
        }
    }
}

fn be_the_root(mode: &str) {
    if mode == "short-lived" {
        return short_lived();
    }
    let router = Router::builder().build().unwrap();
    let timeout = if matches!(mode, "linger" | "daemon") { 300 } else { 20_000 };
    let started = Instant::now();
    let connected =
        router.local().name("stranger").env(MODE, mode).connect_timeout(Duration::from_millis(timeout)).connect();
    let elapsed = started.elapsed();
    match connected {
        Err(error @ Error::Connect { .. }) => {
            let Error::Connect { kind, .. } = &error else { unreachable!() };
            let kind = match kind {
                ConnectKind::Exited { exit } => format!("Exited {exit:?}"),
                ConnectKind::Timeout { .. } => "Timeout".to_owned(),
                other => format!("{other:?}"),
            };
            println!("{kind}\n{}\n{error}", elapsed.as_millis());
        }
        other => println!("{other:?}"),
    }
}

/// Starts children that die at any moment, on many threads, and calls each that could be connected.
fn short_lived() {
    let router = Router::builder().build().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn({
                let router = router.clone();
                move || start_short_lived(&router)
            })
        })
        .collect();
    let mut sums = [0; 3];
    for thread in threads {
        for (sum, part) in sums.iter_mut().zip(thread.join().unwrap()) {
            *sum += part;
        }
    }
    let [dead, not_connected, lost] = sums;
    println!("{dead} dead, {not_connected} not connected, {lost} lost");
    drop(router);
    println!("nothing left");
}

/// Gives the numbers of children whose death was told, that did not connect, and whose death was
/// not told.
fn start_short_lived(router: &Router) -> [u32; 3] {
    let (mut dead, mut not_connected, mut lost) = (0, 0, 0);
    let started = Instant::now();
    // The interesting moment is that between a connect that fails and one that does not, and this
    // closes in on it: longer lives after a failure, shorter ones after a success.
    let mut micros: u64 = 1000;
    while started.elapsed() < Duration::from_secs(4) {
        let Ok(child) = router.local().env(MODE, micros.to_string()).connect() else {
            not_connected += 1;
            micros += 170;
            continue;
        };
        micros = micros.saturating_sub(130);
        loop {
            match child.call_service::<()>("nothing", "nothing", &()).wait_timeout(Duration::from_secs(5)) {
                Err(CallError::NoSuchService { .. }) => {}
                Err(CallError::Dead { .. }) => break dead += 1,
                other => {
                    eprintln!("{child} after {micros} us: {other:?}; connected: {}", child.is_connected());
                    break lost += 1;
                }
            }
        }
    }
    [dead, not_connected, lost]
}
