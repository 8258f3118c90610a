use mitogen_service::{AllowAny, service};

struct Files(u32);

#[service(activate)]
impl Files {
    #[expose(policy = AllowAny)]
    fn number(&self) -> u32 {
        self.0
    }
}

fn main() {}
