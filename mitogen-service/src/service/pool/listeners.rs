//! The handles on which calls and cancels arrive.

use std::sync::Arc;

use tracing::Level;

use super::Pool;
use super::job::QueuedCall;
use super::shared::Shared;
use crate::error::Error;
use crate::router::{Access, Core, Death, Delivery, Listener, Router, Workers};
use crate::service::activator::not_activated;
use crate::service::in_flight::InFlight;
use crate::wire::{DeadReason, Handle, control};

/// The threads of a pool that a child makes by itself.
const AUTOMATIC_SIZE: usize = 2;

/// Lets calls come to a pool.
pub(super) fn listen(core: &Arc<Core>, shared: &Arc<Shared>) {
    let calls = Arc::new(Calls(shared.clone()));
    let cancels = Arc::new(Cancels(shared.in_flight().clone()));
    let workers: Arc<dyn Workers> = shared.clone();
    core.relisten(&workers, [(Handle::CALL_SERVICE, Access::Any, calls), (Handle::CANCEL, Access::Any, cancels)]);
}

/// Lets a context make its pool by itself, at the first service call from a parent.
/// Of `size` threads, if the parent has asked for a number.
pub(crate) fn listen_for_first_call(core: &Arc<Core>, size: Option<usize>) {
    let first_call = FirstCall { size: size.unwrap_or(AUTOMATIC_SIZE) };
    core.listen(Handle::CALL_SERVICE, Access::Any, Arc::new(first_call));
}

/// The handle 110 of a context with a pool.
struct Calls(Arc<Shared>);

impl Listener for Calls {
    fn deliver(&self, delivery: Delivery<'_>) {
        if let Some(call) = admit(delivery, self.0.in_flight()) {
            self.0.accept(call);
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}

/// The call that has arrived, if it is one and is within the bounds.
fn admit(delivery: Delivery<'_>, in_flight: &Arc<InFlight>) -> Option<QueuedCall> {
    // A dead message (999) is no call and ends nothing here; nor is one a call whose answer would go to
    // a handle that nobody waits on.
    let reply_to = delivery.message.header.reply_to;
    let is_call = reply_to == Handle::NONE || reply_to >= Handle::FIRST_DYNAMIC;
    is_call.then(|| QueuedCall::admit(delivery, in_flight)).flatten()
}

/// The handle on which callers say that they do not wait any more.
struct Cancels(Arc<InFlight>);

impl Listener for Cancels {
    fn deliver(&self, delivery: Delivery<'_>) {
        if let Ok(handle) = control::decode_cancel(&delivery.message.payload) {
            self.0.cancel((delivery.message.header.src_id, handle));
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}

/// The handle 110 of a context that has no pool yet: the first call of a parent makes it.
struct FirstCall {
    size: usize,
}

impl FirstCall {
    /// Answers one who may not cause a pool to be made as the pool would, since no service is there yet.
    fn refuse(delivery: Delivery<'_>) {
        // It is answered at once, so nothing is counted for longer.
        let Some(call) = admit(delivery, &Arc::default()) else { return };
        let error = call.envelope().map_or_else(|error| error, |envelope| not_activated(envelope.service));
        call.responder.refuse(&error);
    }
}

impl Listener for FirstCall {
    fn deliver(&self, delivery: Delivery<'_>) {
        if !delivery.core.has_parent_authority(delivery.message.header.auth_id) {
            return Self::refuse(delivery);
        }
        let Delivery { core, message, ingress, bulk, origin } = delivery;
        if message.is_dead() {
            return;
        }
        let started = match Pool::builder(&Router::borrowed(core)).size(self.size).start() {
            // Another one was made meanwhile, and is as good.
            Err(Error::PoolExists) => Ok(()),
            started => started.map(drop),
        };
        match (started, Router::borrowed(core).pool()) {
            (Ok(()), Some(pool)) => Calls(pool.shared).deliver(Delivery { core, message, ingress, bulk, origin }),
            (Err(error), _) => {
                core.log(Level::ERROR, format!("cannot start a pool: {error}"));
                let reason = DeadReason::overloaded(&format!("the context cannot start a pool: {error}"));
                core.refuse(&message, core.identity().id, &reason);
            }
            (Ok(()), None) => core.refuse(&message, core.identity().id, &DeadReason::router_closed()),
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
}
