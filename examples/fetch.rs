//! One file of another host, brought here, with its progress and its hash.
//!
//! `cargo run --example fetch -- joe@web1:/var/log/syslog syslog`
//!
//! The host needs an account with a key, and nothing of ours. Without a host (`:/etc/passwd copy`) the file comes
//! from a child on this machine. If the link is cut, say the same again: it goes on where it was.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use mitogen_service::{Context, FileService, Progress, Router, Transferred};

const USAGE: &str = "usage: fetch [[USER@]HOST]:PATH DEST";

#[mitogen_service::main]
fn main(router: &Router) -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let (source, dest) = match args.as_slice() {
        [source, dest] => (source.as_str(), PathBuf::from(dest)),
        // So that it shows something everywhere.
        [] => (":/etc/passwd", std::env::temp_dir().join("mitogen-service-fetched")),
        _ => return Err(USAGE.into()),
    };
    let (host, path) = source.split_once(':').ok_or(USAGE)?;
    let context = connect(router, host)?;

    let bar = ProgressBar::new(0);
    let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
    bar.set_style(ProgressStyle::with_template(template)?);
    let began = Instant::now();
    let show = |progress: &Progress| {
        if bar.length() != Some(progress.total) {
            bar.set_length(progress.total);
            // What was there already has come at no rate of today's.
            bar.set_position(progress.resumed_at);
            bar.reset_eta();
        }
        bar.set_position(progress.done);
    };
    let transferred = FileService::get(&context, path, &dest).resume(true).times(true).progress(show).run()?;
    bar.finish_and_clear();
    report(&transferred, began.elapsed());
    Ok(())
}

/// `user@host`, `host`, or nothing for a child on this machine.
fn connect(router: &Router, host: &str) -> mitogen_service::Result<Context> {
    match host.split_once('@') {
        None if host.is_empty() => router.local().connect(),
        None => router.ssh(host).connect(),
        Some((user, host)) => router.ssh(host).user(user).connect(),
    }
}

fn report(transferred: &Transferred, took: Duration) {
    let metadata = &transferred.metadata;
    let rate = (metadata.size - transferred.resumed_at) as f64 / took.as_secs_f64();
    println!("{} in {took:.2?}, {}/s", HumanBytes(metadata.size), HumanBytes(rate as u64));
    if transferred.resumed_at > 0 {
        println!("of which {} were there already", HumanBytes(transferred.resumed_at));
    }
    if transferred.has_grown {
        println!("the source has grown meanwhile; this is what it was at first");
    }
    if let Some(hash) = transferred.hash {
        println!("BLAKE3 {hash}");
    }
}
