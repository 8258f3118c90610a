#![allow(unused_variables)]

use mitogen_service::service;

#[service]
fn read() {}

#[service]
mod files {}

#[service]
trait Read {
    #[expose(policy = AllowAny)]
    fn read(&self, #[arg(default)] size: usize) {}
}

fn main() {}
