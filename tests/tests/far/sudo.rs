//! Other users through the real sudo and su. The names of the modules are those of Mitogen's tests.

use std::time::Duration;

use mitogen_service::{AuthProblem, ConnectKind, Context, Error, Router};
use mitogen_service_tests::{Watched, within};

use crate::support::{Home, LONG, Probe};
use crate::world::{PASSWORD, ROOT_PASSWORD, World};

fn problem_of(error: &Error) -> AuthProblem {
    match error {
        Error::Connect { kind: ConnectKind::Auth { problem, .. }, .. } => *problem,
        other => panic!("{other}"),
    }
}

/// A context of a user of the world, with nothing in between but `su` of root.
fn user(world: &World, router: &Router, name: &str) -> Context {
    let mut command = world.inside();
    // A login that speaks French, as far as it is installed: what is asked shall not depend on it.
    command.extend(["env", "LANG=fr_FR.UTF-8", "LC_ALL=fr_FR.UTF-8", "su", name, "-c"].map(str::to_owned));
    router.command(command).through_shell().name(name).connect().unwrap()
}

mod sudo_mixin {
    use super::*;

    #[test]
    fn test_password_required() {
        within(LONG, || {
            let Some(world) = World::new() else { return };
            let router = Router::builder().build().unwrap();
            let joe = user(&world, &router, "joe");
            let error = router.sudo().via(&joe).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::PasswordRequired);
            assert!(error.to_string().contains("sudo password is required"), "{error}");
        });
    }

    #[test]
    fn test_password_incorrect() {
        within(LONG, || {
            let Some(world) = World::new() else { return };
            let router = Router::builder().build().unwrap();
            let joe = user(&world, &router, "joe");
            let error = router.sudo().password("badpw").via(&joe).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::PasswordIncorrect);
            assert!(error.to_string().contains("sudo password is incorrect"), "{error}");
            assert!(!error.to_string().contains("badpw"), "{error}");
        });
    }

    #[test]
    fn test_password_okay() {
        within(LONG, || {
            let Some(world) = World::new() else { return };
            let router = Router::builder().build().unwrap();
            let joe = user(&world, &router, "joe");
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
        within(LONG, || {
            let Some(world) = World::new() else { return };
            let router = Router::builder().build().unwrap();
            let bob = user(&world, &router, "bob");
            let error = router.sudo().password(PASSWORD).via(&bob).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::Denied, "{error}");
        });
    }
}

/// Bytes of all values: a terminal in between would not let them pass.
fn all_bytes() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(300_000).collect()
}

/// `Defaults requiretty`, as old hosts have it.
#[test]
fn rules_that_want_a_terminal_get_one() {
    within(LONG, || {
        let Some(world) = World::new() else { return };
        let router = Router::builder().build().unwrap();
        let tess = user(&world, &router, "tess");
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

/// A su that asks at its terminal, as `getpass` does, and wants to be started at one.
const STRICT_SU: &str = r#"
if ! [ -t 0 ]; then echo 'su: must be run from a terminal' >&2; exit 1; fi
stty -echo </dev/tty
printf 'Password: ' >/dev/tty
IFS= read -r password </dev/tty
if [ "$password" != "it's \Zß" ]; then echo 'su: Authentication failure' >&2; exit 1; fi
echo 'Last login: never' >/dev/tty
exec sh -c "$3"
"#;

#[test]
fn a_su_that_wants_a_terminal_gets_one() {
    within(LONG, || {
        let home = Home::new();
        let path = home.path().join("su");
        std::fs::write(&path, format!("#!/bin/sh{STRICT_SU}")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let router = Router::builder().build().unwrap();
        let su = |password: &str| router.su().su_path(&path).cache_dir(home.path()).password(password).connect();
        let context = su("it's \\Zß").unwrap();
        let probe = Probe::stub(&context);
        assert_eq!(probe.echo(all_bytes()).wait().unwrap(), all_bytes());
        let process = Watched::new(probe.pid().wait().unwrap());
        context.shutdown(Duration::from_secs(5)).unwrap();
        assert!(process.ends_within(LONG));
        let error = su("badpw").unwrap_err();
        assert_eq!(problem_of(&error), AuthProblem::PasswordIncorrect, "{error}");
        let error = router.su().su_path(&path).cache_dir(home.path()).connect().unwrap_err();
        assert_eq!(problem_of(&error), AuthProblem::PasswordRequired, "{error}");
        let error = router.su().su_path("/nowhere/su").connect().unwrap_err();
        assert!(matches!(error, Error::Connect { kind: ConnectKind::Start { .. }, .. }), "{error}");
    });
}

mod su_mixin {
    use super::*;

    #[test]
    fn test_password_required() {
        within(LONG, || {
            let Some(world) = World::new() else { return };
            let router = Router::builder().build().unwrap();
            let joe = user(&world, &router, "joe");
            let error = router.su().via(&joe).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::PasswordRequired);
            assert!(error.to_string().contains("su password is required"), "{error}");
        });
    }

    /// PAM waits for two seconds before it says no, as Mitogen's `test_slow_auth_failure` has it.
    #[test]
    fn test_password_incorrect_and_slow_auth_failure() {
        within(LONG, || {
            let Some(world) = World::new() else { return };
            let router = Router::builder().build().unwrap();
            let joe = user(&world, &router, "joe");
            let error = router.su().password("badpw").via(&joe).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::PasswordIncorrect);
            assert!(error.to_string().contains("su password is incorrect"), "{error}");
        });
    }

    #[test]
    fn test_password_okay() {
        within(LONG, || {
            let Some(world) = World::new() else { return };
            let router = Router::builder().build().unwrap();
            let joe = user(&world, &router, "joe");
            let root = router.su().password(ROOT_PASSWORD).via(&joe).connect().unwrap();
            assert_eq!(root.name(), "joe.su.root");
            assert_eq!(Probe::stub(&root).uid().wait().unwrap(), 0);
            // That was for su alone.
            assert_ne!(Probe::stub(&root).env("LC_ALL".to_owned()).wait().unwrap().as_deref(), Some("C"));
            // Root is not asked.
            let bob = router.su().user("bob").via(&root).connect().unwrap();
            assert_eq!(Probe::stub(&bob).uid().wait().unwrap(), 4003);
        });
    }
}

/// What asks for a password and does not take it leaves it in front of the script, where it must not run.
#[test]
fn a_password_that_nobody_took_is_not_run() {
    within(LONG, || {
        let home = Home::new();
        let su = home.path().join("su");
        std::fs::write(&su, "#!/bin/sh\nprintf 'Password: ' >&2\nexec sh -c \"$3\"\n").unwrap();
        std::fs::set_permissions(&su, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let router = Router::builder().build().unwrap();
        let ran = home.path().join("ran");
        let password = format!("touch {}", ran.display());
        let context = router.su().su_path(&su).password(password).cache_dir(home.path()).connect().unwrap();
        assert!(Probe::stub(&context).pid().wait().is_ok());
        assert!(!ran.exists(), "the password was run as a command");
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
