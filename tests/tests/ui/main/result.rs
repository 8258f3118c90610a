use mitogen_service::Router;

#[mitogen_service::main]
fn main(_router: &Router) -> Result<Vec<u8>, String> {
    Ok(Vec::new())
}
