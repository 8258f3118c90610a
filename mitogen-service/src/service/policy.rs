//! Who may call: policies.

use super::caller::Caller;
use crate::panics;

/// Decides who may call a method of the service `S`.
///
/// A policy sees the verified caller and the service, and never the arguments: it is asked before
/// they are decoded. A policy that panics refuses. Functions and closures are policies too.
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

#[diagnostic::do_not_recommend]
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

/// A service and what decides who may call it. The service is known before the policy is, so that what is
/// no policy is reported as none for this service.
#[doc(hidden)]
#[derive(Debug)]
pub struct Asked<'a, S, P>(pub &'a S, pub &'a P);

impl<S, P: Policy<S>> Asked<'_, S, P> {
    /// Asks the policy; a panic is a no.
    pub fn allows(&self, caller: &Caller) -> bool {
        guarded(|| self.1.is_authorized(self.0, caller))
    }
}

impl<'a, S, P: Policy<S>> Asked<'a, S, P> {
    /// The policy as one of several.
    pub fn member(&self) -> Member<'a, P> {
        Member(self.1)
    }
}

/// A policy that others stand beside.
#[doc(hidden)]
#[derive(Debug)]
pub struct Member<'a, P>(&'a P);

impl<S: ?Sized, P: Policy<S>> Policy<S> for Member<'_, P> {
    fn is_authorized(&self, service: &S, caller: &Caller) -> bool {
        self.0.is_authorized(service, caller)
    }
}

/// What stands in for the functions of [`Asked`] where there is no policy. The compiler would tell of a function with
/// wrong parameters in its own words; this way it says what a policy is, as of any other value.
#[doc(hidden)]
pub trait NoPolicy<S, P>: Sized {
    /// Asks for what it cannot be.
    fn allows(&self, _caller: &Caller) -> bool
    where
        P: Decides<S>,
    {
        unreachable!("what is no policy has been reported")
    }

    /// The same where it would be one of several.
    fn member(&self) -> AllowSelf
    where
        P: Decides<S>,
    {
        unreachable!("what is no policy has been reported")
    }
}

impl<S, P> NoPolicy<S, P> for Asked<'_, S, P> {}

/// What nothing is that is no policy.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a policy for `{S}`",
    label = "not a policy",
    note = "a policy is `AllowAny`, `AllowParents`, `AllowSelf`, `AnyOf((..))`, a function `fn(&{S}, &Caller) -> bool`, \
            or a type that implements `Policy<{S}>`"
)]
#[doc(hidden)]
pub trait Decides<S> {}

/// Asks a closure, which learns from here what it is given and what it returns.
#[doc(hidden)]
pub fn allows<S>(service: &S, caller: &Caller, policy: impl Fn(&S, &Caller) -> bool) -> bool {
    guarded(|| policy(service, caller))
}

/// A closure as one of several policies, which learns from here what it is given and what it returns.
#[doc(hidden)]
pub fn member<S, F: Fn(&S, &Caller) -> bool>(_service: &S, policy: F) -> F {
    policy
}

/// Asks one of several policies.
#[doc(hidden)]
pub fn any_allows<S, T>(service: &S, caller: &Caller, policy: AnyOf<T>) -> bool
where
    AnyOf<T>: Policy<S>,
{
    guarded(|| policy.is_authorized(service, caller))
}

/// Runs a policy, whose panic is a no.
fn guarded(policy: impl FnOnce() -> bool) -> bool {
    panics::guard(policy).unwrap_or_else(|panic| {
        panics::discard(panic);
        false
    })
}
