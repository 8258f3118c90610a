//! The reports, as they travel. A context of another version may know more; what is missing is left out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::router::{Context, Core};
use crate::service::descriptor::{ArgSpec, MethodDescriptor, ServiceDescriptor};
use crate::service::pool::{MethodStats, PoolStats};
use crate::wire::ContextId;

/// The contexts next to one, and those above it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contexts {
    /// The one that tells it.
    pub myself: ContextReport,
    /// Those above it, the nearest first.
    pub parents: Vec<ContextReport>,
    /// Those that it has started and that are connected, the oldest first.
    pub children: Vec<ContextReport>,
}

/// A context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContextReport {
    /// Its number, of which [`Router::context_by_id`](crate::Router::context_by_id) makes something to call.
    pub id: ContextId,
    /// Its name.
    pub name: String,
}

impl ContextReport {
    pub(super) fn of(context: &Context) -> Self {
        Self { id: context.id(), name: context.name().to_owned() }
    }
}

/// What a service says of itself; see [`ServiceDescriptor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceReport {
    /// The name by which it is called.
    pub name: String,
    /// The name of its type.
    pub type_name: String,
    /// The doc comment of its impl block.
    pub docs: String,
    /// What runs the calls of methods without an invoker of their own.
    pub invoker: String,
    /// Whether it is there; if not, the first call of a parent activates it.
    pub runs: bool,
    /// The methods, in the order of the source.
    pub methods: Vec<MethodReport>,
}

impl ServiceReport {
    pub(super) fn of(name: &str, descriptor: &ServiceDescriptor, runs: bool) -> Self {
        let ServiceDescriptor { name: _, type_name, docs, invoker, methods } = descriptor;
        Self {
            name: name.to_owned(),
            type_name: (*type_name).to_owned(),
            docs: (*docs).to_owned(),
            invoker: (*invoker).to_owned(),
            runs,
            methods: methods.iter().map(MethodReport::of).collect(),
        }
    }
}

/// What a service says of a method; see [`MethodDescriptor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodReport {
    /// Its name.
    pub name: String,
    /// The doc comment.
    pub docs: String,
    /// The arguments, in the order of the signature.
    pub arguments: Vec<ArgumentReport>,
    /// The policies, all of which must agree.
    pub policies: Vec<String>,
    /// The invoker of this method alone, if it has one.
    pub invoker: Option<String>,
    /// The type that callers get.
    pub result: String,
    /// Whether callers wait for no answer.
    pub no_reply: bool,
}

impl MethodReport {
    fn of(descriptor: &MethodDescriptor) -> Self {
        let MethodDescriptor { name, docs, args, policies, invoker, result, no_reply } = descriptor;
        Self {
            name: (*name).to_owned(),
            docs: (*docs).to_owned(),
            arguments: args.iter().map(ArgumentReport::of).collect(),
            policies: policies.iter().map(|policy| (*policy).to_owned()).collect(),
            invoker: invoker.map(str::to_owned),
            result: (*result).to_owned(),
            no_reply: *no_reply,
        }
    }
}

/// What a service says of an argument; see [`ArgSpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArgumentReport {
    /// The name by which it travels.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// Whether a call without it is refused.
    pub required: bool,
    /// What it is in a call without it.
    pub default: Option<String>,
}

impl ArgumentReport {
    fn of(spec: &ArgSpec) -> Self {
        let ArgSpec { name, type_name, required, default } = spec;
        Self {
            name: (*name).to_owned(),
            type_name: (*type_name).to_owned(),
            required: *required,
            default: default.map(str::to_owned),
        }
    }
}

/// The bounds of a router; each has its method on [`RouterBuilder`](crate::RouterBuilder).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BoundsReport {
    /// The bytes of one message.
    pub max_message_size: usize,
    /// The calls of this context that wait for an answer.
    pub max_pending_calls: usize,
    /// The calls that have arrived and are not answered.
    pub max_queued_calls: usize,
    /// The bytes of these calls.
    pub max_queued_bytes: usize,
    /// The bytes that wait for one neighbour.
    pub max_output: usize,
    /// The bytes of messages that have begun to arrive.
    pub max_reassembly: usize,
    /// How long a neighbour may take nothing of what waits for it.
    pub stall_timeout: Duration,
    /// The contexts that are connected at the same time.
    pub max_connecting: usize,
}

impl BoundsReport {
    pub(super) fn of(core: &Core) -> Self {
        let bounds = core.bounds();
        Self {
            max_message_size: core.identity().max_message_size,
            max_pending_calls: bounds.pending_calls,
            max_queued_calls: bounds.queued_calls,
            max_queued_bytes: bounds.queued_bytes,
            max_output: bounds.output,
            max_reassembly: bounds.reassembly,
            stall_timeout: bounds.stall,
            max_connecting: bounds.connecting,
        }
    }
}

/// What a pool does and has done; see [`PoolStats`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolReport {
    /// The number of threads.
    pub threads: usize,
    /// The calls and functions that wait for a thread.
    pub queued: usize,
    /// The calls that have arrived and are not answered, this one included.
    pub in_flight: usize,
    /// The bytes of their messages.
    pub in_flight_bytes: usize,
    /// The calls whose time was over before a thread took them.
    pub late: u64,
    /// The results that invokers keep.
    pub cached: usize,
    /// The bytes that these take.
    pub cached_bytes: usize,
    /// The methods that have been called, by service and name.
    pub methods: Vec<MethodStatsReport>,
}

impl From<PoolStats> for PoolReport {
    fn from(stats: PoolStats) -> Self {
        let PoolStats { threads, queued, in_flight, in_flight_bytes, late, cached, cached_bytes, methods } = stats;
        let methods = methods.into_iter().map(MethodStatsReport::from).collect();
        Self { threads, queued, in_flight, in_flight_bytes, late, cached, cached_bytes, methods }
    }
}

/// What is known of the calls of one method; see [`MethodStats`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodStatsReport {
    /// The canonical name of the service.
    pub service: String,
    /// The name of the method.
    pub method: String,
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

impl From<MethodStats> for MethodStatsReport {
    fn from(stats: MethodStats) -> Self {
        let MethodStats { service, method, calls, failed, p50, p90, p99, max } = stats;
        Self { service: service.to_owned(), method: method.to_owned(), calls, failed, p50, p90, p99, max }
    }
}
