#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum Kind {
    One,
}

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn no_default(&self, #[arg(default)] kind: Kind) {}

    #[expose(policy = AllowAny)]
    fn another_type(&self, #[arg(default = "three")] count: u32) {}
}

fn main() {}
