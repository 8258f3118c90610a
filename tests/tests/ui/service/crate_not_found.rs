use mitogen_service::{AllowAny, service};

#[derive(Default)]
struct Files;

// As it is where the crate is renamed and the option is left out.
#[service(activate, crate = ::nowhere)]
impl Files {
    #[expose(policy = AllowAny)]
    fn read(&self, text: &str) -> Result<u8, String> {
        Ok(text.len() as u8)
    }
}

fn main() {}
