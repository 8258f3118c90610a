use mitogen_service::function;

fn main() {
    #[function]
    let twice = |n: u8| 2 * n;
    twice(1);
}
