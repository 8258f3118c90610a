//! Any command that gives a shell.

use mitogen_service::Router;
use mitogen_service_tests::within;

use crate::support::{Home, LONG, Probe};

#[test]
fn a_context_behind_a_command_is_a_context_like_any_other() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let context = router.command(home.command()).connect().unwrap();
        assert_eq!(context.name(), "command.env");
        let probe = Probe::stub(&context);
        assert_ne!(probe.pid().wait().unwrap(), std::process::id());
        assert_eq!(home.cached().len(), 1);
        assert_eq!(probe.executable().wait().unwrap(), home.cached()[0]);
        assert_eq!(probe.length(vec![0; 5_000_000]).wait().unwrap(), 5_000_000);
    });
}
