//! Files of this process, pushed to contexts below.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::hub::{Hub, Outcome, Outlet, targets};
use super::snapshot::{publish, too_late};
use crate::files::error::FileError;
use crate::router::{Context, Router};
use crate::wire::ContextId;

/// Files of this process that are to go to contexts below; made by
/// [`PushFileService::push`](crate::PushFileService::push).
///
/// ```no_run
/// use std::time::Duration;
///
/// use mitogen_service::{PushFileService, Router};
///
/// #[mitogen_service::main]
/// fn main(router: &Router) -> mitogen_service::Result<()> {
///     let hosts = [router.ssh("web1").connect()?, router.ssh("web2").connect()?];
///     let pushed = PushFileService::push(router, ["app.conf", "app.tar"])
///         .to(&hosts)
///         .timeout(Duration::from_secs(60))
///         .progress(|arrival| eprintln!("{} of {}: {}", arrival.done, arrival.total, arrival.context))
///         .run();
///     for (context, result) in pushed {
///         println!("{context}: {}", result.map_or_else(|error| error.to_string(), |()| "done".to_owned()));
///     }
///     Ok(())
/// }
/// ```
#[must_use = "nothing is pushed before `run`"]
pub struct Push<'a> {
    router: Router,
    paths: Vec<PathBuf>,
    contexts: Vec<Context>,
    timeout: Option<Duration>,
    progress: Option<OnArrival<'a>>,
}

type OnArrival<'a> = Box<dyn FnMut(&Arrival<'_>) + 'a>;

/// A file has arrived in a context, or will not; told to the callback of [`Push::progress`].
///
/// ```no_run
/// use mitogen_service::{Arrival, PushFileService};
///
/// fn show(arrival: &Arrival<'_>) {
///     match arrival.error {
///         None => println!("{} has {}", arrival.context, arrival.path.display()),
///         Some(error) => println!("{} lacks {}: {error}", arrival.context, arrival.path.display()),
///     }
/// }
///
/// # fn main() -> mitogen_service::Result<()> {
/// # let router = mitogen_service::Router::builder().build()?;
/// PushFileService::push(&router, ["app.conf"]).to_all_below().progress(show).run();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Arrival<'a> {
    /// Where.
    pub context: &'a Context,
    /// Which file.
    pub path: &'a Path,
    /// Why it will not arrive; nothing if it has.
    pub error: Option<&'a FileError>,
    /// Of how many files in how many contexts, multiplied, it is known by now.
    pub done: usize,
    /// How many there are, multiplied.
    pub total: usize,
}

impl<'a> Push<'a> {
    pub(super) fn new(router: &Router, paths: Vec<PathBuf>) -> Self {
        // What stays behind, as who is told of the end of a neighbour, must not keep the router open.
        Self { router: Router::borrowed(router.core()), paths, contexts: Vec::new(), timeout: None, progress: None }
    }

    /// Adds contexts that get the files: such as are below this one, however far, or this one itself.
    pub fn to<'c>(mut self, contexts: impl IntoIterator<Item = &'c Context>) -> Self {
        self.contexts.extend(contexts.into_iter().cloned());
        self
    }

    /// Adds all contexts below this one that are known now, near and far.
    pub fn to_all_below(mut self) -> Self {
        self.contexts.extend(self.router.core().below());
        self
    }

    /// How long [`run`](Self::run) waits, for ever by default. What has not arrived by then is not waited for any
    /// more; what is on its way goes on.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Is called for each file and context, on the thread of [`run`](Self::run).
    pub fn progress(mut self, progress: impl FnMut(&Arrival<'_>) + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Pushes the files, and waits until it is known of each context what has become of them.
    ///
    /// Gives each context once, in the order in which they were added, with the first error of any of the
    /// files. The errors are all of [`FileError`]; a context that cannot be reached is
    /// [`CallError::Dead`](crate::CallError::Dead) within [`FileError::Call`].
    pub fn run(self) -> Vec<(Context, Result<(), FileError>)> {
        let Self { router, paths, contexts, timeout, progress } = self;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut tally = Tally::new(contexts, &paths, progress);
        let hub = Hub::of(&router);
        let (outcomes, told) = mpsc::channel();
        for (file, path) in paths.iter().enumerate() {
            let outlet = Outlet::Local { file, outcomes: outcomes.clone() };
            let ids = tally.contexts.iter().map(Context::id);
            let targets = targets(&router, ids);
            if let Err(error) = publish((&hub, &router), path, (targets, outlet), deadline) {
                tally.all(file, &error);
            }
            told.try_iter().for_each(|outcome| tally.count(outcome));
        }
        drop(outcomes);
        while tally.done < tally.total {
            let outcome = match deadline {
                None => told.recv().ok(),
                Some(deadline) => told.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok(),
            };
            match outcome {
                Some(outcome) => tally.count(outcome),
                None => tally.rest(&too_late()),
            }
        }
        tally.finish()
    }
}

/// What is known by now.
struct Tally<'a> {
    contexts: Vec<Context>,
    at: HashMap<ContextId, usize>,
    paths: &'a [PathBuf],
    /// For each context those files of which nothing is known.
    open: Vec<Vec<bool>>,
    results: Vec<Result<(), FileError>>,
    done: usize,
    total: usize,
    progress: Option<OnArrival<'a>>,
}

impl<'a> Tally<'a> {
    fn new<'p: 'a>(contexts: Vec<Context>, paths: &'a [PathBuf], progress: Option<OnArrival<'p>>) -> Self {
        let (mut once, mut at) = (Vec::new(), HashMap::new());
        for context in contexts {
            if let Entry::Vacant(place) = at.entry(context.id()) {
                place.insert(once.len());
                once.push(context);
            }
        }
        let open = vec![vec![true; paths.len()]; once.len()];
        let results = vec![Ok(()); once.len()];
        let total = once.len() * paths.len();
        let progress = progress.map(|progress| progress as OnArrival<'a>);
        Self { contexts: once, at, paths, open, results, done: 0, total, progress }
    }

    fn count(&mut self, outcome: Outcome) {
        if let Some(at) = self.at.get(&outcome.context).copied() {
            self.note(at, outcome.file, outcome.result);
        }
    }

    /// A file goes nowhere.
    fn all(&mut self, file: usize, error: &FileError) {
        (0..self.contexts.len()).for_each(|at| self.note(at, file, Err(error.clone())));
    }

    /// Nothing more is waited for.
    fn rest(&mut self, error: &FileError) {
        (0..self.paths.len()).for_each(|file| self.all(file, error));
    }

    fn note(&mut self, at: usize, file: usize, result: Result<(), FileError>) {
        if !std::mem::take(&mut self.open[at][file]) {
            return;
        }
        self.done += 1;
        if let Some(progress) = &mut self.progress {
            let (context, path, error) = (&self.contexts[at], &*self.paths[file], result.as_ref().err());
            progress(&Arrival { context, path, error, done: self.done, total: self.total });
        }
        if self.results[at].is_ok() {
            self.results[at] = result;
        }
    }

    fn finish(self) -> Vec<(Context, Result<(), FileError>)> {
        self.contexts.into_iter().zip(self.results).collect()
    }
}

impl fmt::Debug for Push<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { paths, contexts, timeout, .. } = self;
        f.debug_struct("Push")
            .field("paths", paths)
            .field("contexts", contexts)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}
