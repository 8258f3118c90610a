#![allow(unused_variables)]

use mitogen_service::Router;

#[mitogen_service::main(ruoter = Router::builder())]
fn main(router: &Router) {}
