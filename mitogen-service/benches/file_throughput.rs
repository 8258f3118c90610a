//! How fast a file comes from a child, and goes to several, beside what one would use without this crate.
//!
//! `cargo bench -p mitogen-service --bench file_throughput [-- OPTIONS]`; see `docs/performance.md`.
#![forbid(unsafe_code)]

mod support;

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mitogen_service::{AllowParents, Context, FileService, PushFileService, Router, service};

use support::options::Options;
use support::placement::Placement;
use support::report::{Goal, Report};
use support::sequence::Place;
use support::{Result, peer, process};

/// The size of the file.
const SIZE: usize = 512 << 20;

const LOCAL: &str = "local";
const HOP: &str = "hop";
const SSH: &str = "ssh";
const PUSH: &str = "push";

/// How many contexts a file is pushed to.
const TARGETS: usize = 4;

/// Which part of the file is pushed: there are as many copies of it as targets, and two more.
const PUSHED: usize = 4;

const HASH_OFF: &str = "FileService, no hash";
const HASH_ON: &str = "FileService";
const PUT: &str = "FileService::put, no hash";
const CAT: &str = "cat FILE \\| cat > DEST";
const CAT_HOP: &str = "cat FILE \\| cat \\| cat > DEST";
const SSH_CAT: &str = "ssh HOST cat FILE > DEST";
const CATS: &str = "4 times cat FILE \\| cat > DEST at once";
const PUSH_BELOW: &str = "PushFileService, 4 children";
const PUSH_BEHIND: &str = "PushFileService, 4 behind a hop";

/// The figures.
const RATE: &str = "MB/s";
const CPU: &str = "CPU s/GiB";
/// How often whoever pushes a file writes all of it: once into its own copy, and once into each link.
const WRITTEN: &str = "x written";

#[derive(Default)]
struct Hop;

#[service(activate)]
impl Hop {
    #[expose(policy = AllowParents)]
    fn start_child(&self, router: &Router) -> mitogen_service::Result<Context> {
        router.local().connect()
    }

    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Pushes a file from here.
    #[expose(policy = AllowParents)]
    fn push(&self, path: PathBuf, to: Vec<Context>, router: &Router) -> mitogen_service::Result<()> {
        let pushed = PushFileService::push(router, [path]).to(&to).run();
        Ok(pushed.into_iter().try_for_each(|(_, result)| result)?)
    }
}

/// The file, and where it goes: on a file system that is memory, so that no disk is measured.
struct Files {
    dir: PathBuf,
    size: usize,
    /// The processes that take part.
    pids: Vec<u32>,
}

impl Files {
    fn new(size: usize) -> Result<Self> {
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let dir = parent.join(format!("mitogen-service-bench-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let files = Self { dir, size, pids: Vec::new() };
        let mut file = fs::File::create(files.source())?;
        // No zeroes, which a compressing link would make nothing of.
        let mut state = 1_u64;
        for _ in 0..size / (1 << 20) {
            let block = (0..(1 << 17)).flat_map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()
            });
            file.write_all(&block.collect::<Vec<_>>())?;
        }
        Ok(files)
    }

    fn source(&self) -> PathBuf {
        self.dir.join("source")
    }

    fn dest(&self) -> PathBuf {
        self.dir.join("dest")
    }

    /// The CPU time of this process, of those that take part, and of those that have come and gone. Of what sends
    /// and takes files the threads come and go as well.
    fn cpu(&self) -> Duration {
        let others = self.pids.iter().filter_map(|pid| process::ticks_of(*pid)).sum::<Duration>();
        process::own_cpu() + process::cpu_of_ended_children() + others
    }

