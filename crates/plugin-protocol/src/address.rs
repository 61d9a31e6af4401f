//! [`PeerAddress`]: the address a peer listens on, in the handshake line and in broker messages.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A Unix socket, or a TCP port on a loopback address. Other addresses are refused, because a peer
/// could otherwise make this process connect to hosts that it can't reach itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(AddressKind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum AddressKind {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// The target for a connection to a [`PeerAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialTarget<'a> {
    /// The absolute path of a Unix socket.
    Unix(&'a Path),
    /// A TCP port on a loopback address.
    Tcp(SocketAddr),
}

/// Why a peer's address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPeerAddress {
    /// The network is neither `unix` nor `tcp`.
    #[error("the network is neither unix nor tcp")]
    Network,
    /// The path is relative, not UTF-8, or has a character that the handshake line can't carry.
    #[error("the socket path is not an absolute path of printable characters")]
    Path,
    /// The path is longer than [`MAX_PATH_BYTES`], the limit of the operating system.
    #[error("the socket path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// The address is not an IP address with a port, or not a loopback address.
    #[error("the TCP address is not a loopback address with a port")]
    Tcp,
}

/// The maximum length of a socket's path in bytes. Linux has room for 108 bytes with the NUL at the
/// end; some systems have less.
pub const MAX_PATH_BYTES: usize = 107;

impl PeerAddress {
    /// Checks the path of a Unix socket: absolute, not too long, and of printable characters.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, InvalidPeerAddress> {
        let path = path.into();
        let text = path.to_str().ok_or(InvalidPeerAddress::Path)?;
        if text.len() > MAX_PATH_BYTES {
            return Err(InvalidPeerAddress::TooLong);
        }
        // A bar would split the handshake line; a control character could end it.
        let printable = !text.chars().any(|c| c == '|' || c.is_control());
        if printable && path.is_absolute() {
            Ok(Self(AddressKind::Unix(path)))
        } else {
            Err(InvalidPeerAddress::Path)
        }
    }

    /// Checks a TCP address: loopback, and with a port other than 0. Any other address is refused
    /// with [`InvalidPeerAddress::Tcp`].
    pub fn tcp(address: SocketAddr) -> Result<Self, InvalidPeerAddress> {
        if address.ip().is_loopback() && address.port() != 0 {
            Ok(Self(AddressKind::Tcp(address)))
        } else {
            Err(InvalidPeerAddress::Tcp)
        }
    }

    /// Parses an address as a peer wrote it, with the network `unix` or `tcp`. Another network is
    /// refused with [`InvalidPeerAddress::Network`].
    pub fn parse(network: &str, address: &str) -> Result<Self, InvalidPeerAddress> {
        match network {
            "unix" => Self::unix(address),
            "tcp" => Self::tcp(address.parse().map_err(|_| InvalidPeerAddress::Tcp)?),
            _ => Err(InvalidPeerAddress::Network),
        }
    }

    /// The network as the wire spells it: `unix` or `tcp`. It is the first argument of
    /// [`PeerAddress::parse`].
    pub fn network(&self) -> &'static str {
        match self.0 {
            AddressKind::Unix(_) => "unix",
            AddressKind::Tcp(_) => "tcp",
        }
    }

    /// The path or the socket address to connect to.
    pub fn dial_target(&self) -> DialTarget<'_> {
        match &self.0 {
            AddressKind::Unix(path) => DialTarget::Unix(path),
            AddressKind::Tcp(address) => DialTarget::Tcp(*address),
        }
    }
}

impl fmt::Display for PeerAddress {
    /// Formats the address without its network, as it is sent on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            AddressKind::Unix(path) => path.display().fmt(f),
            AddressKind::Tcp(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_pass() {
        for (network, address) in [
            ("unix", "/tmp/plugin123"),
            ("unix", "/tmp/a b/ü"),
            ("tcp", "127.0.0.1:10000"),
            ("tcp", "127.8.0.1:1"),
            ("tcp", "[::1]:65535"),
        ] {
            let parsed = PeerAddress::parse(network, address).unwrap();
            assert_eq!((parsed.network(), &*parsed.to_string()), (network, address));
        }
    }

    #[test]
    fn others_are_refused() {
        let long = format!("/{}", "a".repeat(MAX_PATH_BYTES));
        for (network, address, error) in [
            ("unix", "", InvalidPeerAddress::Path),
            ("unix", "plugin123", InvalidPeerAddress::Path),
            ("unix", "@abstract", InvalidPeerAddress::Path),
            ("unix", "/tmp/a|b", InvalidPeerAddress::Path),
            ("unix", "/tmp/a\0b", InvalidPeerAddress::Path),
            ("unix", "/tmp/a\nb", InvalidPeerAddress::Path),
            ("unix", &long, InvalidPeerAddress::TooLong),
            ("tcp", "10.0.0.1:80", InvalidPeerAddress::Tcp),
            ("tcp", "0.0.0.0:80", InvalidPeerAddress::Tcp),
            ("tcp", "localhost:80", InvalidPeerAddress::Tcp),
            ("tcp", "127.0.0.1", InvalidPeerAddress::Tcp),
            ("tcp", "127.0.0.1:0", InvalidPeerAddress::Tcp),
            ("tcp", "127.0.0.1:70000", InvalidPeerAddress::Tcp),
            ("tcp", "[::ffff:10.0.0.1]:80", InvalidPeerAddress::Tcp),
            ("udp", "127.0.0.1:80", InvalidPeerAddress::Network),
            ("", "", InvalidPeerAddress::Network),
            ("Unix", "/tmp/x", InvalidPeerAddress::Network),
        ] {
            assert_eq!(PeerAddress::parse(network, address), Err(error), "{network} {address}");
        }
    }
}
