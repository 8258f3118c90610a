//! Nothing but tests: see `tests/services.rs`.
#![forbid(unsafe_code)]
