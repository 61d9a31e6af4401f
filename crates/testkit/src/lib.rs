//! A whole server in a test. Everything is real: the programs of this repository run as processes,
//! are asked over HTTP, and can be killed at any moment.
//!
//! - [`programs`]: the binaries of this build, and those made of Go
//! - [`server`]: [`ServerProcess`], a server over a folder that outlives it
//! - [`api`]: [`ApiClient`], requests in JSON
//! - [`features`]: what is built, and what tests wait for
//! - [`interpreted`]: programs in Python and Node
//! - [`external_service`]: the token service with a count of its own
//! - [`wait`]: waiting for what must come true
//!
//! It is for tests alone, so it panics where something else than the tested thing fails.
#![deny(missing_docs)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of tests fails by ending the test"
)]

pub mod api;
pub mod external_service;
pub mod features;
pub mod interpreted;
pub mod programs;
pub mod server;
pub mod wait;

pub use api::{ApiClient, ApiResponse};
pub use external_service::ExternalTokenService;
pub use server::{ServerFolder, ServerProcess};
