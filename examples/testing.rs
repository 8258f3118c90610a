//! One service tested three ways: in this process, by a double, and in a real child.
//!
//! `cargo run --example testing`, or the same as ordinary tests: `cargo test --example testing`
#![forbid(unsafe_code)]

use std::path::Path;
use std::{fs, io};

use mitogen_service::{CallError, Caller, Pool, Router, service, testing};

/// Measures files. What is tested here.
#[derive(Default)]
struct Meter;

#[service(activate)]
impl Meter {
    /// The size of a file in bytes.
    #[expose(policy = Self::may_measure)]
    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    /// The parents, and root's own processes.
    fn may_measure(&self, caller: &Caller) -> bool {
        caller.has_parent_authority() || caller.credentials().is_some_and(|peer| peer.uid == 0)
    }
}

/// What the program does with the service. It takes the stub, and cannot tell what is behind it.
fn warning(meter: &MeterStub, path: &Path, limit: u64) -> Result<Option<String>, CallError> {
    let size = meter.size(path).wait()?;
    Ok((size > limit).then(|| format!("{} has {size} bytes, more than {limit}", path.display())))
}

/// A policy is asked with callers made by hand; nothing is started for that.
fn policies() {
    let meter = Meter;
    assert!(meter.may_measure(&testing::caller().parent().build()));
    assert!(meter.may_measure(&testing::caller().uid(0).build()));
    assert!(!meter.may_measure(&testing::caller().uid(1000).build()));
    assert!(!meter.may_measure(&testing::caller().build()), "a stranger");
}

/// Two routers in this process, joined by pipes: everything is real but the second process.
fn in_process() -> Result<(), Box<dyn std::error::Error>> {
    let (parent, child) = testing::pair();
    let _pool = Pool::builder(&child).service(Meter).start()?;
    let meter = Meter::stub(&parent.children()[0]);
    assert_eq!(warning(&meter, Path::new("/dev/null"), 0)?, None);
    let error = warning(&meter, Path::new("/does/not/exist"), 0).expect_err("there is no such file");
    assert!(matches!(error, CallError::Failed { .. }), "{error:?}");
    Ok(())
}

/// The same stub type over a double: what is hard to bring about in earnest is easy to pretend.
fn with_a_double() -> Result<(), Box<dyn std::error::Error>> {
    struct HugeFiles;
    impl MeterApi for HugeFiles {
        fn size(&self, _path: &Path) -> Result<u64, CallError> {
            Ok(1 << 60)
        }
    }
    let text = warning(&MeterStub::faked(HugeFiles), Path::new("/tmp/huge"), 1 << 30)?;
    assert_eq!(text.as_deref(), Some("/tmp/huge has 1152921504606846976 bytes, more than 1073741824"));
    Ok(())
}

/// A real child: this executable started again, test binaries included.
fn with_a_child() -> Result<(), Box<dyn std::error::Error>> {
    let router = Router::builder().build()?;
    let child = router.local().name("meter").connect()?;
    assert_eq!(warning(&Meter::stub(&child), Path::new("/dev/null"), 0)?, None);
    Ok(())
}

#[mitogen_service::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    policies();
    println!("policies: asked with callers made by hand");
    in_process()?;
    println!("in process: two routers and a pair of pipes");
    with_a_double()?;
    println!("with a double: the same stub, nothing behind it");
    with_a_child()?;
    println!("with a child: another process");
    Ok(())
}

#[cfg(test)]
mod tests {
    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn only_parents_and_the_superuser_may_measure() {
        super::policies();
    }

    #[test]
    fn sizes_and_errors_come_over_the_wire() -> Outcome {
        super::in_process()
    }

    #[test]
    fn a_huge_file_is_worth_a_warning() -> Outcome {
        super::with_a_double()
    }

    #[test]
    fn a_real_child_measures_too() -> Outcome {
        super::with_a_child()
    }
}
