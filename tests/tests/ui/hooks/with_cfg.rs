use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}

    // Of these one is there.
    #[cfg(unix)]
    #[on_start]
    fn start(&self) {}

    #[cfg(not(unix))]
    #[on_start]
    fn start(&self) {}

    // Of these both may be.
    #[cfg(unix)]
    #[on_shutdown]
    fn shutdown(&self) {}

    #[on_shutdown]
    fn shutdown_always(&self) {}
}

fn main() {}
