//! Services that higher layers have for every pool of this process.
//!
//! Those layers cannot be named here, and the registry of services that are activated is not for the crate
//! itself: its entries need link sections, which only users' crates may have.

use std::sync::OnceLock;

use super::hosted::Hosted;
use crate::sync::Mutex;

static SERVICE: OnceLock<Make> = OnceLock::new();

type Make = fn() -> Hosted;

/// The names of services that are made where they are asked for, and what makes them.
static OFFERED: Mutex<Vec<(&'static str, Make)>> = Mutex::new(Vec::new());

/// Has this service made for every pool that is started from now on.
pub(crate) fn provide(make: Make) {
    // The same one may be provided again.
    let _ = SERVICE.set(make);
}

/// The service for a new pool, if there is one.
pub(super) fn make() -> Option<Hosted> {
    SERVICE.get().map(|make| make())
}

/// Has a service of this name made where it is asked for, as if a user had marked it `activate`.
pub(crate) fn offer(name: &'static str, make: Make) {
    let mut offered = OFFERED.lock();
    // The same one may be offered again.
    if offered.iter().all(|(known, _)| *known != name) {
        offered.push((name, make));
    }
}

/// The service of this name, if it was offered.
pub(super) fn make_offered(name: &str) -> Option<Hosted> {
    let make = OFFERED.lock().iter().find(|(known, _)| *known == name).map(|(_, make)| *make);
    make.map(|make| make())
}
