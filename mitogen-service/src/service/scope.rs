//! What a service is given when it is made.

use crate::router::{Core, Router};
use std::sync::Arc;

/// The surroundings of a service: `activate = Self::create` passes it to `create`.
///
/// ```
/// use mitogen_service::{AllowParents, ServiceScope, service};
///
/// struct Agent {
///     name: String,
/// }
///
/// #[service(activate = Self::create)]
/// impl Agent {
///     fn create(scope: &ServiceScope) -> Result<Self, std::convert::Infallible> {
///         Ok(Self { name: scope.router().myself().name().to_owned() })
///     }
///
///     #[expose(policy = AllowParents)]
///     fn name(&self) -> String {
///         self.name.clone()
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ServiceScope {
    router: Router,
}

impl ServiceScope {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { router: Router::borrowed(core) }
    }

    /// The router of the context that the service runs in. Keeping a clone does not keep it open.
    pub fn router(&self) -> &Router {
        &self.router
    }
}
