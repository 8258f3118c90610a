//! What all connectors can be told, each of them is told here.

use std::time::Duration;

use mitogen_service::{Output, Router};
use mitogen_service_tests::within;

use crate::support::{Home, LONG, Probe};
use crate::world::{PASSWORD, ROOT_PASSWORD, in_world};

const SECRET: &str = "it's a 'secret'\n!";

/// The command lines that have this text; everybody can see them.
fn shown(text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(text)).collect()
}

/// Tells a connector everything there is, and looks at what comes of it.
macro_rules! takes_every_option {
    ($router:expr, $name:literal, $connector:expr) => {{
        let (router, name) = ($router, $name);
        let lines = router.receiver::<String>();
        let connector = $connector.name(name).pool_size(3).unidirectional(true).connect_timeout(LONG);
        let connector = connector.env("SECRET", SECRET).current_dir("/usr/share");
        let context = connector.output(Output::Lines(lines.sender())).start().wait().unwrap();
        assert_eq!(context.name(), name);
        let probe = Probe::stub(&context);
        assert_eq!(probe.pool_size().wait().unwrap(), 3, "{name}");
        assert_eq!(probe.env("SECRET".to_owned()).wait().unwrap().as_deref(), Some(SECRET), "{name}");
        assert_eq!(probe.cwd().wait().unwrap(), std::path::Path::new("/usr/share"), "{name}");
        let other = router.local().connect().unwrap();
        let error = probe.ask(other).wait().unwrap_err();
        assert!(error.to_string().contains("routing mode prevents"), "{name}: {error}");
        probe.print("hello".to_owned()).wait().unwrap();
        assert!((&lines).into_iter().any(|line| line == "hello"), "{name}");
        assert_eq!(shown(SECRET), Vec::<String>::new(), "{name}");
        context.shutdown(Duration::from_secs(5)).unwrap();
    }};
}

/// Set in the process whose stderr is looked at.
const INHERITS: &str = "MITOGEN_SERVICE_TEST_INHERITS";

#[test]
fn what_is_inherited_is_printed_where_this_program_prints() {
    const TEST: &str = "options::what_is_inherited_is_printed_where_this_program_prints";
    if std::env::var_os(INHERITS).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", TEST, "--nocapture"]).env(INHERITS, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        for (word, count) in [("by local", 1), ("by command", 1), ("by nobody", 0)] {
            assert_eq!(text.lines().filter(|line| line.ends_with(word)).count(), count, "{word}: {text}");
        }
        return;
    }
    within(LONG, || {
        let home = Home::new();
        let router = Router::builder().build().unwrap();
        let local = router.local().output(Output::Inherit).connect().unwrap();
        let command = router.command(home.command()).output(Output::Inherit).connect().unwrap();
        let silent = router.command(home.command()).output(Output::Null).connect().unwrap();
        for (context, text) in [(&local, "by local"), (&command, "by command"), (&silent, "by nobody")] {
            Probe::stub(context).print(text.to_owned()).wait().unwrap();
            context.shutdown(Duration::from_secs(5)).unwrap();
        }
    });
}

#[test]
fn every_connector_takes_every_option() {
    in_world(|world, router| {
        let joe = world.user(router, "joe");
        takes_every_option!(router, "by local", router.local());
        takes_every_option!(router, "by local, via", router.local().via(&joe));
        takes_every_option!(router, "by ssh", world.ssh(router, "ann"));
        takes_every_option!(router, "by command", router.command(["env"]).via(&joe));
        takes_every_option!(
            router,
            "by command through a shell",
            router.command(["sh", "-c"]).through_shell().via(&joe)
        );
        takes_every_option!(router, "by su", router.su().password(ROOT_PASSWORD).via(&joe));
        takes_every_option!(router, "by sudo", router.sudo().password(PASSWORD).via(&joe));
        takes_every_option!(router, "by sudo without a cache", router.sudo().password(PASSWORD).no_cache().via(&joe));
    });
}
