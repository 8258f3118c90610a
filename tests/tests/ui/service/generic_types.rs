use mitogen_service::{AllowAny, Context, service};

struct Cache<T>(T);

#[service(types = [Cache<u8>])]
impl<T: Clone> Cache<T> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

#[service(name = "named")]
struct Named<T>(T);

#[service(types = [Named<u8>])]
impl<T> Named<T> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn unlisted(context: &Context) {
    let _ = Cache::<u16>::stub(context);
}

fn main() {}
