//! What the words of a command mean that has ended too early.

use super::bootstrap::Ended;
use super::request::Kind;
use crate::error::{AuthProblem, ConnectKind, Exit};

/// The status by which ssh says that it is its own failure and not that of the command.
const SSH_FAILED: i32 = 255;

/// What ssh says if it does not come to the host, or not far.
const UNREACHABLE: [&str; 14] = [
    "Could not resolve hostname",
    "Connection refused",
    "Connection timed out",
    "Operation timed out",
    "No route to host",
    "Network is unreachable",
    "Connection closed by",
    "Connection reset by",
    "kex_exchange_identification",
    "banner exchange",
    "Connection to UNKNOWN port",
    "Unable to negotiate",
    "Bad owner or permissions",
    "Bad configuration option",
];

impl Kind {
    /// The name of the command in texts, as Mitogen has it there.
    fn name(self) -> &'static str {
        match self {
            Self::Command => "the command",
            Self::Ssh => "SSH",
            Self::Sudo => "sudo",
            Self::Su => "su",
        }
    }

    /// Something is wrong with the user or the password.
    pub(super) fn auth(self, problem: AuthProblem) -> ConnectKind {
        let name = self.name();
        let what = match (problem, self) {
            (AuthProblem::PasswordRequired, Self::Ssh) => {
                "SSH password was requested, but none specified: the host has taken no key (`identity`, or an agent), \
                 and would take a password (`password`)"
                    .to_owned()
            }
            (AuthProblem::PasswordRequired, _) => format!("{name} password is required, and given by `password`"),
            (AuthProblem::PasswordIncorrect, _) => format!("{name} password is incorrect"),
            (AuthProblem::Denied, Self::Ssh) => {
                "SSH authentication is incorrect: the host knows no such user, or has taken none of the keys that ssh \
                 has offered (`user`, `identity`, or an agent)"
                    .to_owned()
            }
            (AuthProblem::Denied, _) => format!("{name} does not let this user do it"),
        };
        ConnectKind::Auth { problem, what }
    }

    /// What to do if there is no shell behind it.
    fn no_shell(self) -> &'static str {
        match self {
            Self::Command => "; it has to run `sh -c SCRIPT`, which follows its arguments (see `through_shell`)",
            Self::Ssh => "; does the account have a login shell?",
            Self::Sudo | Self::Su => "",
        }
    }

    /// What has taken so long, and what to do; whether there is a shell behind it.
    pub(super) fn delay(self, shell: bool) -> &'static str {
        match (shell, self) {
            (true, _) => {
                "the target has not come to running the executable; if the link is slow or the target busy, give it \
                 a longer `connect_timeout`"
            }
            (false, Self::Ssh) => {
                "no shell has answered; does the host answer at all, and `ssh` to it by hand? If that takes its time, \
                 give it a longer `connect_timeout`"
            }
            (false, Self::Command) => {
                "no shell has answered; the command has to run `sh -c SCRIPT`, which follows its arguments (see \
                 `through_shell`)"
            }
            (false, Self::Sudo | Self::Su) => "no shell has answered; does it wait for something else than a password?",
        }
    }

    /// What is to be told of a command that has ended before the context had joined.
    pub(super) fn explain(self, ended: &Ended, exit: Option<Exit>, words: &str) -> ConnectKind {
        let by_words = match self {
            Self::Ssh if !ended.shell => ssh(ended, words),
            Self::Sudo => sudo(words),
            Self::Su => su(words),
            Self::Ssh | Self::Command => None,
        };
        by_words.unwrap_or_else(|| match exit {
            _ if words.contains("No space left on device") || words.contains("Disk quota exceeded") => {
                ConnectKind::NoSpace { what: "the disk became full while the executable was received".to_owned() }
            }
            Some(Exit::Code { code: SSH_FAILED }) if self == Self::Ssh && !ended.shell => {
                ConnectKind::Unreachable { what: last_line(words, "ssh has ended without a word") }
            }
            Some(Exit::Code { code }) if !ended.shell => ConnectKind::NoShell {
                what: format!("{} ended with status {code} and started no shell{}", self.name(), self.no_shell()),
            },
            Some(Exit::Code { .. }) if words.contains("GLIBC_") && words.contains("not found") => {
                ConnectKind::WrongTarget {
                    what: "the copy in the cache of the target is for a newer C library than is there".to_owned(),
                }
            }
            Some(Exit::Code { code: code @ (126 | 127) }) => ConnectKind::WrongTarget {
                what: format!("the executable is there, and the target cannot run it (status {code} of its shell)"),
            },
            exit => ConnectKind::Exited { exit },
        })
    }
}

