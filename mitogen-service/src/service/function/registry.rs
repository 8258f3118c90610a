//! All functions of the executable, as the methods of one service.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::error::{Error, Result};
use crate::service::caller::Caller;
use crate::service::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::service::dispatch::{Invocation, Outcome};
use crate::service::hosted::{Dispatch, Hosted};

/// The name of the service whose methods are the functions.
pub(super) const SERVICE: &str = "mitogen_service::function";

/// All functions of the executable that were marked `#[function]`, put together by the linker.
#[doc(hidden)]
#[linkme::distributed_slice]
pub static FUNCTIONS: [Registered];

/// One entry of the registry.
#[doc(hidden)]
pub struct Registered {
    /// What the function says of itself; its name is its path.
    pub method: &'static MethodDescriptor,
    /// Decodes the arguments, calls, and encodes the result.
    pub invoke: fn(&Invocation<'_>) -> Outcome,
}

/// The service, or the path that two functions share. Made once, in the order of the registry.
static DESCRIPTOR: LazyLock<std::result::Result<ServiceDescriptor, &'static str>> = LazyLock::new(|| {
    let methods: Vec<MethodDescriptor> = FUNCTIONS.iter().map(|function| *function.method).collect();
    match shared_name(&methods) {
        Some(name) => Err(name),
        None => Ok(ServiceDescriptor {
            name: SERVICE,
            type_name: "function",
            docs: "The functions of this executable, by their paths.",
            invoker: "ConcurrentInvoker",
            methods: methods.leak(),
        }),
    }
});

/// A name that more than one of the functions has.
fn shared_name(methods: &[MethodDescriptor]) -> Option<&'static str> {
    let mut seen = HashSet::new();
    methods.iter().map(|method| method.name).find(|name| !seen.insert(*name))
}

/// The service that every pool has.
pub(in crate::service) fn all() -> Result<Hosted> {
    match &*DESCRIPTOR {
        Ok(descriptor) => Ok(Hosted::concurrent(Functions(descriptor))),
        Err(name) => Err(Error::Invalid { what: same_path(name) }),
    }
}

fn same_path(name: &str) -> String {
    format!(
        "there are two functions `{name}` marked `#[function]`, and a call could not tell which one is meant: \
         give one another name, or put it into another module"
    )
}

struct Functions(&'static ServiceDescriptor);

impl Dispatch for Functions {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.0
    }

    /// A function says nothing about who may call it, so it is those who could run anything here anyway.
    fn authorize(&self, _method: usize, caller: &Caller) -> bool {
        caller.has_parent_authority()
    }

    fn invoke(&self, method: usize, invocation: &Invocation<'_>) -> Outcome {
        (FUNCTIONS[method].invoke)(invocation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> MethodDescriptor {
        MethodDescriptor { name, docs: "", args: &[], policies: &[], invoker: None, result: "()", no_reply: false }
    }

    #[test]
    fn a_path_that_two_functions_share_is_found() {
        assert_eq!(shared_name(&[]), None);
        assert_eq!(shared_name(&[named("a::f"), named("b::f")]), None);
        assert_eq!(shared_name(&[named("a::f"), named("b::f"), named("a::f")]), Some("a::f"));
    }
}
