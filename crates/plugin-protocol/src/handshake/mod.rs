//! The handshake between host and plug-in: a cookie and variables in the environment of the child
//! process, and one line on its standard output.
//!
//! - [`env`](mod@env): the names of the variables, and which of two spellings takes precedence
//! - [`versions`]: the versions that the host offers, and the plug-in's choice
//! - [`mode`]: how the connections are secured, and the one case without TLS
//! - [`line`](mod@line): the handshake line, [`HandshakeLine`]

pub mod env;
pub mod line;
pub mod mode;
pub mod versions;

pub use env::{MagicCookie, ServerVariable};
pub use line::{HandshakeError, HandshakeLine, HandshakePeer};
pub use mode::{HandshakeMode, NoMode, Plaintext};
pub use versions::{OfferedVersions, VersionChoice};
