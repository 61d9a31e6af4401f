//! Where a peer listens: in the handshake line, and in the broker's messages.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A unix socket, or a TCP port of this machine. A peer that names anything else is not believed:
/// it could make us connect to where it can't.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(AddressKind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum AddressKind {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialTarget<'a> {
    /// A unix socket.
    Unix(&'a Path),
    /// A port of this machine.
    Tcp(SocketAddr),
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPeerAddress {
    /// Neither `unix` nor `tcp`.
    #[error("the network is neither unix nor tcp")]
    Network,
    /// A relative path, or one that the wire can't carry.
    #[error("the socket path is not an absolute path of printable characters")]
    Path,
    /// Longer than the system takes.
    #[error("the socket path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// Not of the form `127.0.0.1:port`, or not on this machine.
    #[error("the TCP address is not a loopback address with a port")]
    Tcp,
}

/// The longest socket path; the system has room for 108 bytes, some systems for less.
pub const MAX_PATH_BYTES: usize = 107;

impl PeerAddress {
    /// A unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, InvalidPeerAddress> {
        let path = path.into();
        let text = path.to_str().ok_or(InvalidPeerAddress::Path)?;
        if text.len() > MAX_PATH_BYTES {
            return Err(InvalidPeerAddress::TooLong);
        }
        // A bar would split the handshake line, a control character would end or garble it.
        let printable = !text.chars().any(|c| c == '|' || c.is_control());
        if printable && path.is_absolute() {
            Ok(Self(AddressKind::Unix(path)))
        } else {
            Err(InvalidPeerAddress::Path)
        }
    }

    /// A port of this machine.
    pub fn tcp(address: SocketAddr) -> Result<Self, InvalidPeerAddress> {
        if address.ip().is_loopback() && address.port() != 0 {
            Ok(Self(AddressKind::Tcp(address)))
        } else {
            Err(InvalidPeerAddress::Tcp)
        }
    }

    /// Reads what a peer wrote.
    pub fn parse(network: &str, address: &str) -> Result<Self, InvalidPeerAddress> {
        match network {
            "unix" => Self::unix(address),
            "tcp" => Self::tcp(address.parse().map_err(|_| InvalidPeerAddress::Tcp)?),
            _ => Err(InvalidPeerAddress::Network),
        }
    }

    /// `unix` or `tcp`.
    pub fn network(&self) -> &'static str {
        match self.0 {
            AddressKind::Unix(_) => "unix",
            AddressKind::Tcp(_) => "tcp",
        }
    }

    /// What to connect to.
    pub fn dial_target(&self) -> DialTarget<'_> {
        match &self.0 {
            AddressKind::Unix(path) => DialTarget::Unix(path),
            AddressKind::Tcp(address) => DialTarget::Tcp(*address),
        }
    }
}

impl fmt::Display for PeerAddress {
    /// The address without its network, as the wire carries it.
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
