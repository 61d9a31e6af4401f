//! Typed client of the HTTP API, used by the command line, the agent and tests. It connects to
//! Strongroom as well as to Vault and OpenBao.
//!
//! It doesn't use terminals, token files or environment variables: the caller that creates a
//! [`Client`] passes the server's address and the token in a [`ClientConfig`].
//!
//! In reading order:
//!
//! - [`config`]: [`ClientConfig`]: address, token, TLS settings and limits
//! - [`client`]: [`Client`]: read, write, list and delete at any path
//! - [`response`]: [`SecretResponse`], the envelope; data stays raw JSON, so numbers keep their
//!   digits
//! - [`error`]: [`Error`]; a server's error response is displayed as Vault's tools display it
//! - [`sys`]: the server itself: seal, mounts, policies, leases, plug-ins
//! - [`token`]: creating, renewing and revoking tokens
//! - [`login`]: logging in with an auth method
//! - [`kv`]: which version of the key-value engine serves a path
//! - [`wrapping`]: unwrapping wrapped responses
//! - [`dry_run`]: requests that are recorded instead of sent
//! - [`mod@unreachable`]: why a server could not be reached
//! - `send`: retries, the single redirect that is followed, and the response size limit
//! - `tls`: certificates
pub mod client;
pub mod config;
pub mod dry_run;
pub mod error;
pub mod kv;
pub mod login;
pub mod response;
mod send;
pub mod sys;
mod tls;
pub mod token;
pub mod unreachable;
pub mod wrapping;

pub use client::{Client, ListPage, Query};
pub use config::{ClientConfig, ClientTlsConfig, PemSource};
pub use dry_run::{DryRun, DryRunRequest};
pub use error::{ApiError, Error};
pub use response::{SecretAuth, SecretResponse, SecretWrapInfo};
pub use unreachable::UnreachableReason;

#[cfg(test)]
mod tests;
