//! Ends at bad moments: whoever is killed, the others end or go on, and nothing hangs or stays.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mitogen_service::{CallError, ConnectKind, Context, Router};
use mitogen_service_tests::{Holdings, Watched};

use crate::support::{Home, LONG, Probe, alone, children_of, kind_of};
use crate::world::{World, in_world};

fn watched(context: &Context) -> Watched {
    Watched::new(Probe::stub(context).pid().wait().unwrap())
}

/// All that a process has started, and what that has.
fn descendants_of(pid: u32) -> Vec<(u32, String)> {
    let mut all = children_of(pid);
    let mut next = 0;
    while let Some((pid, _)) = all.get(next) {
        let more = children_of(*pid);
        all.extend(more);
        next += 1;
    }
    all
}

/// What the sshd of a world has started, watched.
fn sessions(world: &World) -> Vec<(Watched, String)> {
    let all = descendants_of(world.sshd()).into_iter();
    all.filter_map(|(pid, name)| Some((Watched::find(pid)?, name))).collect()
}

#[test]
fn a_far_context_that_is_killed_is_told_and_leaves_nothing() {
    in_world(|world, router| {
        let host = world.ssh(router, "joe").connect().unwrap();
        let below = router.local().via(&host).connect().unwrap();
        let (far, further, ssh) = (watched(&host), watched(&below), Watched::new(world.client()));
        let call = Probe::stub(&below).sleep(1000);
        far.kill();
        let error = call.wait().unwrap_err();
        let CallError::Dead { context, .. } = &error else { panic!("{error}") };
        assert_eq!(context, "ssh.host", "{error}");
        assert!(further.ends_within(LONG) && ssh.ends_within(LONG));
        assert!(!ssh.is_listed(), "the end of ssh was told, and it is not reaped");
    });
}

#[test]
fn a_hop_that_is_killed_takes_along_what_is_below_it_alone() {
    in_world(|world, router| {
        let host = world.ssh(router, "ann").connect().unwrap();
        let hop = router.sudo().via(&host).connect().unwrap();
        let last = router.local().via(&hop).connect().unwrap();
        let (hop_process, last_process) = (watched(&hop), watched(&last));
        let call = Probe::stub(&last).sleep(1000);
        hop_process.kill();
        assert!(matches!(call.wait().unwrap_err(), CallError::Dead { .. }));
        assert!(last_process.ends_within(LONG));
        let error = router.local().via(&hop).connect().unwrap_err();
        assert!(matches!(kind_of(&error), ConnectKind::Via { .. }), "{error}");
        // The one above it lives, and has reaped sudo before it told of the end.
        let pid = Probe::stub(&host).pid().wait().unwrap();
        let left: Vec<_> = descendants_of(pid).into_iter().filter(|(_, name)| name == "sudo").collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(Probe::stub(&router.sudo().via(&host).connect().unwrap()).uid().wait().unwrap(), 0);
    });
}

/// An ssh that passes on a part of the executable, says so, and then nothing more.
fn stuck(world: &World) -> (PathBuf, PathBuf) {
    let dir = world.path().display();
    let [said, part] = ["said", "part"].map(|name| world.path().join(name));
    assert!(Command::new("mkfifo").args([&said, &part]).status().unwrap().success());
    let pass_on = "(dd bs=1 count=200000; echo >said; exec sleep 1000) <&3 >part 2>/dev/null &";
    let text = format!("cd {dir}; exec 3<&0\n{pass_on}\nexec ssh -F ssh_config \"$@\" <part\n");
    (world.script("stuck-ssh", &text), said)
}

#[test]
fn a_connection_that_is_given_up_half_way_leaves_nothing_there() {
    in_world(|world, router| {
        let (ssh, fifo) = stuck(world);
        let connecting = world.ssh(router, "joe").ssh_path(ssh).start();
        std::fs::read(&fifo).unwrap();
        let there = sessions(world);
        assert!(there.iter().any(|(_, name)| name == "head"), "{there:?}");
        let here = clients(world);
        drop(connecting);
        for (process, name) in there {
            assert!(process.ends_within(LONG), "{name} lives on over there");
        }
        for process in here {
            assert!(process.ends_within(LONG), "{process:?} lives on");
        }
        assert_eq!(world.cached("joe"), Vec::<PathBuf>::new());
    });
}

/// What runs on the side that connects to a host by a [`stuck`] ssh.
fn clients(world: &World) -> Vec<Watched> {
    let all = descendants_of(std::process::id()).into_iter();
    let (pids, mut names): (Vec<_>, Vec<_>) = all.filter(|one| is_client(one, world)).unzip();
    // The shell of a stuck ssh says so before it becomes the `sleep`.
    names.iter_mut().filter(|name| *name == "stuck-ssh").for_each(|name| "sleep".clone_into(name));
    names.sort();
    assert_eq!(names, ["sleep", "ssh"]);
    pids.into_iter().map(Watched::new).collect()
}

