//! What a pool tells of itself.

use std::sync::Arc;
use std::time::Duration;

use super::Pool;
use crate::service::descriptor::ServiceDescriptor;
use crate::service::hosted::Hosted;

/// What a pool does and has done; see [`Pool::stats`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolStats {
    /// The number of threads.
    pub threads: usize,
    /// The calls and functions that wait for a thread.
    pub queued: usize,
    /// The calls that have arrived and are not answered, the queued ones included. At most
    /// [`max_queued_calls`](crate::RouterBuilder::max_queued_calls).
    pub in_flight: usize,
    /// The bytes of their messages, but for those that are larger than
    /// [`max_queued_bytes`](crate::RouterBuilder::max_queued_bytes).
    pub in_flight_bytes: usize,
    /// The calls whose time was over before a thread took them.
    pub late: u64,
    /// The results that invokers keep.
    pub cached: usize,
    /// The bytes that these take.
    pub cached_bytes: usize,
    /// The methods that have been called, by service and name.
    pub methods: Vec<MethodStats>,
}

/// What is known of the calls of one method.
///
/// Times are those that the method itself has run, without the wait for a thread; a quantile may be
/// told a quarter too long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MethodStats {
    /// The canonical name of the service.
    pub service: &'static str,
    /// The name of the method.
    pub method: &'static str,
    /// How often it has run to its end.
    pub calls: u64,
    /// How many of these have failed or panicked.
    pub failed: u64,
    /// Half of the calls took no longer than this.
    pub p50: Duration,
    /// Nine of ten.
    pub p90: Duration,
    /// 99 of 100.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Pool {
    /// What the pool does and has done since it was started.
    ///
    /// ```
    /// # use mitogen_service::{AllowAny, Pool, Router, service};
    /// # struct Echo;
    /// # #[service(name = "echo")]
    /// # impl Echo {
    /// #     #[expose(policy = AllowAny)]
    /// #     fn echo(&self, text: String) -> String { text }
    /// # }
    /// # fn main() -> mitogen_service::Result<()> {
    /// let router = Router::builder().build()?;
    /// let pool = Pool::builder(&router).service(Echo).start()?;
    /// Echo::stub(&router.myself()).echo("hello".into()).wait()?;
    /// let stats = pool.stats();
    /// assert_eq!((stats.methods[0].method, stats.methods[0].calls), ("echo", 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> PoolStats {
        let shared = &self.shared;
        let (in_flight, in_flight_bytes) = shared.in_flight().total();
        let services = shared.services();
        let (cached, cached_bytes) = services.iter().map(Hosted::cached).fold((0, 0), add);
        let mut methods: Vec<_> = services.iter().flat_map(methods_of).collect();
        methods.sort_by_key(|method| (method.service, method.method));
        PoolStats {
            threads: shared.size(),
            queued: shared.waiting(),
            in_flight,
            in_flight_bytes,
            late: shared.late(),
            cached,
            cached_bytes,
            methods,
        }
    }
}

impl Pool {
    /// What the services that are there say of themselves, by the names under which they are called.
    pub(in crate::service) fn named(&self) -> Vec<(Arc<str>, &'static ServiceDescriptor)> {
        let services = self.shared.named().into_iter();
        services.map(|(name, service)| (name, service.descriptor())).collect()
    }
}

fn add(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0 + other.0, one.1 + other.1)
}

fn methods_of(hosted: &Hosted) -> impl Iterator<Item = MethodStats> + use<> {
    let descriptor = hosted.descriptor();
    let readings: Vec<_> = (0..descriptor.methods.len()).map(|method| hosted.meter(method).read()).collect();
    let called = descriptor.methods.iter().zip(readings).filter(|(_, reading)| reading.calls > 0);
    called.map(|(method, reading)| MethodStats {
        service: descriptor.name,
        method: method.name,
        calls: reading.calls,
        failed: reading.failed,
        p50: reading.p50,
        p90: reading.p90,
        p99: reading.p99,
        max: reading.max,
    })
}
