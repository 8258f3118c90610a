#![deny(warnings)]

use mitogen_service::{AllowAny, Context, Event, service};

struct Files;

#[service]
impl Files {
    #[exposed(policy = AllowAny)]
    fn exposed(&self) {}

    #[expose(policy = AllowAny)]
    #[noreply]
    fn no_reply(&self) {}

    #[expose(policy = AllowAny)]
    #[args_spec(size(check = |size| *size > 0))]
    fn arg_spec(&self, size: u32) {
        drop(size);
    }

    #[on_strat]
    fn start(&self) {}

    #[on_messages(policy = AllowAny)]
    fn message(&self, event: Event) {
        drop(event);
    }

    #[on_shutdwn]
    fn shutdown(&self) {}
}

fn main() {
    // What was meant is there, so that this is no mistake as well.
    let call = |context: &Context| drop(Files::stub(context).exposed());
    let _ = call;
}
