//! Typed client of the HTTP API, used by the command line, the agent and tests. It speaks to
//! Strongroom as well as to Vault and OpenBao.
//!
//! It knows the API's words and nothing of terminals, files of tokens or environment variables:
//! whoever makes a [`Client`] says in a [`ClientConfig`] where the server is and who is asking.
//!
//! In reading order:
//!
//! - [`config`]: [`ClientConfig`], what a client is made with
//! - [`client`]: [`Client`]: read, write, list and delete at any path
//! - [`response`]: [`SecretResponse`], the envelope; data stays raw JSON, so numbers keep their digits
//! - [`error`]: [`Error`]; what a server refused is printed as Vault's tools print it
//! - [`sys`]: the server itself: seal, mounts, policies, leases, plug-ins
//! - [`token`]: making, renewing and revoking tokens
//! - [`login`]: getting a token from an auth method
//! - [`kv`]: which version of the key-value engine is behind a path
//! - [`wrapping`]: getting at a wrapped answer
//! - [`dry_run`]: calls that are shown instead of sent
//! - [`mod@unreachable`]: why a server could not be reached
//! - `send`: attempts, the one redirect that is followed, and bounds
//! - `tls`: certificates
#![deny(missing_docs)]

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
