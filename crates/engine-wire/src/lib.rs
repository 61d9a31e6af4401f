//! The engine interface over the plug-in protocol of Vault, in both directions: an engine in another
//! process implements [`Engine`](strongroom_engine::Engine) for the host, and the host implements
//! [`Storage`](strongroom_engine::Storage) and [`SystemView`](strongroom_engine::SystemView) for the
//! engine.
//!
//! Sockets, handshake and messages are those of `strongroom-plugin-protocol`. This crate starts no
//! process: the plug-in host does, and in the plug-in `strongroom_sdk::serve`.
//!
//! Used by a host:
//!
//! - `remote_engine`: [`RemoteEngine`], the host's view of an engine in another process
//! - `host_services`: the storage and system services that a host offers to an engine
//!
//! Used by a plug-in:
//!
//! - `backend_service`: [`BackendService`], the service by which a host calls the engine
//! - `remote_host`: the engine's view of the host's storage and system services
//!
//! Used by both:
//!
//! - `convert`: conversion of requests, responses and errors to and from messages
//! - `auth`, `headers`, `identity`, `primitives`: the same for logins, headers, entities, JSON
//!   objects and lifetimes
//! - `call_errors`: errors of calls that got no reply

mod auth;
mod backend_service;
mod call_errors;
mod convert;
#[cfg(test)]
mod fuzz_round_trip;
mod headers;
mod host_services;
mod identity;
mod primitives;
mod remote_engine;
mod remote_host;

pub use backend_service::BackendService;
pub use call_errors::peer_error_text;
pub use host_services::{HostFacts, host_services, probe_services};
pub use remote_engine::{InstanceSetup, InstanceSetupError, RemoteEngine};

/// The metadata of a request with which a Strongroom host sends the mount's lifetimes, so that an
/// engine need not query them each time: `<default>,<maximum>` in seconds.
pub(crate) const LIFETIMES_METADATA: &str = "strongroom-lifetimes";

/// The metadata with which an engine of this SDK declares, beside its type, that it is exclusive.
/// Other hosts ignore it.
pub(crate) const EXCLUSIVE_METADATA: &str = "strongroom-exclusive";

/// The metadata with which an engine of this SDK declares, beside its special paths, which of its
/// paths are case-insensitive: patterns, one per line, in UTF-8. Without it a host treats case as
/// unknown. Other hosts ignore it.
pub(crate) const FOLDED_PATHS_METADATA: &str = "strongroom-folded-paths-bin";

/// The operation with which OpenBao 2.7 queries an engine for the canonical form of a path
/// (openbao#4065). Its text isn't known yet, so no plug-in is queried: one that doesn't declare
/// [`FOLDED_PATHS_METADATA`] is treated as not declaring them.
#[expect(dead_code, reason = "the text has to be read from OpenBao's SDK first")]
pub(crate) const RESOLVE_PATH_OPERATION: Option<&str> = None;

/// The response header that carries
/// [`DataResponse::refresh`](strongroom_engine::DataResponse::refresh), for which the protocol has no
/// field. Servers pass on only headers that an operator allowed.
pub(crate) const REFRESH_HEADER: &str = "strongroom-refresh";
