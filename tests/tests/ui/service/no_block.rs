use mitogen_service::service;

#[derive(Default)]
#[service(activate)]
struct Files;

fn main() {}
