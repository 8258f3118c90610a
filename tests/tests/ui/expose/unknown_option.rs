#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(polcy = AllowAny)]
    fn near_miss(&self) {}

    #[expose(policy = AllowAny, timeout = 5)]
    fn stranger(&self) {}

    #[expose(policy = AllowAny policy = AllowAny)]
    fn no_comma(&self) {}
}

fn main() {}
