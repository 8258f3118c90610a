#![deny(warnings)]

use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[cfg_attr(unix, expose(policy = AllowAny))]
    fn expose(&self) {}

    #[expose(policy = AllowAny)]
    #[cfg_attr(all(unix, not(windows)), inline, cfg_attr(true, no_reply))]
    fn no_reply(&self) {}

    #[cfg_attr(not(unix), mitogen_service::on_start)]
    fn start(&self) {}

    // Of others it may be.
    #[cfg_attr(unix, inline)]
    #[expose(policy = AllowAny)]
    fn fine(&self) {}
}

fn main() {}
