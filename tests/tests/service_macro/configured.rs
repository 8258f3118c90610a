//! Methods and hooks that depend on `cfg`.

use std::sync::atomic::{AtomicUsize, Ordering};

use mitogen_service::{AllowAny, Service, service};

use crate::Served;

/// Methods that are there and methods that are not.
struct Configured;

#[service]
impl Configured {
    #[cfg(windows)]
    #[expose(policy = AllowAny)]
    fn never(&self) -> NoSuchType {}

    #[cfg(unix)]
    #[expose(policy = AllowAny)]
    fn always(&self) -> u8 {
        1
    }

    #[cfg(windows)]
    #[expose(policy = AllowAny)]
    fn last(&self) -> u8 {
        2
    }

    #[cfg(unix)]
    #[expose(policy = AllowAny)]
    #[deprecated]
    fn last(&self) -> u8 {
        3
    }

    #[cfg(windows)]
    #[on_start]
    fn start(&self) -> Result<(), NoSuchType> {}

    #[cfg(windows)]
    #[on_message(policy = AllowAny)]
    fn message(&self, event: NoSuchType) {}

    #[cfg(windows)]
    #[on_shutdown]
    fn shutdown(&self) {
        no_such_function();
    }
}

/// Two methods for each moment of a life, of which one is there.
#[derive(Default)]
struct Portable {
    started: AtomicUsize,
}

#[service]
impl Portable {
    #[expose(policy = AllowAny)]
    fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    #[cfg(unix)]
    #[on_start]
    fn start(&self) {
        self.started.store(1, Ordering::Relaxed);
    }

    #[cfg(not(unix))]
    #[on_start]
    fn start(&self) -> Result<(), NoSuchType> {}

    #[cfg(not(unix))]
    #[on_shutdown]
    fn shutdown(&self) {
        no_such_function();
    }

    #[cfg(unix)]
    #[on_shutdown]
    fn shutdown(&self) {}
}

#[test]
fn hooks_follow_their_cfg() {
    let served = Served::new(Portable::default());
    assert_eq!(Portable::stub(&served.context).started().wait(), Ok(1));
}

#[test]
fn methods_follow_their_cfg() {
    let served = Served::new(Configured);
    let stub = Configured::stub(&served.context);
    assert_eq!(Configured::DESCRIPTOR.methods.len(), 2);
    assert_eq!(stub.always().wait(), Ok(1));
    #[expect(deprecated)]
    let last = stub.last();
    assert_eq!(last.wait(), Ok(3));
}

/// Two blocks, of which one is there.
struct Twin;

#[service]
#[cfg(unix)]
impl Twin {
    #[expose(policy = AllowAny)]
    fn number(&self) -> u8 {
        1
    }
}

#[service]
#[cfg(not(unix))]
impl Twin {
    #[expose(policy = AllowAny)]
    fn number(&self) -> u8 {
        2
    }
}

#[test]
fn one_of_two_blocks_may_depend_on_cfg() {
    let served = Served::new(Twin);
    assert_eq!(Twin::stub(&served.context).number().wait(), Ok(1));
}
