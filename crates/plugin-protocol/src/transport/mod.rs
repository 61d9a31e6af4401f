//! gRPC over HTTP/2 over TLS over a socket of this machine.
//!
//! - [`folder`]: [`SocketFolder`], where sockets lie and nobody else can reach them
//! - [`security`]: [`TransportSecurity`], TLS in all modes but one
//! - [`services`]: [`GrpcServices`], what one connection is offered
//! - [`listener`]: [`PluginListener`], accepts and serves
//! - [`channel`]: [`Channel`], calls over one connection that is never made again
//! - [`error`]: what a call that failed says of the connection, and whether the peer had seen it
//!
//! Below them `cork` puts many small writes into one, `body` carries messages in both directions,
//! `status` judges how an answer says that a call went, and `deadline` keeps what a caller said about
//! time.
//!
//! Listener and channel stand on `h2` itself. A client stack between caller and socket costs a
//! task and two hand-overs a call, more than all the rest of it, and dials again by itself where
//! it must not: a lost connection means that the process at its other end is gone.

mod body;
pub mod channel;
mod deadline;
pub mod error;
pub mod folder;
pub mod listener;
pub mod security;
pub mod services;
mod status;
#[cfg(test)]
mod tests;
mod write_coalescer;

use std::time::Duration;

pub use channel::{Channel, ConnectError};
pub use error::{Delivery, TransportError};
pub use folder::SocketFolder;
pub use listener::{BindError, PluginListener};
pub use security::TransportSecurity;
pub use services::{AnySize, GrpcServices};

/// The longest that connecting or being connected to may take, up to the first frame of HTTP/2.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What one message may have on its way unread. Larger ones pass too, a window at a time.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// What all messages of a connection together may have on their way unread.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Of what we take; grpc-go sends 16 KiB whatever we say.
const MAX_FRAME_BYTES: u32 = 64 << 10;
/// Error texts travel as headers.
const MAX_HEADER_BYTES: u32 = 1 << 20;
/// Calls at once on one connection; further ones wait at the caller's end.
const MAX_STREAMS: u32 = 4096;
/// Calls that were given up before they were looked at. Past the bound the connection ends, and
/// with it the process, so it is far beyond what an honest host does in a bad moment.
const MAX_PENDING_RESETS: usize = 4096;
/// Calls that were given up and may still be answered.
const MAX_RESET_STREAMS: usize = 1024;
/// How much a call may have waiting for the connection before its sender must wait.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// Read from the socket at once; TLS alone would take a page at a time.
const READ_BUFFER_BYTES: usize = 32 << 10;
