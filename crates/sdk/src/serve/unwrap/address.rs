//! Where a token says that its server is.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::Uri;
use http::uri::Authority;

/// The server that keeps a certificate ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) server: Server,
    /// What stands before `/v1` in the server's paths; no slash at its end.
    base: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Unix(PathBuf),
    Http(Authority),
    Https(Authority),
}

/// The address is none, or of a kind that isn't called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the unwrap token names no usable address; it must begin with https, http or unix")]
pub(crate) struct InvalidAddress;

const UNWRAP: &str = "/v1/sys/wrapping/unwrap";

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(path) = text.strip_prefix("unix://") {
            let path = Path::new(path);
            let usable = path.is_absolute() && !text.contains(char::is_control);
            let server = Server::Unix(path.to_owned());
            return usable.then(|| Self { server, base: String::new() }).ok_or(InvalidAddress);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidAddress)?;
        let authority = uri.authority().filter(|it| is_plain(it)).ok_or(InvalidAddress)?.clone();
        let server = match uri.scheme_str() {
            Some("http") => Server::Http(authority),
            Some("https") => Server::Https(authority),
            _ => return Err(InvalidAddress),
        };
        if uri.query().is_some() {
            return Err(InvalidAddress);
        }
        Ok(Self { server, base: uri.path().trim_end_matches('/').to_owned() })
    }

    /// The path to call.
    pub(super) fn path(&self) -> String {
        format!("{}{UNWRAP}", self.base)
    }

    /// What the server is called in HTTP.
    pub(super) fn host(&self) -> &str {
        match &self.server {
            Server::Unix(_) => "localhost",
            Server::Http(authority) | Server::Https(authority) => authority.as_str(),
        }
    }

    /// Whether others on the way could read what is said there.
    pub(super) fn is_exposed(&self) -> bool {
        match &self.server {
            Server::Unix(_) | Server::Https(_) => false,
            Server::Http(authority) => {
                let host = bare(authority);
                host != "localhost" && !host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Server::Unix(path) => write!(f, "unix://{}", path.display()),
            Server::Http(authority) => write!(f, "http://{authority}"),
            Server::Https(authority) => write!(f, "https://{authority}"),
        }
    }
}

/// The host of an authority, without the brackets of IPv6.
pub(super) fn bare(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

/// Names and passwords don't belong into an address, and a port must be one.
fn is_plain(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    let valid = match port {
        Some("") => true,
        Some(_) => authority.port_u16().is_some_and(|port| port != 0),
        // Something stands before the host.
        None => false,
    };
    valid && !bare(authority).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found() {
        for (text, shown, path, exposed) in [
            ("https://vault.example:8200", "https://vault.example:8200", UNWRAP, false),
            ("https://vault.example", "https://vault.example", UNWRAP, false),
            ("http://127.0.0.1:8200/", "http://127.0.0.1:8200", UNWRAP, false),
            ("http://localhost:8200", "http://localhost:8200", UNWRAP, false),
            ("http://[::1]:8200", "http://[::1]:8200", UNWRAP, false),
            ("http://10.0.0.1:8200", "http://10.0.0.1:8200", UNWRAP, true),
            ("http://localhost.example", "http://localhost.example", UNWRAP, true),
            ("HTTP://127.0.0.1:1/a/b/", "http://127.0.0.1:1", "/a/b/v1/sys/wrapping/unwrap", false),
            ("unix:///tmp/x y", "unix:///tmp/x y", UNWRAP, false),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!((&*address.path(), address.is_exposed()), (path, exposed), "{text}");
        }
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "vault.example:8200",
            "//vault.example",
            "/v1",
            "ftp://vault.example",
            "unix://",
            "unix://relative",
            "unix:///a\nb",
            "http://",
            "http://:8200",
            "http://[]:8200",
            "http://user:password@vault.example",
            "http://user@vault.example",
            "http://vault.example:port",
            "http://vault.example:0",
            "http://vault.example:99999",
            "http://vault.example/?a=b",
            "http://vault example",
            "http://a\r\nb",
        ] {
            assert_eq!(Address::parse(text), Err(InvalidAddress), "{text:?}");
        }
    }
}
