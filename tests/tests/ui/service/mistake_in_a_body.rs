#![deny(warnings)]

use mitogen_service::{AllowAny, Context, function, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn broken(&self) -> u8 {
        let size = ;
        size
    }

    #[expose(policy = AllowAny)]
    fn read(&self, #[arg(default)] size: u8) -> u8 {
        size
    }

    #[on_shutdown]
    fn shutdown(&self) {}
}

#[function]
fn count() -> u8 {
    1 +
}

fn main() {
    let call = |context: &Context| {
        drop(Files::stub(context).read(1));
        drop(context.call(count, ()));
    };
    let _ = call;
}
