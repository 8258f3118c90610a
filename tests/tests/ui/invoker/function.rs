use mitogen_service::{AllowAny, DeduplicatingInvoker, SerializedInvoker, service};

struct Files;

#[service(invoker = DeduplicatingInvoker::new)]
impl Files {
    #[expose(policy = AllowAny, invoker = SerializedInvoker::default)]
    fn read(&self) {}
}

fn main() {
    let _: (DeduplicatingInvoker, SerializedInvoker);
}