    /// Times something that makes the destination, which is not there before and whole afterwards.
    fn measure(&self, report: &mut Report, place: Place<'_>, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let _ = fs::remove_file(self.dest());
        let cpu = self.cpu();
        let started = Instant::now();
        work()?;
        let elapsed = started.elapsed().as_secs_f64();
        let cpu = self.cpu() - cpu;
        if fs::metadata(self.dest())?.len() != self.size as u64 {
            return Err(format!("{} has not made the whole file", place.variant).into());
        }
        report.add(place, RATE, self.size as f64 / elapsed / 1e6);
        if place.section != SSH {
            // Of ssh's other side nothing is known.
            report.add(place, CPU, cpu.as_secs_f64() / (self.size as f64 / f64::from(1 << 30)));
        }
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn shell(command: &str) -> Result<()> {
    let status = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("`{command}` has failed: {status}").into()) }
}

fn main() -> Result<()> {
    peer::enter();
    mitogen_service::init();
    let options = Options::from_args(&[LOCAL, HOP, SSH, PUSH])?;
    let mut files = Files::new(options.scaled(SIZE) >> 20 << 20)?;
    let router = Router::builder().build()?;
    let child = router.local().name("child").connect()?;
    let grandchild = Hop::stub(&child).start_child().wait()?;
    let pids = [Hop::stub(&child).pid().wait()?, Hop::stub(&grandchild).pid().wait()?];
    files.pids = pids.to_vec();
    let pushing = if options.runs(PUSH) { Some(Pushing::start(&router, &mut files)?) } else { None };
    let pids = files.pids.clone();
    let mut report = Report::new(options.rounds);
    let sshd = if options.runs(SSH) { Sshd::start(&files.dir) } else { Err("not asked for".into()) };
    if let Err(why) = &sshd {
        report.note(format!("nothing was measured over ssh: {why}"));
    }
    let far = match &sshd {
        Ok(sshd) => Some(sshd.connect(&router)?),
        Err(_) => None,
    };
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for placement in [Placement::Packed, Placement::Free] {
            placement.apply(&pids)?;
            if options.runs(LOCAL) {
                local(&files, &mut report, placement, &child)?;
            }
            if options.runs(HOP) {
                through_a_hop(&files, &mut report, placement, &grandchild)?;
            }
            if let Some(pushing) = &pushing {
                pushing.run(&files, &mut report, placement)?;
            }
        }
        if let (Ok(sshd), Some(far)) = (&sshd, &far) {
            over_ssh(&files, &mut report, sshd, far)?;
        }
    }
    for placement in [Placement::Packed, Placement::Free].into_iter().filter(|_| options.runs(LOCAL)) {
        let value = report.ratio(LOCAL, placement, (HASH_OFF, RATE), (CAT, RATE));
        report.judge(format!("local, no hash, {placement}, x {CAT}"), value, Goal::at_least(0.9, 1.0, 1.2));
        let value = report.ratio(LOCAL, placement, (HASH_OFF, CPU), (CAT, CPU));
        report.note(format!("local, {placement}: without a hash it takes {value:.2} of the CPU time of {CAT}"));
        let value = report.ratio(LOCAL, placement, (HASH_ON, RATE), (HASH_OFF, RATE));
        report.note(format!("local, {placement}: the hash leaves {value:.2} of the rate without it"));
    }
    if pushing.is_some() {
        for (variant, links) in [(PUSH_BELOW, TARGETS), (PUSH_BEHIND, 1)] {
            let value = report.median(PUSH, variant, Placement::Free, WRITTEN);
            report
                .note(format!("{variant}: written {value:.2} times at the source, for its own copy and {links} links"));
        }
    }
    let value = report.ratio(SSH, Placement::Free, (HASH_ON, RATE), (SSH_CAT, RATE));
    report.judge(format!("over ssh, x {SSH_CAT}"), value, Goal::at_least(0.9, 1.0, 1.1));
    report.finish("file_throughput", &options)
}

fn fetch(files: &Files, context: &Context, verify: bool) -> Result<()> {
    FileService::get(context, files.source(), files.dest()).verify(verify).run()?;
    Ok(())
}

