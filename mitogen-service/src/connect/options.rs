//! What all connectors can be told.

use std::time::Duration;

use super::request::{Output, Request, Way};
use crate::router::Context;

/// How long a child may take to join unless told otherwise.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What all connectors can be told, as the builders collect it.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) request: Request,
    pub(super) via: Option<Context>,
}

impl Options {
    pub(super) fn new(way: Way) -> Self {
        let request = Request {
            way,
            name: None,
            pool_size: None,
            env: Vec::new(),
            current_dir: None,
            connect_timeout: CONNECT_TIMEOUT,
            unidirectional: false,
            output: Output::Log,
            cache_dir: None,
            no_cache: false,
        };
        Self { request, via: None }
    }
}

/// The methods that all builders have.
macro_rules! common_options {
    () => {
        /// The name of the context, for logs and errors: 1 to 256 bytes without control characters.
        /// By default it tells how the context was reached, as `ssh.web1` or `ssh.web1.sudo.root`.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.options.request.name = Some(name.into());
            self
        }

        /// How many threads run the services of the context, 1 to 4096, two by default. Its pool is
        /// made at the first call from a parent.
        pub fn pool_size(mut self, threads: usize) -> Self {
            self.options.request.pool_size = Some(threads);
            self
        }

        /// Sets an environment variable of the context, beside those that it has there anyway.
        pub fn env(mut self, key: impl Into<std::ffi::OsString>, value: impl Into<std::ffi::OsString>) -> Self {
            self.options.request.env.push((key.into().into(), value.into().into()));
            self
        }

        /// The directory that the context starts in. By default that of whoever starts it, and the
        /// home directory after a login.
        pub fn current_dir(mut self, dir: impl Into<std::path::PathBuf>) -> Self {
            self.options.request.current_dir = Some(dir.into().into());
            self
        }

        /// How long the context may take to join, 30 seconds by default. The time begins when there is
        /// [room](crate::RouterBuilder::max_connecting) for another connection.
        pub fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.request.connect_timeout = timeout;
            self
        }

        /// Whether the context, and those below it, may talk only to their parents and to those below
        /// them. Off by default, unless [the whole tree](crate::RouterBuilder::unidirectional) is so.
        pub fn unidirectional(mut self, unidirectional: bool) -> Self {
            self.options.request.unidirectional = unidirectional;
            self
        }

        /// Lets another context start this one: the command runs there, and the new context is below
        /// it. It must be one that this process may give orders to: itself, or below it.
        pub fn via(mut self, context: &crate::router::Context) -> Self {
            self.options.via = Some(context.clone());
            self
        }

        /// Where what the context prints goes; to the log by default. Of a context that is started
        /// [via](Self::via) another one, [`Output::Inherit`](crate::Output::Inherit) means the stderr of
        /// that one.
        pub fn output(mut self, output: crate::connect::Output) -> Self {
            self.options.request.output = output;
            self
        }

        /// Starts the context and waits until it has joined.
        ///
        /// # Errors
        /// [`Error::Connect`](crate::Error::Connect) tells what went wrong, with what the process wrote to
        /// its stderr; [`Error::Invalid`](crate::Error::Invalid) for options that cannot be,
        /// [`Error::Closed`](crate::Error::Closed) after a shutdown.
        pub fn connect(self) -> crate::error::Result<crate::router::Context> {
            $crate::connect::connecting::connect(&self.router, self.finish())
        }

        /// Starts the context and returns at once. Many can be on their way at the same time.
        ///
        /// ```no_run
        /// # fn main() -> mitogen_service::Result<()> {
        /// # let router = mitogen_service::Router::builder().build()?;
        /// let hosts = ["web1", "web2", "web3"];
        /// let connecting = hosts.map(|host| router.ssh(host).start());
        /// for (host, connecting) in hosts.iter().zip(connecting) {
        ///     match connecting.wait() {
        ///         Ok(context) => println!("{context} is there"),
        ///         Err(error) => println!("{host}: {error}"),
        ///     }
        /// }
        /// # Ok(())
        /// # }
        /// ```
        pub fn start(self) -> crate::connect::Connecting {
            $crate::connect::connecting::start(&self.router, self.finish())
        }
    };
}

/// The methods of the builders whose contexts get the executable over the wire.
macro_rules! far_options {
    () => {
        /// A directory on the target, by its absolute path, where the executable is kept; tried before
        /// `~/.cache`, `/var/tmp`, `/dev/shm` and `/tmp`. A directory of its own is made in it, for this
        /// user alone.
        pub fn cache_dir(mut self, dir: impl Into<std::path::PathBuf>) -> Self {
            self.options.request.cache_dir = Some(dir.into().into());
            self
        }

        /// Leaves nothing behind on the target: the executable is sent each time, and its file is
        /// gone before it runs.
        pub fn no_cache(mut self) -> Self {
            self.options.request.no_cache = true;
            self
        }
    };
}

/// The methods of the builders whose contexts run as another user of the same machine: takes what is told of
/// the password, and the method that names another program.
macro_rules! user_options {
    ($password:literal, $path:ident, $program:literal) => {
        /// The user to become, root by default.
        pub fn user(mut self, user: impl Into<String>) -> Self {
            self.user = user.into();
            self
        }

        #[doc = $password]
        pub fn password(mut self, password: impl Into<String>) -> Self {
            self.password = Some(Secret::new(password.into()));
            self
        }

        #[doc = concat!("Another program than `", $program, "`.")]
        pub fn $path(mut self, program: impl Into<OsString>) -> Self {
            self.program = program.into();
            self
        }
    };
}

pub(super) use {common_options, far_options, user_options};
