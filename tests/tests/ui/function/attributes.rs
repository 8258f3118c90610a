use mitogen_service::{AllowAny, arg_spec, expose, function};

#[function(name = "files", crat = a)]
fn options() {}

#[function(crate = "mitogen_service")]
fn quoted() {}

#[function]
#[expose(policy = AllowAny)]
fn exposed() {}

#[function]
#[mitogen_service::no_reply]
fn no_reply() {}

#[function]
#[arg_spec(sise(check = |n| *n > 0))]
fn checked(size: u8) {}

fn main() {}
