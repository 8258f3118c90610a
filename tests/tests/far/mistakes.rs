//! What newcomers do wrong, and what they are told: what happened, the last words, and what to do.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mitogen_service::{ConnectKind, Context, Error, Result, Router};
use mitogen_service_tests::within;

use crate::support::{LONG, has, kind_of};
use crate::world::{PASSWORD, in_world};

/// Each of these words stands in the error.
fn told(connected: Result<Context>, words: &[&str]) -> Error {
    let error = connected.unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    error
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let router = Router::builder().build().unwrap();
    let hop = router.local().name("hop").connect().unwrap();
    for connected in [
        router.ssh("web1").ssh_path("no-such-program").connect(),
        router.command(["no-such-program", "exec", "web"]).connect(),
        router.sudo().sudo_path("no-such-program").via(&hop).connect(),
        router.su().su_path("no-such-program").connect(),
    ] {
        told(connected, &["child start failed: `no-such-program`", "on the PATH"]);
    }
    told(router.command(["/etc"]).connect(), &["`/etc`", "Permission denied"]);
}

#[test]
fn a_command_that_runs_no_shell_is_told_that_it_has_to() {
    within(LONG, || {
        let router = Router::builder().build().unwrap();
        let hint = "has to run `sh -c SCRIPT`, which follows its arguments";
        told(router.command(["true"]).connect(), &["status 0", "started no shell", hint]);
        let timeout = Duration::from_millis(300);
        let silent = router.command(["sh", "-c", "exec sleep 1000"]).connect_timeout(timeout).connect();
        told(silent, &["timed out after 300ms", "no shell has answered", hint]);
        // What it says of its arguments does not fill the error with the script.
        let error = told(router.command(["ls", "/nowhere"]).connect(), &["cannot access 'SCRIPT'", hint]);
        assert!(error.to_string().len() < 1000, "{error}");
    });
}

#[test]
fn what_ssh_says_is_told_once_and_with_what_to_do() {
    within(LONG, || {
        if !has(&["ssh"]) {
            return;
        }
        let router = Router::builder().build().unwrap();
        let error = told(router.ssh("no-such-host.invalid").connect(), &["Could not resolve hostname"]);
        assert_eq!(error.to_string().matches("Could not resolve").count(), 1, "{error}");
        let option = router.ssh("localhost").option("NoSuchOption=1").connect();
        told(option, &["Bad configuration option: nosuchoption"]);

        // Something else listens there.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let error = told(router.ssh("127.0.0.1").port(port).connect(), &["the host cannot be reached: "]);
        assert!(matches!(kind_of(&error), ConnectKind::Unreachable { .. }), "{error}");
        other.join().unwrap();

        // Somebody listens, and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let ssh = router.ssh("127.0.0.1").port(silent.local_addr().unwrap().port());
        let error =
            told(ssh.connect_timeout(Duration::from_millis(500)).connect(), &["no shell has answered", "by hand"]);
        assert!(!error.to_string().contains("main"), "{error}");
    });
}

#[test]
fn keys_and_users_that_ssh_does_not_take_are_told() {
    in_world(|world, router| {
        told(world.ssh(router, "nobody-knows").connect(), &["none specified", "`identity`", "nobody-knows@"]);
        let key = world.path().join("user_key");
        let open = world.path().join("open_key");
        fs::rename(&key, &open).unwrap();
        let ssh = || world.ssh(router, "joe");
        told(ssh().identity("/nowhere/key").connect(), &["none specified", "/nowhere/key not accessible"]);
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        told(ssh().identity(&open).connect(), &["none specified", "UNPROTECTED PRIVATE KEY FILE", "are too open"]);
        told(ssh().option("PasswordAuthentication=no").connect(), &["none specified"]);
        told(world.ssh(router, "joe").password("x").connect(), &["SSH password is incorrect", "Permission denied"]);
    });
}

#[test]
fn users_that_sudo_and_su_do_not_know_are_told() {
    in_world(|world, router| {
        let joe = world.user(router, "joe");
        told(router.sudo().via(&joe).connect(), &["sudo password is required", "`password`"]);
        told(router.su().via(&joe).connect(), &["su password is required", "`password`"]);
        let sudo = router.sudo().user("nobody-knows").password(PASSWORD).via(&joe).connect();
        told(sudo, &["started no shell", "unknown user nobody-knows"]);
        let su = router.su().user("nobody-knows").password("x").via(&joe).connect();
        told(su, &["started no shell", "user nobody-knows does not exist"]);
        told(router.sudo().arg("--no-such-option").via(&joe).connect(), &["unrecognized option '--no-such-option'"]);
        told(router.su().user("shut").via(&world.user(router, "root")).connect(), &["currently not available"]);
    });
}

#[test]
fn directories_that_are_not_there_are_told() {
    in_world(|world, router| {
        for dir in ["/srv/nowhere", "/root"] {
            told(
                world.ssh(router, "joe").current_dir(dir).connect(),
                &[&format!("the directory {dir} cannot be entered")],
            );
        }
        told(router.local().current_dir("/srv/nowhere").connect(), &["the directory /srv/nowhere cannot be entered"]);
        // Another one is taken.
        assert!(world.ssh(router, "joe").cache_dir("/nowhere").connect().is_ok());
    });
}

#[test]
fn a_context_that_cannot_start_another_one_is_named() {
    within(LONG, || {
        let router = Router::builder().build().unwrap();
        let hop = router.local().name("hop").connect().unwrap();
        hop.shutdown(Duration::from_secs(5)).unwrap();
        told(
            router.local().via(&hop).connect(),
            &["context `hop`, which should have started it, could not", "is gone"],
        );
        let other = Router::builder().build().unwrap();
        let elsewhere = other.local().connect().unwrap();
        let error = told(router.local().via(&elsewhere).connect(), &["a context of the same router"]);
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    });
}
