//! Services that are made when they are first asked for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::built_in;
use super::caller::Caller;
use super::descriptor::{Service, ServiceDescriptor};
use super::hosted::Hosted;
use super::scope::ServiceScope;
use crate::error::{CallError, Error, Trace};

/// Makes a service that is asked for and does not run yet.
///
/// The default, [`RegistryActivator`], finds the services that were marked `activate`. A pool can be
/// given another one, with a naming scheme of its own:
///
/// ```
/// use mitogen_service::{Activator, AllowAny, CallError, Hosted, Pool, Router, ServiceScope, service};
///
/// struct Disk {
///     device: String,
/// }
///
/// #[service]
/// impl Disk {
///     #[expose(policy = AllowAny)]
///     fn device(&self) -> String {
///         self.device.clone()
///     }
/// }
///
/// /// Makes a service for each of `disk:sda`, `disk:sdb`...
/// struct Disks;
///
/// impl Activator for Disks {
///     fn activate(&self, name: &str, _scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
///         let device = name.strip_prefix("disk:")?.to_owned();
///         Some(Ok(Hosted::new(Disk { device })))
///     }
/// }
///
/// # fn main() -> mitogen_service::Result<()> {
/// let router = Router::builder().build()?;
/// let pool = Pool::builder(&router).activator(Disks).start()?;
/// let device: String = router.myself().call_service("disk:sda", "device", &()).wait()?;
/// assert_eq!(device, "sda");
/// # pool.close(std::time::Duration::from_secs(1));
/// # Ok(())
/// # }
/// ```
pub trait Activator: Send + Sync + 'static {
    /// Whether this caller may cause the service to be made. By default only the parents may, and
    /// the context itself, as in Mitogen.
    fn is_authorized(&self, name: &str, caller: &Caller) -> bool {
        let _ = name;
        caller.has_parent_authority()
    }

    /// Makes the service; `None` if there is none of this name.
    ///
    /// Runs on a thread of the pool, once for all calls that ask for the name meanwhile. After an
    /// error or a panic, which all of them get, the next call tries again.
    fn activate(&self, name: &str, scope: &ServiceScope) -> Option<Result<Hosted, CallError>>;
}

/// Makes the services that were marked `activate`, and those of this crate, and lets only parents cause it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistryActivator;

impl Activator for RegistryActivator {
    fn activate(&self, name: &str, scope: &ServiceScope) -> Option<Result<Hosted, CallError>> {
        match REGISTRY.iter().find(|registration| registration.descriptor.name == name) {
            Some(registration) => Some((registration.make)(scope)),
            None => built_in::make_offered(name).map(Ok),
        }
    }
}

/// All services of the executable that were marked `activate`, put together by the linker.
#[doc(hidden)]
#[linkme::distributed_slice]
pub static REGISTRY: [Registration];

/// Has an entry if the program's `main` is ours, so that children are entered there.
#[doc(hidden)]
#[linkme::distributed_slice]
pub static MAINS: [bool];

/// One entry of the registry.
#[doc(hidden)]
pub struct Registration {
    descriptor: &'static ServiceDescriptor,
    type_name: fn() -> &'static str,
    make: fn(&ServiceScope) -> Result<Hosted, CallError>,
}

/// Two types that would be activated under one name, if there are; looked for once.
pub(super) fn check_registry() -> Result<(), Error> {
    static CLASH: OnceLock<Option<String>> = OnceLock::new();
    let entries = || REGISTRY.iter().map(|entry| (entry.descriptor.name, (entry.type_name)()));
    match CLASH.get_or_init(|| clash(entries())) {
        None => Ok(()),
        Some(what) => Err(Error::Invalid { what: what.clone() }),
    }
}

fn clash(entries: impl Iterator<Item = (&'static str, &'static str)>) -> Option<String> {
    let mut types = HashMap::new();
    entries.into_iter().find_map(|(name, of)| {
        let first = types.insert(name, of)?;
        Some(format!(
            "two services are marked `activate` under the name '{name}', `{first}` and `{of}`, and a call could not \
             tell which one is meant: give one of them another name, `#[service(activate, name = \"...\")]`"
        ))
    })
}

