//! [`RedirectTarget`]: where an engine sends a client instead of answering it.

use std::fmt;

/// An absolute `http` or `https` URL that is safe as the value of a `Location` header.
#[derive(Clone, PartialEq, Eq)]
pub struct RedirectTarget {
    url: String,
    /// Whether a plug-in process chose the URL.
    is_of_plugin: bool,
}

/// The longest target in bytes. Browsers and proxies accept at least this much.
const MAX_TARGET_BYTES: usize = 4096;

impl RedirectTarget {
    /// Checks a URL: its scheme is `http` or `https`, it names a host and neither user nor password,
    /// it has at most 4096 bytes, and they are the printable ASCII characters that RFC 3986 permits
    /// in a URL. Everything else has to be percent-encoded by the engine.
    ///
    /// # Errors
    ///
    /// [`InvalidRedirect`] says which of these doesn't hold, without the URL.
    pub fn parse(url: impl Into<String>) -> Result<Self, InvalidRedirect> {
        let url = url.into();
        if url.len() > MAX_TARGET_BYTES {
            return Err(InvalidRedirect("is longer than 4096 bytes"));
        }
        if !url.bytes().all(is_url_byte) {
            return Err(InvalidRedirect("contains a character that has to be percent-encoded"));
        }
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(InvalidRedirect("doesn't start with http:// or https://"));
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.starts_with(':') {
            return Err(InvalidRedirect("names no host"));
        }
        if authority.contains('@') {
            return Err(InvalidRedirect("contains a user name"));
        }
        Ok(Self { url, is_of_plugin: false })
    }

    /// The same target, chosen by a plug-in process. Clients repeat a redirected request with their
    /// token, so such a target is refused if the request has one.
    #[must_use]
    pub fn of_plugin(self) -> Self {
        Self { is_of_plugin: true, ..self }
    }

    /// Whether a plug-in process chose the URL, and not an engine that is linked into the server.
    pub fn is_of_plugin(&self) -> bool {
        self.is_of_plugin
    }

    /// The whole URL. It may contain a secret, such as a signature or a one-time code.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Scheme, host and port, which is what may be logged.
    pub fn origin(&self) -> &str {
        let after_scheme = self.url.find("://").map_or(0, |at| at + 3);
        let end = self.url.get(after_scheme..).and_then(|rest| rest.find(['/', '?', '#']));
        let origin = end.and_then(|end| self.url.get(..after_scheme + end));
        origin.unwrap_or(&self.url)
    }
}

/// Whether RFC 3986 permits the character in a URL. Control characters, spaces, quotes, angle
/// brackets, backslashes and everything outside ASCII are not permitted.
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

impl fmt::Debug for RedirectTarget {
    /// Prints only the origin: path and query may contain a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedirectTarget").field(&self.origin()).finish()
    }
}

/// A URL that clients can't be redirected to. The text doesn't contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL to redirect to {0}")]
pub struct InvalidRedirect(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_http_urls_of_a_bounded_length_are_targets() {
        for url in [
            "https://idp.example.com/authorize?state=a%20b&x=1#f",
            "http://127.0.0.1:8200",
            "HTTPS://[2001:db8::1]:8443/a",
        ] {
            assert_eq!(RedirectTarget::parse(url).unwrap().as_str(), url);
        }
        for url in [
            "",
            "/v1/sys/health",
            "//example.com/a",
            "javascript://example.com/%0aalert(1)",
            "data:text/html,x",
            "ftp://example.com",
            "https:example.com",
            "https://",
            "https:///path",
            "https://?a",
            "https://:443/",
            "https://user@example.com/",
            "https://idp.example.com@evil.example/",
            "https://example.com\\@evil.example/",
            "https://example.com/a b",
            "https://example.com/\r\nSet-Cookie: a=b",
            "https://example.com/\n",
            "https://example.com/\0",
            "https://example.com/ü",
            "https://example.com/<script>",
            " https://example.com/",
            "https://example.com/\u{7f}",
        ] {
            assert!(RedirectTarget::parse(url).is_err(), "{url:?}");
        }
        let of_length = |length: usize| format!("https://e.x/{}", "a".repeat(length - 12));
        RedirectTarget::parse(of_length(MAX_TARGET_BYTES)).unwrap();
        assert!(RedirectTarget::parse(of_length(MAX_TARGET_BYTES + 1)).is_err());
    }

    #[test]
    fn nothing_prints_what_may_be_a_secret() {
        for url in ["https://e.x:1/hunter2", "https://e.x:1?a=hunter2", "https://e.x:1#hunter2"] {
            let target = RedirectTarget::parse(url).unwrap();
            assert_eq!(format!("{target:?}"), "RedirectTarget(\"https://e.x:1\")");
        }
        let error = RedirectTarget::parse("ftp://hunter2").unwrap_err().to_string();
        assert_eq!(error, "the URL to redirect to doesn't start with http:// or https://");
    }
}
