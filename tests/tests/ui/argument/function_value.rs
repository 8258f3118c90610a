#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn borrowed(&self, each: &dyn Fn(u8)) {}

    #[expose(policy = AllowAny)]
    fn boxed(&self, each: Box<dyn FnMut(u8) -> bool + Send>) {}

    #[expose(policy = AllowAny)]
    fn pointer(&self, each: fn(u8)) -> Vec<fn(u8)> {
        Vec::new()
    }

    #[expose(policy = AllowAny)]
    fn object(&self, object: &dyn std::fmt::Display) {}
}

fn main() {}
