//! The server address in an unwrap token.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::Uri;
use http::uri::Authority;

/// The address of the server from which the certificate is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnwrapAddress {
    pub(super) endpoint: UnwrapEndpoint,
    /// The path prefix before `/v1`, without a trailing slash.
    base: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnwrapEndpoint {
    Unix(PathBuf),
    Http(Authority),
    Https(Authority),
}

/// The address is malformed, or of an unsupported scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the unwrap token names no usable address; it must begin with https, http or unix")]
pub(crate) struct InvalidUnwrapAddress;

const UNWRAP_PATH: &str = "/v1/sys/wrapping/unwrap";

impl UnwrapAddress {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidUnwrapAddress> {
        if let Some(path) = text.strip_prefix("unix://") {
            let path = Path::new(path);
            let usable = path.is_absolute() && !text.contains(char::is_control);
            let server = UnwrapEndpoint::Unix(path.to_owned());
            return usable
                .then(|| Self { endpoint: server, base: String::new() })
                .ok_or(InvalidUnwrapAddress);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUnwrapAddress)?;
        let authority = uri
            .authority()
            .filter(|it| has_valid_host_and_port(it))
            .ok_or(InvalidUnwrapAddress)?
            .clone();
        let server = match uri.scheme_str() {
            Some("http") => UnwrapEndpoint::Http(authority),
            Some("https") => UnwrapEndpoint::Https(authority),
            _ => return Err(InvalidUnwrapAddress),
        };
        if uri.query().is_some() {
            return Err(InvalidUnwrapAddress);
        }
        Ok(Self { endpoint: server, base: uri.path().trim_end_matches('/').to_owned() })
    }

    /// The path of the unwrap request.
    pub(super) fn unwrap_path(&self) -> String {
        format!("{}{UNWRAP_PATH}", self.base)
    }

    /// The value of the `Host` header.
    pub(super) fn host_header(&self) -> &str {
        match &self.endpoint {
            UnwrapEndpoint::Unix(_) => "localhost",
            UnwrapEndpoint::Http(authority) | UnwrapEndpoint::Https(authority) => {
                authority.as_str()
            }
        }
    }

    /// Whether others on the network could read the request.
    pub(super) fn is_plaintext_remote(&self) -> bool {
        match &self.endpoint {
            UnwrapEndpoint::Unix(_) | UnwrapEndpoint::Https(_) => false,
            UnwrapEndpoint::Http(authority) => {
                let host = unbracketed_host(authority);
                host != "localhost" && !host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        }
    }
}

impl fmt::Display for UnwrapAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            UnwrapEndpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            UnwrapEndpoint::Http(authority) => write!(f, "http://{authority}"),
            UnwrapEndpoint::Https(authority) => write!(f, "https://{authority}"),
        }
    }
}

/// The host of an authority, without the brackets of IPv6.
pub(super) fn unbracketed_host(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

/// Rejects addresses with user info or an invalid port.
fn has_valid_host_and_port(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    let valid = match port {
        Some("") => true,
        Some(_) => authority.port_u16().is_some_and(|port| port != 0),
        // There is user info before the host.
        None => false,
    };
    valid && !unbracketed_host(authority).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        for (text, shown, path, exposed) in [
            ("https://vault.example:8200", "https://vault.example:8200", UNWRAP_PATH, false),
            ("https://vault.example", "https://vault.example", UNWRAP_PATH, false),
            ("http://127.0.0.1:8200/", "http://127.0.0.1:8200", UNWRAP_PATH, false),
            ("http://localhost:8200", "http://localhost:8200", UNWRAP_PATH, false),
            ("http://[::1]:8200", "http://[::1]:8200", UNWRAP_PATH, false),
            ("http://10.0.0.1:8200", "http://10.0.0.1:8200", UNWRAP_PATH, true),
            ("http://localhost.example", "http://localhost.example", UNWRAP_PATH, true),
            ("HTTP://127.0.0.1:1/a/b/", "http://127.0.0.1:1", "/a/b/v1/sys/wrapping/unwrap", false),
            ("unix:///tmp/x y", "unix:///tmp/x y", UNWRAP_PATH, false),
        ] {
            let address = UnwrapAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(
                (&*address.unwrap_path(), address.is_plaintext_remote()),
                (path, exposed),
                "{text}"
            );
        }
    }

    #[test]
    fn unusable_addresses_are_refused() {
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
            assert_eq!(UnwrapAddress::parse(text), Err(InvalidUnwrapAddress), "{text:?}");
        }
    }
}
