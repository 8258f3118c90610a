//! smoke
use mitogen_service::*;

#[derive(Default)]
struct Ping;

#[service(activate)]
impl Ping {
    /// Pings.
    #[expose(policy = AllowParents)]
    fn ping(&self, x: u64, text: &str) -> String {
        println!("hello from {}", std::process::id());
        format!("{x:016x}{text}")
    }
    #[expose(policy = AllowParents)]
    fn boom(&self) -> Result<(), std::num::ParseIntError> {
        "x".parse::<i32>().map(drop)
    }
}

#[mitogen_service::main]
fn main(router: &Router) -> mitogen_service::Result<()> {
    let t = std::time::Instant::now();
    let child = router.local().name("worker").connect()?;
    println!("connected in {:?}", t.elapsed());
    let stub = Ping::stub(&child);
    println!("{}", stub.ping(7, "x").wait()?);
    println!("{:?}", stub.boom().wait());
    let t = std::time::Instant::now();
    for _ in 0..1000 {
        stub.boom().wait().unwrap_err();
    }
    println!("1000 calls in {:?}", t.elapsed());
    let calls: Vec<_> = (0..1000).map(|_| stub.boom()).collect();
    child.kill()?;
    let mut n = 0;
    for c in calls {
        if let Err(CallError::Dead { .. }) = c.wait() {
            n += 1;
        }
    }
    println!("{n} dead");
    Ok(())
}
