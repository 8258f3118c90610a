use mitogen_service::{AllowAny, AnyOf, Caller, function, service};

#[derive(Default)]
struct Files;

// As it is where the crate is renamed and the option is left out.
#[service(activate, crate = ::nowhere)]
impl Files {
    #[expose(policy = |_, caller: &Caller| caller.is_local(), policy = AnyOf((AllowAny, |_, _| true)))]
    #[arg_spec(size(check = |size| *size > 1))]
    fn grow(&self, size: u32) -> u32 {
        size
    }

    #[expose(policy = AllowAny)]
    fn read(&self, text: &str) -> Result<u8, String> {
        Ok(text.len() as u8)
    }
}

#[function(crate = ::nowhere)]
fn add(a: u8) -> u8 {
    a
}

fn main() {}
