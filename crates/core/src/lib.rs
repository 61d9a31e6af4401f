//! The core routes each request to the engine mounted at its path and enforces authentication,
//! policies and lease lifetimes. Every credential that an engine returns gets a lease before the
//! response leaves; the core then renews and revokes it.
//!
//! In reading order:
//!
//! - [`request`]: the request `http` passes in and the response it gets back; [`error`]: the error
//!   of a failed request
//! - [`admission`]: limits on concurrent requests, checked from the request's head
//! - [`core`]: [`Core`], sealed or unsealed, and [`SealedPaths`], served in either state
//! - [`stages`]: what a request is at each step of the pipeline; [`path_access`]: how a path is
//!   authorized
//! - [`unsealed`]: [`UnsealedCore`], the services that exist only while the keys are in memory, and
//!   [`Backend`], what handles the requests below a mount
//! - [`pipeline`]: the steps that a request passes through
//! - `engine_backend`: the [`Backend`] of every mount that has an engine
//! - [`leases`], [`tokens`], [`logins`], [`wrapping`], [`unmount`]: the services
//! - [`refusal_log`]: rate-limited log lines about refused requests
//! - [`responses`], [`auth_response`]: constructors of common responses
//!
//! The mount table, the engines behind it and the plug-in catalog are in [`strongroom_mounts`].
//!
//! Invariants: the core names no engine, no concrete store and no built-in backend; it is given
//! implementations of traits such as [`Backend`] and
//! [`strongroom_mounts::plugins::PluginLauncher`]. A request feature that restricts or redirects and
//! is not implemented is refused, never ignored.

pub mod admission;
pub mod auth_response;
pub mod background;
mod cluster;
pub mod core;
pub mod cubbyhole_store;
mod detached;
mod engine_backend;
pub mod error;
pub mod headers;
pub mod init;
pub mod kind_readings;
pub mod leases;
pub mod logins;
pub mod metrics_response;
pub mod path_access;
mod periodic_calls;
pub mod pipeline;
pub mod refusal_log;
mod remount_task;
pub mod request;
mod request_ids;
pub mod request_span;
pub mod responses;
pub mod seal_request;
pub mod settings;
mod special_paths;
pub mod stages;
pub mod storage_views;
pub mod tokens;
pub mod unmount;
pub mod unsealed;
pub mod wrapping;

pub use admission::{AdmissionLimits, RequestHead, RequestPermit};
pub use error::Error;
pub use request::{
    CoreRequest, CoreResponse, HeaderSource, RequestHeaders, ResponseEnvelope, Verb,
};
pub use settings::{CoreDependencies, Settings};
pub use unsealed::UnsealedCore;
pub use unsealed::backend::{Backend, BuiltInMount};

pub use crate::core::{BuiltIns, Core, SealedPaths};
