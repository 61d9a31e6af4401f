//! How host and plug-in find each other: a cookie and variables in the environment of the child,
//! and one line on its standard output.
//!
//! - [`env`](mod@env): names of the variables, and which of two spellings counts
//! - [`versions`]: what the host offers, what the plug-in chooses
//! - [`mode`]: what is to secure the connections, and the one case in which nothing does
//! - [`line`](mod@line): the handshake line, [`HandshakeLine`]

pub mod env;
pub mod line;
pub mod mode;
pub mod versions;

pub use env::{MagicCookie, ServerVariable};
pub use line::{HandshakeError, HandshakeLine, HandshakePeer};
pub use mode::{HandshakeMode, NoMode, Plaintext};
pub use versions::{OfferedVersions, VersionChoice};
