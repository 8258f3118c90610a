use mitogen_service::{Context, function};

#[function]
fn download(paths: Vec<String>, depth: u8) -> usize {
    paths.len() + usize::from(depth)
}

fn call(child: &Context) {
    let _ = child.call(download, vec!["a".to_owned()]);
    let _ = child.call(download, (vec!["a"], 1));
    let _: String = child.call(download, (vec![], 1)).wait().unwrap();
}

fn main() {}
