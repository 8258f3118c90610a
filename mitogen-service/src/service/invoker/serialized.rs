//! One call at a time.

use super::{Authorized, Invoker, Order};

/// Runs one call at a time, in the order in which they came to this context, whoever made them.
///
/// A call that fails or panics answers its caller, and the next one runs. A thread is taken from the
/// pool only while a call runs. A call that could only run after one that waits for it is refused as
/// [`CallError::Deadlock`](crate::CallError::Deadlock).
///
/// ```
/// use mitogen_service::{AllowAny, SerializedInvoker, service};
///
/// struct Journal;
///
/// #[service(invoker = SerializedInvoker)]
/// impl Journal {
///     #[expose(policy = AllowAny)]
///     fn append(&self, line: String) {
///         // No other call of this journal runs meanwhile.
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SerializedInvoker;

impl Invoker for SerializedInvoker {
    fn invoke(&self, call: Authorized) {
        call.run();
    }

    fn order(&self) -> Order {
        Order::Arrival
    }
}
