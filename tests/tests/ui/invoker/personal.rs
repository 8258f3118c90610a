#![allow(unused_variables)]

use mitogen_service::{AllowAny, Authorized, Caller, ConcurrentInvoker, DeduplicatingInvoker, Invoker, Reply, service};

struct OfService;

#[service(invoker = DeduplicatingInvoker)]
impl OfService {
    #[expose(policy = AllowAny)]
    fn caller(&self, name: String, caller: &Caller) -> u8 {
        0
    }

    #[expose(policy = AllowAny)]
    fn reply(&self, reply: Reply<u8>) {}

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn quiet(&self) {}

    #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
    fn by_itself(&self, caller: &Caller) {}
}

struct OfMethod;

#[service]
impl OfMethod {
    #[expose(policy = AllowAny, invoker = DeduplicatingInvoker::new().max_entries(5))]
    fn caller(&self, caller: &mitogen_service::Caller) {}

    #[expose(policy = AllowAny)]
    fn by_default(&self, caller: &Caller) {}
}

#[derive(Default)]
struct Mine;

impl Invoker for Mine {
    fn invoke(&self, call: Authorized) {
        call.run();
    }
}

struct OfMine;

#[service(invoker = Mine)]
impl OfMine {
    #[expose(policy = AllowAny)]
    fn caller(&self, caller: &Caller, reply: Reply<u8>) {}
}

fn main() {}
