//! ssh with a real sshd. The names of the modules are those of Mitogen's tests.

use mitogen_service::{AuthProblem, ConnectKind, HostKeys, Output, Router};
use mitogen_service_tests::within;

use crate::support::{LONG, Probe, kind_of};
use crate::world::{PASSWORD, World, in_world};

mod constructor_test {
    use super::*;

    #[test]
    fn test_okay() {
        in_world(|world, router| {
            let context = world.ssh(router, "joe").connect().unwrap();
            assert_eq!(context.name(), "ssh.host");
            let probe = Probe::stub(&context);
            assert_eq!(probe.uid().wait().unwrap(), 4001);
            assert_eq!(probe.cwd().wait().unwrap(), world.home("joe"));
            assert_eq!(world.cached("joe").len(), 1);
        });
    }
}

mod ssh_mixin {
    use super::*;

    #[test]
    fn test_stream_name() {
        in_world(|world, router| {
            let context = world.ssh(router, "ann").port(world.port()).connect().unwrap();
            assert_eq!(context.name(), format!("ssh.host:{}", world.port()));
        });
    }

    #[test]
    fn test_via_stream_name() {
        in_world(|world, router| {
            let host = world.ssh(router, "ann").connect().unwrap();
            let root = router.sudo().via(&host).connect().unwrap();
            assert_eq!(root.name(), "ssh.host.sudo.root");
            assert_eq!(Probe::stub(&root).uid().wait().unwrap(), 0);
            assert_eq!(Probe::stub(&root).path().wait().unwrap(), ["ssh.host.sudo.root", "ssh.host"]);
        });
    }

    #[test]
    fn test_password_required() {
        in_world(|world, router| {
            let error = world.ssh(router, "joe").option("PubkeyAuthentication=no").connect().unwrap_err();
            let kind = kind_of(&error);
            assert!(matches!(kind, ConnectKind::Auth { problem: AuthProblem::PasswordRequired, .. }), "{error}");
            assert!(error.to_string().contains("SSH password was requested, but none specified"), "{error}");
        });
    }

    #[test]
    fn test_password_incorrect() {
        in_world(|world, router| {
            let ssh = world.ssh(router, "joe").option("PubkeyAuthentication=no").password("badpw");
            let error = ssh.connect().unwrap_err();
            let kind = kind_of(&error);
            assert!(matches!(kind, ConnectKind::Auth { problem: AuthProblem::PasswordIncorrect, .. }), "{error}");
            assert!(error.to_string().contains("SSH password is incorrect"), "{error}");
            assert!(!error.to_string().contains("badpw"), "{error}");
        });
    }

    #[test]
    fn test_password_specified() {
        in_world(|world, router| {
            let ssh = world.ssh(router, "joe").option("PubkeyAuthentication=no").password(PASSWORD);
            let context = ssh.connect().unwrap();
            assert_eq!(Probe::stub(&context).uid().wait().unwrap(), 4001);
        });
    }

    /// The debug output of ssh is the output of the context, and hides nothing of what went wrong.
    #[test]
    fn test_debug_decoding() {
        in_world(|world, router| {
            let lines = router.receiver::<String>();
            let debug = || world.ssh(router, "joe").option("LogLevel=DEBUG3");
            let context = debug().output(Output::Lines(lines.sender())).connect().unwrap();
            let said = |text: &str| (&lines).into_iter().any(|line| line.contains(text));
            assert!(said("debug1: "));
            assert_eq!(Probe::stub(&context).uid().wait().unwrap(), 4001);

            let no_key = "PubkeyAuthentication=no";
            let error = debug().option(no_key).password("badpw").connect().unwrap_err();
            let kind = kind_of(&error);
            assert!(matches!(kind, ConnectKind::Auth { problem: AuthProblem::PasswordIncorrect, .. }), "{error}");
            let context = debug().option(no_key).password(PASSWORD).connect().unwrap();
            assert_eq!(Probe::stub(&context).uid().wait().unwrap(), 4001);
            std::fs::write(world.path().join("known_hosts"), "").unwrap();
            let error = debug().connect().unwrap_err();
            assert!(matches!(kind_of(&error), ConnectKind::HostKey { changed: false }), "{error}");
        });
    }

    #[test]
    fn test_pubkey_required() {
        within(LONG, || {
            let Some(world) = World::with("PasswordAuthentication no") else { return };
            let router = Router::builder().build().unwrap();
            let error = world.ssh(&router, "joe").option("PubkeyAuthentication=no").connect().unwrap_err();
            let kind = kind_of(&error);
            assert!(matches!(kind, ConnectKind::Auth { problem: AuthProblem::Denied, .. }), "{error}");
        });
    }

    #[test]
    fn test_enforce_unknown_host_key() {
        within(LONG, || {
            let Some(world) = World::new() else { return };
            std::fs::write(world.path().join("known_hosts"), "").unwrap();
            let router = Router::builder().build().unwrap();
            for mode in [HostKeys::Enforce, HostKeys::Config] {
                let error = world.ssh(&router, "joe").host_keys(mode).connect().unwrap_err();
                assert!(matches!(kind_of(&error), ConnectKind::HostKey { changed: false }), "{error}");
            }
            let with_password = world.ssh(&router, "joe").password(PASSWORD).connect().unwrap_err();
            assert!(matches!(kind_of(&with_password), ConnectKind::HostKey { changed: false }), "{with_password}");
        });
    }

    #[test]
    fn test_accept_enforce_host_keys() {
        within(LONG, || {
            let Some(world) = World::new() else { return };
            let known = world.path().join("known_hosts");
            let right = std::fs::read_to_string(&known).unwrap();
            std::fs::write(&known, "").unwrap();
            let router = Router::builder().build().unwrap();
            drop(world.ssh(&router, "joe").host_keys(HostKeys::AcceptNew).connect().unwrap());
            drop(world.ssh(&router, "joe").host_keys(HostKeys::Enforce).connect().unwrap());

            // Another host in its place.
            let other = std::fs::read_to_string(world.path().join("user_key.pub")).unwrap();
            std::fs::write(&known, format!("[127.0.0.1]:{} {other}", world.port())).unwrap();
            for mode in [HostKeys::AcceptNew, HostKeys::Enforce] {
                let error = world.ssh(&router, "joe").host_keys(mode).connect().unwrap_err();
                assert!(matches!(kind_of(&error), ConnectKind::HostKey { changed: true }), "{error}");
            }
            drop(world.ssh(&router, "joe").host_keys(HostKeys::Ignore).connect().unwrap());
            std::fs::write(&known, right).unwrap();
        });
    }
}
