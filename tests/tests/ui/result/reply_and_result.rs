#![allow(unused_variables)]

use mitogen_service::{AllowAny, Reply, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn both(&self, reply: Reply<u8>) -> u8 {
        0
    }
}

fn main() {}
