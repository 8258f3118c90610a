#![allow(unused_variables)]

use mitogen_service::{AllowAny, Reply, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn direct(&self, value: Option<()>) {}

    #[expose(policy = AllowAny)]
    fn inside(&self, values: Vec<(u8, Option<()>)>) {}

    #[expose(policy = AllowAny)]
    fn result(&self) -> Result<Option<()>, String> {
        Ok(None)
    }

    #[expose(policy = AllowAny)]
    fn later(&self, reply: Reply<Option<Option<u8>>>) {}
}

fn main() {}
