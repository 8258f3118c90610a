//! What `#[service]` makes, against the real runtime: two routers in one process, every frame of
//! every call encoded and decoded.
#![forbid(unsafe_code)]

use std::time::Duration;

use mitogen_service::{CallError, Context, Pool, Router, Service, testing};
use serde::Serialize;

mod arguments;
mod configured;
mod errors;
mod forms;
mod generic;
pub mod hygiene;
mod injected;
mod introspected;
mod lints;
mod names;
mod nothing;
mod options;
mod policies;
mod versions;

/// A child that serves, as its parent sees it.
struct Served {
    context: Context,
    pool: Pool,
    routers: (Router, Router),
}

impl Served {
    fn new(service: impl Service) -> Self {
        let (parent, child) = testing::pair();
        let pool = Pool::builder(&child).size(2).service(service).start().unwrap();
        Self { context: parent.children().remove(0), pool, routers: (parent, child) }
    }

    /// The router of the parent.
    fn parent(&self) -> &Router {
        &self.routers.0
    }

    /// Calls a method with arguments that no stub would send.
    fn raw<T: serde::de::DeserializeOwned>(
        &self,
        service: &str,
        method: &str,
        args: &impl Serialize,
    ) -> Result<T, CallError> {
        self.context.call_service(service, method, args).wait()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.pool.close(Duration::from_secs(5));
    }
}
