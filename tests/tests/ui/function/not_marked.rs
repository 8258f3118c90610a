use mitogen_service::Context;

fn plain(n: u8) -> u8 {
    n
}

struct Service;

impl Service {
    fn method(&self) {}
}

fn call(child: &Context) {
    let _ = child.call(plain, 1);
    let _ = child.call(|n: u8| n, 1);
    let _ = child.call(Service::method, ());
}

fn main() {}
