//! What a context tells of itself: the service that every pool has, for its parents.
//!
//! It reports what descriptors, bounds and meters say already, and decides nothing. Of contexts it tells those above
//! it and those that it has started itself; what lies further below is told by those.

mod report;

use std::collections::BTreeMap;

use super::activator::REGISTRY;
use super::descriptor::ServiceDescriptor;
use super::hosted::Hosted;
use super::policy::AllowParents;
use super::pool::Pool;
use crate::error::{CallError, Trace};
use crate::router::Router;

pub use report::{
    ArgumentReport, BoundsReport, ContextReport, Contexts, MethodReport, MethodStatsReport, PoolReport, ServiceReport,
};

/// Tells of the context that it runs in. Every pool has it, and parents may call it.
///
/// ```
/// use mitogen_service::introspection::Introspection;
/// use mitogen_service::{AllowParents, Pool, service, testing};
///
/// struct Adder;
///
/// #[service(name = "adder")]
/// impl Adder {
///     /// Adds two numbers.
///     #[expose(policy = AllowParents)]
///     fn add(&self, a: u32, #[arg(default = 1)] b: u32) -> u32 {
///         a + b
///     }
/// }
///
/// let (parent, child) = testing::pair();
/// let _pool = Pool::builder(&child).service(Adder).start()?;
/// let about = Introspection::stub(&parent.children()[0]);
/// let services = about.services().wait()?;
/// let adder = services.iter().find(|service| service.name == "adder").unwrap();
/// let add = &adder.methods[0];
/// assert_eq!((add.docs.as_str(), add.policies[0].as_str()), ("Adds two numbers.", "AllowParents"));
/// assert_eq!(add.arguments[1].default.as_deref(), Some("1"));
/// assert_eq!(about.pool().wait()?.threads, 4);
/// # Ok::<(), mitogen_service::Error>(())
/// ```
#[derive(Debug)]
pub struct Introspection;

#[crate::service(name = "mitogen_service::introspection", crate = crate)]
impl Introspection {
    /// This context, those above it and those that it has started.
    #[expose(policy = AllowParents)]
    fn contexts(&self, router: &Router) -> Contexts {
        let identity = router.core().identity();
        let parents = identity.parents.iter().map(|(id, _)| ContextReport::of(&router.context_by_id(*id)));
        Contexts {
            myself: ContextReport::of(&router.myself()),
            parents: parents.collect(),
            children: router.children().iter().map(ContextReport::of).collect(),
        }
    }

    /// The services that are there, and those that the first call would activate, by their names.
    #[expose(policy = AllowParents)]
    fn services(&self, router: &Router) -> Result<Vec<ServiceReport>, CallError> {
        let activated = REGISTRY.iter().map(|entry| (entry.descriptor().name, (entry.descriptor(), false)));
        let there = pool(router)?.named();
        let mut services: BTreeMap<&str, (&ServiceDescriptor, bool)> = activated.collect();
        services.extend(there.iter().map(|(name, descriptor)| (&**name, (*descriptor, true))));
        Ok(services.iter().map(|(name, (descriptor, runs))| ServiceReport::of(name, descriptor, *runs)).collect())
    }

    /// The bounds of the context's router.
    #[expose(policy = AllowParents)]
    fn bounds(&self, router: &Router) -> BoundsReport {
        BoundsReport::of(router.core())
    }

    /// What the pool does and has done.
    #[expose(policy = AllowParents)]
    fn pool(&self, router: &Router) -> Result<PoolReport, CallError> {
        Ok(PoolReport::from(pool(router)?.stats()))
    }
}

/// The pool that runs this very call, unless it is ending.
fn pool(router: &Router) -> Result<Pool, CallError> {
    router.pool().ok_or_else(|| CallError::Stopped { trace: Trace::default() })
}

/// The service for a new pool.
pub(super) fn hosted() -> Hosted {
    Hosted::new(Introspection)
}
