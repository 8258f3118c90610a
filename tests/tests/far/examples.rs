//! The examples on a real sshd.

use std::path::PathBuf;
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
    let path = std::env::var_os("PATH").unwrap();
    let dirs = [world.path().to_owned()].into_iter().chain(std::env::split_paths(&path));
    // The script of the world calls the real one by this name as well.
    world.script(
        "ssh",
        &format!("PATH={} exec ssh -F {}/ssh_config -l joe \"$@\"\n", path.display(), world.path().display()),
    );
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
