#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn option_twice(&self, #[arg(default = 1, default = 2)] size: u32) {}

    #[expose(policy = AllowAny)]
    fn attribute_twice(&self, #[arg(default)] #[arg(rename = "length")] size: u32) {}
}

fn main() {}
