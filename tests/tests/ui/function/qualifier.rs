use mitogen_service::function;

#[function]
async fn later() {}

#[function]
unsafe fn careless() {}

#[function]
const fn constant() -> u8 {
    1
}

#[function]
extern "C" fn foreign() {}

#[function]
fn generic<T>(value: T) {}

#[function]
fn lifetime<'a>(text: &'a str) {}

fn main() {
    const ONE: u8 = constant();
    let _ = ONE;
}
