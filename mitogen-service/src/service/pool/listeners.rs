//! The handles on which calls and cancels arrive.

use std::sync::Arc;

use tracing::Level;

use super::Pool;
use super::job::QueuedCall;
use super::shared::Shared;
use crate::error::Error;
use crate::router::{Access, Core, Death, Delivery, Listener, Router};
use crate::service::in_flight::InFlight;
use crate::wire::{DeadReason, Handle, control};

/// The threads of a pool that a child makes by itself.
const AUTOMATIC_SIZE: usize = 2;

/// Lets calls come to a pool.
pub(super) fn listen(core: &Arc<Core>, shared: &Arc<Shared>) {
    core.relisten(Handle::CALL_SERVICE, Access::Any, Arc::new(Calls(shared.clone())));
    core.relisten(Handle::CANCEL, Access::Any, Arc::new(Cancels(shared.in_flight().clone())));
}

/// Lets a context make its pool by itself, at the first service call from a parent.
pub(crate) fn listen_for_first_call(core: &Arc<Core>) {
    core.listen(Handle::CALL_SERVICE, Access::Parents, Arc::new(FirstCall));
}

/// The handle 110 of a context with a pool.
struct Calls(Arc<Shared>);

impl Listener for Calls {
    fn deliver(&self, delivery: Delivery<'_>) {
        // A dead message (999) is no call and ends nothing here; nor is one a call whose answer
        // would go to a handle that nobody waits on.
        let reply_to = delivery.message.header.reply_to;
        let is_call = reply_to == Handle::NONE || reply_to >= Handle::FIRST_DYNAMIC;
        let call = is_call.then(|| QueuedCall::admit(delivery, self.0.in_flight())).flatten();
        if let Some(call) = call {
            self.0.accept(call);
        }
    }

    fn end(&self, _death: &Arc<Death>) {}
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

/// The handle 110 of a context that has no pool yet; refuses all but parents.
struct FirstCall;

impl Listener for FirstCall {
    fn deliver(&self, delivery: Delivery<'_>) {
        let Delivery { core, message, ingress, bulk, origin } = delivery;
        if message.is_dead() {
            return;
        }
        let started = match Pool::builder(&Router::borrowed(core)).size(AUTOMATIC_SIZE).start() {
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
