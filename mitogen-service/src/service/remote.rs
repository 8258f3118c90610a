//! Calls by names that are known only at run time.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::nesting;
use crate::channel::{Call, Request, collecting, start};
use crate::error::{CallError, Trace};
use crate::router::Context;
use crate::wire::value::{self, EncodeError};
use crate::wire::{EnvelopeWriter, Handle, msgpack};

impl Context {
    /// Calls a method of a service by names; a stub does the same with types.
    ///
    /// `args` is a struct or a map from names to values, `&()` for none.
    ///
    /// ```
    /// # use mitogen_service::{AllowAny, Pool, Router, service};
    /// use std::collections::BTreeMap;
    ///
    /// struct Sum;
    ///
    /// #[service(name = "sum")]
    /// impl Sum {
    ///     #[expose(policy = AllowAny)]
    ///     fn add(&self, a: u32, b: u32) -> u32 {
    ///         a + b
    ///     }
    /// }
    ///
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().build()?;
    /// let pool = Pool::builder(&router).service(Sum).start()?;
    /// let args = BTreeMap::from([("a", 1), ("b", 2)]);
    /// let sum: u32 = router.myself().call_service("sum", "add", &args).wait()?;
    /// assert_eq!(sum, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_service<T: DeserializeOwned>(
        &self,
        service: &str,
        method: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Call<T> {
        let (args, held) = collecting(|| encode_args(args));
        match args {
            Ok(args) => {
                let (meta, deadline) = match nesting::outgoing(self.core(), None) {
                    Ok(outgoing) => outgoing,
                    Err(error) => return Call::ready(Err(error)),
                };
                let payload = EnvelopeWriter::with_args(service, method, &meta, &args);
                let (context, handle) = (self.clone(), Handle::CALL_SERVICE);
                let request = Request { context, auth_id: None, handle, payload, deadline, wait: true, held };
                start(request, value::decode_owned::<T>)
            }
            Err(reason) => Call::ready(Err(CallError::Encode {
                what: format!("the arguments of '{method}' of service '{service}'"),
                reason,
                trace: Trace::default(),
            })),
        }
    }
}

/// The arguments as a map.
fn encode_args(args: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    value::encode(args, &mut out).map_err(|EncodeError(reason)| reason)?;
    match msgpack::kind(&out) {
        "map" => Ok(out),
        "nil" => {
            out.clear();
            msgpack::write_map_len(&mut out, 0);
            Ok(out)
        }
        other => Err(format!("arguments go by name: expected a struct or a map, got a {other}")),
    }
}
