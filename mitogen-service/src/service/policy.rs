//! Who may call: policies.

use super::caller::Caller;
use crate::panics;

/// Decides who may call a method of the service `S`.
///
/// A policy sees the verified caller and the service, and never the arguments: it is asked before
/// they are decoded. A policy that panics refuses. Functions are policies too.
///
/// ```
/// use mitogen_service::{Caller, service};
///
/// struct Vault {
///     open: bool,
/// }
///
/// #[service]
/// impl Vault {
///     fn is_open(&self, _caller: &Caller) -> bool {
///         self.open
///     }
///
///     #[expose(policy = Self::is_open)]
///     fn take(&self) {}
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a policy for `{S}`",
    label = "not a policy",
    note = "a policy is `AllowAny`, `AllowParents`, `AllowSelf`, `AnyOf((..))`, a function `fn(&{S}, &Caller) -> bool`, \
            or a type that implements `Policy<{S}>`"
)]
pub trait Policy<S: ?Sized> {
    /// Whether the caller may call the method.
    fn is_authorized(&self, service: &S, caller: &Caller) -> bool;
}

impl<S: ?Sized, F: Fn(&S, &Caller) -> bool> Policy<S> for F {
    fn is_authorized(&self, service: &S, caller: &Caller) -> bool {
        self(service, caller)
    }
}

/// Lets everybody call who can reach this context. Mitogen's `AllowAny`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAny;

/// Lets those call who act with the authority of a parent of this context, near or far, or with
/// this context's own. Mitogen's `AllowParents`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowParents;

/// Lets only this process itself call: what came over no stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowSelf;

/// Lets those call with whom at least one of the policies of a tuple agrees.
///
/// ```
/// use mitogen_service::{AllowParents, AllowSelf, AnyOf, Caller, service};
///
/// struct Settings;
///
/// #[service]
/// impl Settings {
///     #[expose(policy = AnyOf((AllowSelf, AllowParents)))]
///     fn reset(&self) {}
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AnyOf<T>(
    /// The policies, a tuple of one to eight.
    pub T,
);

impl<S: ?Sized> Policy<S> for AllowAny {
    fn is_authorized(&self, _service: &S, _caller: &Caller) -> bool {
        true
    }
}

impl<S: ?Sized> Policy<S> for AllowParents {
    fn is_authorized(&self, _service: &S, caller: &Caller) -> bool {
        caller.has_parent_authority()
    }
}

impl<S: ?Sized> Policy<S> for AllowSelf {
    fn is_authorized(&self, _service: &S, caller: &Caller) -> bool {
        caller.is_local()
    }
}

impl<S: ?Sized, T: PolicyList<S>> Policy<S> for AnyOf<T> {
    fn is_authorized(&self, service: &S, caller: &Caller) -> bool {
        self.0.any(service, caller)
    }
}

/// A tuple of policies.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tuple of policies",
    note = "write `AnyOf((AllowSelf, AllowParents))`, with two pairs of parentheses"
)]
#[doc(hidden)]
pub trait PolicyList<S: ?Sized> {
    /// Whether one of them agrees.
    fn any(&self, service: &S, caller: &Caller) -> bool;
}

macro_rules! policy_list {
    ($($policy:ident)+) => {
        impl<S: ?Sized, $($policy: Policy<S>),+> PolicyList<S> for ($($policy,)+) {
            #[expect(non_snake_case, reason = "the type parameters name the fields")]
            fn any(&self, service: &S, caller: &Caller) -> bool {
                let ($($policy,)+) = self;
                $($policy.is_authorized(service, caller))||+
            }
        }
    };
}

policy_list!(A);
policy_list!(A B);
policy_list!(A B C);
policy_list!(A B C D);
policy_list!(A B C D E);
policy_list!(A B C D E F);
policy_list!(A B C D E F G);
policy_list!(A B C D E F G H);

/// A service and its caller, of whom policies are asked. The service is known before a policy is, so that
/// what is no policy is reported as none for this service.
#[doc(hidden)]
#[derive(Debug)]
pub struct Asked<'a, S>(pub &'a S, pub &'a Caller);

impl<S> Asked<'_, S> {
    /// Asks one policy; a panic is a no.
    pub fn allows(&self, policy: &impl Policy<S>) -> bool {
        panics::guard(|| policy.is_authorized(self.0, self.1)).unwrap_or_else(|panic| {
            panics::discard(panic);
            false
        })
    }
}
