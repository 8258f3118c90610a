//! Contexts of another user, through sudo.

use std::ffi::OsString;
use std::fmt;

use super::options::{Options, common_options, far_options, user_options};
use super::request::{Ending, Kind, Method, Prompt, Secret, TerminalUse, Way, wrong_target};
use crate::router::{Router, random_number};

/// Starts a context as another user; see [`Router::sudo`].
#[must_use = "call `connect` or `start` to connect"]
pub struct Sudo {
    router: Router,
    options: Options,
    user: String,
    password: Option<Secret>,
    set_home: bool,
    preserve_env: bool,
    extra: Vec<OsString>,
    program: OsString,
}

impl Router {
    /// Starts a context as another user of this machine, root by default, through `sudo`.
    ///
    /// Without a [password](Sudo::password) sudo is told not to ask for one (`-n`). With one it is given to
    /// sudo when that asks, which it does by words of our own, so that its language does not matter. Where
    /// its rules want a terminal (`requiretty`), it is run again in one.
    ///
    /// ```no_run
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let root = router.sudo().connect()?;
    /// let web = router.ssh("web1").connect()?;
    /// let database = router.sudo().user("postgres").password("secret").via(&web).connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sudo(&self) -> Sudo {
        let way = Way::Command(Method::new(Kind::Sudo, Ending::Arguments, String::new()));
        Sudo {
            router: self.clone(),
            options: Options::new(way),
            user: "root".to_owned(),
            password: None,
            set_home: false,
            preserve_env: false,
            extra: Vec::new(),
            program: "sudo".into(),
        }
    }
}

impl Sudo {
    common_options!();
    far_options!();

    user_options!(
        "The password that sudo asks for: that of the user who calls it, usually. It goes to sudo's stdin, \
         once, and stands in no command line, environment or file.",
        sudo_path,
        "sudo"
    );

    /// Sets `HOME` to that of the user (`-H`).
    pub fn set_home(mut self, set_home: bool) -> Self {
        self.set_home = set_home;
        self
    }

    /// Keeps the environment, if the rules of sudo allow that (`-E`).
    pub fn preserve_env(mut self, preserve_env: bool) -> Self {
        self.preserve_env = preserve_env;
        self
    }

    /// Another argument of sudo, such as `--role=unconfined_r`; in front of its own ones.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.extra.push(arg.into());
        self
    }

    fn finish(&self) -> Options {
        // Words that nobody else prints, in any language.
        let prompt = format!("mitogen-sudo-prompt-{:016x}:", random_number());
        let mut options = self.options.clone();
        options.request.way = Way::Command(Method {
            argv: self.argv(&prompt).into_iter().map(Into::into).collect(),
            // What it says is read here; its prompt is ours.
            env: vec![("LC_ALL".to_owned(), "C".to_owned())],
            prompt: Some(Prompt::Own(prompt)),
            password: self.password.clone(),
            terminal: TerminalUse::IfWanted,
            problem: wrong_target("the user of sudo", &self.user),
            ..Method::new(Kind::Sudo, Ending::Arguments, format!("sudo.{}", self.user))
        });
        options
    }

    fn argv(&self, prompt: &str) -> Vec<OsString> {
        let mut argv = vec![self.program.clone()];
        argv.extend(self.extra.iter().cloned());
        let mut add = |args: &[&str]| argv.extend(args.iter().map(OsString::from));
        match &self.password {
            // From stdin, which is the wire later on: sudo reads one line and not a byte more.
            Some(_) => add(&["-S", "-p", prompt]),
            None => add(&["-n"]),
        }
        if self.set_home {
            add(&["-H"]);
        }
        if self.preserve_env {
            add(&["-E"]);
        }
        add(&["-u", &self.user, "--"]);
        argv
    }
}

impl fmt::Debug for Sudo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sudo").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_what_the_builder_was_told_and_never_the_password() {
        let router = Router::builder().build().unwrap();
        let join = |argv: Vec<OsString>| argv.join(&OsString::from(" ")).into_string().unwrap();
        assert_eq!(join(router.sudo().argv("P:")), "sudo -n -u root --");
        let all = router.sudo().user("joe").set_home(true).preserve_env(true).arg("--role=r").password("hunter2");
        assert_eq!(join(all.argv("P:")), "sudo --role=r -S -p P: -H -E -u joe --");
        assert!(!format!("{all:?} {:?}", all.finish()).contains("hunter2"));
    }
}
