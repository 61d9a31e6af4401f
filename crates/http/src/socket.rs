//! [`Socket`]: TCP, or a file in the file system.

use std::io;

use strongroom_sdk::engine::Connection;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A bound socket.
#[derive(Debug)]
pub enum Socket {
    /// Host and port.
    Tcp(TcpListener),
    /// A socket file. Its clients have no address.
    Unix(UnixListener),
}

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// The next connection, and the client's end of it.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<Connection>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Small answers should leave at once; failing to say so costs only time.
                let _ = stream.set_nodelay(true);
                let peer = Connection { address: peer.ip(), port: peer.port() };
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }
}

impl From<TcpListener> for Socket {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Socket {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}
