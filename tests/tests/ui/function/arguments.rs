use mitogen_service::{Caller, Reply, Router, function};

#[function]
fn pattern((a, b): (u8, u8)) {}

#[function]
fn hidden(value: impl Into<String>) {}

#[function]
fn borrow(names: &[String]) {}

#[function]
fn inner(names: Vec<&str>) {}

#[function]
fn by_value(router: Router, caller: Caller) {}

#[function]
fn deferred(reply: Reply<u8>) {}

#[function]
fn same(same: u8) {}

#[function]
fn whose(whose: &Caller) {}

#[function]
fn renamed(#[arg(rename = "other")] renamed: u8) {}

// It travels by the name of the function, which hides nothing.
#[function]
fn fine(#[arg(rename = "fine")] value: u8) {
    let _ = value;
}

#[function]
fn context() {}

fn main() {}
