#![allow(unused_variables)]

#[mitogen_service::main]
struct Main;

fn main() {}
