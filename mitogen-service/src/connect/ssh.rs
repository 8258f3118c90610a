//! Contexts on other hosts, through the user's own ssh.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::options::{Options, common_options, far_options};
use super::request::{Ending, Kind, Method, Prompt, Secret, Way, wrong_target};
use crate::router::Router;

/// The port of ssh that needs no mention.
const PORT: u16 = 22;

/// Starts a context on another host; see [`Router::ssh`].
#[must_use = "call `connect` or `start` to connect"]
pub struct Ssh {
    router: Router,
    options: Options,
    host: String,
    user: Option<String>,
    port: Option<u16>,
    identities: Vec<PathBuf>,
    host_keys: HostKeys,
    compression: Option<bool>,
    extra: Vec<String>,
    password: Option<Secret>,
    program: OsString,
}

/// What to do about the keys of hosts.
///
/// ```no_run
/// use mitogen_service::HostKeys;
///
/// # fn main() -> mitogen_service::Result<()> {
/// # let router = mitogen_service::Router::builder().build()?;
/// let new = router.ssh("web1").host_keys(HostKeys::AcceptNew).connect()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKeys {
    /// What the user's configuration says; what ssh would ask about is refused. The default.
    #[default]
    Config,
    /// Only hosts with a known key (`StrictHostKeyChecking=yes`).
    Enforce,
    /// A new key is remembered, a changed one refused (`StrictHostKeyChecking=accept-new`).
    AcceptNew,
    /// Whoever answers is trusted, and nothing is remembered. For machines that live for minutes.
    Ignore,
}

impl Router {
    /// Starts a context on another host, by the user's own `ssh` with the user's own configuration:
    /// aliases, ProxyJump, agents, known_hosts and ControlMaster work as they do by hand.
    ///
    /// The host needs an account and a POSIX shell, and nothing of ours. At the first time this
    /// executable is sent there; it stays in a cache, and later connections send nothing. Without a
    /// [password](Ssh::password) ssh is told not to ask for anything (`BatchMode`).
    ///
    /// ```no_run
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let web = router.ssh("web1").user("deploy").connect()?;
    /// let root = router.sudo().via(&web).connect()?;
    /// assert_eq!(root.name(), "ssh.web1.sudo.root");
    /// # Ok(())
    /// # }
    /// ```
    pub fn ssh(&self, host: impl Into<String>) -> Ssh {
        let way = Way::Command(Method::new(Kind::Ssh, Ending::ForShell, String::new()));
        Ssh {
            router: self.clone(),
            options: Options::new(way),
            host: host.into(),
            user: None,
            port: None,
            identities: Vec::new(),
            host_keys: HostKeys::Config,
            compression: None,
            extra: Vec::new(),
            password: None,
            program: "ssh".into(),
        }
    }
}

impl Ssh {
    common_options!();
    far_options!();

    /// The user on the host.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The port of the host's ssh server.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The file of a private key; those that are named so are the only ones that are offered.
    pub fn identity(mut self, file: impl Into<PathBuf>) -> Self {
        self.identities.push(file.into());
        self
    }

    /// What to do about the keys of hosts.
    pub fn host_keys(mut self, host_keys: HostKeys) -> Self {
        self.host_keys = host_keys;
        self
    }

    /// Whether ssh compresses what it sends. The executable is sent compressed anyway.
    pub fn compression(mut self, compression: bool) -> Self {
        self.compression = Some(compression);
        self
    }

