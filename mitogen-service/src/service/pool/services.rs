//! The services of a pool by name.

use std::collections::HashMap;
use std::sync::Arc;

use super::queue::{MAX_CALLS, QueuedCall, overloaded};
use crate::error::{CallError, Error, Result, Trace};
use crate::panics;
use crate::service::activator::{self, Activator};
use crate::service::caller::Caller;
use crate::service::hosted::Hosted;
use crate::service::invoker::panicked;
use crate::service::scope::ServiceScope;
use crate::sync::Mutex;

/// The services that run, and those that are being made.
pub(super) struct Services {
    slots: Mutex<HashMap<String, Slot>>,
    activator: Arc<dyn Activator>,
}

/// What stands under a service's name.
enum Slot {
    Ready(Hosted),
    /// A thread makes it; these calls came meanwhile.
    Activating(Vec<QueuedCall>),
}

/// What a call for a service finds.
pub(super) enum Found {
    /// The service.
    Ready(Hosted),
    /// Another thread makes it, and has taken the call.
    Taken,
    /// Nothing: the caller is to call [`Services::activate`].
    Vacant,
}

impl Services {
    pub(super) fn new(activator: Arc<dyn Activator>) -> Self {
        Self { slots: Mutex::default(), activator }
    }

    /// Adds a service that is ready.
    pub(super) fn add(&self, service: Hosted) -> Result<()> {
        let name = service.descriptor().name;
        let mut slots = self.slots.lock();
        if slots.contains_key(name) {
            return Err(Error::ServiceExists { name: name.to_owned() });
        }
        slots.insert(name.to_owned(), Slot::Ready(service));
        Ok(())
    }

    /// Finds a service. One that is not ready is nobody's business who may not cause it to be made.
    pub(super) fn find(&self, name: &str, caller: &Caller, call: QueuedCall) -> Result<Found, CallError> {
        if let Some(Slot::Ready(hosted)) = self.slots.lock().get(name) {
            return Ok(Found::Ready(hosted.clone()));
        }
        if !self.may_activate(name, caller) {
            let mut service = name.to_owned();
            crate::router::cut(&mut service, 200);
            return Err(CallError::NotActivated { service, trace: Trace::default() });
        }
        let mut slots = self.slots.lock();
        match slots.get_mut(name) {
            Some(Slot::Ready(hosted)) => Ok(Found::Ready(hosted.clone())),
            Some(Slot::Activating(waiting)) if waiting.len() >= MAX_CALLS => Err(overloaded()),
            Some(Slot::Activating(waiting)) => {
                waiting.push(call);
                Ok(Found::Taken)
            }
            None => {
                slots.insert(name.to_owned(), Slot::Activating(Vec::new()));
                Ok(Found::Vacant)
            }
        }
    }

    /// Asks the activator; a panic is a no.
    fn may_activate(&self, name: &str, caller: &Caller) -> bool {
        panics::guard(|| self.activator.is_authorized(name, caller)).unwrap_or_else(|panic| {
            panics::discard(panic);
            false
        })
    }

    /// Makes a service, outside of any lock; gives the calls that have asked for it meanwhile.
    pub(super) fn activate(&self, name: &str, scope: &ServiceScope) -> (Result<Hosted, CallError>, Vec<QueuedCall>) {
        let made = panics::guard(|| self.activator.activate(name, scope));
        let made = match made {
            Ok(made) => made.unwrap_or_else(|| Err(activator::unknown(name))),
            Err(panic) => Err(panicked(panic)),
        };
        let made = made.map_err(|error| activator::not_made(name, error));
        let mut slots = self.slots.lock();
        let waiting = match slots.remove(name) {
            Some(Slot::Activating(waiting)) => waiting,
            Some(Slot::Ready(_)) | None => Vec::new(),
        };
        if let Ok(hosted) = &made {
            slots.insert(name.to_owned(), Slot::Ready(hosted.clone()));
        }
        (made, waiting)
    }

    /// Takes out the calls that wait for a service to be made.
    pub(super) fn drain_waiting(&self) -> Vec<QueuedCall> {
        let mut slots = self.slots.lock();
        let waiting = slots.values_mut().filter_map(|slot| match slot {
            Slot::Activating(waiting) => Some(std::mem::take(waiting)),
            Slot::Ready(_) => None,
        });
        waiting.flatten().collect()
    }

    /// Lets go of all services; what they own is a user's, and is dropped without the lock.
    pub(super) fn clear(&self) {
        let slots = std::mem::take(&mut *self.slots.lock());
        for (_, slot) in slots {
            panics::contain(|| drop(slot));
        }
    }
}
