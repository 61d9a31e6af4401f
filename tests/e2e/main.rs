//! The whole, from outside: programs of this repository as processes, clients and plug-ins of
//! others, and death at any moment.
//!
//! - [`engine`]: the engine most of them use
//! - [`arrows`]: which crate may import which
//! - [`book`]: what the book links to is there
//! - [`tutorial`]: the book's tutorial, as a reader types it
//! - [`deploy`]: the manifests, the image and the unit that the server is run with
//! - [`described`]: the OpenAPI document, as a validator reads it
//! - [`demo`]: the founding guide, as `make demo` plays it
//! - [`plugins`]: engines in processes: crash, reload, what the log shows
//! - [`interop`]: Go, Python and Node clients, Go plug-ins, Go hosts
//! - [`rust_client`]: a Rust client of others
//! - [`key_shares`]: the arithmetic of key shares is what it was read to be
//! - [`controlplane`]: a published chain of weaknesses, link by link
//! - [`crash_writes`]: the server killed under load
//! - [`resident_memory`]: what many clients make a server hold stays within bounds
//! - [`sealed_memory`]: no key in the memory of a sealed server
//! - [`wrapping`]: a hundred clients with one wrapping token
//! - [`crash_issuing`]: server and plug-in killed between the steps of issuing a credential

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests fails by ending the test"
)]

mod arrows;
mod book;
mod controlplane;
mod crash_issuing;
mod crash_writes;
mod demo;
mod deploy;
mod described;
mod engine;
mod interop;
mod key_shares;
mod plugins;
mod resident_memory;
mod rust_client;
mod sealed_memory;
mod tutorial;
mod wrapping;
