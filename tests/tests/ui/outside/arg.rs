#![allow(unused_imports)]

use mitogen_service::{AllowAny, arg, service};

struct Files;

impl Files {
    #[arg(default)]
    fn outside(&self, size: u32) {
        let _ = size;
    }

    fn parameter(&self, #[arg(default)] size: u32) {
        let _ = size;
    }
}

struct Others;

#[service]
impl Others {
    #[expose(policy = AllowAny)]
    #[arg(default)]
    fn inside(&self, size: u32) {
        let _ = size;
    }
}

fn main() {}
