//! For tests: routers joined in one process, callers made by hand, children of test binaries.
//!
//! Behind the feature `testing`, to be switched on under `[dev-dependencies]`. It also lets real
//! children be started from test binaries: they are entered before the test harness runs.
//!
//! ```
//! use mitogen_service::{AllowParents, service, testing};
//!
//! #[derive(Default)]
//! struct Counter(std::sync::atomic::AtomicU32);
//!
//! #[service(activate)]
//! impl Counter {
//!     #[expose(policy = AllowParents)]
//!     fn next(&self) -> u32 {
//!         self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
//!     }
//! }
//!
//! let (parent, child) = testing::pair();
//! let counter = Counter::stub(&parent.context_by_id(child.myself().id()));
//! assert_eq!(counter.next().wait()?, 0);
//! assert_eq!(counter.next().wait()?, 1);
//! # Ok::<(), mitogen_service::CallError>(())
//! ```

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::error::Result;
use crate::router::{Bounds, Context, Core, Ending, Identity, Router};
use crate::service::{Caller, CallerParts, Credentials};
use crate::wire::{ChannelBounds, ContextId, Handle};

/// Joins two new routers in this process, as parent and child; every frame is really encoded and
/// travels through a pipe.
///
/// The child's context, as the parent sees it, is `parent.children()[0]`. The child makes its pool
/// by itself at the first service call, or by hand like a root.
///
/// # Panics
/// If the process cannot have the four descriptors and two threads that this takes.
#[expect(clippy::expect_used, reason = "a test has no use for the error")]
pub fn pair() -> (Router, Router) {
    crate::files::provide();
    crate::connect::pair().expect("two routers can be joined")
}

/// Joins whatever is at the other end of a socket to a router, as a child of this name; for tests of
/// children that follow the protocol in another way than this crate does, or not at all.
///
/// Both ends say hello first, as `docs/protocol.md` tells, and the other end may have written its own
/// before. There is no process behind the child that the router could end, only the socket.
///
/// ```
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
///
/// # fn main() -> mitogen_service::Result<()> {
/// let router = mitogen_service::Router::builder().build()?;
/// let (ours, mut theirs) = UnixStream::pair().unwrap();
/// // Version 1, no features, reads MessagePack, process 1.
/// theirs.write_all(b"MGSV\0\x01\0\0\0\0\0\0\0\0\0\x14\x82\xa9encodings\x91\xcd\x4d\x50\xa3pid\x01").unwrap();
/// let child = mitogen_service::testing::join(&router, "stranger", ours)?;
/// assert!(child.is_connected());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`Local::connect`](crate::Local::connect).
pub fn join(router: &Router, name: &str, socket: impl Into<OwnedFd>) -> Result<Context> {
    crate::connect::join(router, name, socket.into())
}

/// Begins a caller made by hand, to ask policies in tests. Unless told otherwise it is a stranger:
/// another context, without authority and without credentials.
///
/// ```
/// use mitogen_service::{AllowParents, Policy, testing};
///
/// let caller = testing::caller().uid(1000).parent().build();
/// assert!(AllowParents.is_authorized(&(), &caller));
/// assert_eq!(caller.credentials().map(|peer| peer.uid), Some(1000));
/// assert!(!AllowParents.is_authorized(&(), &testing::caller().build()));
/// ```
pub fn caller() -> CallerBuilder {
    CallerBuilder { uid: None, gid: None, authority: Authority::Stranger }
}

/// Makes a caller by hand; see [`caller`].
#[derive(Clone, Debug)]
#[must_use = "call `build` to get the caller"]
pub struct CallerBuilder {
    uid: Option<u32>,
    gid: Option<u32>,
    authority: Authority,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authority {
    Stranger,
    Parent,
    Myself,
}

impl CallerBuilder {
    /// A peer on this machine that runs as this user.
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// A peer on this machine that runs as this group.
    pub fn gid(mut self, gid: u32) -> Self {
        self.gid = Some(gid);
        self
    }

    /// The parent of the context that is called.
    pub fn parent(mut self) -> Self {
        self.authority = Authority::Parent;
        self
    }

    /// The context that is called itself, over no stream.
    pub fn myself(mut self) -> Self {
        self.authority = Authority::Myself;
        self
    }

    /// The caller.
    pub fn build(self) -> Caller {
        let Self { uid, gid, authority } = self;
        let (parent, me, stranger) = (ContextId::ROOT, ContextId::new(1), ContextId::new(2));
        let identity = Identity {
            id: me,
            name: "called".to_owned(),
            parents: vec![(parent, "root".to_owned())],
            max_message_size: u32::MAX as usize,
            unidirectional: false,
            keep_alive: None,
            channels: ChannelBounds::default(),
        };
        let id = match authority {
            Authority::Stranger => stranger,
            Authority::Parent => parent,
            Authority::Myself => me,
        };
        let known = uid.is_some() || gid.is_some();
        let credentials = Credentials::new(uid.unwrap_or(0), gid.unwrap_or(0), std::process::id());
        let parts = CallerParts {
            core: Core::new(identity, Ending::Router, Bounds::default()),
            src_id: id,
            auth_id: id,
            is_local: authority == Authority::Myself,
            credentials: known.then_some(credentials),
            id: (id, Handle::NONE),
            chain: None,
        };
        Caller::new(parts, Arc::default())
    }
}
