//! The core: a router with a conscience. A request comes in, is tied to a token, checked against
//! policies and handed to whichever engine is mounted at its path; if the engine answers with a
//! credential, the core ties a lease to it and from then on is responsible that it ends.
//!
//! In reading order:
//!
//! - [`request`]: what `http` hands in and gets back; [`error`]: what a failed request says
//! - [`admission`]: whether a request is worked on, decided from its head
//! - [`core`]: [`Core`], sealed or unsealed; [`status`]: what it answers while sealed
//! - [`unsealed`]: [`unsealed::UnsealedCore`], all that exists only while the keys are in memory
//! - [`pipeline`]: one request, step by step
//! - [`mounts`], [`plugins`]: which engine answers where, and who starts it
//! - [`leases`]: issuing, renewing and ending
//! - `refusals`: what is refused, in the log
//! - [`wrapping`]: answers kept for whoever holds a token that works once
//! - [`auth_token`], [`cubbyhole`], [`sys`]: the paths the core answers itself, a file per group
//!
//! Invariants: the core names no engine, no store and no HTTP; it defines what it needs
//! ([`plugins::PluginLauncher`]) and is given it. Whatever restricts and isn't built is refused.
//!
//! # Add a sys path
//!
//! 1. Write the handler beside its group in `sys/`, with its input as a derived `Input`.
//! 2. Add an `ApiEndpoint` to the group's `ENDPOINTS`: pattern, handlers, fields, and whether it is
//!    root-protected.
//! 3. Test it in `crates/core/src/tests/`, and record its answers in `tests/golden`.

pub mod admission;
pub mod auth_token;
pub mod core;
pub mod cubbyhole;
pub mod endpoint;
pub mod error;
mod field_readings;
mod headers;
pub mod init;
pub mod leases;
pub(crate) mod logins;
pub mod mounts;
pub mod pipeline;
pub mod plugins;
mod refusal_log;
pub mod request;
mod request_ids;
mod root_paths;
pub mod settings;
pub mod status;
pub mod sys;
#[cfg(test)]
mod tests;
mod unmount;
pub mod unsealed;
pub mod wrapping;

pub use crate::core::Core;
pub use admission::{AdmissionLimits, RequestHead, RequestPermit};
pub use error::Error;
pub use request::{
    CoreRequest, CoreResponse, HeaderSource, RequestHeaders, ResponseEnvelope, Verb,
};
pub use settings::{CoreDependencies, Settings};
