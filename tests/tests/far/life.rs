//! How far contexts end, and how many there can be.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use mitogen_service::{CallError, ConnectKind, Context, Error, Output, Receiver, Router};
use mitogen_service_tests::{Watched, within};
use rustix::process::Signal;

use crate::support::{KEEP_ALIVE, LONG, Probe, children_of, has};
use crate::world::{PASSWORD, World};

fn pid(context: &Context) -> u32 {
    Probe::stub(context).pid().wait().unwrap()
}

#[test]
fn an_sshd_that_is_killed_ends_both_sides() {
    within(LONG, || {
        let Some(world) = World::new() else { return };
        let router = Router::builder().build().unwrap();
        let host = world.ssh(&router, "ann").connect().unwrap();
        let below = router.local().via(&host).connect().unwrap();
        let (far, further) = (Watched::new(pid(&host)), Watched::new(pid(&below)));
        let call = Probe::stub(&below).sleep(60);
        // The session of this connection is a child of the sshd, and has one for the user.
        let sessions = children_of(world.sshd());
        for (session, _) in &sessions {
            for (child, _) in children_of(*session) {
                if let Some(process) = Watched::find(child) {
                    process.kill();
                }
            }
            if let Some(process) = Watched::find(*session) {
                process.kill();
            }
        }
        let error = call.wait().unwrap_err();
        let CallError::Dead { context, .. } = &error else { panic!("{error}") };
        assert_eq!(context, "ssh.host", "{error}");
        assert!(error.to_string().contains("255"), "the status of ssh is told: {error}");
        assert!(far.ends_within(LONG) && further.ends_within(LONG));
    });
}

#[test]
fn a_client_that_is_killed_ends_the_far_side() {
    within(LONG, || {
        let Some(world) = World::new() else { return };
        let router = Router::builder().build().unwrap();
        let host = world.ssh(&router, "joe").connect().unwrap();
        let far = Watched::new(pid(&host));
        let ssh = Watched::new(world.client());
        ssh.signal(Signal::KILL);
        assert!(far.ends_within(LONG));
        let error = Probe::stub(&host).pid().wait().unwrap_err();
        assert!(error.to_string().contains("SIGKILL"), "{error}");
    });
}

#[test]
fn a_link_that_carries_nothing_any_more_is_noticed_on_both_sides() {
    within(LONG, || {
        let Some(world) = World::new() else { return };
        let router = Router::builder().keep_alive(KEEP_ALIVE).build().unwrap();
        let host = world.ssh(&router, "joe").connect().unwrap();
        let far = Watched::new(pid(&host));
        let ssh = Watched::new(world.client());
        ssh.signal(Signal::STOP);
        let error = Probe::stub(&host).sleep(60).wait().unwrap_err();
        assert!(error.to_string().contains("keep-alive"), "{error}");
        assert!(far.ends_within(LONG));
    });
}

#[test]
fn a_host_that_is_not_there_is_told_from_one_that_says_nothing() {
    within(LONG, || {
        if !has(&["ssh"]) {
            return;
        }
        let router = Router::builder().build().unwrap();
        let kind = |error: Error| match error {
            Error::Connect { kind, .. } => kind,
            other => panic!("{other}"),
        };
        // Nobody listens.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let refused = kind(router.ssh("127.0.0.1").port(port).option("ProxyCommand=none").connect().unwrap_err());
        assert!(matches!(refused, ConnectKind::Unreachable { .. }), "{refused:?}");
        assert!(refused.to_string().contains("refused"), "{refused}");
        let unknown = kind(router.ssh("no-such-host.invalid").connect().unwrap_err());
        assert!(matches!(unknown, ConnectKind::Unreachable { .. }), "{unknown:?}");
        // Somebody listens, and never answers.
        let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let ssh = router.ssh("127.0.0.1").port(silent.local_addr().unwrap().port());
        let timeout = kind(ssh.connect_timeout(Duration::from_millis(500)).connect().unwrap_err());
        assert!(matches!(timeout, ConnectKind::Timeout { .. }), "{timeout:?}");
    });
}

#[test]
fn sudo_over_ssh_over_ssh_and_the_executable_crosses_each_link_once() {
    within(LONG, || {
        let Some(world) = World::new() else { return };
        let router = Router::builder().build().unwrap();
        // joe on the first host can log in to the second one.
        for file in ["user_key", "ssh_config", "known_hosts"] {
            let to = world.home("ann").join(file);
            fs::copy(world.path().join(file), &to).unwrap();
            std::os::unix::fs::chown(&to, Some(4002), Some(4002)).unwrap();
        }
        // What ssh says of its bytes at its end.
        let verbose = |user: &str| {
            let lines = router.receiver::<String>();
            let ssh = world.ssh(&router, user).option("LogLevel=VERBOSE").output(Output::Lines(lines.sender()));
            (ssh.name("first").connect().unwrap(), lines)
        };
        let sent = |lines: Receiver<String>| {
            let text = lines.into_iter().find_map(|line| Some(line.split_once("Transferred: sent ")?.1.to_owned()));
            text.and_then(|text| text.split(',').next()?.parse::<u64>().ok()).expect("ssh tells its bytes at its end")
        };
        let (alone, lines) = verbose("loud");
        alone.shutdown(Duration::from_secs(5)).unwrap();
        let once = sent(lines);
        let (first, lines) = verbose("ann");
        let second = router
            .ssh("host2")
            .ssh_path(world.path().join("ssh"))
            .identity(world.home("ann").join("user_key"))
            .user("joe")
            .via(&first)
            .connect()
            .unwrap();
        assert_eq!(second.name(), "first.ssh.host2");
        let root = router.sudo().password(PASSWORD).via(&second).connect().unwrap();
        assert_eq!(root.name(), "first.ssh.host2.sudo.root");
        assert_eq!(Probe::stub(&root).uid().wait().unwrap(), 0);
        assert_eq!(world.cached("ann").len(), 1);
        assert_eq!(world.cached("joe").len(), 1);
        let before = fs::metadata(&world.cached("joe")[0]).unwrap().ino();

        // A second context there is served from the cache.
        let again = world.ssh(&router, "joe").connect().unwrap();
        assert!(Probe::stub(&again).pid().wait().is_ok());
        assert_eq!(fs::metadata(&world.cached("joe")[0]).unwrap().ino(), before);

        let last = Watched::new(pid(&root));
        first.shutdown(Duration::from_secs(5)).unwrap();
        assert!(last.ends_within(LONG));
        assert!(!root.is_connected() && !second.is_connected() && again.is_connected());
        // All that came to the second host came from the first one.
        let all = sent(lines);
        assert!(
            all < once + once / 4,
            "{all} bytes went over the first link, and {once} if there is nothing behind it"
        );
    });
}
