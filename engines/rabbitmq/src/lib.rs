//! Creates users of RabbitMQ. Each user exists as long as its lease.
//!
//! Paths, as in Vault's engine of this name: `config/connection` (the address of RabbitMQ's
//! management API and an administrator), `config/lease` (default lifetimes), `roles/:name` (tags,
//! permissions and limits of a user), `creds/:name` (a new user). In addition, `static-roles/:name`
//! and `static-creds/:name` (users that exist already, with a password that is rotated), and
//! `config/rotate-root`, which replaces the administrator's password. Guide and API reference:
//! `docs/src/engines/rabbitmq.md`.
//!
//! - `api`: requests to RabbitMQ's management API
//! - `connection`: how to connect to RabbitMQ, and the passwords of new users
//! - `role`: tags, permissions, limits and lifetimes of a user
//! - `user`: creating and deleting users, and cleaning up after a crash
//! - `static_user`: users whose passwords are rotated
//! - `rotate_root`: replacing the administrator's password
mod api;
mod connection;
mod role;
mod rotate_root;
mod static_user;
mod user;

use strongroom_sdk::Blueprint;
use strongroom_sdk::http::HttpClient;

use crate::connection::ConnectionConfig;
use crate::role::{LeaseConfig, Role};
use crate::rotate_root::RotateRoot;
use crate::static_user::StaticUser;
use crate::user::RabbitUser;

/// The name of the outside system in errors.
const SYSTEM: &str = "rabbitmq";

/// The blueprint of the engine, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    Blueprint::new("rabbitmq", env!("CARGO_PKG_VERSION"))
        .help("Creates users of RabbitMQ and deletes them when their leases end.")
        .document::<ConnectionConfig>()
        .document::<LeaseConfig>()
        .document::<Role>()
        .credential(RabbitUser(HttpClient::new(SYSTEM)))
        .static_credential(StaticUser(HttpClient::new(SYSTEM)))
        .durable_action(RotateRoot(HttpClient::new(SYSTEM)))
}
