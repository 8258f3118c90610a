//! Starting other processes and joining them to the tree. The highest layer but for files.

mod child;
mod handshake;
#[cfg(feature = "testing")]
mod join;
mod last_words;
mod local;
#[cfg(feature = "testing")]
mod pair;
mod process;

#[cfg(feature = "testing")]
pub(crate) use child::enter_before_main;
pub use child::init;
pub use local::Local;
#[cfg(feature = "testing")]
pub(crate) use {join::join, pair::pair};
