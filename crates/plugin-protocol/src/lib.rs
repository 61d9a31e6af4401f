//! The wire between a secrets server and its plug-ins, as go-plugin and Vault's SDK speak it:
//! messages, handshake, AutoMTLS, broker. Both the host and the plug-in side stand on this crate.
//!
//! It starts no process, reads no environment, and knows neither engines nor requests: what the
//! messages mean is for those who use it. It has what versions 3, 4 and 5 of backends need; the
//! call for a certificate that versions 3 and 4 begin with is the plug-in's own. Not here: broker
//! traffic that shares the main connection, and databases.
//!
//! In reading order:
//!
//! - [`handshake`]: cookies, variables, versions, and the line that a plug-in writes when it is
//!   ready
//! - [`address`]: where a peer listens
//! - [`tls`]: an [`TlsIdentity`](tls::TlsIdentity) for each side, or one for both, and nothing else
//!   accepted
//! - [`transport`]: [`PluginListener`](transport::PluginListener) and [`Channel`](transport::Channel), gRPC on
//!   a socket of this machine
//! - [`broker`]: the second connection, on which the host serves an instance
//! - [`metadata`]: which instance a call is for
//! - [`generated`]: messages, clients and servers, made from the files in `proto`
//! - [`values`]: what stands in the messages and means something else than it seems
//! - [`log_line`]: what plug-ins write to their standard error
//! - [`tasks`]: who owns the tasks that all this runs on
#![deny(missing_docs)]

// What the fuzz targets check sees the crate as others do.
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
