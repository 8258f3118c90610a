//! What travels through a channel: any value as MessagePack, and bytes as they are.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{CallError, Trace};
use crate::router::{Core, decoding_for};
use crate::wire::msgpack::{MAX_DEPTH, validate};
use crate::wire::value::EncodeError;
use crate::wire::{Blob, Encoding, Message, payload, value};

/// The payload of a value, and how it is written. A [`Blob`] is not copied.
pub(super) fn encode<T: Serialize + 'static>(item: &T) -> Result<(Encoding, Bytes), CallError> {
    if let Some(blob) = (item as &dyn Any).downcast_ref::<Blob>() {
        return Ok((Encoding::Binary, blob.clone().into()));
    }
    let mut out = Vec::new();
    value::encode(item, &mut out).map_err(|EncodeError(reason)| CallError::Encode {
        what: "a message of a channel".to_owned(),
        reason,
        trace: Trace::default(),
    })?;
    Ok((Encoding::MessagePack, out.into()))
}

/// The value of a message, which may come from anybody.
pub(super) fn decode<T: DeserializeOwned + 'static>(core: &Arc<Core>, message: Message) -> Result<T, CallError> {
    match message.header.encoding {
        Encoding::Binary => raw(message.payload),
        Encoding::MessagePack => {
            validate(&message.payload, MAX_DEPTH).map_err(|error| malformed(error.to_string()))?;
            let payload = message.payload;
            decoding_for(core, || payload::with(payload.clone(), || value::decode_owned::<T>(&payload)))
                .map_err(|error| malformed(format!("a message of a channel is a {}: {}", error.got, error.reason)))
        }
        Encoding::Legacy | Encoding::Pickle => Err(malformed("a message of a channel is not MessagePack".to_owned())),
    }
}

/// Bytes that nobody has wrapped, if that is what is wanted.
fn raw<T: 'static>(payload: Bytes) -> Result<T, CallError> {
    let mut wanted: Option<T> = None;
    if let Some(place) = (&mut wanted as &mut dyn Any).downcast_mut::<Option<Blob>>() {
        *place = Some(payload.into());
    }
    let type_name = std::any::type_name::<T>();
    wanted.ok_or_else(|| malformed(format!("a message of a channel is bytes, and no {type_name}")))
}

fn malformed(reason: String) -> CallError {
    CallError::Malformed { reason, trace: Trace::default() }
}
