//! What the benches share: floors to compare with, placements on CPUs, samples, and the report.
//!
//! Each bench is a binary of its own and uses a part of this.
#![allow(dead_code, reason = "no bench uses all of it")]

pub(crate) mod broker;
pub(crate) mod floor;
pub(crate) mod options;
pub(crate) mod ours;
pub(crate) mod peer;
pub(crate) mod placement;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod samples;
pub(crate) mod sequence;
pub(crate) mod syscalls;

/// Whatever stops a bench.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;
