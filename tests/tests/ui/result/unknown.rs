use mitogen_service::{AllowAny, service};

struct Files;

#[service]
impl Files {
    #[expose(policy = AllowAny)]
    fn never(&self) -> ! {
        loop {}
    }

    #[expose(policy = AllowAny)]
    fn placeholder(&self) -> Result<Vec<_>, String> {
        Ok(vec![1])
    }

    #[expose(policy = AllowAny)]
    fn lifetime(&self) -> std::borrow::Cow<'_, str> {
        "".into()
    }
}

fn main() {}
