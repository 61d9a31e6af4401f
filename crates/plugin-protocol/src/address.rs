//! Where a peer listens: in the handshake line, and in the broker's messages.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A unix socket, or a TCP port of this machine. A peer that names anything else is not believed:
/// it could make us connect to where it can't.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A unix socket.
    Unix(&'a Path),
    /// A port of this machine.
    Tcp(SocketAddr),
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAddress {
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

impl Address {
    /// A unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, InvalidAddress> {
        let path = path.into();
        let text = path.to_str().ok_or(InvalidAddress::Path)?;
        if text.len() > MAX_PATH_BYTES {
            return Err(InvalidAddress::TooLong);
        }
        // A bar would split the handshake line, a control character would end or garble it.
        let printable = !text.chars().any(|c| c == '|' || c.is_control());
        if printable && path.is_absolute() {
            Ok(Self(Kind::Unix(path)))
        } else {
            Err(InvalidAddress::Path)
        }
    }

    /// A port of this machine.
    pub fn tcp(address: SocketAddr) -> Result<Self, InvalidAddress> {
        if address.ip().is_loopback() && address.port() != 0 {
            Ok(Self(Kind::Tcp(address)))
        } else {
            Err(InvalidAddress::Tcp)
        }
    }

    /// Reads what a peer wrote.
    pub fn parse(network: &str, address: &str) -> Result<Self, InvalidAddress> {
        match network {
            "unix" => Self::unix(address),
            "tcp" => Self::tcp(address.parse().map_err(|_| InvalidAddress::Tcp)?),
            _ => Err(InvalidAddress::Network),
        }
    }

    /// `unix` or `tcp`.
    pub fn network(&self) -> &'static str {
        match self.0 {
            Kind::Unix(_) => "unix",
            Kind::Tcp(_) => "tcp",
        }
    }

    /// What to connect to.
    pub fn target(&self) -> Target<'_> {
        match &self.0 {
            Kind::Unix(path) => Target::Unix(path),
            Kind::Tcp(address) => Target::Tcp(*address),
        }
    }
}

impl fmt::Display for Address {
    /// The address without its network, as the wire carries it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Unix(path) => path.display().fmt(f),
            Kind::Tcp(address) => address.fmt(f),
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
            let parsed = Address::parse(network, address).unwrap();
            assert_eq!((parsed.network(), &*parsed.to_string()), (network, address));
        }
    }

    #[test]
    fn others_are_refused() {
        let long = format!("/{}", "a".repeat(MAX_PATH_BYTES));
        for (network, address, error) in [
            ("unix", "", InvalidAddress::Path),
            ("unix", "plugin123", InvalidAddress::Path),
            ("unix", "@abstract", InvalidAddress::Path),
            ("unix", "/tmp/a|b", InvalidAddress::Path),
            ("unix", "/tmp/a\0b", InvalidAddress::Path),
            ("unix", "/tmp/a\nb", InvalidAddress::Path),
            ("unix", &long, InvalidAddress::TooLong),
            ("tcp", "10.0.0.1:80", InvalidAddress::Tcp),
            ("tcp", "0.0.0.0:80", InvalidAddress::Tcp),
            ("tcp", "localhost:80", InvalidAddress::Tcp),
            ("tcp", "127.0.0.1", InvalidAddress::Tcp),
            ("tcp", "127.0.0.1:0", InvalidAddress::Tcp),
            ("tcp", "127.0.0.1:70000", InvalidAddress::Tcp),
            ("tcp", "[::ffff:10.0.0.1]:80", InvalidAddress::Tcp),
            ("udp", "127.0.0.1:80", InvalidAddress::Network),
            ("", "", InvalidAddress::Network),
            ("Unix", "/tmp/x", InvalidAddress::Network),
        ] {
            assert_eq!(Address::parse(network, address), Err(error), "{network} {address}");
        }
    }
}
