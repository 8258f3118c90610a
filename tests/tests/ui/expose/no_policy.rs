#![allow(unused_imports, unused_variables)]

use mitogen_service::{ConcurrentInvoker, service};

struct Files;

#[service]
impl Files {
    #[expose]
    fn bare(&self) {}

    #[expose()]
    fn empty(&self) {}

    #[expose(invoker = ConcurrentInvoker)]
    fn invoker_only(&self) {}
}

fn main() {}
