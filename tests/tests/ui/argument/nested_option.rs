#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn direct(&self, value: Option<Option<u8>>) {}

    #[expose(policy = AllowAny)]
    fn inside(&self, values: Vec<(u8, Option<Option<u8>>)>) {}

    #[expose(policy = AllowAny)]
    fn result(&self) -> Result<Option<Option<String>>, String> {
        Ok(None)
    }
}

fn main() {}
