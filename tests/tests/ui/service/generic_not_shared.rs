use std::rc::Rc;

use mitogen_service::{AllowAny, Pool, service};

struct Cache<T>(T);

#[service]
impl<T> Cache<T> {
    #[expose(policy = AllowAny)]
    fn read(&self) {}
}

fn added(pool: &Pool) {
    let _ = pool.add(Cache(1));
    let _ = pool.add(Cache(Rc::new(1)));
}

fn main() {}
