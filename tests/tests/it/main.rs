//! Whole-system tests: real processes, started from this test binary, calling each other.
//!
//! Every router asserts at its end that no thread, no descriptor and no child of it is left.

mod bench;
mod bulk;
mod call_error_test;
mod calls;
mod channel;
mod channel_peer;
mod death;
mod deduplicating;
mod docs;
mod engine;
mod fairness;
mod faults;
mod field_defects;
mod file_bounds;
mod file_service_test;
mod files;
mod functions;
mod futures;
mod hostile;
mod keep_alive;
mod leak;
mod life;
mod life_cycle;
mod nesting;
mod parent_test;
mod policy;
mod pool;
mod pool_ends;
mod programs;
mod push;
mod push_file_service_test;
mod put_dir;
mod receiver_test;
mod router_test;
mod select;
mod select_test;
mod service_defects;
mod service_test;
mod shown;
mod signals_test;
mod tree;
mod upstream_defects;
