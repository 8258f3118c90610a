#![allow(unused_imports, unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

trait Read {
    fn read(&self) -> u8;
}

#[service]
impl Read for Files {
    #[expose(policy = AllowAny)]
    fn read(&self) -> u8 {
        0
    }
}

// The name of the method is the trait's.
#[service]
impl Clone for Files {
    #[expose(policy = AllowAny)]
    fn clone(&self) -> Self {
        Files
    }
}

fn main() {}
