//! Any command that gives a shell, and what all connectors have in common.

use std::time::{Duration, Instant};

use mitogen_service::{CallError, ConnectKind, Context, Error, Exit, Output, Router};
use mitogen_service_tests::{Watched, within};

use crate::support::{Home, LONG, Probe, kind_of};

#[test]
fn a_context_behind_a_command_is_a_context_like_any_other() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let context = router.command(home.command()).connect().unwrap();
        assert_eq!(context.name(), "command.env");
        let probe = Probe::stub(&context);
        let pid = probe.pid().wait().unwrap();
        assert_ne!(pid, std::process::id());
        assert_eq!(home.cached().len(), 1);
        assert_eq!(probe.executable().wait().unwrap(), home.cached()[0]);
        assert_eq!(probe.length(vec![0; 5_000_000]).wait().unwrap(), 5_000_000);
        assert_eq!(probe.fail().wait().unwrap_err().to_string(), "as it was asked to");
        let process = Watched::new(pid);
        context.shutdown(Duration::from_secs(5)).unwrap();
        assert!(process.ends_within(LONG));
    });
}

#[test]
fn the_options_reach_the_context() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let strange = "it's \"$HOME\" and\n a second line \\";
        let context = router
            .command(home.command())
            .name("strange 'name'")
            .env("STRANGE", strange)
            .current_dir("/usr/share")
            .pool_size(7)
            .connect()
            .unwrap();
        assert_eq!(context.name(), "strange 'name'");
        let probe = Probe::stub(&context);
        assert_eq!(probe.env("STRANGE".to_owned()).wait().unwrap().as_deref(), Some(strange));
        assert_eq!(probe.cwd().wait().unwrap(), std::path::Path::new("/usr/share"));
        assert_eq!(probe.pool_size().wait().unwrap(), 7);
        let local = router.local().pool_size(3).connect().unwrap();
        assert_eq!(Probe::stub(&local).pool_size().wait().unwrap(), 3);
    });
}

#[test]
fn options_that_cannot_be_are_refused_before_anything_starts() {
    let router = Router::builder().build().unwrap();
    let cat = || router.command(["cat"]);
    for (error, word) in [
        (cat().name("two\nlines").connect().unwrap_err(), "control characters"),
        (cat().pool_size(0).connect().unwrap_err(), "pool_size"),
        (cat().env("A=B", "c").connect().unwrap_err(), "variable"),
        (cat().cache_dir("not/absolute").connect().unwrap_err(), "absolute"),
        (cat().current_dir("a\0b").connect().unwrap_err(), "NUL"),
        (router.command(Vec::<String>::new()).connect().unwrap_err(), "empty"),
        (router.ssh("host").password("two\nlines").connect().unwrap_err(), "one line"),
        (router.local().start().wait().and_then(|_| cat().name("").connect()).unwrap_err(), "1 to 256 bytes"),
    ] {
        assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains(word), "{error}");
    }
}

#[test]
fn what_goes_wrong_has_a_kind_and_the_last_words() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let error = router.command(["/nowhere/at/all"]).connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::Start { .. }), "{error}");

        let error = router.command(["sh", "-c", "echo sorry >&2; exit 3"]).connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::NoShell { .. }), "{error}");
        assert!(error.to_string().contains("status 3") && error.to_string().contains("sorry"), "{error}");

        // Something else than a shell, that would wait for ever.
        let error =
            router.command(["sh", "-c", "cat"]).connect_timeout(Duration::from_millis(300)).connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::Timeout { .. }), "{error}");

        let endless = router.command(["sh", "-c", "yes; :"]).connect().unwrap_err();
        assert!(matches!(kind_of(&endless), ConnectKind::NoShell { .. }), "{endless}");

        let error = router.command(home.command()).current_dir("/nowhere at all").connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::NoDirectory { dir } if dir == "/nowhere at all"), "{error}");
    });
}

#[test]
fn a_timeout_leaves_no_process() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        // One that starts others and closes nothing.
        let script = format!("sleep 1000 & echo $! >{0}/one; echo $$ >{0}/two; sleep 1000", home.path().display());
        let error =
            router.command(["sh", "-c", &script]).connect_timeout(Duration::from_millis(500)).connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::Timeout { .. }), "{error}");
        for file in ["one", "two"] {
            let pid = std::fs::read_to_string(home.path().join(file)).unwrap();
            // Killed with its group; the kernel may still be at it.
            let ended = Watched::find(pid.trim().parse().unwrap()).is_none_or(|process| process.ends_within(LONG));
            assert!(ended, "{file} lives on");
        }
    });
}

#[test]
fn a_connection_that_nobody_wants_any_more_leaves_no_process() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let fifo = home.path().join("started");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let script = format!("echo $$ >{}; sleep 1000", fifo.display());
        let connecting = router.command(["sh", "-c", &script]).start();
        let pid = std::fs::read_to_string(&fifo).unwrap();
        let process = Watched::new(pid.trim().parse().unwrap());
        drop(connecting);
        assert!(process.ends_within(LONG));
        // The same if the router closes meanwhile.
        let mut connecting = router.command(["sh", "-c", &script]).start();
        let pid = std::fs::read_to_string(&fifo).unwrap();
        let process = Watched::new(pid.trim().parse().unwrap());
        assert!(connecting.try_wait(Duration::ZERO).is_none());
        drop(router);
        assert!(process.ends_within(LONG));
        let error = connecting.wait().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::Cancelled), "{error}");
    });
}

