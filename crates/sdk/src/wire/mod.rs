//! Engines over the plug-in wire, in both directions.
//!
//! - [`convert`]: requests, responses and errors to messages and back
//! - `logins`: the same for logins
//! - `failures`: calls that got no reply
//! - [`remote_engine`]: [`RemoteEngine`], an engine in another process, as the host sees it
//! - [`mod@host_services`]: the storage and system services a host offers to an engine
//! - `backend_service`: an engine, as a host sees it
//! - `remote_host`: a host's storage and system, as an engine sees them

mod auth;
pub(crate) mod backend_service;
pub(crate) mod call_errors;
pub mod convert;
#[cfg(test)]
mod fuzz_round_trip;
mod headers;
pub mod host_services;
pub mod remote_engine;
pub(crate) mod remote_host;

pub use call_errors::peer_error_text;
pub use host_services::{HostFacts, host_services, probe_services};
pub use remote_engine::{InstanceSetup, InstanceSetupError, RemoteEngine};

/// The metadata of a request in which a Strongroom host tells the mount's lifetimes, so that an
/// engine need not ask for them each time: `<default>,<longest>` in seconds.
pub(crate) const LIFETIMES_METADATA: &str = "strongroom-lifetimes";

/// The metadata with which an engine of ours says, beside its type, that it is exclusive. Other
/// hosts don't look.
pub(crate) const EXCLUSIVE_METADATA: &str = "strongroom-exclusive";

/// The metadata with which an engine of ours says, beside its special paths, which of its paths it
/// folds: patterns, one a line, in UTF-8. Without it a host takes case for unknown. Other hosts don't
/// look.
pub(crate) const FOLDED_PATHS_METADATA: &str = "strongroom-folded-paths-bin";

/// The operation by which OpenBao 2.7 asks an engine for the canonical form of a path
/// (openbao#4065). Its text isn't known here, so it is none and no plug-in is asked: what doesn't
/// declare [`FOLDED_PATHS_METADATA`] is treated as unable to tell.
#[expect(dead_code, reason = "the text has to be read from OpenBao's SDK first")]
pub(crate) const RESOLVE_PATH_OPERATION: Option<&str> = None;

/// The answer header that carries [`DataResponse::refresh`](crate::engine::DataResponse::refresh), for which the
/// wire has no field. Servers pass on only headers that an operator allowed.
pub(crate) const REFRESH_HEADER: &str = "strongroom-refresh";
