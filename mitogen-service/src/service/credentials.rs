//! Who a peer is to the kernel.

/// User, group and process of a peer, as the kernel of this machine tells them.
///
/// A message that came over the network or through another context has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The process id.
    pub pid: u32,
}

impl Credentials {
    /// The credentials with these numbers.
    #[cfg(feature = "testing")]
    pub(crate) fn new(uid: u32, gid: u32, pid: u32) -> Self {
        Self { uid, gid, pid }
    }
}
