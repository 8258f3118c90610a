//! What the user's own ssh and its configuration can do, contexts can.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mitogen_service::{AuthProblem, Context, Output, Router, Ssh};
use mitogen_service_tests::Watched;

use crate::support::{LONG, Probe, children_of, problem_of};
use crate::world::{PASSWORD, World, in_world};

fn uid(context: &Context) -> u32 {
    Probe::stub(context).uid().wait().unwrap()
}

/// The host behind itself.
fn behind(world: &World, router: &Router) -> Ssh {
    world.ssh(router, "joe").option("ProxyJump=ann@host1")
}

#[test]
fn a_host_behind_another_one_is_reached_by_proxy_jump() {
    in_world(|world, router| {
        let context = behind(world, router).connect().unwrap();
        assert_eq!((uid(&context), context.name()), (4001, "ssh.host"));
        assert_eq!(children_of(world.sshd()).len(), 2, "one session is that of the host in between");
        let far = Watched::new(Probe::stub(&context).pid().wait().unwrap());
        context.shutdown(Duration::from_secs(5)).unwrap();
        assert!(far.ends_within(LONG));
    });
}

#[test]
fn a_host_in_between_does_not_get_the_password() {
    in_world(|world, router| {
        let no_key = "PubkeyAuthentication=no";
        // The configuration holds for both, and the password would be right for both.
        let config = world.path().join("ssh_config");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("Host *\n  {no_key}\n{text}")).unwrap();
        assert_eq!(uid(&world.ssh(router, "joe").password(PASSWORD).connect().unwrap()), 4001);
        let error = behind(world, router).password(PASSWORD).connect().unwrap_err();
        assert_eq!(problem_of(&error), AuthProblem::Denied, "{error}");
        assert!(error.to_string().contains("ann@"), "the host in between is named: {error}");
        // Without one nobody is asked, there neither.
        let error = behind(world, router).connect().unwrap_err();
        assert_eq!(problem_of(&error), AuthProblem::PasswordRequired, "{error}");
    });
}

/// An agent that ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keys_are_taken_from_an_agent() {
    in_world(|world, router| {
        let socket = world.path().join("agent");
        let agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
        let mut agent = Agent(agent);
        // It says where it is when it is there.
        let mut line = String::new();
        BufReader::new(agent.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let key = world.path().join("user_key");
        let added = Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
        assert!(added.success());
        std::fs::remove_file(&key).unwrap();
        assert_eq!(problem_of(&world.ssh(router, "joe").connect().unwrap_err()), AuthProblem::PasswordRequired);
        let with_agent = world.ssh(router, "joe").option(format!("IdentityAgent={}", socket.display()));
        assert_eq!(uid(&with_agent.connect().unwrap()), 4001);
    });
}

#[test]
fn connections_can_share_a_master() {
    in_world(|world, router| {
        let path = format!("ControlPath={}/master", world.path().display());
        let ssh = || {
            let ssh = world.ssh(router, "joe").option("ControlMaster=auto").option("ControlPersist=60");
            ssh.option(path.as_str())
        };
        let first = ssh().connect().unwrap();
        let second = ssh().connect().unwrap();
        assert_eq!((uid(&first), uid(&second)), (4001, 4001));
        assert_eq!(children_of(world.sshd()).len(), 1, "both go over one connection");
        let far = Watched::new(Probe::stub(&first).pid().wait().unwrap());
        first.shutdown(Duration::from_secs(5)).unwrap();
        assert!(far.ends_within(LONG));
        assert_eq!(uid(&second), 4001);
        // The master stays, and holds what it has inherited; it does not hold up an end.
        second.kill().unwrap();
        assert_eq!(uid(&ssh().connect().unwrap()), 4001);
        let mut ssh = Command::new(world.path().join("ssh"));
        assert!(ssh.args(["-o", &path, "-O", "exit", "host"]).status().unwrap().success());
    });
}

#[test]
fn what_is_sent_can_be_compressed() {
    in_world(|world, router| {
        let lines = router.receiver::<String>();
        let ssh = world.ssh(router, "joe").option("LogLevel=DEBUG1").output(Output::Lines(lines.sender()));
        let context = ssh.compression(true).connect().unwrap();
        assert!((&lines).into_iter().any(|line| line.contains("Enabling compression")));
        assert_eq!(uid(&context), 4001);
    });
}
