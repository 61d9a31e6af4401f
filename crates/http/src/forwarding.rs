//! [`ForwardedForRules`]: the client's address when a proxy forwards the request.
//!
//! `X-Forwarded-For` is a list to which each proxy appends the address it was contacted from. Only
//! the end of the list can be trusted, and only if it comes from an authorized proxy: the client
//! may have written the rest itself.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Response, StatusCode};
use ipnet::IpNet;
use strongroom_engine::ConnectionInfo;

use crate::{Body, response};

/// The proxies whose `X-Forwarded-For` is honoured, and what happens to other requests.
#[derive(Clone, Debug)]
pub struct ForwardedForRules {
    /// The networks that contain the proxies.
    pub authorized: Vec<IpNet>,
    /// How many addresses to skip from the end of the header, because they belong to further
    /// proxies.
    pub hop_skips: usize,
    /// Whether connections from other addresses are refused. If not, the peer's address is used.
    pub reject_not_authorized: bool,
    /// Whether requests without the header are refused. If not, the peer's address is used.
    pub reject_not_present: bool,
}

const FORWARDED_FOR: &str = "x-forwarded-for";

impl ForwardedForRules {
    /// The client's address: the peer's own, or the one that an authorized proxy reports. The port
    /// is always the peer's.
    ///
    /// # Errors
    ///
    /// The text of the refusal, if the rules refuse the request or the header is malformed.
    pub fn resolve_client(
        &self,
        peer: ConnectionInfo,
        headers: &HeaderMap,
    ) -> Result<ConnectionInfo, String> {
        let mut values = headers.get_all(FORWARDED_FOR).iter().peekable();
        // A dual-stack socket reports IPv4 addresses in their IPv6-mapped form.
        let address = peer.address.to_canonical();
        let is_proxy = self.authorized.iter().any(|network| network.contains(&address));
        if values.peek().is_none() {
            return if self.reject_not_present {
                Err("missing x-forwarded-for header and configured to reject when not present"
                    .into())
            } else if is_proxy {
                // The request may be that of a client whose address the proxy doesn't report.
                Ok(ConnectionInfo::new(peer.address, peer.port))
            } else {
                Ok(peer)
            };
        }
        if !is_proxy {
            return if self.reject_not_authorized {
                Err("client address not authorized for x-forwarded-for and configured to reject \
                     connection"
                    .into())
            } else {
                Ok(peer)
            };
        }
        let mut chain: Vec<&str> = Vec::new();
        for value in values {
            let text = value.to_str().map_err(|_| malformed_header_text())?;
            chain.extend(text.split(',').map(str::trim));
        }
        let named = chain.len().checked_sub(self.hop_skips + 1).and_then(|at| chain.get(at));
        let Some(named) = named else {
            return Err(format!(
                "malformed x-forwarded-for configuration or request, hops to skip ({}) would skip \
                 before earliest chain link (chain length {})",
                self.hop_skips,
                chain.len()
            ));
        };
        let address = parse_address(named).ok_or_else(malformed_header_text)?;
        // A certificate that the peer showed is the proxy's, not the client's.
        Ok(ConnectionInfo::new(address, peer.port))
    }

    /// The response to a refused request: status 400 with the given text.
    pub(crate) fn refusal_response(text: String) -> Response<Body> {
        response::errors_response(StatusCode::BAD_REQUEST, &[text], None, None)
    }
}

fn malformed_header_text() -> String {
    "the header x-forwarded-for must be a list of addresses".to_owned()
}

/// Parses an IPv4 or IPv6 address. Some proxies put the latter in brackets, or append the port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = plain.parse::<IpAddr>().ok();
    address.or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()))
}

#[cfg(test)]
mod tests {
    use strongroom_engine::ClientCertificates;

    use super::*;

    fn test_rules() -> ForwardedForRules {
        ForwardedForRules {
            authorized: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            hop_skips: 0,
            reject_not_authorized: true,
            reject_not_present: true,
        }
    }

