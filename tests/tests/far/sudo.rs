//! Other users through the real sudo. The names of the modules are those of Mitogen's tests.

use std::time::Duration;

use mitogen_service::{AuthProblem, Error, Router};
use mitogen_service_tests::Watched;

use crate::support::{LONG, Probe, all_bytes, problem_of};
use crate::world::{PASSWORD, in_world};

mod sudo_mixin {
    use super::*;

    #[test]
    fn test_password_required() {
        in_world(|world, router| {
            let joe = world.user(router, "joe");
            let error = router.sudo().via(&joe).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::PasswordRequired);
            assert!(error.to_string().contains("sudo password is required"), "{error}");
        });
    }

    #[test]
    fn test_password_incorrect() {
        in_world(|world, router| {
            let joe = world.user(router, "joe");
            let error = router.sudo().password("badpw").via(&joe).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::PasswordIncorrect);
            assert!(error.to_string().contains("sudo password is incorrect"), "{error}");
            assert!(!error.to_string().contains("badpw"), "{error}");
        });
    }

    #[test]
    fn test_password_okay() {
        in_world(|world, router| {
            let joe = world.user(router, "joe");
            let root = router.sudo().password(PASSWORD).via(&joe).connect().unwrap();
            assert_eq!(root.name(), "joe.sudo.root");
            assert_eq!(Probe::stub(&root).uid().wait().unwrap(), 0);
            let ann = router.sudo().user("ann").password(PASSWORD).via(&joe).connect().unwrap();
            assert_eq!(Probe::stub(&ann).uid().wait().unwrap(), 4002);
            assert_eq!(world.cached("joe").len(), 1);
        });
    }

    #[test]
    fn a_user_who_may_nothing_is_denied() {
        in_world(|world, router| {
            let bob = world.user(router, "bob");
            let error = router.sudo().password(PASSWORD).via(&bob).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::Denied, "{error}");
        });
    }
}

/// `Defaults requiretty`, as old hosts have it.
#[test]
fn rules_that_want_a_terminal_get_one() {
    in_world(|world, router| {
        let tess = world.user(router, "tess");
        let root = router.sudo().password(PASSWORD).via(&tess).connect().unwrap();
        let probe = Probe::stub(&root);
        assert_eq!(probe.uid().wait().unwrap(), 0);
        assert_eq!(probe.echo(all_bytes()).wait().unwrap(), all_bytes());
        let error = router.sudo().password("badpw").via(&tess).connect().unwrap_err();
        assert_eq!(problem_of(&error), AuthProblem::PasswordIncorrect);
        let error = router.sudo().via(&tess).connect().unwrap_err();
        assert_eq!(problem_of(&error), AuthProblem::PasswordRequired);
        assert!(!error.to_string().contains("tty"), "{error}");
        // It is there as long as the context is, and no longer.
        let process = Watched::new(probe.pid().wait().unwrap());
        assert!(!process.ends_within(Duration::ZERO));
        root.shutdown(Duration::from_secs(5)).unwrap();
        assert!(process.ends_within(LONG));
    });
}

#[test]
fn a_user_that_could_be_an_option_is_refused() {
    let router = Router::builder().build().unwrap();
    for error in [
        router.su().user("-c").connect().unwrap_err(),
        router.sudo().user("").connect().unwrap_err(),
        router.ssh("-oProxyCommand=evil").connect().unwrap_err(),
    ] {
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
}
