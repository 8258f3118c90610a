//! What a large file takes.

use std::fs;
use std::io;

use mitogen_service::FileService;

use super::{Dir, below};
use crate::bench::{Bench, Worker};

/// How much memory a process holds, and the most that it has held, in KiB.
fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Fetches a large file from a child of a child in a process that does nothing else, so that its peak is its own.
#[test]
fn four_gibibytes_take_little_memory_at_both_ends() {
    const ALONE: &str = "MITOGEN_SERVICE_TEST_FOUR_GIB";
    const NAME: &str = "files::memory::four_gibibytes_take_little_memory_at_both_ends";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").stdin(std::process::Stdio::null());
        let output = alone.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        println!("{text}");
        return;
    }
    let bench = Bench::new();
    let hop = bench.child("hop");
    let far = below(&hop, "far");
    let dir = Dir::new();
    let source = dir.path("sparse");
    fs::File::create(&source).unwrap().set_len(4 << 30).unwrap();
    // Whatever is made once.
    FileService::get(&far, "/etc/passwd", &mut io::sink()).verify(false).run().unwrap();
    let pids = [std::process::id(), Worker::stub(&hop).pid().wait().unwrap(), Worker::stub(&far).pid().wait().unwrap()];
    let idle = pids.map(|pid| memory(pid).0);
    // Without optimisation the hash would take a minute.
    let hashed = !cfg!(debug_assertions);
    let began = std::time::Instant::now();
    let transferred = FileService::get(&far, &source, &mut io::sink()).verify(hashed).run().unwrap();
    assert_eq!((transferred.metadata.size, transferred.hash.is_some()), (4 << 30, hashed));
    println!("4 GiB took {:.1?}, {} a hash", began.elapsed(), if hashed { "with" } else { "without" });
    for ((pid, idle), who) in pids.into_iter().zip(idle).zip(["root", "hop", "source"]) {
        let peak = memory(pid).1;
        println!("{who}: {idle} KiB idle, {peak} KiB at most");
        assert!(peak < idle + 32 * 1024, "{who}: {idle} KiB idle, {peak} KiB at most");
    }
}
