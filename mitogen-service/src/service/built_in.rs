//! A service that a higher layer wants in every pool of this process.
//!
//! That layer cannot be named here, and the registry of services that are activated is not for the crate
//! itself: its entries need link sections, which only users' crates may have.

use std::sync::OnceLock;

use super::hosted::Hosted;

static SERVICE: OnceLock<fn() -> Hosted> = OnceLock::new();

/// Has this service made for every pool that is started from now on.
pub(crate) fn provide(make: fn() -> Hosted) {
    // The same one may be provided again.
    let _ = SERVICE.set(make);
}

/// The service for a new pool, if there is one.
pub(super) fn make() -> Option<Hosted> {
    SERVICE.get().map(|make| make())
}
