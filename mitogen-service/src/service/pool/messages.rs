//! What arrives at the selects of services, which the threads of a pool take.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::job::Job;
use super::shared::Shared;
use super::turns::Arrival;
use crate::channel::{Event, EventKind};
use crate::panics;
use crate::service::caller::{Caller, CallerParts};
use crate::service::hosted::Hosted;
use crate::wire::Handle;

impl Shared {
    /// Lets the threads take what arrives at the select of a service, which calls have asked for by this
    /// name. Who tells of an event may be the I/O thread, and never comes to own the service.
    pub(super) fn listen(&self, name: &str, service: &Hosted) {
        let Some(select) = service.select() else { return };
        let (shared, is_scheduled, name) = (self.me.clone(), service.is_scheduled().clone(), Arc::<str>::from(name));
        let schedule = move || {
            let Some(shared) = shared.upgrade() else { return };
            if !is_scheduled.swap(true, Ordering::SeqCst) {
                shared.push_message(&name);
            }
        };
        let schedule = Arc::new(schedule);
        if select.set_notify(Some(schedule.clone())) > 0 {
            schedule();
        }
    }

    /// Sees to it that a thread looks at the select of a service.
    fn push_message(&self, name: &Arc<str>) {
        let caller = self.core.identity().id;
        let job = Job::Message(name.clone());
        // A queue that is closed has nobody who could look.
        let arrival = Arrival { service: Some(name), caller, id: None, chain: &[], job };
        let _ = self.queue.push(arrival, self.is_coming());
    }

    /// Gives a service what has arrived at its select, and sees to it that the rest is taken as well.
    pub(super) fn take_message(&self, name: &Arc<str>, service: &Hosted) {
        let Some(select) = service.select() else { return };
        let next = || match select.try_get() {
            Some(Ok(event)) => Some(event),
            Some(Err(_)) | None => None,
        };
        let mut event = next();
        let mut is_queued = false;
        if event.is_none() {
            // What arrives from now on schedules anew; what has arrived before is seen here.
            service.is_scheduled().store(false, Ordering::SeqCst);
            event = next();
            is_queued = event.is_some() && service.is_scheduled().swap(true, Ordering::SeqCst);
        }
        let Some(event) = event else { return };
        if !service.is_over() && self.is_welcome(service, &event) {
            panics::contain(|| service.target().on_message(event));
        }
        if !is_queued {
            self.push_message(name);
        }
    }

    /// Asks the policy whether a message is taken. Ends and answers come of what the service itself has
    /// added, and always are.
    fn is_welcome(&self, service: &Hosted, event: &Event) -> bool {
        let (EventKind::Message, Some(context)) = (&event.kind, &event.caller) else { return true };
        let is_local = context.id() == self.core.identity().id;
        let parts = CallerParts {
            core: self.core.clone(),
            src_id: context.id(),
            auth_id: context.id(),
            is_local,
            credentials: None,
            id: (context.id(), Handle::NONE),
            chain: None,
        };
        let caller = Caller::new(parts, Arc::default());
        let allowed = panics::guard(|| service.target().allows_message(&caller)).unwrap_or_else(|panic| {
            panics::discard(panic);
            false
        });
        if !allowed {
            let what =
                format!("a message from {context} to service '{}' was refused by policy", service.descriptor().name);
            self.core.log_caused_by(context.id(), &what);
        }
        allowed
    }
}