fn local(files: &Files, report: &mut Report, placement: Placement, child: &Context) -> Result<()> {
    let place = |variant| Place { section: LOCAL, variant, placement };
    let (source, dest) = (files.source(), files.dest());
    let cat = format!("cat {} | cat > {}", source.display(), dest.display());
    files.measure(report, place(CAT), || shell(&cat))?;
    files.measure(report, place(HASH_OFF), || fetch(files, child, false))?;
    files.measure(report, place(HASH_ON), || fetch(files, child, true))?;
    files.measure(report, place(PUT), || {
        FileService::put(child, source, dest).verify(false).run()?;
        Ok(())
    })
}

fn through_a_hop(files: &Files, report: &mut Report, placement: Placement, grandchild: &Context) -> Result<()> {
    let place = |variant| Place { section: HOP, variant, placement };
    let cat = format!("cat {} | cat | cat > {}", files.source().display(), files.dest().display());
    files.measure(report, place(CAT_HOP), || shell(&cat))?;
    files.measure(report, place(HASH_OFF), || fetch(files, grandchild, false))?;
    files.measure(report, place(HASH_ON), || fetch(files, grandchild, true))
}

fn over_ssh(files: &Files, report: &mut Report, sshd: &Sshd, far: &Context) -> Result<()> {
    let placement = Placement::Free;
    let place = |variant| Place { section: SSH, variant, placement };
    let (source, dest) = (files.source(), files.dest());
    let (source, dest) = (source.display(), dest.display());
    let config = sshd.config.display();
    files.measure(report, place(SSH_CAT), || shell(&format!("ssh -F {config} far cat {source} > {dest}")))?;
    files.measure(report, place(HASH_ON), || fetch(files, far, true))?;
    files.measure(report, place(HASH_OFF), || fetch(files, far, false))?;
    files.measure(report, place("scp"), || shell(&format!("scp -q -F {config} far:{source} {dest}")))?;
    files.measure(report, place("sftp"), || shell(&format!("sftp -q -F {config} far:{source} {dest} > /dev/null")))?;
    if shell("command -v rsync > /dev/null").is_ok() {
        let rsync = format!("rsync -W -e 'ssh -F {config}' far:{source} {dest}");
        files.measure(report, place("rsync"), || shell(&rsync))?;
    }
    Ok(())
}

/// A context that pushes, contexts below it, and as many behind one of them. What they keep is in memory too.
struct Pushing {
    source: Context,
    pid: u32,
    below: Vec<Context>,
    behind: Vec<Context>,
    path: PathBuf,
    size: usize,
    /// How many files there were.
    files: Cell<usize>,
}

impl Pushing {
    fn start(router: &Router, files: &mut Files) -> Result<Self> {
        let source = router.local().name("pusher").env("TMPDIR", &files.dir).connect()?;
        let start = |at: &Context| Hop::stub(at).start_child().wait();
        let hop = start(&source)?;
        let below = (0..TARGETS).map(|_| start(&source)).collect::<std::result::Result<Vec<_>, _>>()?;
        let behind = (0..TARGETS).map(|_| start(&hop)).collect::<std::result::Result<Vec<_>, _>>()?;
        let pid = Hop::stub(&source).pid().wait()?;
        files.pids.push(pid);
        for context in below.iter().chain(&behind).chain([&hop]) {
            files.pids.push(Hop::stub(context).pid().wait()?);
        }
        let (path, size) = (files.dir.join("pushed"), files.size / PUSHED);
        Ok(Self { source, pid, below, behind, path, size, files: Cell::new(0) })
    }

