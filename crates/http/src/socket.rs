//! [`ListenerSocket`]: a listening TCP or Unix socket.

use std::io;
use std::net::SocketAddr;

use strongroom_engine::ConnectionInfo;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A bound socket that is ready to accept connections.
#[derive(Debug)]
pub enum ListenerSocket {
    /// A TCP socket, bound to a host and port.
    Tcp(TcpListener),
    /// A Unix socket file. Its clients have no address.
    Unix(UnixListener),
}

pub(crate) enum AcceptedStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl ListenerSocket {
    /// Waits for the next connection; returns it with the client's address, if it has one.
    pub(crate) async fn accept(&self) -> io::Result<(AcceptedStream, Option<ConnectionInfo>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Disables Nagle's algorithm, so that small responses are sent at once; failing to
                // only costs latency.
                let _ = stream.set_nodelay(true);
                Ok((AcceptedStream::Tcp(stream), Some(client_address(peer))))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((AcceptedStream::Unix(stream), None))
            }
        }
    }
}

/// A dual-stack socket (`:8200`) reports IPv4 addresses in their IPv6-mapped form; logs and engines
/// get the plain one.
fn client_address(peer: SocketAddr) -> ConnectionInfo {
    ConnectionInfo::new(peer.ip().to_canonical(), peer.port())
}

impl From<TcpListener> for ListenerSocket {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for ListenerSocket {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_own_address_on_a_socket_for_both_families() {
        for (peer, address) in [
            ("[::ffff:10.0.0.1]:7", "10.0.0.1"),
            ("10.0.0.1:7", "10.0.0.1"),
            ("[2001:db8::1]:7", "2001:db8::1"),
        ] {
            let client = client_address(peer.parse().unwrap());
            assert_eq!((client.address.to_string().as_str(), client.port), (address, 7));
        }
    }
}
