#![allow(unused_mut, unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn exclusive(&mut self) {}

    #[expose(policy = AllowAny)]
    fn by_value(self) {}

    #[expose(policy = AllowAny)]
    fn mutable_value(mut self) {}

    #[expose(policy = AllowAny)]
    fn boxed(self: Box<Self>) {}

    #[expose(policy = AllowAny)]
    fn none(path: String) {}

    #[expose(policy = AllowAny)]
    fn nothing() {}
}

fn main() {}
