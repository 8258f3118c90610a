//! What is generated gives no lint of the user's crate a reason to complain, and carries what the user says
//! about lints.

use mitogen_service::{CallError, Service};
use mitogen_service_tests::strict;

use crate::Served;

#[test]
fn a_strict_crate_has_nothing_to_complain_about() {
    let served = Served::new(strict::Strict::default());
    let stub = strict::Strict::stub(&served.context);
    #[expect(deprecated, reason = "it is")]
    let call = stub.old("a", b"bc", "d".as_ref(), "e".into(), Some("f"));
    assert_eq!(call.wait(), Ok(6));
    let failed = stub.failing("no".to_owned()).wait().unwrap_err();
    assert!(matches!(&failed, CallError::Failed { message, .. } if message == "no"));
    assert!(stub.later().wait().is_ok());
    stub.Odd(1, 2, 3, 4, 5, 6, 7).unwrap();
    assert_eq!(strict::Strict::DESCRIPTOR.docs, "Serves strictly.");
}
