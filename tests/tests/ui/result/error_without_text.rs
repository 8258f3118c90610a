use mitogen_service::{AllowAny, service};

struct Silent;

#[derive(Default)]
struct Files;

#[service(activate)]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self) -> Result<String, Silent> {
        Err(Silent)
    }
}

fn main() {}
