//! A stranger on a socket is joined as a child, for tests of what hostile or foreign children do.

use std::os::fd::OwnedFd;

use super::handshake::{self, Terms};
use super::options::CONNECT_TIMEOUT;
use super::request::wrong_name;
use crate::deadline;
use crate::error::{ConnectKind, Error, Result};
use crate::io::{ReadEnd, WriteEnd};
use crate::router::{Context, Router};

/// Greets whoever holds the other end, as a connector does, and makes it part of the tree.
pub(crate) fn join(router: &Router, name: &str, socket: OwnedFd) -> Result<Context> {
    if let Some(what) = wrong_name(name) {
        return Err(Error::Invalid { what });
    }
    let core = router.core();
    let deadline = deadline::after(CONNECT_TIMEOUT);
    let fail = |kind| Error::Connect { context: name.to_owned(), kind, stderr_tail: String::new() };
    let id = router.allocate_id(deadline).map_err(|what| fail(ConnectKind::NoId { what }))?;
    let write = socket.try_clone().map_err(|error| Error::io("duplicate a socket", error))?;
    let features = handshake::with_child(core, (id, name), &Terms::default(), (&socket, &write), deadline)
        .map_err(|failure| fail(failure.into_kind(CONNECT_TIMEOUT)))?;
    let stream = core.new_stream((ReadEnd(socket), WriteEnd(write)), core.keep_alive(features))?;
    core.join_child((&stream, None), (id, name), features, None, false).inspect_err(|_| stream.close())
}
