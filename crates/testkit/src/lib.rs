//! Runs a whole server in a test. Nothing is simulated: this repository's programs run as
//! processes, receive requests over HTTP, and can be killed at any time.
//!
//! - [`programs`]: the binaries of this build, and programs in Go
//! - [`server`]: [`ServerProcess`], a server whose folder outlives it
//! - [`api`]: [`ApiClient`], requests in JSON
//! - [`features`]: which features are implemented, and which ones tests wait for
//! - [`interpreted`]: programs in Python and Node
//! - [`external_service`]: the token service, with counters
//! - [`openldap`]: a real OpenLDAP
//! - [`rabbitmq`]: a real RabbitMQ
//! - [`wait`]: waiting for a condition
//!
//! It is only for tests, so it panics if something other than the tested behaviour fails.
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
pub mod openldap;
pub mod programs;
pub mod rabbitmq;
pub mod server;
pub mod wait;

pub use api::{ApiClient, ApiResponse};
pub use external_service::ExternalTokenService;
pub use openldap::OpenLdap;
pub use rabbitmq::RabbitMq;
pub use server::{ServerFolder, ServerProcess};
