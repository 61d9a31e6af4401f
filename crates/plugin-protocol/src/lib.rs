//! The protocol between a secrets server and its plug-ins, compatible with go-plugin and Vault's
//! SDK: messages, handshake, AutoMTLS and broker. Both the host and the plug-in side use this
//! crate.
//!
//! It starts no process, does not read the environment, and knows neither engines nor requests: the
//! meaning of the messages is up to its users. It supports versions 3, 4 and 5 of the backend
//! protocol; the request for a certificate with which versions 3 and 4 begin is made by the plug-in
//! itself. Not supported: broker traffic multiplexed on the main connection, and database plug-ins.
//!
//! In reading order:
//!
//! - [`handshake`]: magic cookie, environment variables, versions, and the line that a plug-in
//!   writes when it is ready
//! - [`address`]: the address that a peer listens on
//! - [`tls`]: mutual TLS with a [`TlsIdentity`](tls::TlsIdentity) for each side, or one for both;
//!   no other certificate is accepted
//! - [`transport`]: [`PluginListener`](transport::PluginListener) and
//!   [`Channel`](transport::Channel), gRPC over a local socket
//! - [`broker`]: the second connection, on which the host serves an instance
//! - [`metadata`]: the instance that a call is for
//! - [`generated`]: messages, clients and servers, generated from the files in `proto`
//! - [`values`]: fields of the messages whose meaning differs from their type
//! - [`log_line`]: the log lines that plug-ins write to standard error
//! - [`tasks`]: the background tasks of a connection, and how they are ended
// The fuzz targets' checks name this crate from outside, as `strongroom_plugin_protocol`.
#[cfg(test)]
extern crate self as strongroom_plugin_protocol;

pub mod address;
pub mod broker;
pub mod codec;
pub mod generated;
pub mod handshake;
pub mod log_line;
pub mod metadata;
mod redact;
pub mod tasks;
pub mod tls;
pub mod transport;
pub mod values;

#[cfg(test)]
mod fuzzed;
