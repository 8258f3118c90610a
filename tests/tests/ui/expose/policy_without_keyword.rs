#![allow(unused_variables)]

use mitogen_service::{service};

struct Files;

#[service]
impl Files {
    #[expose(AllowAny)]
    fn bare(&self) {}

    #[expose(policy)]
    fn no_value(&self) {}

    #[expose(policy =)]
    fn empty_value(&self) {}
}

fn main() {}
