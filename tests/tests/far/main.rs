//! Contexts behind commands: ssh with a real sshd, real sudo and su, and shells of all kinds.
//!
//! A test that needs what this machine has not fails under `CI=true`, where `.ci/run` has installed it,
//! and says elsewhere that it was skipped, and why.

mod bench;
mod command;
mod examples;
mod first_stage;
mod kills;
mod life;
mod logs;
mod mistakes;
mod net;
mod options;
mod ssh;
mod ssh_config;
mod su;
mod sudo;
mod support;
mod world;
