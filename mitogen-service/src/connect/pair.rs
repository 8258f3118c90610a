//! Two routers in one process, joined as parent and child, for tests.

use rustix::pipe::{PipeFlags, pipe_with};

use super::via;
use crate::error::{Error, Result};
use crate::io::{ReadEnd, WriteEnd};
use crate::router::{Bounds, Core, Ending, Identity, Router};
use crate::service::listen_for_first_call;
use crate::wire::{ContextId, FEATURES};

/// Joins a new root and a new child over two pipes.
pub(crate) fn pair() -> Result<(Router, Router)> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| Error::io("make a pipe", error));
    let parent = Router::builder().build_core()?;
    let child_id = parent.take_id().unwrap_or(ContextId::new(1));
    let me = parent.identity();
    let child = Core::new(
        Identity {
            id: child_id,
            name: "child".to_owned(),
            parents: vec![(me.id, me.name.clone())],
            max_message_size: me.max_message_size,
            unidirectional: me.unidirectional,
            keep_alive: me.keep_alive,
            channels: me.channels,
        },
        Ending::Router,
        Bounds::default(),
    );
    via::provide();
    listen_for_first_call(&child, None);
    let (up, down) = (pipe()?, pipe()?);
    let to_child = parent.new_stream((ReadEnd(up.0), WriteEnd(down.1)), parent.keep_alive(FEATURES))?;
    let to_parent = child.new_stream((ReadEnd(down.0), WriteEnd(up.1)), child.keep_alive(FEATURES))?;
    parent.join_child((&to_child, None), (child_id, "child"), FEATURES, None, false)?;
    child.join_parent((&to_parent, None), FEATURES)?;
    Ok((Router::owning(parent), Router::owning(child)))
}