fn ssh(ended: &Ended, words: &str) -> Option<ConnectKind> {
    if words.contains("Host key verification failed") || words.contains("host key is known for") {
        let changed = words.contains("REMOTE HOST IDENTIFICATION HAS CHANGED");
        return Some(ConnectKind::HostKey { changed });
    }
    // The last one: those before it may be tries of the same.
    let denied = words.lines().rev().find(|line| is_denial(line));
    if let Some(denied) = denied {
        // ssh names the ways in that the host would have let it try.
        let by_password = denied.contains("password") || denied.contains("keyboard-interactive");
        return Some(Kind::Ssh.auth(match (ended.password_given, ended.has_password) {
            (true, _) => AuthProblem::PasswordIncorrect,
            (false, false) if by_password => AuthProblem::PasswordRequired,
            (false, _) => AuthProblem::Denied,
        }));
    }
    if words.contains("Too many authentication failures") {
        return Some(Kind::Ssh.auth(AuthProblem::Denied));
    }
    let line = words.lines().rev().find(|line| UNREACHABLE.iter().any(|text| line.contains(text)))?;
    Some(ConnectKind::Unreachable { what: line.to_owned() })
}

/// `Permission denied` of ssh itself: at the beginning of a line, or behind `user@host: `. What a shell
/// says of a file stands elsewhere, and names no ways in.
fn is_denial(line: &str) -> bool {
    let text = match line.split_once(": ") {
        Some((user, rest)) if user.contains('@') && !user.contains(' ') => rest,
        _ => line,
    };
    text.starts_with("Permission denied (") || text.starts_with("Permission denied, please try again")
}

fn sudo(words: &str) -> Option<ConnectKind> {
    let has = |text: &str| words.contains(text);
    if has("a password is required") || has("interactive authentication is required") {
        return Some(Kind::Sudo.auth(AuthProblem::PasswordRequired));
    }
    if has("incorrect password attempt")
        || has("ncorrect authentication attempt")
        || has("Authentication failed, try again")
    {
        return Some(Kind::Sudo.auth(AuthProblem::PasswordIncorrect));
    }
    let denied = ["not in the sudoers", "not allowed to", "may not run sudo", "I'm afraid I can't do that"];
    denied.iter().any(|text| has(text)).then(|| Kind::Sudo.auth(AuthProblem::Denied))
}

fn su(words: &str) -> Option<ConnectKind> {
    // The texts of Mitogen's list, for the programs that are called su.
    let incorrect = ["su: sorry", "su: authentication failure", "su: incorrect password", "incorrect password"];
    let lower = words.to_lowercase();
    incorrect.iter().any(|text| lower.contains(text)).then(|| Kind::Su.auth(AuthProblem::PasswordIncorrect))
}

fn last_line(words: &str, otherwise: &str) -> String {
    words.lines().last().unwrap_or(otherwise).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh_says(words: &str, has_password: bool, password_given: bool) -> ConnectKind {
        let ended = Ended { shell: false, has_password, password_given };
        Kind::Ssh.explain(&ended, Some(Exit::Code { code: 255 }), words)
    }

    #[test]
    fn both_forms_of_a_denial_are_known() {
        for words in ["Permission denied (publickey,password).", "joe@host: Permission denied (publickey,password)."] {
            let kinds = [(false, false), (true, true), (true, false)]
                .map(|(has, given)| ssh_says(words, has, given))
                .map(|kind| match kind {
                    ConnectKind::Auth { problem, .. } => problem,
                    other => panic!("{other:?}"),
                });
            assert_eq!(
                kinds,
                [AuthProblem::PasswordRequired, AuthProblem::PasswordIncorrect, AuthProblem::Denied],
                "{words}"
            );
        }
        let of_a_shell = ssh_says("bash: /home/joe/.bashrc: Permission denied", false, false);
        assert!(matches!(of_a_shell, ConnectKind::Unreachable { .. }), "{of_a_shell:?}");
    }

    #[test]
    fn host_keys_and_dead_hosts_are_told_apart() {
        let unknown = ssh_says("No ED25519 host key is known for h.\nHost key verification failed.", false, false);
        assert!(matches!(unknown, ConnectKind::HostKey { changed: false }), "{unknown:?}");
        let words = "@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @\nHost key verification failed.";
        assert!(matches!(ssh_says(words, false, false), ConnectKind::HostKey { changed: true }));
        let dead = ssh_says("ssh: connect to host h port 22: Connection refused", false, false);
        assert!(dead.to_string().contains("Connection refused"), "{dead}");
    }

    #[test]
    fn a_login_without_a_shell_is_no_dead_host() {
        let ended = Ended { shell: false, has_password: false, password_given: false };
        let kind = Kind::Ssh.explain(&ended, Some(Exit::Code { code: 1 }), "");
        assert!(matches!(kind, ConnectKind::NoShell { .. }), "{kind:?}");
    }
}
