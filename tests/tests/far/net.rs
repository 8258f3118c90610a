//! Several hosts with addresses of their own, whose links can be cut and be slow.
//!
//! Each test runs in a process with a network of its own, and each host in another one.

use std::process::Command;
use std::time::{Duration, Instant};

use mitogen_service::Router;
use mitogen_service_tests::{Watched, within};

use crate::support::{LONG, Probe, has, skip};
use crate::world::World;

/// Set in the process that has a network of its own.
const ALONE: &str = "MITOGEN_SERVICE_TEST_NET";

/// Runs a test of this binary again in a network of its own; `true` in there.
fn in_a_network(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    if !has(&["unshare", "ip", "tc"]) {
        return false;
    }
    // `ip netns` keeps its names in /run.
    let script = "mount -t tmpfs tmpfs /run && ip link set lo up && exec \"$@\"";
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--", "sh", "-c", script, "sh"]);
        command
    };
    let possible = unshare().args(["ip", "netns", "add", "try"]).output().unwrap();
    if !possible.status.success() {
        return skip(&format!("no network namespaces: {}", String::from_utf8_lossy(&possible.stderr).trim()));
    }
    let own = std::env::current_exe().unwrap();
    let status = unshare().arg(own).args(["--exact", test, "--nocapture"]).env(ALONE, "1").status().unwrap();
    assert!(status.success(), "{test} has failed in its own network");
    false
}

fn run(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

/// A host behind a link of its own.
fn host(number: usize) -> Option<World> {
    let name = format!("host{number}");
    run(&format!(
        "set -e; ip netns add {name}; ip link add link{number} type veth peer name eth0 netns {name}; \
         ip addr add 10.77.{number}.1/24 dev link{number}; ip link set link{number} up; \
         ip -n {name} addr add 10.77.{number}.2/24 dev eth0; ip -n {name} link set eth0 up; ip -n {name} link set lo up"
    ));
    World::at("", Some((&name, &format!("10.77.{number}.2"))))
}

#[test]
fn a_link_that_is_cut_ends_both_sides_and_no_other() {
    if !in_a_network("net::a_link_that_is_cut_ends_both_sides_and_no_other") {
        return;
    }
    within(LONG, || {
        let hosts: Option<Vec<_>> = (1..=3).map(host).collect();
        let Some(hosts) = hosts else { return };
        let router = Router::builder().keep_alive(Duration::from_millis(500)).build().unwrap();
        let connecting: Vec<_> = hosts.iter().map(|host| host.ssh(&router, "joe").start()).collect();
        let contexts: Vec<_> = connecting.into_iter().map(|connecting| connecting.wait().unwrap()).collect();
        let calls: Vec<_> = contexts.iter().map(|context| Probe::stub(context).pid()).collect();
        let far: Vec<_> = calls.into_iter().map(|call| Watched::new(call.wait().unwrap())).collect();
        let waiting = Probe::stub(&contexts[1]).sleep(1000);
        run("ip link set link2 down");
        let error = waiting.wait().unwrap_err();
        assert!(error.to_string().contains("keep-alive"), "{error}");
        // Nothing tells the far side that the link is down but its own keep-alive.
        assert!(far[1].ends_within(LONG));
        for other in [0, 2] {
            assert!(Probe::stub(&contexts[other]).pid().wait().is_ok());
        }
    });
}

#[test]
fn a_slow_link_delays_only_itself() {
    if !in_a_network("net::a_slow_link_delays_only_itself") {
        return;
    }
    within(LONG, || {
        let (Some(slow), Some(fast)) = (host(1), host(2)) else { return };
        run("tc qdisc add dev link1 root tbf rate 20mbit burst 32kbit latency 400ms");
        let router = Router::builder().build().unwrap();
        let began = Instant::now();
        let mut late = slow.ssh(&router, "joe").connect_timeout(LONG).start();
        let early = fast.ssh(&router, "joe").connect().unwrap();
        assert!(Probe::stub(&early).pid().wait().is_ok());
        assert!(late.try_wait(Duration::ZERO).is_none(), "the link is not slow");
        let late = late.wait().unwrap();
        let first = began.elapsed();
        assert!(Probe::stub(&late).pid().wait().is_ok());
        // The second time there is nothing that the link could delay.
        let began = Instant::now();
        drop(slow.ssh(&router, "joe").connect().unwrap());
        let second = began.elapsed();
        assert!(second < first / 2, "{second:?} after {first:?}");
    });
}
