use mitogen_service::function;

struct Download;

impl Download {
    #[function]
    fn by_itself() {}
}

fn main() {}