/// Whether a process belongs to a connection of this world, on the side that connects: it runs in its directory.
fn is_client((pid, name): &(u32, String), world: &World) -> bool {
    let dir = std::fs::read_link(format!("/proc/{pid}/cwd"));
    dir.is_ok_and(|dir| dir == world.path()) && ["ssh", "sleep", "stuck-ssh"].contains(&name.as_str())
}

#[test]
fn a_shell_that_is_killed_half_way_is_noticed_at_once() {
    in_world(|world, router| {
        let (ssh, fifo) = stuck(world);
        let connecting = world.ssh(router, "joe").ssh_path(ssh).start();
        std::fs::read(&fifo).unwrap();
        let here = clients(world);
        for (process, name) in sessions(world) {
            if name != "sshd" {
                process.kill();
            }
        }
        let error = connecting.wait().unwrap_err();
        assert!(!matches!(kind_of(&error), ConnectKind::Timeout { .. }), "{error}");
        for process in here {
            assert!(process.ends_within(LONG), "{process:?} lives on");
        }
        // What was there of it does not stop the next one.
        let context = world.ssh(router, "joe").connect().unwrap();
        assert!(Probe::stub(&context).pid().wait().is_ok());
    });
}

/// Set in a process that is a root of its own, to the directory of the world.
const ROOT: &str = "MITOGEN_SERVICE_TEST_ROOT";

#[test]
fn a_root_that_is_killed_takes_everything_along() {
    const TEST: &str = "kills::a_root_that_is_killed_takes_everything_along";
    if let Some(dir) = std::env::var_os(ROOT) {
        let router = Router::builder().build().unwrap();
        let host = router.ssh("host").ssh_path(PathBuf::from(dir).join("ssh")).user("ann").connect_timeout(LONG);
        let host = host.connect().unwrap();
        let root = router.sudo().via(&host).connect().unwrap();
        let pids = [&host, &root].map(|context| Probe::stub(context).pid().wait().unwrap());
        println!("\npids {} {}", pids[0], pids[1]);
        loop {
            std::thread::park();
        }
    }
    in_world(|world, _| {
        let mut root = Command::new(std::env::current_exe().unwrap());
        let root = root.args(["--exact", TEST, "--nocapture"]).env(ROOT, world.path()).stdout(Stdio::piped());
        let mut root = root.spawn().unwrap();
        let lines = BufReader::new(root.stdout.take().unwrap()).lines();
        let pids = lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("pids ")?.to_owned()));
        let pids = pids.expect("the root has connected");
        let far: Vec<_> = pids.split(' ').map(|pid| Watched::new(pid.parse().unwrap())).collect();
        let ssh = Watched::new(world.client());
        let there = sessions(world);
        root.kill().unwrap();
        root.wait().unwrap();
        for process in far.iter().chain([&ssh]).chain(there.iter().map(|(process, _)| process)) {
            assert!(process.ends_within(LONG), "{process:?} lives on; {there:?}");
        }
    });
}

/// Connections that fail in every way, and such that do not.
fn round(world: &World, router: &Router, home: &Home) {
    let su = crate::su::script(home, crate::su::STRICT_SU);
    let su = |password: &str| router.su().su_path(&su).cache_dir(home.path()).password(password).connect();
    su("it's \\Zß").unwrap().shutdown(LONG).unwrap();
    su("badpw").unwrap_err();
    router.ssh("127.0.0.1").port(1).password("x").connect().unwrap_err();
    let no_key = world.ssh(router, "joe").option("PubkeyAuthentication=no");
    no_key.password("badpw").connect().unwrap_err();
    router.command(["sh", "-c", "exit 3"]).connect().unwrap_err();
    router.command(["no-such-program"]).connect().unwrap_err();
    let silent = router.command(["sh", "-c", "sleep 1000"]);
    silent.connect_timeout(std::time::Duration::from_millis(100)).connect().unwrap_err();
    drop(router.command(["sh", "-c", "sleep 1000"]).start());
    let killed = router.command(home.command()).connect().unwrap();
    watched(&killed).kill();
    Probe::stub(&killed).sleep(1000).wait().unwrap_err();
    world.ssh(router, "joe").connect().unwrap().shutdown(LONG).unwrap();
}

#[test]
fn what_fails_holds_no_descriptor_thread_process_or_file() {
    if !alone("kills::what_fails_holds_no_descriptor_thread_process_or_file") {
        return;
    }
    in_world(|world, router| {
        let home = Home::new();
        // What is made once is made in the first of them.
        round(world, router, &home);
        let before = Holdings::of_this_process();
        for _ in 0..3 {
            round(world, router, &home);
        }
        assert_eq!(Holdings::added_since(&before), Holdings::default());
        // The helpers of ssh lay here.
        let left: Vec<_> = std::fs::read_dir(std::env::var("XDG_RUNTIME_DIR").unwrap()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}
