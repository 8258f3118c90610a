use mitogen_service::Router;

#[mitogen_service::main]
fn main(router: &Router) {
    let name = ;
    println!("{name} {}", router.myself());
}
