#![allow(unused_variables)]

use mitogen_service::Router;

#[mitogen_service::main]
fn main(router: &Router, name: &str) {}
