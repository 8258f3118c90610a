//! A service in a crate with strict lints, under all of which its generated code must pass. It stands in a
//! library, since others must be able to reach what `missing_docs` looks at.

#![deny(
    missing_docs,
    warnings,
    clippy::all,
    clippy::pedantic,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    missing_debug_implementations,
    rust_2018_idioms,
    unused,
    unreachable_pub,
    unused_qualifications,
    unused_results,
    single_use_lifetimes,
    trivial_casts,
    variant_size_differences
)]
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use mitogen_service::{AllowAny, Caller, Reply, Router, SerializedInvoker, service};

/// A service.
#[derive(Debug, Default)]
pub struct Strict {
    calls: AtomicU32,
}

/// Serves strictly.
#[service(activate, invoker = SerializedInvoker)]
impl Strict {
    /// Is deprecated.
    #[allow(clippy::needless_pass_by_value, reason = "a stub passes it on")]
    #[deprecated(note = "use `new`")]
    #[expose(policy = AllowAny)]
    pub fn old(&self, text: &str, bytes: &[u8], path: &Path, cow: Cow<'_, str>, note: Option<&str>) -> usize {
        let _ = self.calls.fetch_add(1, Ordering::SeqCst);
        text.len() + bytes.len() + path.as_os_str().len() + cow.len() + note.map_or(0, str::len)
    }

    /// Fails.
    ///
    /// # Errors
    /// Always.
    #[must_use = "look at it"]
    #[expect(clippy::unused_self, reason = "it only fails")]
    #[expose(policy = AllowAny, policy = Self::is_fine)]
    fn failing(&self, why: String) -> Result<u8, String> {
        Err(why)
    }

    /// Comes later.
    #[allow(clippy::needless_pass_by_value, reason = "a reply is sent once")]
    #[expose(policy = AllowAny)]
    fn later(&self, _caller: &Caller, router: &Router, reply: Reply<u32>) {
        reply.send(Ok(self.calls.load(Ordering::SeqCst) + u32::from(router.myself().is_connected())));
    }

    /// Answers nothing.
    #[allow(non_snake_case, clippy::too_many_arguments, clippy::many_single_char_names, clippy::unused_self)]
    #[expose(policy = AllowAny)]
    #[no_reply]
    fn Odd(&self, A: u8, b: u8, c: u8, d: u8, e: u8, f: u8, #[arg(default = 8)] g: u8) {
        let _ = (A, b, c, d, e, f, g);
    }

    fn is_fine(&self, _: &Caller) -> bool {
        self.calls.load(Ordering::SeqCst) < 100
    }
}