    fn resolve_address(
        of: &ForwardedForRules,
        peer: &str,
        values: &[&str],
    ) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(FORWARDED_FOR, value);
        }
        let peer = ConnectionInfo::new(peer.parse().unwrap(), 7);
        let client = of.resolve_client(peer, &headers)?;
        assert_eq!(client.port, 7);
        Ok(client.address.to_string())
    }

    #[test]
    fn the_end_of_the_list_counts_and_what_a_client_wrote_itself_does_not() {
        let of = test_rules();
        assert_eq!(resolve_address(&of, "10.0.0.1", &["1.1.1.1"]).unwrap(), "1.1.1.1");
        assert_eq!(resolve_address(&of, "10.0.0.1", &["9.9.9.9, 1.1.1.1"]).unwrap(), "1.1.1.1");
        assert_eq!(resolve_address(&of, "10.0.0.1", &["9.9.9.9", "1.1.1.1"]).unwrap(), "1.1.1.1");
        assert_eq!(resolve_address(&of, "fd00::1", &["2001:db8::1"]).unwrap(), "2001:db8::1");
        assert_eq!(resolve_address(&of, "::ffff:10.0.0.1", &["1.1.1.1:555"]).unwrap(), "1.1.1.1");
        assert_eq!(resolve_address(&of, "10.0.0.1", &["[2001:db8::1]:5"]).unwrap(), "2001:db8::1");
        let skipping = ForwardedForRules { hop_skips: 1, ..of };
        assert_eq!(
            resolve_address(&skipping, "10.0.0.1", &["1.1.1.1, 10.0.0.2"]).unwrap(),
            "1.1.1.1"
        );
        let short = resolve_address(&skipping, "10.0.0.1", &["1.1.1.1"]).unwrap_err();
        assert!(short.contains("hops to skip (1)") && short.contains("(chain length 1)"));
    }

    #[test]
    fn untrusted_peers_and_missing_headers_follow_the_rules() {
        let of = test_rules();
        let stranger = resolve_address(&of, "11.0.0.1", &["1.1.1.1"]).unwrap_err();
        assert!(stranger.contains("not authorized"), "{stranger}");
        assert!(resolve_address(&of, "10.0.0.1", &[]).unwrap_err().contains("missing"));
        let lenient =
            ForwardedForRules { reject_not_authorized: false, reject_not_present: false, ..of };
        assert_eq!(resolve_address(&lenient, "11.0.0.1", &["1.1.1.1"]).unwrap(), "11.0.0.1");
        assert_eq!(resolve_address(&lenient, "11.0.0.1", &[]).unwrap(), "11.0.0.1");
    }

    #[test]
    fn the_certificate_of_a_proxy_is_never_that_of_a_client() {
        let of = ForwardedForRules {
            reject_not_authorized: false,
            reject_not_present: false,
            ..test_rules()
        };
        let own = ClientCertificates { chain: vec![bytes::Bytes::from_static(b"der")] };
        let own = Some(std::sync::Arc::new(own));
        for (address, header, keeps) in [
            ("10.0.0.1", Some("1.1.1.1"), false),
            ("10.0.0.1", None, false),
            ("11.0.0.1", Some("1.1.1.1"), true),
            ("11.0.0.1", None, true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert(FORWARDED_FOR, http::HeaderValue::from_static(value));
            }
            let peer = ConnectionInfo::new(address.parse().unwrap(), 7);
            let peer = ConnectionInfo { certificates: own.clone(), ..peer };
            let client = of.resolve_client(peer, &headers).unwrap();
            assert_eq!(client.certificates.is_some(), keeps, "{address} {header:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for value in ["unknown", "", "1.1.1.1,", "hunter2", "\u{e9}"] {
            let error = resolve_address(&test_rules(), "10.0.0.1", &[value]).unwrap_err();
            assert_eq!(error, malformed_header_text());
        }
    }
}
