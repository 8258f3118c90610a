#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn tuple(&self, (left, right): (u8, u8)) {}

    #[expose(policy = AllowAny)]
    fn nameless(&self, _: u8) {}

    #[expose(policy = AllowAny)]
    fn by_ref(&self, ref name: String) {}
}

fn main() {}
