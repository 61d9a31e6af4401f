//! Outside systems for the tests of engines: they listen on this machine, keep state, obey the clock
//! they are given, refuse what the real ones refuse and in their words, and fail when they are told
//! to. A mock remembers calls; a fake behaves.
//!
//! - [`nomad`]: the ACL system of HashiCorp Nomad
//! - [`tls`]: an authority, and certificates of servers and clients
//! - [`hostile`]: a server that says what no honest one would
//! - `serve`: the listening that all of them share
//!
//! `cargo run -p strongroom-fakes --example nomad` starts one to try an engine with.
#![deny(missing_docs)]

pub mod hostile;
pub mod nomad;
mod serve;
pub mod tls;
