#![allow(unused_variables)]

use mitogen_service::service;

#[service]
fn read() {}

#[service]
mod files {}

fn main() {}
