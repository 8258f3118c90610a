#![allow(unused_variables)]

#[mitogen_service::main]
fn main<T>() {}
