use mitogen_service::service;

struct Files;

#[service]
impl Files {}

fn main() {}
