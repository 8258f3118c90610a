use std::fmt::Display;

use mitogen_service::function;

type IoResult<T> = std::io::Result<T>;

#[function]
fn borrow(text: &str) -> &str {
    text
}

#[function]
fn hidden() -> impl Display {
    1
}

#[function]
fn hidden_error() -> Result<u8, impl Display> {
    Err("no")
}

#[function]
fn alias() -> IoResult<u8> {
    Ok(1)
}

struct NoText;

#[function]
fn no_text() -> Result<u8, NoText> {
    Err(NoText)
}

fn main() {}
