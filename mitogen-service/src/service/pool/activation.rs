//! Services are made when they are first asked for, by whoever may cause that.

use std::sync::Arc;

use crate::error::{CallError, Trace};
use crate::panics;
use crate::service::activator::{self, Activator};
use crate::service::caller::Caller;
use crate::service::hosted::Hosted;
use crate::service::invoker::panicked;
use crate::service::scope::ServiceScope;

/// Asks the activator, whose code is a user's. No lock is held meanwhile.
pub(super) struct Activation(Arc<dyn Activator>);

/// Stands where an activator has been.
struct Nothing;

impl Activator for Nothing {
    fn activate(&self, _name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        None
    }
}

impl Activation {
    pub(super) fn new(activator: Arc<dyn Activator>) -> Self {
        Self(activator)
    }

    /// Takes out what is a user's.
    pub(super) fn take(&mut self) -> Arc<dyn Activator> {
        std::mem::replace(&mut self.0, Arc::new(Nothing))
    }

    /// Whether the caller may cause the service to be made; a panic is a no. One that is not there is
    /// nobody else's business.
    pub(super) fn check(&self, name: &str, caller: &Caller) -> Result<(), CallError> {
        let allowed = panics::guard(|| self.0.is_authorized(name, caller)).unwrap_or_else(|panic| {
            panics::discard(panic);
            false
        });
        if allowed {
            return Ok(());
        }
        let mut service = name.to_owned();
        crate::router::cut(&mut service, 200);
        Err(CallError::NotActivated { service, trace: Trace::default() })
    }

    /// Makes a service.
    pub(super) fn make(&self, name: &str, scope: &ServiceScope) -> Result<Hosted, CallError> {
        let made = match panics::guard(|| self.0.activate(name, scope)) {
            Ok(made) => made.unwrap_or_else(|| Err(activator::unknown(name))),
            Err(panic) => Err(panicked(panic)),
        };
        made.map_err(|error| activator::not_made(name, error))
    }
}
