use mitogen_service::{AllowAny, Context, Reply, service};
use serde::Serialize;

struct Opaque;

#[derive(Clone, Serialize)]
struct OneWay;

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn plain(&self) -> Opaque {
        Opaque
    }

    #[expose(policy = AllowAny)]
    fn fallible(&self) -> Result<Vec<OneWay>, String> {
        Ok(vec![])
    }

    #[expose(policy = AllowAny)]
    fn tuple(&self) -> (u8, Opaque) {
        (1, Opaque)
    }

    #[expose(policy = AllowAny)]
    fn later(&self, reply: Reply<Opaque>) {
        drop(reply);
    }

    #[expose(policy = AllowAny)]
    fn foreign(&self) -> std::io::Result<std::time::Instant> {
        Ok(std::time::Instant::now())
    }
}

// None of this is a second mistake.
fn used(context: &Context) {
    let files = Files::stub(context);
    let _ = (files.plain(), files.fallible(), files.tuple(), files.later(), files.foreign());
}

fn main() {}
