#![allow(unused_variables)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn text(&self) -> &str {
        ""
    }

    #[expose(policy = AllowAny)]
    fn fallible(&self) -> Result<&[u8], String> {
        Ok(&[])
    }

    #[expose(policy = AllowAny)]
    fn nested(&self) -> Vec<std::borrow::Cow<'_, str>> {
        Vec::new()
    }
}

fn main() {}