    fn run(&self, files: &Files, report: &mut Report, placement: Placement) -> Result<()> {
        let (path, dest) = (self.path.display(), files.dest());
        let cat = format!("cat {path} | cat > {}", dest.display());
        let cats = (0..TARGETS).map(|number| format!("{cat}{number} & ")).collect::<String>() + "wait";
        self.measure(files, report, Place { section: PUSH, variant: CATS, placement }, || shell(&cats))?;
        (0..TARGETS).for_each(|number| drop(fs::remove_file(files.dir.join(format!("dest{number}")))));
        for (variant, contexts) in [(PUSH_BELOW, &self.below), (PUSH_BEHIND, &self.behind)] {
            self.measure(files, report, Place { section: PUSH, variant, placement }, || {
                Ok(Hop::stub(&self.source).push(self.path.clone(), contexts.clone()).wait()?)
            })?;
            for context in contexts {
                PushFileService::stub(context).forget(self.path.clone()).wait()?;
            }
        }
        Ok(())
    }

    /// Times something that brings the file to all targets. It is a new one each time, so that nobody has it.
    fn measure(
        &self,
        files: &Files,
        report: &mut Report,
        place: Place<'_>,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let bytes = fs::read(files.source())?;
        self.files.set(self.files.get() + 1);
        let from = self.files.get() * 4096 % (bytes.len() - self.size);
        fs::write(&self.path, &bytes[from..from + self.size])?;
        let delivered = (TARGETS * self.size) as f64;
        let wrote = || process::bytes_of(self.pid).map_or(0, |[_, wrote]| wrote);
        let (cpu, before, started) = (files.cpu(), wrote(), Instant::now());
        work()?;
        let elapsed = started.elapsed().as_secs_f64();
        let cpu = files.cpu() - cpu;
        report.add(place, RATE, delivered / elapsed / 1e6);
        report.add(place, CPU, cpu.as_secs_f64() / (delivered / f64::from(1 << 30)));
        if place.variant != CATS {
            report.add(place, WRITTEN, (wrote() - before) as f64 / self.size as f64);
        }
        Ok(())
    }
}

/// An sshd for this bench, with keys of its own.
struct Sshd {
    dir: PathBuf,
    port: u16,
    config: PathBuf,
    process: Child,
}

impl Sshd {
    fn start(dir: &Path) -> Result<Self> {
        let show = dir.display();
        for key in ["host_key", "user_key"] {
            shell(&format!("ssh-keygen -q -t ed25519 -N '' -f {show}/{key}"))?;
        }
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {show}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n\
             AuthorizedKeysFile {show}/user_key.pub\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
        );
        fs::write(dir.join("sshd_config"), server)?;
        let host_key = fs::read_to_string(dir.join("host_key.pub"))?;
        fs::write(dir.join("known_hosts"), format!("[127.0.0.1]:{port} {host_key}"))?;
        let client = format!(
            "Host far\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {show}/user_key\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {show}/known_hosts\n  StrictHostKeyChecking yes\n  LogLevel ERROR\n"
        );
        let config = dir.join("ssh_config");
        fs::write(&config, client)?;
        // It wants a directory of its own, which this machine need not have.
        let run = format!(
            "mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec $(PATH=$PATH:/usr/sbin command -v sshd) -D -f {show}/sshd_config"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &run]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut sshd = Self { dir: dir.to_owned(), port, config, process: command.spawn()? };
        // It says nothing that could be waited for without a log; each try is a whole connection.
        let config = sshd.config.display().to_string();
        for _ in 0..100 {
            if shell(&format!("ssh -F {config} -o ConnectionAttempts=5 far true 2> /dev/null")).is_ok() {
                return Ok(sshd);
            }
            if sshd.process.try_wait()?.is_some() {
                break;
            }
        }
        Err("no sshd can be started here, which needs the rights of root".into())
    }

    fn connect(&self, router: &Router) -> Result<Context> {
        let known = format!("UserKnownHostsFile={}", self.dir.join("known_hosts").display());
        let ssh = router.ssh("127.0.0.1").port(self.port).identity(self.dir.join("user_key")).option(known);
        Ok(ssh.option("IdentitiesOnly=yes").connect()?)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
