//! One service on many hosts at the same time; hosts that are dead delay nobody.
//!
//! `cargo run --example fleet -- web1 web2 joe@db`
//!
//! The hosts need an account with a key, and nothing of ours. Without any host it starts three contexts
//! here, one of which is dead, so that it shows something everywhere.
#![forbid(unsafe_code)]

use std::fs;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mitogen_service::{AllowParents, Connecting, Router, service};
use serde::{Deserialize, Serialize};

/// Runs on each host.
#[derive(Default)]
struct Health;

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    name: String,
    kernel: String,
    load: String,
    memory_mib: u64,
}

#[service(activate)]
impl Health {
    #[expose(policy = AllowParents)]
    fn report(&self) -> std::io::Result<Report> {
        let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
        let memory = line("/proc/meminfo")?;
        let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        Ok(Report {
            name: line("/proc/sys/kernel/hostname")?,
            kernel: line("/proc/sys/kernel/osrelease")?,
            load: line("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "),
            memory_mib: kib / 1024,
        })
    }
}

/// What became of a host.
type Row = Result<(Report, Duration), String>;

#[mitogen_service::main]
fn main(router: &Router) -> Result<(), Box<dyn std::error::Error>> {
    let hosts: Vec<String> = std::env::args().skip(1).collect();
    let began = Instant::now();
    let (names, connecting): (Vec<_>, Vec<_>) = if hosts.is_empty() {
        let dead = router.command(["false"]).start();
        let here = |name: &str| (name.to_owned(), router.local().name(name).start());
        [here("here"), ("dead".to_owned(), dead), here("here too")].into_iter().unzip()
    } else {
        hosts.into_iter().map(|host| (host.clone(), connect(router, &host))).unzip()
    };

    let progress = ProgressBar::new(names.len() as u64);
    progress.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    let rows = ask_all(&names, connecting, began, &progress);
    progress.finish_and_clear();

    println!("{:<20} {:<20} {:<26} {:<16} {:>8} {:>8}", "host", "name", "kernel", "load", "MiB", "ms");
    for (name, row) in names.iter().zip(&rows) {
        match row {
            Ok((report, time)) => println!(
                "{name:<20} {:<20} {:<26} {:<16} {:>8} {:>8}",
                report.name,
                report.kernel,
                report.load,
                report.memory_mib,
                time.as_millis()
            ),
            Err(error) => println!("{name:<20} {}", error.lines().next().unwrap_or_default()),
        }
    }
    let dead = rows.iter().filter(|row| row.is_err()).count();
    println!("{} of {} hosts have answered, after {:?}", rows.len() - dead, rows.len(), began.elapsed());
    Ok(())
}

/// Begins to connect, and does not wait. `user@host` is as good as `host`.
fn connect(router: &Router, host: &str) -> Connecting {
    let ssh = match host.split_once('@') {
        Some((user, host)) => router.ssh(host).user(user),
        None => router.ssh(host),
    };
    ssh.name(host).connect_timeout(Duration::from_secs(20)).start()
}

/// Asks each host as soon as it is there, and takes the answers as they come.
fn ask_all(names: &[String], connecting: Vec<Connecting>, began: Instant, progress: &ProgressBar) -> Vec<Row> {
    let (done, arrived) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        // Only waits: what connects has threads of its own, and so many at a time as the router admits.
        for (number, connecting) in connecting.into_iter().enumerate() {
            let done = done.clone();
            scope.spawn(move || {
                let row = connecting.wait().map_err(|error| error.to_string()).and_then(|context| {
                    let report = Health::stub(&context).report().wait_timeout(Duration::from_secs(10));
                    report.map(|report| (report, began.elapsed())).map_err(|error| error.to_string())
                });
                // Whoever takes them waits for all.
                let _ = done.send((number, row));
            });
        }
        drop(done);
        let mut rows: Vec<Row> = names.iter().map(|_| Err("nothing was heard".to_owned())).collect();
        for (number, row) in arrived {
            progress.set_message(names[number].clone());
            progress.inc(1);
            rows[number] = row;
        }
        rows
    })
}
