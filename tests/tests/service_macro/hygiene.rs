//! Names of the user beside ours.

use std::collections::BTreeMap;

use mitogen_service::{AllowAny, Service, service};

use crate::Served;

mod sdk {
    pub(crate) use mitogen_service::*;
}

/// The runtime under another name, items that others cannot see, and nothing in scope.
#[deny(missing_docs)]
pub mod reached {
    /// A service.
    pub struct Inner;

    #[crate::hygiene::sdk::service(vis = pub(super), crate = super::sdk)]
    impl Inner {
        #[expose(policy = super::sdk::AllowAny)]
        fn double(&self, n: u32) -> u32 {
            n * 2
        }
    }
}

#[test]
fn the_runtime_may_have_another_name() {
    let served = Served::new(reached::Inner);
    assert_eq!(reached::Inner::stub(&served.context).double(4).wait(), Ok(8));
    assert_eq!(reached::Inner::DESCRIPTOR.name, "service_macro::hygiene::reached::Inner");
    assert_eq!(reached::Inner::DESCRIPTOR.type_name, "Inner");
}

/// Names of ours as names of the user, and no prelude.
#[no_implicit_prelude]
mod without_prelude {
    use ::mitogen_service::{AllowAny, CallError, Caller, service};

    /// Shadows what the expansion might mean.
    #[derive(::std::default::Default)]
    pub(super) struct Hostile;

    #[allow(dead_code)]
    struct Vec;
    #[allow(dead_code)]
    struct Box;
    #[allow(dead_code)]
    mod core {}
    #[allow(dead_code)]
    mod std {}
    #[allow(dead_code)]
    fn result() {}

    #[service(activate)]
    impl Hostile {
        #[expose(policy = AllowAny)]
        #[allow(clippy::too_many_arguments)]
        fn all(
            &self,
            service: u8,
            call: u8,
            args: u8,
            result: u8,
            value: u8,
            error: u8,
            request: u8,
            remote: u8,
            double: u8,
            target: &str,
            caller: &Caller,
        ) -> ::std::result::Result<u8, CallError> {
            let _ = (target, caller);
            ::std::result::Result::Ok(service + call + args + result + value + error + request + remote + double)
        }
    }
}

#[test]
fn names_of_the_user_do_not_meet_ours() {
    let served = Served::new(without_prelude::Hostile);
    let stub = without_prelude::Hostile::stub(&served.context);
    assert_eq!(stub.all(1, 2, 3, 4, 5, 6, 7, 8, 9, "t").wait(), Ok(45));
}

/// Makes a service, as a macro of the user might.
macro_rules! counter {
    ($name:ident, $ty:ty, $default:expr) => {
        struct $name;

        #[service]
        impl $name {
            #[expose(policy = AllowAny)]
            fn next(&self, n: $ty, #[arg(default = $default)] step: $ty) -> Result<$ty, String> {
                Ok(n + step)
            }
        }
    };
}

counter!(Small, u8, 1);
counter!(Large, u64, 1000);

#[test]
fn a_macro_may_write_the_block() {
    let served = Served::new(Large);
    assert_eq!(Large::stub(&served.context).next(1, 2).wait(), Ok(3));
    let n: u64 = served.raw(Large::DESCRIPTOR.name, "next", &BTreeMap::from([("n", 1)])).unwrap();
    assert_eq!(n, 1001);
    assert_eq!(Small::DESCRIPTOR.methods[0].result, "u8");
}
