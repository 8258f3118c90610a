use mitogen_service::service;

struct Files;

#[service]
impl Files {}

struct Unmarked;

#[service]
impl Unmarked {
    fn read(&self) {}
}

struct Quiet;

// What runs by itself may be all that there is.
#[service]
impl Quiet {
    #[on_shutdown]
    fn shutdown(&self) {}
}

fn main() {}
