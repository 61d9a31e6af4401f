//! The core routes each request to the engine mounted at its path and enforces authentication,
//! policies and lease lifetimes. Every credential that an engine returns gets a lease before the
//! response leaves; the core then renews and revokes it.
//!
//! In reading order:
//!
//! - [`request`]: the request `http` passes in and the response it gets back; [`error`]: the error
//!   of a failed request
//! - [`admission`]: limits on concurrent requests, checked from the request's head
//! - [`core`]: [`Core`], sealed or unsealed; [`status`]: the paths that are also served while
//!   sealed
//! - [`unsealed`]: [`unsealed::UnsealedCore`], everything that exists only while the keys are in
//!   memory
//! - [`pipeline`]: the steps that a request passes through
//! - [`mounts`], [`plugins`]: the mount table, and the plug-in catalog and launcher
//! - [`leases`]: issuing, renewing and revoking leases
//! - `refusal_log`: rate-limited log lines about refused requests
//! - [`wrapping`]: response wrapping
//! - [`auth_token`], [`cubbyhole`], [`sys`]: the paths the core serves itself, a file per group
//!
//! Invariants: the core names no engine, no store and no HTTP type; it defines the traits it needs
//! ([`plugins::PluginLauncher`]) and is given the implementations. A request feature that restricts
//! or redirects and is not implemented is refused, never ignored.
//!
//! # Add a sys path
//!
//! 1. Write the handler beside its group in `sys/`, with its input as a derived `Input`.
//! 2. Add an `ApiEndpoint` to the group's `ENDPOINTS`: pattern, help, handlers, fields and access.
//!    If the path requires `sudo`, add it to `ROOT_PATHS` in `root_paths.rs`.
//! 3. Test it in `crates/core/src/tests/`, and record its responses in `tests/golden`.

pub mod admission;
mod auth_response;
pub mod auth_token;
mod background;
mod built_ins;
mod cluster;
pub mod core;
pub mod cubbyhole;
mod cubbyhole_store;
mod detached;
pub mod endpoint;
mod endpoint_docs;
mod endpoint_readings;
mod engine_backend;
pub mod error;
mod headers;
pub mod init;
mod kind_readings;
pub mod leases;
pub(crate) mod logins;
pub mod mounts;
mod path_access;
mod periodic_calls;
pub mod pipeline;
pub mod plugins;
mod refusal_log;
mod remount_task;
pub mod request;
mod request_ids;
mod responses;
mod root_paths;
mod seal_request;
pub mod settings;
mod special_paths;
mod stages;
pub mod status;
mod storage_views;
pub mod sys;
#[cfg(test)]
mod tests;
mod tokens;
mod unmount;
pub mod unsealed;
pub mod wrapping;

pub use crate::core::{BuiltIns, Core};
pub use admission::{AdmissionLimits, RequestHead, RequestPermit};
pub use built_ins::BUILT_INS;
pub use error::Error;
pub use request::{
    CoreRequest, CoreResponse, HeaderSource, RequestHeaders, ResponseEnvelope, Verb,
};
pub use settings::{CoreDependencies, Settings};
