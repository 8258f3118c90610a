//! A stream, as the poller of the streams knows it.

use std::sync::Arc;

pub(crate) struct Stream(Box<dyn Fn(bool) + Send + Sync>);

impl Stream {
    pub(crate) fn new(edge: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self(Box::new(edge))
    }

    pub(super) fn edge(self: &Arc<Self>, closed: bool) {
        (self.0)(closed);
    }
}
