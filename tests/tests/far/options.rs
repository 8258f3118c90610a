//! What all connectors can be told, each of them is told here.

use std::process::Command;
use std::time::Duration;

use mitogen_service::Output;

use crate::support::{LONG, Probe};
use crate::world::{PASSWORD, ROOT_PASSWORD, in_world};

/// Tells a connector everything there is, and looks at what comes of it.
macro_rules! takes_every_option {
    ($router:expr, $name:literal, $connector:expr) => {{
        let (router, name) = ($router, $name);
        let lines = router.receiver::<String>();
        let connector = $connector.name(name).pool_size(3).unidirectional(true).connect_timeout(LONG);
        let connector = connector.env("SECRET", "it's a 'secret'\n!").current_dir("/usr/share");
        let context = connector.output(Output::Lines(lines.sender())).start().wait().unwrap();
        assert_eq!(context.name(), name);
        let probe = Probe::stub(&context);
        assert_eq!(probe.pool_size().wait().unwrap(), 3, "{name}");
        assert_eq!(probe.env("SECRET".to_owned()).wait().unwrap().as_deref(), Some("it's a 'secret'\n!"), "{name}");
        assert_eq!(probe.cwd().wait().unwrap(), std::path::Path::new("/usr/share"), "{name}");
        let other = router.local().connect().unwrap();
        let error = probe.ask(other).wait().unwrap_err();
        assert!(error.to_string().contains("routing mode prevents"), "{name}: {error}");
        probe.print("hello".to_owned()).wait().unwrap();
        assert!((&lines).into_iter().any(|line| line == "hello"), "{name}");
        // `ps` shows what a command line has to anybody; what is set for a context does not stand there.
        let pid = probe.pid().wait().unwrap();
        let shown = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output();
        assert!(shown.is_ok_and(|output| !String::from_utf8_lossy(&output.stdout).contains("secret")), "{name}");
        context.shutdown(Duration::from_secs(5)).unwrap();
    }};
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
