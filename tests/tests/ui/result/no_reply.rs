#![allow(unused_variables)]

use mitogen_service::{AllowAny, Reply, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    #[no_reply]
    fn value(&self) -> u8 {
        0
    }

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn result(&self) -> Result<(), String> {
        Ok(())
    }

    #[expose(policy = AllowAny)]
    #[no_reply]
    fn reply(&self, reply: Reply<u8>) {}

    #[expose(policy = AllowAny)]
    #[no_reply(true)]
    fn options(&self) {}
}

fn main() {}