#[test]
fn a_connection_can_be_awaited() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let context = smol::block_on(router.command(home.command()).start()).unwrap();
        assert!(context.is_connected());
        let error = smol::block_on(router.command(["false"]).start()).unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::NoShell { .. }), "{error}");
    });
}

#[test]
fn only_so_many_connect_at_once() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().max_connecting(1).build().unwrap();
        let fifo = home.path().join("first");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let script = format!("read line <{}", fifo.display());
        let first = router.command(["sh", "-c", &script]).start();
        let mut waiting = router.command(home.command()).start();
        let given_up = router.command(["sh", "-c", "echo started >&2"]).start();
        assert!(waiting.try_wait(Duration::from_millis(200)).is_none());
        drop(given_up);
        // Now the first one ends.
        std::fs::write(&fifo, "go\n").unwrap();
        assert!(first.wait().is_err());
        assert!(waiting.wait().unwrap().is_connected());
    });
}

#[test]
fn what_a_context_prints_goes_where_it_shall() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let lines = router.receiver::<String>();
        let context = router.command(home.command()).output(Output::Lines(lines.sender())).connect().unwrap();
        Probe::stub(&context).print("hello".to_owned()).wait().unwrap();
        let mut seen = [lines.recv().unwrap(), lines.recv().unwrap()];
        seen.sort();
        assert_eq!(seen, ["hello", "hello (stderr)"]);
        // A receiver may be in one context and what it listens to below another one.
        let below = router.local().via(&context).output(Output::Lines(lines.sender())).connect().unwrap();
        Probe::stub(&below).print("from below".to_owned()).wait().unwrap();
        let mut seen = [lines.recv().unwrap(), lines.recv().unwrap()];
        seen.sort();
        assert_eq!(seen, ["from below", "from below (stderr)"]);
        let silent = router.local().output(Output::Null).connect().unwrap();
        Probe::stub(&silent).print("nobody hears this".to_owned()).wait().unwrap();
    });
}

#[test]
fn a_context_that_is_kept_apart_talks_to_those_above_it_alone() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let apart = router.command(home.command()).name("apart").unidirectional(true).connect().unwrap();
        let below = router.local().via(&apart).connect().unwrap();
        let [one, other] = [(); 2].map(|()| router.local().connect().unwrap());
        for (from, to) in [(&one, &apart), (&apart, &one), (&below, &one), (&one, &below)] {
            let error = Probe::stub(from).ask(to.clone()).wait().unwrap_err();
            assert!(error.to_string().contains("routing mode prevents"), "{from} -> {to}: {error}");
        }
        // Others go on as before, and so do those above.
        let error = Probe::stub(&one).ask(other).wait().unwrap_err();
        assert!(!error.to_string().contains("routing mode prevents"), "{error}");
        assert!(Probe::stub(&below).pid().wait().is_ok());
    });
}

#[test]
fn the_end_of_a_context_tells_how_and_why() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let context = router.command(home.command()).connect().unwrap();
        let error = Probe::stub(&context).exit(7).wait().unwrap_err();
        let CallError::Dead { exit: Some(exit), stderr_tail, .. } = &error else { panic!("{error}") };
        assert_eq!(*exit, Exit::Code { code: 7 });
        assert!(stderr_tail.contains("about to exit"), "{stderr_tail}");
    });
}

/// `nested_test::NestedTest.test_nested`, with shells in between.
#[test]
fn ten_contexts_deep() {
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let mut deepest: Context = router.command(home.command()).name("1").connect().unwrap();
        let mut all = vec![deepest.clone()];
        for _ in 2..=10 {
            deepest = router.command(home.command()).via(&deepest).connect().unwrap();
            all.push(deepest.clone());
        }
        assert_eq!(deepest.name(), format!("1{}", ".command.env".repeat(9)));
        let pids: Vec<_> = all.iter().map(|context| Probe::stub(context).pid().wait().unwrap()).collect();
        // One executable for all of them.
        assert_eq!(home.cached().len(), 1);
        let last = Watched::new(pids[9]);
        all[0].kill().unwrap();
        assert!(last.ends_within(LONG), "the far end of the chain lives on");
    });
}

#[test]
fn the_errors_of_another_context_come_as_they_are() {
    within(LONG, || {
        let router = Router::builder().build().unwrap();
        let hop = router.local().name("hop").connect().unwrap();
        let error = router.command(["/nowhere/at/all"]).via(&hop).connect().unwrap_err();
        let Error::Connect { context, kind: ConnectKind::Start { program, source }, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(context, "hop.command.all");
        assert_eq!((program.as_str(), source.kind()), ("/nowhere/at/all", std::io::ErrorKind::NotFound));

        let error = router.command(["sh", "-c", "echo sorry >&2; exit 3"]).via(&hop).connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::NoShell { .. }), "{error}");
        assert!(error.to_string().contains("sorry"), "{error}");

        let quick = Duration::from_millis(300);
        let error = router.command(["sh", "-c", "cat"]).via(&hop).connect_timeout(quick).connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::Timeout { .. }), "{error}");

        // Given up here, it ends there.
        let began = Instant::now();
        let connecting = router.command(["sh", "-c", "sleep 1000"]).via(&hop).start();
        drop(connecting);
        hop.shutdown(Duration::from_secs(5)).unwrap();
        assert!(began.elapsed() < LONG);

        let error = router.command(["cat"]).via(&hop).connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::Via { .. }), "{error}");
    });
}
