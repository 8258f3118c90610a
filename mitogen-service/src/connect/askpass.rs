//! Gives ssh a password without a terminal, a command line or an environment variable.
//!
//! ssh runs the program that `SSH_ASKPASS` names and takes the password from its stdout
//! (`SSH_ASKPASS_REQUIRE=force`, OpenSSH 8.4). Ours is a script in a directory of this user alone, which
//! reads the password from a FIFO beside it: so it is in the kernel's memory, once, and never in a file.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, StatVfsMountFlags};

use super::request::Secret;
use crate::router::random_number;

/// Gives the password once. Asked again, or for anything else (the passphrase of a key, whether to trust
/// a host), it gives nothing, and ssh goes on without it.
///
/// Nor does it to another ssh, which the one that was started here has started for a host in between: that one
/// leads no process group. If this program has ended meanwhile, nobody will ever write to the FIFO, so that nothing
/// may wait for it.
const SCRIPT: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
case $1 in
*yes/no* | *assphrase*) exit 1 ;;
esac
read -r _ _ _ _ group _ <"/proc/$$/stat"
[ "$group" = "$PPID" ] || exit 1
if ! [ -d "/proc/ROOT" ]; then rm -rf "$PWD"; exit 1; fi
mkdir given 2>/dev/null || exit 1
IFS= read -r password <password && printf '%s\n' "$password"
"#;

/// A password that lies ready for ssh; dropping it takes it away.
pub(super) struct AskPass {
    dir: PathBuf,
    /// Held open, so that what was written stays there until it is read.
    _fifo: OwnedFd,
}

impl AskPass {
    pub(super) fn new(password: &Secret) -> std::io::Result<Self> {
        let dir = make_dir()?;
        let made = fill(&dir, password);
        made.map(|fifo| Self { dir: dir.clone(), _fifo: fifo }).inspect_err(|_| {
            let _ = fs::remove_dir_all(&dir);
        })
    }

    /// What ssh has to be told.
    pub(super) fn env(&self) -> [(&'static str, PathBuf); 2] {
        [("SSH_ASKPASS", self.dir.join("askpass")), ("SSH_ASKPASS_REQUIRE", "force".into())]
    }

    /// What ssh has to be told where there is no password: that nobody is there. `BatchMode` tells so only the
    /// one that is started here, and not those that it starts for hosts in between.
    pub(super) fn nobody() -> [(&'static str, PathBuf); 2] {
        [("SSH_ASKPASS", "false".into()), ("SSH_ASKPASS_REQUIRE", "force".into())]
    }

    /// Whether ssh has asked for the password.
    pub(super) fn was_asked(&self) -> bool {
        self.dir.join("given").exists()
    }
}

impl Drop for AskPass {
    fn drop(&mut self) {
        // What is left of it says nothing.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn fill(dir: &Path, password: &Secret) -> std::io::Result<OwnedFd> {
    let path = dir.join("password");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // For reading as well, so that this needs no reader yet.
    let fifo = rustix::fs::open(&path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&fifo, &password.line())?;
    let mut script = fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(dir.join("askpass"))?;
    script.write_all(SCRIPT.replace("ROOT", &std::process::id().to_string()).as_bytes())?;
    Ok(fifo)
}

/// A directory for this user alone, where something may be executed.
fn make_dir() -> std::io::Result<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let bases = runtime.into_iter().chain([std::env::temp_dir(), "/dev/shm".into(), "/var/tmp".into()]);
    let mut last = std::io::Error::other("every directory for temporary files is mounted noexec");
    for base in bases {
        let executes = rustix::fs::statvfs(&base).is_ok_and(|stat| !stat.f_flag.contains(StatVfsMountFlags::NOEXEC));
        if !base.is_absolute() || !executes {
            continue;
        }
        let dir = base.join(format!(".mitogen-service-askpass-{:016x}", random_number()));
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    /// As ssh does, which leads its process group; or as one that it has started.
    fn ask_from(script: &str, askpass: &AskPass, prompt: &str) -> (bool, String) {
        let [(_, program), _] = askpass.env();
        let mut ssh = Command::new("sh");
        let output = ssh.args(["-c", script]).arg(program).arg(prompt).process_group(0).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    fn ask(askpass: &AskPass, prompt: &str) -> (bool, String) {
        ask_from("\"$0\" \"$1\"; exit $?", askpass, prompt)
    }

    #[test]
    fn who_asks_for_a_program_that_has_ended_waits_for_nothing() {
        let askpass = AskPass::new(&Secret::new("secret".to_owned())).unwrap();
        let script = askpass.dir.join("askpass");
        let ended = fs::read_to_string(&script).unwrap().replace(&format!("/proc/{}", std::process::id()), "/proc/0");
        fs::write(&script, ended).unwrap();
        assert!(!ask(&askpass, "joe@host's password: ").0);
        assert!(!askpass.dir.exists(), "it is left behind");
    }

    #[test]
    fn the_password_is_given_once_and_only_where_it_belongs() {
        let askpass = AskPass::new(&Secret::new("it's $secret\\".to_owned())).unwrap();
        assert!(!ask(&askpass, "Are you sure you want to continue connecting (yes/no/[fingerprint])? ").0);
        assert!(!ask(&askpass, "Enter passphrase for key '/root/.ssh/id_ed25519': ").0);
        let (given, _) = ask_from("(\"$0\" \"$1\"; exit $?); exit $?", &askpass, "joe@bastion's password: ");
        assert!(!given, "a host in between gets the password");
        assert!(!askpass.was_asked());
        assert_eq!(ask(&askpass, "joe@host's password: "), (true, "it's $secret\\\n".to_owned()));
        assert!(askpass.was_asked());
        assert!(!ask(&askpass, "joe@host's password: ").0);
        let dir = askpass.dir.clone();
        drop(askpass);
        assert!(!dir.exists());
    }
}
