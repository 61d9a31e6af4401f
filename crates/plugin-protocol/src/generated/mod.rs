//! Messages, clients and servers of every package on the wire, made from the files in `proto` by
//! `cargo run -p strongroom-plugin-protocol --example generate`. A test fails when they are stale.
#![expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "this code is made by a generator"
)]

/// Package `logical`: words shared with the rest of the server, and `PluginVersion`.
#[rustfmt::skip]
pub mod logical;

/// Package `pb`: a backend, its storage, its view of the system, events and observations.
#[rustfmt::skip]
pub mod pb;

/// Package `plugin`: the broker, the controller and the standard streams of go-plugin.
#[rustfmt::skip]
pub mod plugin;

/// Package `grpc.health.v1`: health checks.
#[rustfmt::skip]
#[path = "grpc.health.v1.rs"]
pub mod health;

/// Package `pluginutil.multiplexing`: whether one process serves many mounts.
#[rustfmt::skip]
#[path = "pluginutil.multiplexing.rs"]
pub mod multiplexing;

/// Package `strongroom.v1`: what only Strongroom peers offer each other.
#[rustfmt::skip]
#[path = "strongroom.v1.rs"]
pub mod strongroom;
