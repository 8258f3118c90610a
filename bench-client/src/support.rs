//! What the benches of the library have as well.
#![allow(dead_code, reason = "some of it is for the benches alone")]

#[path = "../../mitogen-service/benches/support/placement.rs"]
pub(crate) mod placement;
#[path = "../../mitogen-service/benches/support/process.rs"]
pub(crate) mod process;
#[path = "../../mitogen-service/benches/support/samples.rs"]
pub(crate) mod samples;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
