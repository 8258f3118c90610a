//! Many calls, in the order in which they come to an end.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::{future::Future, pin::Pin};

use super::Call;
use crate::error::CallError;
use crate::sync::{Condvar, Mutex};

/// Waits for many calls at once, and gives each result with the index of its call as it comes.
///
/// Dropping the iterator cancels the calls that are not finished.
///
/// ```
/// use mitogen_service::{Call, as_completed};
///
/// let calls = [3, 1, 2].map(|number| Call::ready(Ok(number * 10)));
/// let mut results = vec![0; 3];
/// for (index, result) in as_completed(calls) {
///     results[index] = result?;
/// }
/// assert_eq!(results, [30, 10, 20]);
/// # Ok::<(), mitogen_service::CallError>(())
/// ```
pub fn as_completed<T>(calls: impl IntoIterator<Item = Call<T>>) -> Completed<T> {
    let calls: Vec<_> = calls.into_iter().map(Some).collect();
    let ready = Arc::new(Ready { queue: Mutex::new((0..calls.len()).collect()), news: Condvar::new() });
    Completed { left: calls.len(), calls, ready }
}

/// The iterator of [`as_completed`].
pub struct Completed<T> {
    calls: Vec<Option<Call<T>>>,
    left: usize,
    ready: Arc<Ready>,
}

/// The calls that are worth a look.
struct Ready {
    queue: Mutex<VecDeque<usize>>,
    news: Condvar,
}

/// Puts one call into the queue.
struct Waiter {
    index: usize,
    ready: Arc<Ready>,
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        self.ready.queue.lock().push_back(self.index);
        self.ready.news.notify_one();
    }
}

impl Ready {
    fn next(&self) -> usize {
        let mut queue = self.queue.lock();
        loop {
            if let Some(index) = queue.pop_front() {
                return index;
            }
            self.news.wait(&mut queue);
        }
    }
}

impl<T> Iterator for Completed<T> {
    type Item = (usize, Result<T, CallError>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let index = self.ready.next();
            let Some(call) = &mut self.calls[index] else { continue };
            let waker = Waker::from(Arc::new(Waiter { index, ready: self.ready.clone() }));
            if let Poll::Ready(result) = Pin::new(call).poll(&mut Context::from_waker(&waker)) {
                self.calls[index] = None;
                self.left -= 1;
                return Some((index, result));
            }
            // Looked at after the waker is in its place: what comes from now on wakes it.
            if let Some(call) = &self.calls[index] {
                call.help();
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Completed<T> {}

impl<T> FusedIterator for Completed<T> {}

impl<T> fmt::Debug for Completed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Completed({} of {} left)", self.left, self.calls.len())
    }
}
