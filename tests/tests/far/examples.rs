//! The examples on a real sshd.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mitogen_service_tests::within;

use crate::support::{LONG, skip};
use crate::world::World;

/// An example beside this test, which `cargo test --workspace` has built.
fn example(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples").join(name);
    let there = path.exists() || skip(&format!("{} is not built; run `cargo build --examples`", path.display()));
    there.then_some(path)
}

/// Runs a program for which `ssh` is that of the world.
fn run(world: &World, program: PathBuf, args: &[&str]) -> Output {
    run_with(world, &world.path().join("ssh_config"), program, args)
}

/// The same with another configuration of the client.
fn run_with(world: &World, config: &Path, program: PathBuf, args: &[&str]) -> Output {
    let path = std::env::var_os("PATH").unwrap();
    let dirs = [world.path().to_owned()].into_iter().chain(std::env::split_paths(&path));
    // The script of the world calls the real one by this name as well.
    let text = format!("PATH={} exec ssh -F {} -l joe \"$@\"\n", path.display(), config.display());
    world.script("ssh", &text);
    Command::new(program).args(args).env("PATH", std::env::join_paths(dirs).unwrap()).output().unwrap()
}

#[test]
fn the_whole_idea_works_over_ssh() {
    within(LONG, || {
        let (Some(example), Some(world)) = (example("self_contained"), World::new()) else { return };
        let output = run(&world, example, &["--ssh", "host"]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("all of it happened as expected"), "{out}{err}");
    });
}

#[test]
fn dead_hosts_delay_nobody() {
    within(LONG, || {
        let (Some(example), Some(world)) = (example("fleet"), World::new()) else { return };
        let output = run(&world, example, &["host1", "nowhere.invalid", "host2"]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("2 of 3 hosts have answered"), "{out}{err}");
        assert!(out.contains("Could not resolve hostname"), "{out}");
    });
}

#[test]
fn a_file_comes_over_ssh() {
    within(LONG, || {
        let (Some(example), Some(world)) = (example("fetch"), World::new()) else { return };
        let copy = world.path().join("copy");
        let output = run(&world, example, &["host:/etc/passwd", copy.to_str().unwrap()]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}{err}");
        let bytes = std::fs::read(copy).unwrap();
        assert!(bytes.windows(4).any(|part| part == b"joe:"), "it is the file of the host");
        assert!(out.contains(&format!("BLAKE3 {}", mitogen_service::FileHash::of(&bytes))), "{out}{err}");
    });
}

/// Each host is an sshd of its own, with homes and caches of its own.
#[test]
fn one_file_comes_to_many_hosts_over_ssh() {
    within(2 * LONG, || {
        let worlds: Option<Vec<_>> = (0..3).map(|_| World::new()).collect();
        let (Some(example), Some(worlds)) = (example("push"), worlds) else { return };
        let config = |(number, world): (usize, &World)| {
            let text = fs::read_to_string(world.path().join("ssh_config")).unwrap();
            text.replace("Host host*", &format!("Host host{number}"))
        };
        let configs: String = worlds.iter().enumerate().map(config).collect();
        let world = &worlds[0];
        let config = world.path().join("all_hosts");
        fs::write(&config, configs).unwrap();
        let file = world.path().join(format!("mitogen-service-pushed-{}", std::process::id()));
        let bytes: Vec<u8> =
            (0..700_000_u64).flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
        fs::write(&file, &bytes).unwrap();

        let args = [file.to_str().unwrap(), "host0", "host1", "nowhere.invalid", "host2"];
        let output = run_with(world, &config, example, &args);
        // The hosts have this directory in common.
        let to = Path::new("/tmp").join(file.file_name().unwrap());
        let (copy, owner) = (fs::read(&to), fs::metadata(&to).map(|metadata| metadata.uid()));
        let _ = fs::remove_file(&to);

        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && out.contains("3 of 4 hosts have the"), "{out}{err}");
        let hash = mitogen_service::FileHash::of(&bytes).to_string();
        for (host, what) in
            [("host0", &*hash), ("host1", &hash), ("host2", &hash), ("nowhere.invalid", "Could not resolve")]
        {
            let row = out.lines().find(|line| line.starts_with(host)).unwrap_or_default();
            assert!(row.contains(what), "{host}: {out}{err}");
        }
        assert!(copy.unwrap() == bytes);
        assert_eq!(owner.unwrap(), 4001, "it is that of joe");
        worlds.iter().for_each(|world| assert_eq!(world.cached("joe").len(), 1, "each host was given the executable"));
    });
}
