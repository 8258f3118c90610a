//! The first stage: under each shell, with each tool, and with everything in its way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use mitogen_service::{ConnectKind, Context, Error, Router};
use mitogen_service_tests::within;

use crate::support::{Home, LONG, Probe, has, is_there, kind_of, shells, skip};
use crate::world::World;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mitogen-service/src/connect/bootstrap");

/// What the first stage cannot do without.
const NEEDED: [&str; 14] =
    ["sh", "env", "id", "uname", "ls", "head", "df", "tail", "mv", "rm", "chmod", "mkdir", "find", "cat"];

/// A machine that has these programs and no others.
struct Machine {
    home: Home,
    bin: PathBuf,
}

impl Machine {
    fn new(programs: &[&str]) -> Self {
        let home = Home::new();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let machine = Self { home, bin };
        for program in programs {
            machine.link(program, &which(program));
        }
        machine
    }

    fn link(&self, name: &str, target: &Path) {
        let _ = fs::remove_file(self.bin.join(name));
        symlink(target, self.bin.join(name)).unwrap();
    }

    /// A program of its own in the place of another one.
    fn script(&self, name: &str, text: &str) {
        let path = self.bin.join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self) -> Vec<String> {
        let mut command = self.home.command();
        command.push(format!("PATH={}", self.bin.display()));
        // The one that is run has to be found by its path.
        command[0] = "/usr/bin/env".to_owned();
        command
    }

    /// The same behind a pipe through which everything goes that is sent there.
    fn behind(&self, filter: &str) -> Vec<String> {
        let mut command = vec!["sh".to_owned(), "-c".to_owned(), format!("{filter} | \"$@\""), "sh".to_owned()];
        command.extend(self.command());
        command
    }

    fn connect(&self) -> mitogen_service::Result<Context> {
        connect(&self.command())
    }
}

