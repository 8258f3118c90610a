//! Contexts of another user, through su.

use std::ffi::OsString;
use std::fmt;

use super::options::{Options, common_options, far_options, user_options};
use super::request::{Ending, Kind, Method, Prompt, Secret, TerminalUse, Way, wrong_target};
use crate::router::Router;

/// Starts a context as another user; see [`Router::su`].
#[must_use = "call `connect` or `start` to connect"]
pub struct Su {
    router: Router,
    options: Options,
    user: String,
    password: Option<Secret>,
    program: OsString,
}

impl Router {
    /// Starts a context as another user of this machine, root by default, through `su`.
    ///
    /// The password is that of the user to become. It is given when su asks for one in English: su runs with
    /// `LC_ALL=C`, the context does not.
    ///
    /// ```no_run
    /// # fn main() -> mitogen_service::Result<()> {
    /// # let router = mitogen_service::Router::builder().build()?;
    /// let root = router.su().password("secret").connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn su(&self) -> Su {
        let way = Way::Command(Method::new(Kind::Su, Ending::ForShell, String::new()));
        Su {
            router: self.clone(),
            options: Options::new(way),
            user: "root".to_owned(),
            password: None,
            program: "su".into(),
        }
    }
}

impl Su {
    common_options!();
    far_options!();

    user_options!(
        "The password of the user to become. It is typed at a terminal that su gets for it, once, and stands \
         in no command line, environment or file.",
        su_path,
        "su"
    );

    fn finish(&self) -> Options {
        let mut options = self.options.clone();
        let argv = [self.program.clone(), self.user.clone().into(), "-c".into()];
        options.request.way = Way::Command(Method {
            argv: argv.iter().map(Into::into).collect(),
            env: vec![("LC_ALL".to_owned(), "C".to_owned())],
            prompt: Some(Prompt::Password),
            password: self.password.clone(),
            // Some take a password from nowhere else, and others ask at the one of this process.
            terminal: TerminalUse::AsStdin,
            problem: wrong_target("the user of su", &self.user),
            ..Method::new(Kind::Su, Ending::ForShell, format!("su.{}", self.user))
        });
        options
    }
}

impl fmt::Debug for Su {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Su").field("user", &self.user).finish_non_exhaustive()
    }
}