impl Registration {
    /// The entry of the service `S`.
    pub const fn new<S: Service>(make: fn(&ServiceScope) -> Result<Hosted, CallError>) -> Self {
        Self { descriptor: S::DESCRIPTOR, type_name: std::any::type_name::<S>, make }
    }

    /// What the service says of itself.
    pub(super) fn descriptor(&self) -> &'static ServiceDescriptor {
        self.descriptor
    }
}

/// Makes a service that is marked `activate` without a function.
#[doc(hidden)]
pub fn make_default<S: MadeByDefault>(_scope: &ServiceScope) -> Result<S, CallError> {
    Ok(S::make())
}

/// Makes a service by the closure that stands at `activate`, whose parameter gets its type from here.
#[doc(hidden)]
pub fn construct<S, E>(scope: &ServiceScope, constructor: impl FnOnce(&ServiceScope) -> Result<S, E>) -> Result<S, E> {
    constructor(scope)
}

/// What `activate` names, and the service that it is to make.
#[doc(hidden)]
#[derive(Debug)]
pub struct Making<S, F>(PhantomData<S>, F);

impl<S, F> Making<S, F> {
    /// Takes what `activate` names.
    pub fn by(constructor: F) -> Self {
        Self(PhantomData, constructor)
    }
}

impl<S, E, F: FnOnce(&ServiceScope) -> Result<S, E>> Making<S, F> {
    /// Makes the service.
    pub fn make(self, scope: &ServiceScope) -> Result<S, E> {
        self.1(scope)
    }
}

/// What stands in for [`Making::make`] where no service can be made.
#[doc(hidden)]
pub trait NotMaking<S, F>: Sized {
    /// Asks for what it cannot be.
    fn make(self, _scope: &ServiceScope) -> Result<S, Infallible>
    where
        F: Makes<S>,
    {
        unreachable!("what makes no service has been reported")
    }
}

impl<S, F> NotMaking<S, F> for Making<S, F> {}

/// What nothing is that makes no service.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not make a service of the type `{S}`",
    label = "makes no service",
    note = "write `fn create(scope: &ServiceScope) -> Result<Self, E>` in the impl block, and `activate = Self::create`"
)]
#[doc(hidden)]
pub trait Makes<S> {}

/// A service that needs nothing to be made.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is marked `activate`, and nothing says how it is made",
    label = "has no `Default`",
    note = "derive `Default` for `{Self}`, or write `activate = Self::create` with `fn create(&ServiceScope) -> Result<Self, E>`"
)]
#[doc(hidden)]
pub trait MadeByDefault: Sized {
    /// Makes it.
    fn make() -> Self;
}

#[diagnostic::do_not_recommend]
impl<S: Default> MadeByDefault for S {
    fn make() -> Self {
        S::default()
    }
}

/// What the callers learn of a constructor that failed: none of their methods has run.
pub(super) fn not_made(name: &str, error: CallError) -> CallError {
    match error {
        CallError::Failed { .. } | CallError::Panicked { .. } => CallError::NoSuchService {
            service: name.to_owned(),
            reason: format!("it could not be made: {error}"),
            trace: Trace::default(),
        },
        other => other,
    }
}

/// The service is not there, and the caller may not cause it to be made.
pub(super) fn not_activated(name: &str) -> CallError {
    let mut service = name.to_owned();
    crate::router::cut(&mut service, 200);
    CallError::NotActivated { service, trace: Trace::default() }
}

/// No activator knows the name.
pub(super) fn unknown(name: &str) -> CallError {
    let mut service = name.to_owned();
    crate::router::cut(&mut service, 200);
    CallError::NoSuchService {
        service,
        reason: "it was not added to the pool, and no service of this name is marked `#[service(activate)]` in \
                 this executable"
            .to_owned(),
        trace: Trace::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_types_under_one_name_are_told_of_with_both() {
        assert_eq!(clash([("a", "x::A"), ("b", "x::B")].into_iter()), None);
        let what = clash([("a", "x::A"), ("b", "x::B"), ("a", "y::A")].into_iter()).unwrap();
        assert!(what.contains("'a', `x::A` and `y::A`"), "{what}");
    }
}