/// A router that ends with its context would end it too early.
fn connect(command: &[String]) -> mitogen_service::Result<Context> {
    let router = Router::builder().build()?;
    let context = router.command(command.to_vec()).connect()?;
    assert_ne!(Probe::stub(&context).pid().wait().unwrap(), std::process::id());
    Ok(context)
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no {program}"))
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    NEEDED.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn the_scripts_are_clean() {
    if !has(&["shellcheck"]) {
        return;
    }
    let scripts = ["first_stage.sh", "receive.sh"].map(|script| Path::new(SCRIPTS).join(script));
    let output = Command::new("shellcheck").args(["-s", "sh"]).args(scripts).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn it_runs_under_each_shell_and_sends_nothing_at_the_second_time() {
    within(LONG * 2, || {
        for shell in shells() {
            let machine = Machine::new(&with(&["gzip", "sha256sum"]));
            match shell {
                [busybox, "sh"] => {
                    // Everything is busybox there, as on a router of the other kind.
                    for applet in with(&["gzip", "sha256sum"]) {
                        machine.link(applet, &which(busybox));
                    }
                }
                [shell, ..] => machine.link("sh", &which(shell)),
                [] => unreachable!(),
            }
            let log = machine.home.path().join("sent");
            let tee = format!("tee {}", log.display());
            let context = connect(&machine.behind(&tee)).unwrap_or_else(|error| panic!("{shell:?}: {error}"));
            drop(context);
            let first = fs::metadata(&log).unwrap().len();
            let cached = machine.home.cached();
            let [file] = cached.as_slice() else { panic!("{shell:?}: {cached:?}") };
            let size = fs::metadata(file).unwrap().len();
            assert!(first < size * 2 / 3, "{shell:?}: {first} bytes were sent of {size}");
            assert_eq!(fs::metadata(machine.home.cache()).unwrap().permissions().mode() & 0o777, 0o700);

            drop(connect(&machine.behind(&tee)).unwrap());
            let second = fs::metadata(&log).unwrap().len();
            assert!(second < 4 * 1024, "{shell:?}: {second} bytes were sent at the second time");
            assert_eq!(machine.home.cached(), cached);
        }
    });
}

/// What the user's login shell is given it has to pass on as it is, and csh and fish quote otherwise than sh. Those that
/// are there; none of them is needed.
#[test]
fn login_shells_of_all_kinds_pass_it_on() {
    within(LONG * 2, || {
        let shells = ["dash", "bash", "tcsh", "bsd-csh", "fish", "zsh", "mksh", "yash"];
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        for shell in shells.into_iter().filter(|shell| is_there(shell)) {
            let command = home.command().into_iter().chain([shell.to_owned(), "-c".to_owned()]);
            let login = router.command(command).through_shell().name("it's \\ a $HOME!").env("KEY", "'\\'!");
            let context = login.connect().unwrap_or_else(|error| panic!("{shell}: {error}"));
            assert_eq!(context.name(), "it's \\ a $HOME!");
            assert_eq!(
                Probe::stub(&context).env("KEY".to_owned()).wait().unwrap().as_deref(),
                Some("'\\'!"),
                "{shell}"
            );
        }
    });
}

#[test]
fn it_makes_do_with_what_there_is() {
    within(LONG * 2, || {
        for tools in [
            &["sha256sum"][..],
            &["shasum"],
            &["openssl", "gzip"],
            &["cksum", "gzip"],
            &["cksum", "no head", "dd"],
            &["sha256sum", "no head", "dd", "gzip"],
        ] {
            let programs: Vec<_> = tools.iter().copied().filter(|tool| !tool.contains(' ')).collect();
            if !has(&programs) {
                continue;
            }
            let machine = Machine::new(&with(&programs));
            if tools.contains(&"shasum") {
                machine.link("perl", &which("perl"));
            }
            if tools.contains(&"no head") {
                fs::remove_file(machine.bin.join("head")).unwrap();
            }
            for _ in 0..2 {
                machine.connect().unwrap_or_else(|error| panic!("{tools:?}: {error}"));
            }
            assert_eq!(machine.home.cached().len(), 1, "{tools:?}");
        }
    });
}

#[test]
fn what_lies_in_the_cache_is_not_trusted() {
    within(LONG * 2, || {
        let machine = Machine::new(&with(&["gzip", "sha256sum"]));
        machine.connect().unwrap();
        let cached = machine.home.cached();
        let [file] = cached.as_slice() else { panic!("{cached:?}") };
        let right = fs::read(file).unwrap();
        let evil = machine.home.path().join("evil");
        fs::write(&evil, "#!/bin/sh\ntouch $HOME/was_here\n").unwrap();
        fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
        let hostile: [(&str, &dyn Fn()); 5] = [
            ("half of it", &|| fs::write(file, &right[..right.len() / 2]).unwrap()),
            ("nothing", &|| fs::write(file, "").unwrap()),
            ("something else", &|| assert!(fs::copy(&evil, file).unwrap() > 0)),
            ("a link", &|| symlink(&evil, file).unwrap()),
            ("a directory", &|| {
                fs::create_dir(file).unwrap();
                fs::write(file.join("in it"), "").unwrap();
            }),
        ];
        for (what, make) in hostile {
            let _ = fs::remove_file(file);
            make();
            if !file.is_dir() {
                fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
            }
            machine.connect().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(fs::read(file).unwrap(), right, "{what}");
            assert!(!machine.home.path().join("was_here").exists(), "{what} was run");
        }
    });
}

#[test]
fn a_cache_that_others_may_write_to_is_passed_over() {
    within(LONG, || {
        let machine = Machine::new(&with(&["gzip", "sha256sum"]));
        fs::create_dir_all(machine.home.cache()).unwrap();
        fs::set_permissions(machine.home.cache(), fs::Permissions::from_mode(0o777)).unwrap();
        let given = machine.home.path().join("given");
        fs::create_dir(&given).unwrap();
        let router = Router::builder().build().unwrap();
        let context = router.command(machine.command()).cache_dir(&given).connect().unwrap();
        let runs = Probe::stub(&context).executable().wait().unwrap();
        assert!(runs.starts_with(&given), "{}", runs.display());
        assert_eq!(machine.home.cached(), Vec::<PathBuf>::new());
        if !may_mount() {
            return;
        }
        // Without that one it goes somewhere else.
        let other = router.command(elsewhere(&machine, "size=256m")).connect().unwrap();
        let runs = Probe::stub(&other).executable().wait().unwrap();
        assert!(!runs.starts_with(machine.home.path()), "{}", runs.display());

        // A directory of somebody else, however private.
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            skip("only root can give a directory away");
            return;
        }
        fs::set_permissions(machine.home.cache(), fs::Permissions::from_mode(0o700)).unwrap();
        chown(machine.home.cache(), Some(4001), None).unwrap();
        drop(router.command(elsewhere(&machine, "size=256m")).connect().unwrap());
        assert_eq!(machine.home.cached(), Vec::<PathBuf>::new());
    });
}

#[test]
fn without_a_cache_nothing_stays_behind() {
    within(LONG, || {
        let machine = Machine::new(&with(&["gzip", "sha256sum"]));
        let router = Router::builder().build().unwrap();
        let context = router.command(machine.command()).no_cache().connect().unwrap();
        let runs = Probe::stub(&context).executable().wait().unwrap();
        assert!(runs.to_string_lossy().ends_with("(deleted)"), "{}", runs.display());
        let left: Vec<_> = fs::read_dir(machine.home.path().join(".cache")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        let inherited = Probe::stub(&context).inherited().wait().unwrap();
        assert!(!inherited.iter().any(|file| file.ends_with("(deleted)")), "{inherited:?}");
        // It can be sent on all the same.
        let below = router.command(machine.command()).no_cache().via(&context).connect().unwrap();
        assert!(Probe::stub(&below).pid().wait().is_ok());
    });
}

#[test]
fn many_at_once_leave_one_file() {
    within(LONG * 2, || {
        let machine = Machine::new(&with(&["gzip", "sha256sum"]));
        let router = Router::builder().build().unwrap();
        let connecting: Vec<_> = (0..6).map(|_| router.command(machine.command()).start()).collect();
        for connecting in connecting {
            let context = connecting.wait().unwrap();
            assert!(Probe::stub(&context).pid().wait().is_ok());
        }
        assert_eq!(machine.home.cached().len(), 1);
    });
}

#[test]
fn a_link_that_is_cut_or_changes_what_it_carries_leaves_nothing_behind() {
    within(LONG, || {
        for filter in ["dd bs=1 count=300000 2>/dev/null", "(dd bs=1 count=300000 2>/dev/null; printf 'garbage'; cat)"]
        {
            for tools in [&["gzip", "sha256sum"][..], &["sha256sum"], &["sha256sum", "dd", "no head"]] {
                let machine = Machine::new(&with(&tools[..tools.len().min(2)]));
                if tools.contains(&"no head") {
                    fs::remove_file(machine.bin.join("head")).unwrap();
                }
                let error = connect(&machine.behind(filter)).unwrap_err();
                assert!(matches!(kind_of(&error), ConnectKind::Transfer { .. }), "{filter} {tools:?}: {error}");
                assert_eq!(machine.home.cached(), Vec::<PathBuf>::new(), "{filter} {tools:?}");
            }
        }
    });
}

#[test]
fn a_wrong_machine_is_refused_before_anything_is_sent() {
    within(LONG, || {
        for (program, text, expected) in [
            ("uname", "echo Linux aarch64", "Linux on aarch64"),
            ("uname", "echo Darwin x86_64", "only Linux is supported"),
            ("getconf", "echo glibc 2.17", "glibc 2.17"),
        ] {
            if program == "getconf" && cfg!(not(target_env = "gnu")) {
                continue;
            }
            let machine = Machine::new(&with(&["gzip", "sha256sum"]));
            machine.script(program, text);
            let log = machine.home.path().join("sent");
            let error = connect(&machine.behind(&format!("tee {}", log.display()))).unwrap_err();
            assert!(matches!(kind_of(&error), ConnectKind::WrongTarget { .. }), "{error}");
            let told = error.to_string();
            assert!(told.contains(expected), "{told}");
            if !expected.contains("only") {
                assert!(told.contains("-unknown-linux-musl") && told.contains("executable_for"), "{told}");
            }
            assert!(fs::metadata(&log).unwrap().len() < 16 * 1024);
            assert!(!machine.home.cache().exists());
        }
    });
}

#[test]
fn an_executable_for_another_machine_is_looked_at_when_the_router_is_made() {
    let missing = Router::builder().executable_for("aarch64-unknown-linux-musl", "/nowhere").build().unwrap_err();
    assert!(missing.to_string().contains("/nowhere"), "{missing}");
    let text = Router::builder().executable_for("x86_64-unknown-linux-musl", "/etc/passwd").build().unwrap_err();
    assert!(text.to_string().contains("not an ELF executable"), "{text}");
    let own = std::env::current_exe().unwrap();
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    let wrong = Router::builder().executable_for(format!("{other}-unknown-linux-musl"), &own).build().unwrap_err();
    assert!(matches!(wrong, Error::Invalid { .. }) && wrong.to_string().contains("--target"), "{wrong}");
    let arch = std::env::consts::ARCH;
    drop(Router::builder().executable_for(format!("{arch}-unknown-linux-gnu"), &own).build().unwrap());
}

/// This test's own executable, said to be for another machine.
fn foreign(home: &Home) -> PathBuf {
    let mut bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
    // `e_machine` of the ELF header: AArch64, or x86-64.
    bytes[18] = if cfg!(target_arch = "x86_64") { 0xb7 } else { 0x3e };
    let path = home.path().join("foreign");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn what_was_handed_in_for_another_machine_is_sent_there_also_by_way_of_others() {
    within(LONG * 2, || {
        let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
        let files = Home::new();
        let router =
            Router::builder().executable_for(format!("{other}-unknown-linux-musl"), foreign(&files)).build().unwrap();
        let hop = router.local().name("hop").connect().unwrap();
        for via in [&router.myself(), &hop] {
            let machine = Machine::new(&with(&["gzip", "sha256sum"]));
            machine.script("uname", &format!("echo Linux {other}"));
            let error = router.command(machine.command()).via(via).connect().unwrap_err();
            // It came there, and is what it should be; this machine cannot run it.
            assert!(matches!(kind_of(&error), ConnectKind::WrongTarget { .. }), "{via}: {error}");
            assert!(error.to_string().contains("status 126"), "{via}: {error}");
            let cached = machine.home.cached();
            let [file] = cached.as_slice() else { panic!("{via}: {cached:?}") };
            assert_eq!(fs::read(file).unwrap(), fs::read(files.path().join("foreign")).unwrap());
        }
        // Where there is nothing for a machine, its own words come through.
        let machine = Machine::new(&with(&["gzip", "sha256sum"]));
        machine.script("uname", "echo Linux riscv64");
        let error = router.command(machine.command()).via(&hop).connect().unwrap_err();
        assert!(error.to_string().contains("riscv64gc-unknown-linux-musl"), "{error}");
    });
}

#[test]
fn a_home_that_cannot_be_used_is_passed_over() {
    within(LONG * 2, || {
        let Some(world) = World::new() else { return };
        let router = Router::builder().build().unwrap();
        for user in ["noexec", "tiny", "fixed"] {
            let context = world.ssh(&router, user).connect().unwrap_or_else(|error| panic!("{user}: {error}"));
            let runs = Probe::stub(&context).executable().wait().unwrap();
            assert!(runs.starts_with("/var/tmp") || runs.starts_with("/dev/shm"), "{user}: {}", runs.display());
        }
    });
}

/// A machine whose directories for temporary files are mounted in this way.
fn elsewhere(machine: &Machine, options: &str) -> Vec<String> {
    let home = machine.home.path().display();
    // The home may lie in one of them, and stays as it is.
    let script = format!(
        "set -e; mount --rbind {home} /mnt; mount -t tmpfs tmpfs /tmp; mkdir -p {home}; mount --rbind /mnt {home}; \
         mount -o remount,{options} /tmp; \
         for dir in /var/tmp /dev/shm; do mount -t tmpfs -o {options} tmpfs $dir; done; exec \"$@\""
    );
    let unshare = ["unshare", "--mount", "--", "sh", "-c", &script, "sh"];
    let mut command: Vec<_> = unshare.map(str::to_owned).to_vec();
    command.extend(machine.command());
    command
}

/// The same, and its cache is no better.
fn useless(machine: &Machine, options: &str) -> Vec<String> {
    let cache = machine.home.path().join(".cache");
    fs::create_dir(&cache).unwrap();
    let script = format!("mount -t tmpfs -o {options} tmpfs {}; exec \"$@\"", cache.display());
    let unshare = ["unshare", "--mount", "--", "sh", "-c", &script, "sh"];
    let mut command: Vec<_> = unshare.map(str::to_owned).to_vec();
    command.extend(elsewhere(machine, options));
    command
}

fn may_mount() -> bool {
    has(&["unshare"])
        && (Command::new("unshare").args(["--mount", "true"]).status().unwrap().success()
            || skip("cannot unshare mounts"))
}

#[test]
fn a_machine_without_a_place_is_told_so() {
    within(LONG, || {
        if !may_mount() {
            return;
        }
        for (options, expected) in [
            ("size=256k", "are free, and"),
            ("noexec", "noexec"),
            ("ro", "cannot be made"),
            ("noexec,size=8k", "/var/tmp"),
        ] {
            let machine = Machine::new(&with(&["gzip", "sha256sum"]));
            let error = connect(&useless(&machine, options)).unwrap_err();
            assert!(matches!(kind_of(&error), ConnectKind::NoSpace { .. }), "{options}: {error}");
            let told = error.to_string();
            assert!(told.contains(expected) && told.contains("cache_dir"), "{options}: {told}");
        }
    });
}

#[test]
fn a_disk_that_becomes_full_meanwhile_is_told() {
    within(LONG, || {
        if !may_mount() {
            return;
        }
        for gzip in [true, false] {
            let machine = Machine::new(&with(if gzip { &["gzip", "sha256sum"] } else { &["sha256sum"] }));
            machine.script("df", "echo tmpfs 99999999 0 99999999 0% /");
            let error = connect(&useless(&machine, "size=1m")).unwrap_err();
            assert!(matches!(kind_of(&error), ConnectKind::NoSpace { .. }), "{error}");
            assert!(error.to_string().contains("No space left on device"), "{error}");
        }
    });
}

#[test]
fn noise_before_the_mark_is_skipped_and_kept_for_the_error() {
    within(LONG, || {
        let machine = Machine::new(&with(&["gzip", "sha256sum"]));
        let noisy = |end: &str| {
            let script = format!("echo mitogen-service; printf 'no end of line'; {end}");
            let mut command: Vec<_> = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
            command.extend(machine.command());
            command
        };
        connect(&noisy("exec \"$@\"")).unwrap();
        let error = connect(&noisy("exit 1")).unwrap_err();
        assert!(error.to_string().contains("no end of line"), "{error}");

        let Some(world) = World::new() else { return };
        let router = Router::builder().build().unwrap();
        let loud = world.ssh(&router, "loud").connect().unwrap();
        assert_eq!(Probe::stub(&loud).uid().wait().unwrap(), 4004);
        let error = world.ssh(&router, "shut").connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::NoShell { .. }), "{error}");
        assert!(error.to_string().contains("This account is currently not available"), "{error}");
    });
}
