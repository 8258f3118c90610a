use mitogen_service::{AllowAny, SerializedInvoker, service};

// Neither is used with a type, where the compiler would find out by itself.
#[service(name = "files")]
struct Files<T>(T);

#[service(name = "files")]
impl<T: Send + Sync + 'static> Files<T> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

#[service(invoker = SerializedInvoker)]
struct Other<T>(T);

#[service(invoker = SerializedInvoker)]
impl<T: Send + Sync + 'static> Other<T> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
