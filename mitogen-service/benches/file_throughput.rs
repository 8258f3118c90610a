//! How fast a file comes from a child, beside what one would use without this crate.
//!
//! `cargo bench -p mitogen-service --bench file_throughput [-- OPTIONS]`; see `docs/performance.md`.
#![forbid(unsafe_code)]

mod support;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mitogen_service::{AllowParents, Context, FileService, Router, service};

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

const HASH_OFF: &str = "FileService, no hash";
const HASH_ON: &str = "FileService";
const PUT: &str = "FileService::put, no hash";
const CAT: &str = "cat FILE \\| cat > DEST";
const CAT_HOP: &str = "cat FILE \\| cat \\| cat > DEST";
const SSH_CAT: &str = "ssh HOST cat FILE > DEST";

/// The figures.
const RATE: &str = "MB/s";
const CPU: &str = "CPU s/GiB";

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
    let options = Options::from_args(&[LOCAL, HOP, SSH])?;
    let mut files = Files::new(options.scaled(SIZE) >> 20 << 20)?;
    let router = Router::builder().build()?;
    let child = router.local().name("child").connect()?;
    let grandchild = Hop::stub(&child).start_child().wait()?;
    let pids = [Hop::stub(&child).pid().wait()?, Hop::stub(&grandchild).pid().wait()?];
    files.pids = pids.to_vec();
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
