//! One file pushed to many hosts at the same time, with progress and a table of results.
//!
//! `cargo run --example push -- app.tar web1 web2 joe@db`
//!
//! The hosts need an account with a key, and nothing of ours. Each gets the file as `/tmp/NAME`. `--local 3` does
//! the same with three contexts on this machine, into a directory that is removed at the end, and without any
//! arguments it does so with a file of its own.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use mitogen_service::{
    AllowParents, Connecting, Context, FileError, FileHash, PushFileService, Router, as_completed, service,
};

const USAGE: &str = "usage: push FILE (--local N | [USER@]HOST...)";

/// Runs on each host.
#[derive(Default)]
struct Taker;

#[service(activate)]
impl Taker {
    /// Makes a file of what was pushed, and tells its hash.
    #[expose(policy = AllowParents)]
    fn save(&self, path: PathBuf, to: PathBuf, router: &Router) -> Result<FileHash, FileError> {
        let pushed = PushFileService::get(router, path, Duration::from_secs(5))?;
        pushed.save(to)?;
        Ok(pushed.hash())
    }
}

/// What became of a host.
type Row = Result<FileHash, String>;

#[mitogen_service::main]
fn main(router: &Router) -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let scratch = std::env::temp_dir().join(format!("mitogen-service-push-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let (file, hosts, local) = match args.as_slice() {
        [] => {
            let file = scratch.join("file");
            std::fs::write(&file, vec![b'x'; 8 * 1024 * 1024])?;
            (file, local_hosts(router, 3), true)
        }
        [file, "--local", count] => (PathBuf::from(file), local_hosts(router, count.parse()?), true),
        [_] | [_, "--local"] => return Err(USAGE.into()),
        [file, hosts @ ..] => {
            (PathBuf::from(file), hosts.iter().map(|host| (host.to_string(), connect(router, host))).collect(), false)
        }
    };
    let began = Instant::now();
    let size = std::fs::metadata(&file)?.len();
    let (names, mut rows, contexts) = connect_all(hosts);

    let bar = ProgressBar::new(contexts.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?);
    let pushed = PushFileService::push(router, [&file])
        .to(&contexts)
        .timeout(Duration::from_secs(600))
        .progress(|arrival| {
            bar.set_position(arrival.done as u64);
            bar.set_message(arrival.context.to_string());
        })
        .run();
    bar.finish_and_clear();
    let took = began.elapsed();

    let name = file.file_name().ok_or(USAGE)?;
    let (mut there, mut saving) = (Vec::new(), Vec::new());
    for (context, result) in pushed {
        match result {
            Ok(()) => {
                let to = if local { scratch.join(context.name()) } else { Path::new("/tmp").join(name) };
                saving.push(Taker::stub(&context).save(file.clone(), to));
                there.push(context);
            }
            Err(error) => drop(rows.insert(context.name().to_owned(), Err(error.to_string()))),
        }
    }
    for (number, saved) in as_completed(saving) {
        rows.insert(there[number].name().to_owned(), saved.map_err(|error| error.to_string()));
    }

    println!("{:<24} BLAKE3", "host");
    for name in &names {
        match rows.get(name) {
            Some(Ok(hash)) => println!("{name:<24} {hash}"),
            Some(Err(error)) => println!("{name:<24} {}", error.lines().next().unwrap_or_default()),
            None => println!("{name:<24} nothing was heard"),
        }
    }
    let good = rows.values().filter(|row| row.is_ok()).count();
    println!("{good} of {} hosts have the {} of {}, after {took:.2?}", names.len(), HumanBytes(size), file.display());
    std::fs::remove_dir_all(&scratch)?;
    if good == names.len() { Ok(()) } else { Err("some hosts do not have the file".into()) }
}

/// Contexts on this machine, as if they were hosts.
fn local_hosts(router: &Router, count: usize) -> Vec<(String, Connecting)> {
    let name = |number| format!("local{number}");
    (1..=count).map(|number| (name(number), router.local().name(name(number)).start())).collect()
}

/// Begins to connect, and does not wait. `user@host` is as good as `host`.
fn connect(router: &Router, host: &str) -> Connecting {
    let ssh = match host.split_once('@') {
        Some((user, host)) => router.ssh(host).user(user),
        None => router.ssh(host),
    };
    ssh.name(host).connect_timeout(Duration::from_secs(20)).start()
}

/// Waits for all hosts: their names, what became of those that cannot be reached, and the others.
fn connect_all(hosts: Vec<(String, Connecting)>) -> (Vec<String>, HashMap<String, Row>, Vec<Context>) {
    let (mut names, mut rows, mut contexts) = (Vec::new(), HashMap::new(), Vec::new());
    for (name, connecting) in hosts {
        match connecting.wait() {
            Ok(context) => contexts.push(context),
            Err(error) => drop(rows.insert(name.clone(), Err(error.to_string()))),
        }
        names.push(name);
    }
    (names, rows, contexts)
}
