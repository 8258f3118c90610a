//! Whole programs for the tests: what they do is told by their first argument.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mitogen_service::{AllowParents, CallError, Context, Router, Sender, service};
use mitogen_service_tests::peak_memory;
use serde::{Deserialize, Serialize};

/// Runs in every context of the tree.
#[derive(Default)]
struct Node {
    calls: AtomicUsize,
}

#[service(activate)]
impl Node {
    #[expose(policy = AllowParents)]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    #[expose(policy = AllowParents)]
    fn start_child(&self, name: String, router: &Router) -> mitogen_service::Result<Context> {
        router.local().name(name).connect()
    }

    #[expose(policy = AllowParents)]
    fn never_return(&self) {
        loop {
            std::thread::park();
        }
    }

    /// Sends so many records, and tells the most memory that this process has had.
    #[expose(policy = AllowParents)]
    fn stream(&self, to: Sender<Record>, count: u32) -> Result<u64, CallError> {
        for number in 0..count {
            to.send(Record { number, text: "x".repeat(RECORD) })?;
        }
        Ok(peak_memory())
    }

    /// Writes to both outputs in every way that a careless method may.
    #[expose(policy = AllowParents)]
    fn chat(&self) -> usize {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        println!("stdout line {number}");
        eprintln!("stderr line {number}");
        // Nothing that looks like a frame may be taken for one.
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&[0x4d, 0x50, 0, 0, 0, 0, 0, 0, 0, b'\n', 0xff, b'\n']).unwrap();
        stdout.flush().unwrap();
        number
    }
}

#[mitogen_service::main]
fn main(router: &Router) -> mitogen_service::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("tree") => tree(router),
        Some("chat") => chat(router),
        Some("stream") => stream(router),
        other => panic!("unknown mode {other:?}"),
    }
}

/// The bytes of a record's text.
const RECORD: usize = 64 * 1024;

/// What a child streams.
#[derive(Serialize, Deserialize)]
struct Record {
    number: u32,
    text: String,
}

/// Takes a GiB from a child, and sleeps now and then. Prints the most memory that each has had, and
/// the time.
fn stream(router: &Router) -> mitogen_service::Result<()> {
    let child = router.local().name("source").connect()?;
    let records = router.receiver();
    let count = 1024 * 1024 * 1024 / RECORD as u32;
    let started = std::time::Instant::now();
    let call = Node::stub(&child).stream(records.sender(), count);
    let expected = "x".repeat(RECORD);
    let mut taken = 0;
    for record in &records {
        let Record { number, text } = record;
        assert_eq!(number, taken);
        assert!(text == expected, "record {number} is another one");
        taken += 1;
        // Long enough that the window is full each time, and what else could fill would as well.
        if taken % 256 == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert_eq!(taken, count, "{:?}", records.ended());
    println!("{} {} {}", peak_memory(), call.wait()?, started.elapsed().as_millis());
    Ok(())
}

/// Prints the pids of a tree four deep in which a method never returns, and lives until it is killed.
fn tree(router: &Router) -> mitogen_service::Result<()> {
    let one = router.local().name("one").connect()?;
    let two = Node::stub(&one).start_child("two".into()).wait()?;
    let three = Node::stub(&two).start_child("three".into()).wait()?;
    let other = Node::stub(&one).start_child("other".into()).wait()?;
    for context in [&one, &two, &three, &other] {
        println!("{}", Node::stub(context).pid().wait()?);
    }
    for context in [&one, &three, &three] {
        Node::stub(context).never_return().detach();
    }
    // With one of two threads taken the context still answers, and the method has been started.
    Node::stub(&one).pid().wait()?;
    println!("ready");
    loop {
        std::thread::park();
    }
}

/// Calls a chatty method many times, and checks its answers.
fn chat(router: &Router) -> mitogen_service::Result<()> {
    let child = router.local().name("chatty").connect()?;
    let grandchild = Node::stub(&child).start_child("below".into()).wait()?;
    for context in [&child, &grandchild] {
        for number in 0..100 {
            assert_eq!(Node::stub(context).chat().wait()?, number);
        }
    }
    child.shutdown(Duration::from_secs(10))?;
    println!("all answers were right");
    Ok(())
}
