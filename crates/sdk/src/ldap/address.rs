//! [`DirectoryAddress`]: where a directory listens.

/// One `ldap://` or `ldaps://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirectoryAddress {
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether TLS begins with the connection (`ldaps`).
    pub(super) is_encrypted: bool,
}

/// Why a text is no list of directory addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "url must be one address or several with commas between them, such as ldaps://ldap.example.com:636"
)]
pub struct DirectoryUrlError;

/// The maximum number of addresses.
const MAX_ADDRESSES: usize = 16;

/// Checks a list of URLs with commas between them, as `url` of a configuration has it.
///
/// # Errors
///
/// [`DirectoryUrlError`] if one of them isn't `ldap://` or `ldaps://` with a host, and perhaps a port.
pub fn check_directory_urls(urls: &str) -> Result<(), DirectoryUrlError> {
    parse_addresses(urls).map(drop)
}

pub(super) fn parse_addresses(urls: &str) -> Result<Vec<DirectoryAddress>, DirectoryUrlError> {
    let addresses: Option<Vec<_>> = urls.split(',').map(|url| parse_address(url.trim())).collect();
    addresses.filter(|all| all.len() <= MAX_ADDRESSES).ok_or(DirectoryUrlError)
}

fn parse_address(url: &str) -> Option<DirectoryAddress> {
    let (scheme, rest) = url.split_once("://")?;
    let is_encrypted = match scheme.to_ascii_lowercase().as_str() {
        "ldap" => false,
        "ldaps" => true,
        _ => return None,
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_bracketed = authority.starts_with('[');
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = match is_bracketed {
        true => host.parse::<std::net::Ipv6Addr>().is_ok(),
        false => !host.is_empty() && host.chars().all(fits),
    };
    let standard = if is_encrypted { 636 } else { 389 };
    let port = port.map_or(Some(standard), |port| port.parse().ok().filter(|port| *port > 0))?;
    is_host.then(|| DirectoryAddress { host: host.to_owned(), port, is_encrypted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_standard_ports() {
        let read = |url| {
            let all = parse_addresses(url).ok()?;
            Some(all.into_iter().map(|it| (it.host, it.port, it.is_encrypted)).collect::<Vec<_>>())
        };
        let one = |host: &str, port, tls| Some(vec![(host.to_owned(), port, tls)]);
        assert_eq!(read("ldap://127.0.0.1"), one("127.0.0.1", 389, false));
        assert_eq!(read("LDAPS://ldap.example/"), one("ldap.example", 636, true));
        assert_eq!(read("ldap://[::1]:3890"), one("::1", 3890, false));
        assert_eq!(read("ldap://a, ldaps://b:1").map(|all| all.len()), Some(2));
        for bad in [
            "",
            "a",
            "http://a",
            "ldap://",
            "ldap://a:0",
            "ldap://a:99999",
            "ldap://a/b",
            "ldap://a,",
            "ldap://[a]",
            "ldap://::1",
            "ldap://u@h",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
