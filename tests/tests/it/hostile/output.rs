//! A child that prints without end.

use std::io::Write;
use std::time::Instant;

use mitogen_service::{AllowParents, service};
use mitogen_service_tests::LONG;

use super::{Everyone, MIB, alone};

/// Prints as much as it is told to.
#[derive(Default)]
struct Chatter;

#[service(activate)]
impl Chatter {
    /// Writes that many MiB to each of stdout and stderr.
    #[expose(policy = AllowParents)]
    fn chatter(&self, mebibytes: usize) {
        let line = [&[b'x'; 127][..], b"\n"].concat();
        let text = line.repeat(512);
        let errors = std::thread::spawn({
            let text = text.clone();
            move || (0..16 * mebibytes).for_each(|_| std::io::stderr().lock().write_all(&text).unwrap())
        });
        (0..16 * mebibytes).for_each(|_| std::io::stdout().lock().write_all(&text).unwrap());
        errors.join().unwrap();
    }
}

#[test]
fn a_child_that_prints_without_end_gets_a_mebibyte_a_second_into_the_log() {
    let began = Instant::now();
    let log = alone("output::a_child_that_prints_without_end_gets_a_mebibyte_a_second_into_the_log", || {
        let everyone = Everyone::new();
        let printer = everyone.bench.child("printer");
        Chatter::stub(&printer).chatter(32).wait_timeout(LONG).unwrap();
        everyone.finish();
    });
    let Some(log) = log else { return };
    let seconds = began.elapsed().as_secs_f64();
    // Each line gets the name of the context in front, and a second that has begun counts.
    let bound = ((seconds + 2.0) * 1.5 * (2 * MIB) as f64) as usize;
    println!("{} KiB came in {seconds:.1} s, of {} KiB allowed", log.len() / 1024, bound / 1024);
    assert!(log.len() < bound.min(40 * MIB), "{} bytes, of {bound} allowed", log.len());
    log.assert_line(&["[printer]", "bytes of output dropped"]);
}
