//! gRPC over HTTP/2, over TLS on a local socket.
//!
//! - [`folder`]: [`SocketFolder`], a private folder for sockets
//! - [`security`]: [`TransportSecurity`], TLS in all modes but one
//! - [`services`]: [`GrpcServices`], the services on one connection
//! - [`listener`]: [`PluginListener`] accepts connections and serves them
//! - [`channel`]: [`Channel`] makes calls over one connection, which is never re-established
//! - [`error`]: the errors of failed calls, and whether the peer may have received them
//!
//! Private modules: `write_coalescer` combines small writes, `body` transfers messages in both
//! directions, `status` validates the gRPC status of responses, and `deadline` enforces the
//! deadlines of calls.
//!
//! Listener and channel use `h2` directly. A client stack in between would cost a task and two
//! hand-overs for each call, more than everything else together. It would also reconnect by itself,
//! which is wrong here: a lost connection means that the process at its other end has ended.

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

/// How long connecting or accepting may take, up to the first HTTP/2 frame.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How many bytes of one message may be received unread. Larger messages pass too, a window at a
/// time.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// How many bytes of all messages on a connection may be received unread.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The frame size that this side accepts; grpc-go sends 16 KiB frames in any case.
const MAX_FRAME_BYTES: u32 = 64 << 10;
/// Large enough for error texts, which are sent as headers.
const MAX_HEADER_BYTES: u32 = 1 << 20;
/// The maximum number of concurrent calls on one connection; further calls wait at the caller's
/// side.
const MAX_STREAMS: u32 = 4096;
/// The maximum number of calls that were cancelled before this side processed them. Beyond it the
/// connection is closed, and the process is considered lost, so it far exceeds what a well-behaved
/// host causes.
const MAX_PENDING_RESETS: usize = 4096;
/// The maximum number of cancelled calls that may still receive a response.
const MAX_RESET_STREAMS: usize = 1024;
/// How many bytes a call may buffer for the connection before its sender must wait.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// How much is read from the socket at once; TLS alone would read about a page.
const READ_BUFFER_BYTES: usize = 32 << 10;
