use mitogen_service::function;

struct Download;

impl Download {
    #[function]
    fn run(&self, n: u8) -> u8 {
        n
    }

    #[function]
    fn end(self) {}
}

trait Run {
    #[function]
    fn run(&mut self) {}
}

fn main() {
    Download.run(1);
}
