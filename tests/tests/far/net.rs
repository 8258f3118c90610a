//! Several hosts with addresses of their own, whose links can be cut and be slow.
//!
//! Each test runs in a process with a network of its own, and each host in another one.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use mitogen_service::Router;
use mitogen_service_tests::{Watched, peak_memory, within};

use crate::support::{KEEP_ALIVE, LONG, Probe, children_of, has, skip};
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
    host_with(number, 1)
}

/// The same with so many addresses.
fn host_with(number: usize, addresses: usize) -> Option<World> {
    let name = format!("host{number}");
    run(&format!(
        "set -e; ip netns add {name}; ip link add link{number} type veth peer name eth0 netns {name}; \
         ip addr add 10.77.{number}.1/24 dev link{number}; ip link set link{number} up; \
         for one in $(seq 2 $((1 + {addresses}))); do ip -n {name} addr add 10.77.{number}.$one/24 dev eth0; done; \
         ip -n {name} link set eth0 up; ip -n {name} link set lo up"
    ));
    World::at("", Some((&name, &address(number, 0))))
}

/// An address of a host.
fn address(host: usize, number: usize) -> String {
    format!("10.77.{host}.{}", number + 2)
}

/// The memory of a process in KiB, with its share of what it has in common with others.
fn proportional_memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A hundred addresses of four hosts, each with its own sshd, caches and processes.
#[test]
fn a_hundred_hosts_at_once() {
    const HOSTS: usize = 4;
    const ADDRESSES: usize = 25;
    if !in_a_network("net::a_hundred_hosts_at_once") {
        return;
    }
    within(LONG * 3, || {
        let hosts: Option<Vec<_>> = (1..=HOSTS).map(|number| host_with(number, ADDRESSES)).collect();
        let Some(hosts) = hosts else { return };
        let router = Router::builder().build().unwrap();
        let began = Instant::now();
        let first: Vec<_> = hosts.iter().map(|host| host.ssh(&router, "joe").start()).collect();
        first.into_iter().for_each(|connecting| drop(connecting.wait().unwrap()));
        let first = began.elapsed();
        let alone = peak_memory();
        let began = Instant::now();
        let connecting: Vec<_> = (0..HOSTS * ADDRESSES)
            .map(|number| {
                let (host, number) = (number % HOSTS, number / HOSTS);
                let address = address(host + 1, number);
                let ssh = hosts[host].ssh(&router, "joe").option(format!("HostName={address}"));
                ssh.name(address).connect_timeout(LONG * 2).start()
            })
            .collect();
        let contexts: Vec<_> = connecting.into_iter().map(|connecting| connecting.wait().unwrap()).collect();
        let connected = began.elapsed();
        let calls: Vec<_> = contexts.iter().map(|context| Probe::stub(context).pid()).collect();
        let pids: BTreeSet<_> = calls.into_iter().map(|call| call.wait().unwrap()).collect();
        assert_eq!(pids.len(), HOSTS * ADDRESSES);
        for host in &hosts {
            assert_eq!(host.cached("joe").len(), 1);
        }
        let clients: Vec<_> = children_of(std::process::id()).into_iter().filter(|(_, name)| name == "ssh").collect();
        let contexts_memory: u64 = pids.iter().map(|pid| proportional_memory(*pid)).sum();
        let clients_memory: u64 = clients.iter().map(|(pid, _)| proportional_memory(*pid)).sum();
        println!("{HOSTS} first connections took {first:?}, {} more {connected:?}", pids.len());
        println!(
            "peak RSS of the root {} KiB ({alone} before); PSS of {} contexts {contexts_memory} KiB, of {} ssh {clients_memory} KiB",
            peak_memory(),
            pids.len(),
            clients.len()
        );
    });
}

#[test]
fn a_link_that_is_cut_ends_both_sides_and_no_other() {
    if !in_a_network("net::a_link_that_is_cut_ends_both_sides_and_no_other") {
        return;
    }
    within(LONG, || {
        let hosts: Option<Vec<_>> = (1..=3).map(host).collect();
        let Some(hosts) = hosts else { return };
        let router = Router::builder().keep_alive(KEEP_ALIVE).build().unwrap();
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
