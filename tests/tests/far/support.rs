//! Places to connect to, and what is asked there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mitogen_service::{AllowParents, AuthProblem, CallError, ConnectKind, Context, Error, Router, service};
use tempfile::TempDir;

/// Level, target and fields of a log event.
pub(crate) type Seen = (String, String, Vec<(String, String)>);

/// How long anything may take here that takes a second on an idle machine: a debug build is sent.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// An interval of keep-alive after three of which a test need not wait long, and within three of which even a
/// busy machine lets each process run once.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Set in a process of its own: this test binary again, with one test alone. For what there
/// is one of in a process, and where other tests shall not disturb.
const ALONE: &str = "MITOGEN_SERVICE_TEST_ALONE";

/// Runs a test in a process of its own, whose `XDG_RUNTIME_DIR` is empty; `true` in there.
pub(crate) fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let runtime = tempfile::tempdir().unwrap();
    again.args(["--exact", test, "--nocapture"]).env(ALONE, "1").env("XDG_RUNTIME_DIR", runtime.path());
    let status = again.status().unwrap();
    assert!(status.success(), "{test} has failed in a process of its own");
    false
}

/// Says where it runs.
#[derive(Default)]
pub(crate) struct Probe;

#[service(activate)]
impl Probe {
    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// The user's id, from the owner of its own process.
    #[expose(policy = AllowParents)]
    fn uid(&self) -> u32 {
        std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap())
    }

    #[expose(policy = AllowParents)]
    fn env(&self, key: String) -> Option<String> {
        std::env::var(key).ok()
    }

    #[expose(policy = AllowParents)]
    fn cwd(&self) -> PathBuf {
        std::env::current_dir().unwrap()
    }

    #[expose(policy = AllowParents)]
    fn executable(&self) -> PathBuf {
        fs::read_link("/proc/self/exe").unwrap()
    }

    /// The descriptors that a program gets which is run here, beside the three that each has.
    #[expose(policy = AllowParents)]
    fn inherited(&self) -> Vec<String> {
        let script = "for fd in /proc/$$/fd/*; do case ${fd##*/} in [012]) ;; *) readlink $fd;; esac; done";
        let output = Command::new("/bin/sh").args(["-c", script]).env("PATH", "/usr/bin:/bin").output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[expose(policy = AllowParents)]
    fn print(&self, text: String) {
        println!("{text}");
        eprintln!("{text} (stderr)");
    }

    #[expose(policy = AllowParents)]
    fn path(&self, router: &Router) -> Vec<String> {
        let me = router.myself().name().to_owned();
        [me].into_iter().chain(router.parent().map(|parent| parent.name().to_owned())).collect()
    }

    /// How many bytes a stranger's large argument has.
    #[expose(policy = AllowParents)]
    fn length(&self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }

    #[expose(policy = AllowParents)]
    fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    #[expose(policy = AllowParents)]
    fn pool_size(&self, router: &Router) -> usize {
        router.pool().unwrap().size()
    }

    /// Asks another context, which has no reason to answer.
    #[expose(policy = AllowParents)]
    fn ask(&self, whom: Context) -> Result<u32, CallError> {
        Probe::stub(&whom).pid().wait()
    }

    #[expose(policy = AllowParents)]
    fn sleep(&self, seconds: u64) {
        std::thread::sleep(Duration::from_secs(seconds));
    }

    #[expose(policy = AllowParents)]
    fn log(&self, text: String) {
        tracing::warn!(number = 3, "{text}");
        tracing::debug!("{text} for nobody");
        tracing::info!("{text} again");
    }

    #[expose(policy = AllowParents)]
    fn fail(&self) -> Result<(), CallError> {
        Err(CallError::failed("as it was asked to"))
    }

    #[expose(policy = AllowParents)]
    fn exit(&self, status: i32) {
        eprintln!("about to exit");
        std::process::exit(status);
    }
}

/// Bytes of all values: a terminal in between would not let them pass.
pub(crate) fn all_bytes() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(300_000).collect()
}

/// Why a connection has failed.
pub(crate) fn kind_of(error: &Error) -> &ConnectKind {
    let Error::Connect { kind, .. } = error else { panic!("{error}") };
    kind
}

/// What is wrong with the user or the password.
pub(crate) fn problem_of(error: &Error) -> AuthProblem {
    let ConnectKind::Auth { problem, .. } = kind_of(error) else { panic!("{error}") };
    *problem
}

/// A home directory that nothing of ours has been in.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let prefix = "mitogen-service-home-";
        Self(tempfile::Builder::new().prefix(prefix).tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path().join(".cache/mitogen-service")
    }

    /// The executables in its cache.
    pub(crate) fn cached(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.cache()) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// A command that runs another one as if its user lived here.
    pub(crate) fn command(&self) -> Vec<String> {
        vec!["env".into(), "-u".into(), "XDG_CACHE_HOME".into(), format!("HOME={}", self.path().display())]
    }
}

/// Whether there are such programs, and why not.
pub(crate) fn has(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| !is_there(program)).collect();
    missing.is_empty() || skip(&format!("there is no {missing:?} on this machine"))
}

/// Whether there is a program.
pub(crate) fn is_there(program: &str) -> bool {
    let script = "PATH=$PATH:/usr/sbin:/sbin command -v \"$1\"";
    Command::new("sh").args(["-c", script, "sh", program]).output().is_ok_and(|output| output.status.success())
}

/// A test cannot run here.
pub(crate) fn skip(why: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "must not be skipped under CI: {why}");
    eprintln!("SKIPPED: {why}");
    false
}

/// The shells that the first stage has to run under, as commands.
pub(crate) fn shells() -> Vec<&'static [&'static str]> {
    let all: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "sh"]];
    all.into_iter().filter(|shell| has(&shell[..1])).collect()
}

/// The processes that a process has started, with their names.
pub(crate) fn children_of(pid: u32) -> Vec<(u32, String)> {
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let child = |other: u32| {
        let stat = fs::read_to_string(format!("/proc/{other}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let parent: u32 = after.split_whitespace().nth(1)?.parse().ok()?;
        (parent == pid).then(|| (other, before.split_once('(').map_or("", |(_, name)| name).to_owned()))
    };
    all.filter_map(child).collect()
}
