//! Engines over the plug-in wire, in both directions.
//!
//! - [`convert`]: requests, responses and errors to messages and back
//! - `logins`: the same for logins
//! - `failures`: calls that got no reply
//! - [`remote_engine`]: [`RemoteEngine`], an engine in another process, as the host sees it
//! - [`mod@host_services`]: the storage and system services a host offers to an engine
//! - `backend_service`: an engine, as a host sees it
//! - `remote_host`: a host's storage and system, as an engine sees them

pub(crate) mod backend_service;
pub mod convert;
pub(crate) mod failures;
#[cfg(test)]
mod fuzzed;
mod headers;
pub mod host_services;
mod logins;
pub mod remote_engine;
pub(crate) mod remote_host;

pub use failures::words_of_peer;
pub use host_services::{HostFacts, host_services, probe_services};
pub use remote_engine::{RemoteEngine, SetUp, SetUpError};

/// The metadata of a request in which a Strongroom host tells the mount's lifetimes, so that an
/// engine need not ask for them each time: `<default>,<longest>` in seconds.
pub(crate) const LIFETIMES: &str = "strongroom-lifetimes";

/// The metadata with which an engine of ours says, beside its type, that it is exclusive. Other
/// hosts don't look.
pub(crate) const EXCLUSIVE: &str = "strongroom-exclusive";

/// The metadata with which an engine of ours says, beside its special paths, which of its paths it
/// folds: patterns, one a line, in UTF-8. Without it a host takes case for unknown. Other hosts don't
/// look.
pub(crate) const FOLDED_PATHS: &str = "strongroom-folded-paths-bin";

/// The operation by which OpenBao 2.7 asks an engine for the canonical form of a path
/// (openbao#4065). Its text isn't known here, so it is none and no plug-in is asked: what doesn't
/// declare [`FOLDED_PATHS`] is treated as unable to tell.
#[expect(dead_code, reason = "the text has to be read from OpenBao's SDK first")]
pub(crate) const RESOLVE_PATH_OPERATION: Option<&str> = None;

/// The answer header that carries [`Data::refresh`](crate::engine::Data::refresh), for which the
/// wire has no field. Servers pass on only headers that an operator allowed.
pub(crate) const REFRESH: &str = "strongroom-refresh";
