//! What a process of ours does first: it makes known which services the crate itself has, which the lower
//! layers cannot name, and becomes a child if it was started as one.

/// Enters the child if this process was started as one, and does not return then. (Nor does it if the
/// process was started to become a command in a terminal, as `su` is run.)
///
/// First thing in a hand-written `main`; [`main`](macro@crate::main) does it by itself. In the first
/// process of a tree it does nothing.
///
/// ```no_run
/// fn main() -> mitogen_service::Result<()> {
///     mitogen_service::init();
///     let router = mitogen_service::Router::builder().build()?;
///     let child = router.local().connect()?;
///     println!("{child} is connected");
///     Ok(())
/// }
/// ```
pub fn init() {
    crate::files::provide();
    crate::connect::init();
}

/// Enters the child before `main`, unless the program's `main` is ours and does so itself.
#[cfg(feature = "testing")]
pub(crate) fn enter_before_main() {
    if crate::service::MAINS.is_empty() {
        init();
    }
}
