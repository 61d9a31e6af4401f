//! The whole, from outside: programs of this repository as processes, clients and plug-ins of
//! others, and death at any moment.
//!
//! - [`approle`]: logins of machines with secret ids
//! - [`api_token_engine`]: the engine most of them use
//! - [`crate_dependencies`]: which crate may import which
//! - [`book`]: what the book links to is there
//! - [`tutorial`]: the book's tutorial, as a reader types it
//! - [`deploy`]: the manifests, the image and the unit that the server is run with
//! - [`openapi`]: the OpenAPI document, as a validator reads it
//! - [`demo`]: the founding guide, as `make demo` plays it
//! - [`plugins`]: engines in processes: crash, reload, what the log shows
//! - [`plugin_docs`]: the pages that `strongroom plugin docs` writes
//! - [`plugin_new`]: the crates that `strongroom plugin new` creates
//! - [`python_plugin`]: the example of a plug-in in Python
//! - [`rabbitmq_engine`]: users of a real RabbitMQ, under our server and under those of others
//! - [`interop`]: Go, Python and Node clients, Go plug-ins, Go hosts
//! - [`peers`]: our engines and auth methods under a real server of others
//! - [`rust_client`]: a Rust client of others
//! - [`key_shares`]: the arithmetic of key shares is what it was read to be
//! - [`control_plane_attack`]: a published chain of weaknesses, link by link
//! - [`crash_writes`]: the server killed under load
//! - [`resident_memory`]: what many clients make a server hold stays within bounds
//! - [`sealed_memory`]: no key in the memory of a sealed server
//! - [`userpass`]: logins with passwords, and users that are locked
//! - [`wrapping`]: a hundred clients with one wrapping token
//! - [`crash_issuing`]: server and plug-in killed between the steps of issuing a credential

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests fails by ending the test"
)]

mod api_token_engine;
mod approle;
mod book;
mod control_plane_attack;
mod crash_issuing;
mod crash_writes;
mod crate_dependencies;
mod demo;
mod deploy;
mod interop;
mod key_shares;
mod kubernetes;
mod ldap;
mod openapi;
mod peers;
mod plugin_docs;
mod plugin_new;
mod plugins;
mod python_plugin;
mod rabbitmq_engine;
mod resident_memory;
mod rust_client;
mod sealed_memory;
mod totp_engine;
mod tutorial;
mod userpass;
mod wrapping;
