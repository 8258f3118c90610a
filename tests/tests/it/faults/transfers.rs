//! The ways to bring something somewhere, as the tests of faults run them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mitogen_service::{AllowParents, Context, FileError, FileService, PushFileService, Router, service};
use mitogen_service_tests::LONG;

use super::Stage;

/// One way to bring something somewhere.
pub(super) struct Transfer {
    /// Of the test.
    pub(super) name: &'static str,
    /// Brings it from or to a context, so that it is at a path.
    pub(super) run: fn(&Stage, &Context, &Path) -> Result<(), FileError>,
    pub(super) what: What,
    /// Whether this process writes it, and not the one that may be killed.
    pub(super) is_written_here: bool,
    /// Whether the other end of the transfer is behind the context that may be killed.
    pub(super) is_far: bool,
}

/// What is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    File,
    Dir,
}

pub(super) static GET: Transfer = GET_;

const GET_: Transfer = Transfer {
    name: "faults::get",
    run: |stage, at, to| FileService::get(at, stage.file(), to).run().map(drop),
    what: What::File,
    is_written_here: true,
    is_far: false,
};

pub(super) static GET_FROM_BELOW: Transfer = Transfer { name: "faults::get_from_below", is_far: true, ..GET_ };

pub(super) static GET_BY_A_CHILD: Transfer = GET_BY_A_CHILD_;

const GET_BY_A_CHILD_: Transfer = Transfer {
    name: "faults::get_by_a_child",
    run: |stage, at, to| {
        let call = Taker::stub(at).fetch(stage.bench.root(), stage.file(), to.to_owned());
        call.wait_timeout(LONG).map_err(FileError::from)
    },
    is_written_here: false,
    ..GET_
};

pub(super) static GET_BY_A_CHILD_BELOW: Transfer =
    Transfer { name: "faults::get_by_a_child_below", is_far: true, ..GET_BY_A_CHILD_ };

pub(super) static PUT: Transfer = PUT_;

const PUT_: Transfer = Transfer {
    name: "faults::put",
    run: |stage, at, to| FileService::put(at, stage.file(), to).run().map(drop),
    is_written_here: false,
    ..GET_
};

pub(super) static PUT_BELOW: Transfer = Transfer { name: "faults::put_below", is_far: true, ..PUT_ };

pub(super) static GET_DIR: Transfer = Transfer {
    name: "faults::get_dir",
    run: |stage, at, to| FileService::get_dir(at, stage.top(), to).run().map(drop),
    what: What::Dir,
    ..GET_
};

pub(super) static PUT_DIR: Transfer = Transfer {
    name: "faults::put_dir",
    run: |stage, at, to| FileService::put_dir(at, stage.top(), to).run().map(drop),
    what: What::Dir,
    ..PUT_
};

pub(super) static PUSH: Transfer = PUSH_;

const PUSH_: Transfer = Transfer {
    name: "faults::push",
    run: |stage, at, to| {
        let push = PushFileService::push(&stage.bench.router, [stage.file()]).to([at, &stage.other]);
        let results = push.timeout(LONG).run();
        assert!(results[1..].iter().all(|(_, result)| result.is_ok()), "nothing happens to the other one: {results:?}");
        results[0].1.clone()?;
        Taker::stub(at).save(stage.file(), to.to_owned()).wait_timeout(LONG).map_err(FileError::from)
    },
    is_written_here: false,
    ..GET_
};

pub(super) static PUSH_BELOW: Transfer = Transfer { name: "faults::push_below", is_far: true, ..PUSH_ };

/// What a context does that wants files of another one, or has some.
#[derive(Default)]
struct Taker;

#[service(activate)]
impl Taker {
    #[expose(policy = AllowParents)]
    fn fetch(&self, from: Context, path: PathBuf, to: PathBuf) -> Result<(), FileError> {
        FileService::get(&from, path, to).run().map(drop)
    }

    /// Makes a file of one that was pushed.
    #[expose(policy = AllowParents)]
    fn save(&self, path: PathBuf, to: PathBuf, router: &Router) -> Result<(), FileError> {
        PushFileService::get(router, path, Duration::ZERO)?.save(to)
    }
}
