//! Other users through the real su, and through some that behave otherwise. The names of the modules are those of
//! Mitogen's tests.

use std::path::PathBuf;
use std::time::Duration;

use mitogen_service::{AuthProblem, ConnectKind, Error, Router};
use mitogen_service_tests::{Watched, within};

use crate::support::{Home, LONG, Probe, all_bytes, problem_of};
use crate::world::{PASSWORD, ROOT_PASSWORD, in_world};

mod su_mixin {
    use super::*;

    #[test]
    fn test_password_required() {
        in_world(|world, router| {
            let joe = world.user(router, "joe");
            let error = router.su().via(&joe).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::PasswordRequired);
            assert!(error.to_string().contains("su password is required"), "{error}");
        });
    }

    /// PAM waits for two seconds before it says no, as Mitogen's `test_slow_auth_failure` has it.
    #[test]
    fn test_password_incorrect_and_slow_auth_failure() {
        in_world(|world, router| {
            let joe = world.user(router, "joe");
            let error = router.su().password("badpw").via(&joe).connect().unwrap_err();
            assert_eq!(problem_of(&error), AuthProblem::PasswordIncorrect);
            assert!(error.to_string().contains("su password is incorrect"), "{error}");
        });
    }

    #[test]
    fn test_password_okay() {
        in_world(|world, router| {
            let joe = world.user(router, "joe");
            let root = router.su().password(ROOT_PASSWORD).via(&joe).connect().unwrap();
            assert_eq!(root.name(), "joe.su.root");
            assert_eq!(Probe::stub(&root).uid().wait().unwrap(), 0);
            // That was for su alone.
            assert_eq!(Probe::stub(&root).env("LC_ALL".to_owned()).wait().unwrap().as_deref(), Some("fr_FR.UTF-8"));
            // Root is not asked.
            let bob = router.su().user("bob").via(&root).connect().unwrap();
            assert_eq!(Probe::stub(&bob).uid().wait().unwrap(), 4003);
        });
    }
}

/// What the real one says by itself, at a terminal of its own.
const ASKED_IN_FRENCH: &str = "LC_ALL=fr_FR.UTF-8 setsid su root -c true </dev/null";

#[test]
fn the_language_of_the_caller_does_not_matter() {
    in_world(|world, router| {
        if !world.learn_french() {
            return;
        }
        let mut command = world.inside();
        command.extend(["su", "joe", "-c", ASKED_IN_FRENCH].map(str::to_owned));
        let output = std::process::Command::new(&command[0]).args(&command[1..]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !said.contains("Mot de passe") {
            eprintln!("SKIPPED in part: what is installed has no French words: {said}");
        }

        let joe = world.user(router, "joe");
        let root = router.su().password(ROOT_PASSWORD).via(&joe).connect().unwrap();
        assert_eq!(Probe::stub(&root).uid().wait().unwrap(), 0);
        for (password, problem) in
            [(Some("badpw"), AuthProblem::PasswordIncorrect), (None, AuthProblem::PasswordRequired)]
        {
            let su = router.su().via(&joe);
            let error = password.map_or(su, |password| router.su().password(password).via(&joe)).connect().unwrap_err();
            assert_eq!(problem_of(&error), problem, "{error}");
        }
        let sudo = || router.sudo().via(&joe);
        assert_eq!(problem_of(&sudo().password("badpw").connect().unwrap_err()), AuthProblem::PasswordIncorrect);
        assert_eq!(problem_of(&sudo().connect().unwrap_err()), AuthProblem::PasswordRequired);
        // Last, since sudo remembers it.
        let root = sudo().password(PASSWORD).connect().unwrap();
        assert_eq!(Probe::stub(&root).uid().wait().unwrap(), 0);
        let bob = world.user(router, "bob");
        let error = router.sudo().password(PASSWORD).via(&bob).connect().unwrap_err();
        assert_eq!(problem_of(&error), AuthProblem::Denied, "{error}");
    });
}

/// A program of this home.
pub(crate) fn script(home: &Home, text: &str) -> PathBuf {
    let path = home.path().join("su");
    std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// A su that asks at its terminal, as `getpass` does, and wants to be started at one.
pub(crate) const STRICT_SU: &str = r#"
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
        let path = script(&home, STRICT_SU);
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

/// What asks for a password and does not take it leaves it in front of the script, where it must not run.
#[test]
fn a_password_that_nobody_took_is_not_run() {
    within(LONG, || {
        let home = Home::new();
        let su = script(&home, "printf 'Password: ' >&2\nexec sh -c \"$3\"\n");
        let router = Router::builder().build().unwrap();
        let ran = home.path().join("ran");
        let password = format!("touch {}", ran.display());
        let context = router.su().su_path(&su).password(password).cache_dir(home.path()).connect().unwrap();
        assert!(Probe::stub(&context).pid().wait().is_ok());
        assert!(!ran.exists(), "the password was run as a command");
    });
}

/// A su that asks on its stdout and reads from its stdin, as that of busybox.
const PLAIN_SU: &str = r#"
printf 'Password: '
IFS= read -r password
echo
if [ "$password" != "open sesame" ]; then echo 'su: incorrect password' >&2; exit 1; fi
exec sh -c "$3"
"#;

#[test]
fn a_su_that_asks_on_its_stdout_is_answered() {
    within(LONG, || {
        let home = Home::new();
        let path = script(&home, PLAIN_SU);
        let router = Router::builder().build().unwrap();
        let su = || router.su().su_path(&path).cache_dir(home.path());
        assert!(Probe::stub(&su().password(PASSWORD).connect().unwrap()).pid().wait().is_ok());
        assert_eq!(problem_of(&su().password("badpw").connect().unwrap_err()), AuthProblem::PasswordIncorrect);
        assert_eq!(problem_of(&su().connect().unwrap_err()), AuthProblem::PasswordRequired);
    });
}
