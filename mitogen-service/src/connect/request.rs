//! What is to be connected and how, as data: so that another context can do it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::channel::Sender;
use crate::router::{MAX_NAME, is_name};
use crate::wire::Blob;

/// A context that shall be there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) way: Way,
    /// What the program calls it, if it does.
    pub(super) name: Option<String>,
    pub(super) pool_size: Option<usize>,
    pub(super) env: Vec<(Bytes, Bytes)>,
    pub(super) current_dir: Option<Bytes>,
    pub(super) connect_timeout: Duration,
    pub(super) unidirectional: bool,
    pub(super) output: Output,
    pub(super) cache_dir: Option<Bytes>,
    pub(super) no_cache: bool,
}

/// How a context is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Way {
    /// This executable again, on this machine and by this user.
    Local,
    /// A command that gives a shell somewhere else.
    Command(Method),
}

/// A command that gives a shell: each connector is no more than such a description.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Method {
    /// Whose words to look for in what it prints.
    pub(super) kind: Kind,
    /// The command, to which the first stage is added.
    pub(super) argv: Vec<Bytes>,
    /// How that is added.
    pub(super) ending: Ending,
    /// Variables of the command itself, not of the context.
    pub(super) env: Vec<(String, String)>,
    /// By what it asks for a password on its stderr.
    pub(super) prompt: Option<Prompt>,
    pub(super) password: Option<Secret>,
    /// Whether it gets a terminal.
    pub(super) terminal: TerminalUse,
    /// What the context is called if it has no other name.
    pub(super) default_name: String,
    /// Whether the link leaves this machine, and may be cut without a word.
    pub(super) is_remote: bool,
    /// What is wrong with what the builder was told.
    pub(super) problem: Option<String>,
}

/// Which command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Command,
    Ssh,
    Sudo,
    Su,
}

/// How the first stage is added to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    /// As three arguments: `sh`, `-c`, and the script.
    Arguments,
    /// As one argument that a shell will read.
    ForShell,
}

/// By what a command asks for a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Prompt {
    /// Our own words, that nobody else prints.
    Own(String),
    /// A line without an end that has a colon there, and speaks of a password.
    Password,
    /// ssh runs a program that has to give it: see `askpass.rs`.
    AskPass,
}

/// Whether a command gets a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TerminalUse {
    /// None, and what it inherits of this process may be one.
    Never,
    /// If it says that it will not do without; it reads from the wire all the same.
    IfWanted,
    /// As its stdin, where there is one to be had.
    AsStdin,
}

/// Where what a context prints goes.
///
/// Set by the connectors' `output`. A line of a context is what it writes to its stdout or stderr, as
/// text, without its end.
///
/// The log events have the fields `context` and `source`. Of a local context, `source` is `stdout` or
/// `stderr`. Of one behind a command (ssh, sudo, ..) it is always `stderr`: the stdout of the command is
/// the wire, so that of the context is led to its stderr, and what is printed there comes in one order.
///
/// ```no_run
/// use mitogen_service::{Output, Router};
///
/// # fn main() -> mitogen_service::Result<()> {
/// # let router = Router::builder().build()?;
/// let lines = router.receiver::<String>();
/// let child = router.local().output(Output::Lines(lines.sender())).connect()?;
/// for line in &lines {
///     println!("{child} says {line}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Output {
    /// Each line becomes a log event of the target `mitogen_service::output`. The default.
    #[default]
    Log,
    /// Each line goes to this process's stderr as it is.
    Inherit,
    /// It is read and thrown away; the last lines are still told when the context ends.
    Null,
    /// Each line is sent to a receiver. Lines that come faster than it takes them are dropped.
    Lines(Sender<String>),
}

/// Text that need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bytes(Blob);

impl Bytes {
    pub(super) fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

impl<T: AsRef<OsStr>> From<T> for Bytes {
    fn from(text: T) -> Self {
        Self(text.as_ref().as_bytes().to_vec().into())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_os_str(), f)
    }
}

/// A password: shown by nothing, overwritten when it is dropped.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) fn new(password: String) -> Self {
        Self(Zeroizing::new(password.into_bytes()))
    }

    /// As it is typed, with the end of the line.
    pub(super) fn line(&self) -> Zeroizing<Vec<u8>> {
        let mut line = Zeroizing::new(Vec::with_capacity(self.0.len() + 1));
        line.extend_from_slice(&self.0);
        line.push(b'\n');
        line
    }

    /// Whether it can be typed at all.
    pub(super) fn is_one_line(&self) -> bool {
        !self.0.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r'))
    }
}

