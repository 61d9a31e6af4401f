//! Where a redirect leads, and whether that is the same origin.

use http::uri::{Authority, Scheme};
use http::{Method, Uri};

use super::limits::is_safe;

/// The address that a response sends a request to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RedirectTarget {
    pub(super) uri: Uri,
    pub(super) same_origin: bool,
}

/// The target of a redirect; `None` if the response is none, or none that may be followed with this
/// method.
pub(super) fn redirect_target(
    method: &Method,
    status: u16,
    from: &Uri,
    location: &str,
) -> Option<RedirectTarget> {
    let safe = is_safe(method);
    if !matches!((status, safe), (301..=303, true) | (307 | 308, _)) {
        return None;
    }
    let uri = resolve_location(from, location)?;
    let (from_origin, to_origin) = (origin_of(from)?, origin_of(&uri)?);
    let downgrade = from.scheme() == Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTPS);
    let same_origin = from_origin == to_origin;
    (!downgrade && (same_origin || safe)).then_some(RedirectTarget { uri, same_origin })
}

/// The reference resolved against the request's address (RFC 3986, 5.2), without removing dot
/// segments.
fn resolve_location(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let absolute = if location.contains("://") && !location.starts_with(['/', '?']) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", from.path())
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let uri: Uri = absolute.parse().ok()?;
    let has_user = uri.authority().map(Authority::as_str).is_some_and(|all| all.contains('@'));
    (!has_user).then_some(uri)
}

/// Scheme, host and port, each in one form.
fn origin_of(uri: &Uri) -> Option<(bool, String, u16)> {
    let is_https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    Some((is_https, uri.host()?.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &Method, status: u16, location: &str) -> Option<(String, bool)> {
        let from = "https://a.example/v1/list?x=1".parse().unwrap();
        let target = redirect_target(method, status, &from, location)?;
        Some((target.uri.to_string(), target.same_origin))
    }

    #[test]
    fn references_are_resolved() {
        for (location, uri, same) in [
            ("/v2", "https://a.example/v2", true),
            ("next?a=b#c", "https://a.example/v1/next?a=b", true),
            ("?page=2", "https://a.example/v1/list?page=2", true),
            ("https://A.example:443/x", "https://A.example:443/x", true),
            ("//b.example/x", "https://b.example/x", false),
            ("https://a.example:444/x", "https://a.example:444/x", false),
            ("https://a.example.evil.test/", "https://a.example.evil.test/", false),
            ("/x?to=http://b.example", "https://a.example/x?to=http://b.example", true),
        ] {
            assert_eq!(target(&Method::GET, 302, location), Some((uri.to_owned(), same)));
        }
        for bad in
            ["http://a.example/", "https://u:p@a.example/", "ftp://a.example/", "https://", "//"]
        {
            assert_eq!(target(&Method::GET, 302, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_body_goes_where_the_request_went() {
        for status in [301, 302, 303, 304, 300, 200, 404] {
            assert_eq!(target(&Method::POST, status, "/v2"), None, "{status}");
        }
        assert!(target(&Method::POST, 307, "/v2").is_some());
        assert!(target(&Method::DELETE, 308, "/v2").is_some());
        assert_eq!(target(&Method::POST, 307, "https://b.example/"), None);
        assert!(target(&Method::GET, 307, "https://b.example/").is_some());
        assert_eq!(target(&Method::GET, 300, "/v2"), None);
    }
}
