//! Scratch.
use mitogen_service::{AllowAny, Router, service};
#[derive(Default)]
struct Echo;
#[service(activate)]
impl Echo {
    #[expose(policy = AllowAny)]
    fn echo(&self, number: u64, text: &str) -> u64 { number + text.len() as u64 }
}
#[mitogen_service::main]
fn main(router: &Router) -> Result<(), Box<dyn std::error::Error>> {
    let child = router.local().name("worker").connect()?;
    let n: u64 = std::env::args().nth(1).map_or(100000, |n| n.parse().unwrap());
    let k: u64 = std::env::args().nth(2).map_or(1, |n| n.parse().unwrap());
    let stub = Echo::stub(&child);
    for i in 0..2000 { stub.echo(i, "0123456789abcdefghijklmnopqrstuv").wait().unwrap(); }
    let t = std::time::Instant::now();
    if k == 1 {
        for i in 0..n { stub.echo(i, "0123456789abcdefghijklmnopqrstuv").wait().unwrap(); }
    } else {
        for _ in 0..n / k {
            let calls: Vec<_> = (0..k).map(|i| stub.echo(i, "0123456789abcdefghijklmnopqrstuv")).collect();
            for c in calls { c.wait().unwrap(); }
        }
    }
    let e = t.elapsed();
    println!("{} ns per call", e.as_nanos() as u64 / n);
    Ok(())
}
