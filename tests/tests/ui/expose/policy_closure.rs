use mitogen_service::service;

struct Files;

#[service]
impl Files {
    #[expose(policy = |caller| caller.is_local())]
    fn no_service(&self) {}

    #[expose(policy = || true)]
    fn nothing(&self) {}

    #[expose(policy = async |_, _| true)]
    fn later(&self) {}

    #[expose(policy = |_, _| -> Result<(), String> { Ok(()) })]
    fn named_result(&self) {}
}

struct Doors;

#[service]
impl Doors {
    #[expose(policy = |_, caller| caller.is_local().then_some(()))]
    fn option(&self) {}

    #[expose(policy = |name: &str, _| name.is_empty())]
    fn another_service(&self) {}
}

fn main() {}