/// As Mitogen shows one.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let blob = Blob::deserialize(deserializer)?;
        Ok(Self(Zeroizing::new(blob.to_vec())))
    }
}

impl Request {
    /// What comes from the program is checked before anything is started.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(what) = self.name.as_deref().and_then(wrong_name) {
            return Err(what);
        }
        if self.pool_size.is_some_and(|size| !(1..=4096).contains(&size)) {
            return Err("the pool_size of a context is 1 to 4096 threads".to_owned());
        }
        let dir = self.cache_dir.as_ref().map(Bytes::as_os_str);
        if let Some(dir) = dir.filter(|dir| !dir.as_bytes().starts_with(b"/")) {
            return Err(format!("cache_dir takes an absolute path on the target, and {dir:?} is not"));
        }
        let texts = self.env.iter().flat_map(|(key, value)| [key, value]);
        let mut texts = texts.chain(&self.current_dir).chain(&self.cache_dir);
        if texts.any(|text| text.as_os_str().as_bytes().contains(&0)) {
            return Err("environment variables and directories cannot have a NUL character".to_owned());
        }
        match &self.way {
            Way::Local => Ok(()),
            Way::Command(method) => {
                if let Some((key, _)) = self.env.iter().find(|(key, _)| !is_variable(key)) {
                    return Err(format!(
                        "{key:?} cannot be set on the target: the name of a variable is letters, digits and \
                         underscores, and does not begin with a digit"
                    ));
                }
                method.check()
            }
        }
    }
}

/// What is wrong with the name of a context.
pub(super) fn wrong_name(name: &str) -> Option<String> {
    let what =
        || format!("the name of a context is 1 to {MAX_NAME} bytes without control characters, and {name:?} is not");
    (!is_name(name)).then(what)
}

/// Whether a shell can set a variable of this name.
fn is_variable(key: &Bytes) -> bool {
    let key = key.as_os_str().as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    key.iter().all(allowed) && key.first().is_some_and(|first| !first.is_ascii_digit())
}

impl Method {
    fn check(&self) -> Result<(), String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        if self.argv.first().is_none_or(|program| program.as_os_str().is_empty()) {
            return Err("the command is empty: it begins with the name of a program".to_owned());
        }
        if self.argv.iter().any(|arg| arg.as_os_str().as_bytes().contains(&0)) {
            return Err("the arguments of a command cannot have a NUL character".to_owned());
        }
        if self.password.as_ref().is_some_and(|password| !password.is_one_line()) {
            return Err("a password is one line, without a line break or NUL character".to_owned());
        }
        Ok(())
    }

    /// The program that is run, as a person calls it.
    pub(super) fn program(&self) -> String {
        self.argv.first().map(|program| program.as_os_str().to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The whole command, with the first stage. If its stdin is a terminal, the wire is what its stdout is.
    pub(super) fn command(&self, first_stage: &str, stdin_is_terminal: bool) -> Vec<OsString> {
        let mut argv: Vec<OsString> = self.argv.iter().map(|arg| arg.as_os_str().to_owned()).collect();
        let forget: String = self.env.iter().map(|(key, _)| give_back(key)).collect();
        let wire = if stdin_is_terminal { "exec <&1; " } else { "" };
        let script = forget + wire + first_stage;
        match self.ending {
            Ending::Arguments => argv.extend(["sh", "-c", &script].map(OsString::from)),
            Ending::ForShell => argv.push(format!("exec sh -c {}", quote(&script)).into()),
        }
        argv
    }
}

/// Lets a variable that was set for a command alone be again what it is here, where the command has let it through.
fn give_back(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    match std::env::var(key) {
        Ok(value) if value.chars().all(plain) => format!("{key}=${{{key}+{value}}}; "),
        _ => format!("unset {key}; "),
    }
}

/// What is wrong with a host or a user that a command is given as an argument.
pub(super) fn wrong_target(what: &str, target: &str) -> Option<String> {
    let wrong = target.is_empty() || target.starts_with('-') || target.contains(|c: char| c.is_control());
    wrong.then(|| format!("{what} is a name that does not begin with a dash, and {target:?} is not"))
}

/// One word for any shell, also for csh and fish if it has no line break and no exclamation mark.
pub(super) fn quote(text: &str) -> String {
    OsString::from_vec(quote_bytes(text.as_bytes())).into_string().unwrap_or_default()
}

pub(super) fn quote_bytes(text: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in text {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "[secret]");
        assert!(!Secret::new("two\nlines".to_owned()).is_one_line());
    }

    #[test]
    fn a_quoted_text_is_one_word() {
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
