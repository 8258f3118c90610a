use mitogen_service::{AllowAny, service};

trait Store: Default + Send + Sync + 'static {}

#[derive(Default)]
struct Disk;
impl Store for Disk {}

#[derive(Default)]
struct Files<S>(S);

#[service(types = [Files<Disk>, Files<u8>])]
impl<S: Store> Files<S> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

#[derive(Default)]
struct Activated<S>(S);

#[service(types = [Activated<Disk>, Activated<u8>], activate)]
impl<S: Store> Activated<S> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

struct Bounded<S: Store>(S);

#[service(types = [Bounded<Disk>, Bounded<u8>])]
impl<S: Store> Bounded<S> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

#[derive(Default)]
struct Twice<S>(S);

#[service(types = [Twice<Disk>, Twice< Disk >])]
impl<S: Store> Twice<S> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn main() {}
