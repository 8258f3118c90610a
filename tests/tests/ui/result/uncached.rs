use mitogen_service::{AllowAny, Uncached, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn outside(&self) -> Uncached<Result<u8, String>> {
        Uncached(Ok(0))
    }

    #[expose(policy = AllowAny)]
    fn inside(&self) -> Result<Uncached<u8>, String> {
        Ok(Uncached(0))
    }
}

fn main() {}