    /// An option as in `ssh_config`: `.option("ProxyJump=bastion")`. Comes before what the connector says
    /// itself, and ssh takes the first.
    ///
    /// So ssh can be asked to tell what it does; it speaks through the [output](Self::output) of the
    /// context, which goes to the log unless told otherwise:
    ///
    /// ```no_run
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let web = router.ssh("web1").option("LogLevel=DEBUG1").connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.extra.push(option.into());
        self
    }

    /// The password of the user. It is handed to ssh when that asks for it, once, and stands in no
    /// command line, environment or file; it needs OpenSSH 8.4 or later here.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Secret::new(password.into()));
        self
    }

    /// Another program than `ssh`.
    pub fn ssh_path(mut self, program: impl Into<OsString>) -> Self {
        self.program = program.into();
        self
    }

    fn finish(&self) -> Options {
        let port = self.port.filter(|port| *port != PORT).map(|port| format!(":{port}")).unwrap_or_default();
        let method = Method::new(Kind::Ssh, Ending::ForShell, format!("ssh.{}{port}", self.host));
        let mut options = self.options.clone();
        options.request.way = Way::Command(Method {
            argv: self.argv().into_iter().map(Into::into).collect(),
            prompt: Some(Prompt::AskPass),
            password: self.password.clone(),
            problem: wrong_target("the host of ssh", &self.host),
            is_remote: true,
            ..method
        });
        options
    }

    fn argv(&self) -> Vec<OsString> {
        let mut argv = vec![self.program.clone()];
        let mut set = |option: &str| argv.extend(["-o".into(), option.into()]);
        for option in &self.extra {
            set(option);
        }
        set("LogLevel=ERROR");
        set("RemoteCommand=none");
        match &self.password {
            // What is wrong once is wrong twice.
            Some(_) => set("NumberOfPasswordPrompts=1"),
            None => set("BatchMode=yes"),
        }
        match self.host_keys {
            HostKeys::Config => {}
            HostKeys::Enforce => set("StrictHostKeyChecking=yes"),
            HostKeys::AcceptNew => set("StrictHostKeyChecking=accept-new"),
            HostKeys::Ignore => {
                set("StrictHostKeyChecking=no");
                set("UserKnownHostsFile=/dev/null");
                set("GlobalKnownHostsFile=/dev/null");
            }
        }
        if let Some(compression) = self.compression {
            set(if compression { "Compression=yes" } else { "Compression=no" });
        }
        if !self.identities.is_empty() {
            set("IdentitiesOnly=yes");
        }
        for identity in &self.identities {
            argv.extend(["-i".into(), identity.into()]);
        }
        if let Some(user) = &self.user {
            argv.extend(["-l".into(), user.into()]);
        }
        if let Some(port) = self.port {
            argv.extend(["-p".into(), port.to_string().into()]);
        }
        // No terminal, whatever the configuration says; and what follows is no option.
        argv.extend(["-T".into(), "--".into(), self.host.clone().into()]);
        argv
    }
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh").field("host", &self.host).field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(ssh: &Ssh) -> String {
        let argv: Vec<_> = ssh.argv().into_iter().map(|arg| arg.into_string().unwrap()).collect();
        argv.join(" ")
    }

    #[test]
    fn the_command_line_says_what_the_builder_was_told_and_never_the_password() {
        let router = Router::builder().build().unwrap();
        assert_eq!(
            argv(&router.ssh("web1")),
            "ssh -o LogLevel=ERROR -o RemoteCommand=none -o BatchMode=yes -T -- web1"
        );
        let all = router.ssh("web1").user("joe").port(2222).identity("/k").compression(true);
        let all = all.host_keys(HostKeys::Enforce).option("ProxyJump=bastion").password("hunter2");
        let line = argv(&all);
        assert_eq!(
            line,
            "ssh -o ProxyJump=bastion -o LogLevel=ERROR -o RemoteCommand=none -o NumberOfPasswordPrompts=1 \
             -o StrictHostKeyChecking=yes -o Compression=yes -o IdentitiesOnly=yes -i /k -l joe -p 2222 -T -- web1"
        );
        let Way::Command(method) = all.finish().request.way else { panic!("ssh is a command") };
        assert_eq!(method.default_name, "ssh.web1:2222");
        assert!(!format!("{all:?} {:?}", all.finish()).contains("hunter2"));
    }
}
