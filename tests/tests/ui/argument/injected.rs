#![allow(unused_variables)]

use mitogen_service::{AllowAny, Caller, Reply, Router, ServiceScope, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn twice(&self, one: &Caller, other: &Caller) {}

    #[expose(policy = AllowAny)]
    fn owned(&self, caller: Caller, router: Router) {}

    #[expose(policy = AllowAny)]
    fn borrowed(&self, reply: &Reply<u8>) {}

    #[expose(policy = AllowAny)]
    fn default(&self, #[arg(default)] caller: &Caller) {}

    #[expose(policy = AllowAny)]
    fn of_a_hook(&self, scope: &ServiceScope) {}
}

fn main() {}
