#![deny(warnings)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn misspelt(&self, #[args(default)] _size: u32) {}

    #[expose(policy = AllowAny)]
    fn option_alone(&self, #[default] _size: u32) {}

    #[expose(policy = AllowAny)]
    fn of_a_field(&self, #[serde(rename = "type")] _kind: u32) {}

    #[expose(policy = AllowAny)]
    fn documented(
        &self,
        /// How many bytes.
        _size: u32,
    ) {
    }

    #[expose(policy = AllowAny)]
    fn conditional(&self, #[cfg(windows)] size: u32) -> u32 {
        size
    }

    #[expose(policy = AllowAny)]
    fn hidden_condition(&self, #[cfg_attr(unix, cfg(windows))] size: u32) -> u32 {
        size
    }

    #[expose(policy = AllowAny)]
    fn conditional_arg(&self, #[cfg_attr(unix, arg(default))] _size: u32) {}

    // Of others it may be.
    #[expose(policy = AllowAny)]
    fn fine(&self, #[cfg_attr(unix, allow(unused_variables))] size: u32) {}
}

fn main() {}
