use mitogen_service::function;

struct Unknown;

#[function]
fn unknown(value: Unknown) {
    let _ = value;
}

fn main() {}
