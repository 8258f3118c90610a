//! Parameters that the dispatcher provides, recognised by their types.
//!
//! A macro sees names and not what they mean, so this is the rule:
//!
//! - `Caller`, `Router` and `Reply<T>` without a path are the runtime's.
//! - With a path they are, if it begins as the option `crate` says, or with `mitogen_service`.
//! - With another path a value is an argument, whose type is somebody else's. A reference is taken for the
//!   runtime's all the same: a module may have it from there, and nothing else that is called so can be
//!   borrowed from a message. What it really is, the compiler tells.

use syn::{Path, Type};

use super::method::OfService;
use super::result::{self, Verdict};
use super::types;
use crate::errors::{Errors, text};
use crate::model::{Answer, Injected};

/// What a parameter is that does not come from the caller.
pub(super) struct Found {
    pub(super) injected: Injected,
    pub(super) name: &'static str,
    /// It is taken for the runtime's for want of anything else that it could be.
    pub(super) is_guessed: bool,
    /// What a `Reply` takes.
    pub(super) reply: Option<Answer>,
    /// What the parameter would be if its type were not a mistake to the compiler as well.
    pub(super) instead: Option<Type>,
}

/// Recognises what the dispatcher provides.
pub(super) fn find(ty: &Type, service: &OfService<'_>, errors: &Errors) -> Option<Found> {
    let reference = match types::peel(ty) {
        Type::Reference(reference) => Some(reference),
        _ => None,
    };
    let target = reference.map_or(ty, |reference| &*reference.elem);
    let is_ours = is_of_runtime(target, service.krate);
    for (name, injected) in [("Caller", Injected::Caller), ("Router", Injected::Router)] {
        if !types::is_plain(target, name) {
            continue;
        }
        match reference {
            Some(reference) if reference.mutability.is_some() => {
                errors.at(reference.mutability, text::handed_by_reference(name));
            }
            Some(_) => {}
            None if is_ours => errors.at(ty, text::handed_by_reference(name)),
            None => return None,
        }
        return Some(Found { injected, name, is_guessed: !is_ours, reply: None, instead: None });
    }
    // Without its type it may be a type of the user; if not, the compiler says what is missing.
    let last = types::last_segment(target).filter(|last| is_ours && last.ident == "Reply")?;
    let [answer] = types::type_arguments(last)[..] else { return None };
    if reference.is_some() {
        errors.at(ty, text::handed_by_value("Reply"));
    }
    let (answer, instead) = match result::check_answer(answer, errors) {
        Verdict::Instead(answer) => (*answer.clone(), types::with_argument(target, *answer)),
        Verdict::Fine | Verdict::Unknown => (answer.clone(), None),
    };
    let reply = Some(result::answer(&answer, service));
    Some(Found { injected: Injected::Reply, name: "Reply", is_guessed: false, reply, instead })
}

/// Whether a name is meant as the runtime's and not as that of a type in a module of the user.
fn is_of_runtime(ty: &Type, krate: &Path) -> bool {
    let Type::Path(path) = types::peel(ty) else {
        return false;
    };
    let segments = &path.path.segments;
    segments.len() == 1
        || segments.first().is_some_and(|first| first.ident == "mitogen_service")
        || types::is_in(&path.path, krate)
}
