use mitogen_service::function;

#[function]
struct Download;

#[mitogen_service::function]
impl Download {
    fn run() {}
}

trait Run {
    #[function]
    fn run();
}

fn main() {}
