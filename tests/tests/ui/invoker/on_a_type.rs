use mitogen_service::{AllowAny, DeduplicatingInvoker, service};

#[service(invoker = DeduplicatingInvoker::new().max_entries(5))]
struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
