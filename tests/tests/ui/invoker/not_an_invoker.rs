use mitogen_service::{AllowAny, service};

#[derive(Default)]
struct Serial;

struct NoDefault;

struct Files;

#[service(invoker = Serial)]
impl Files {
    #[expose(policy = AllowAny, invoker = Serial::default())]
    fn read(&self) {}
}

fn main() {}
