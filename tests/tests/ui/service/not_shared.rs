use std::cell::RefCell;
use std::rc::Rc;

use mitogen_service::{AllowAny, Context, Pool, service};

struct Counter(RefCell<u8>);

#[service]
impl Counter {
    #[expose(policy = AllowAny)]
    fn next(&self) -> u8 {
        *self.0.borrow()
    }
}

struct Shared(Rc<u8>);

#[service]
impl Shared {
    #[expose(policy = AllowAny)]
    fn get(&self) -> u8 {
        *self.0
    }
}

// None of this is a second mistake.
fn used(pool: &Pool, context: &Context) {
    let _ = pool.add(Counter(RefCell::new(1)));
    let _ = Counter::stub(context).next();
    let _ = pool.get_service::<Shared>();
}

fn main() {}
