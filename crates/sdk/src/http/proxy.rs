//! [`ProxySettings`]: through which proxy a request is sent, as Go's `net/http` decides it.

use std::fmt;
use std::net::IpAddr;

use data_encoding::BASE64;
use http::Uri;
use http::uri::Scheme;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use strongroom_types::Secret;

use super::headers::secret_header_value;

/// The proxies for outgoing requests. A client has those of its process's environment, as of
/// [`ProxySettings::from_environment`].
///
/// The rules are those of Go's `net/http`, so that a plug-in behaves as others under the same
/// server: requests to https addresses use `HTTPS_PROXY`, others `HTTP_PROXY`, each also in lower
/// case; nothing to `localhost` or a loopback address uses a proxy; `NO_PROXY` lists exceptions,
/// separated by commas: `*`, IP addresses, networks such as `10.0.0.0/8`, and domains, all but
/// networks with an optional port. `example.com` also excepts its subdomains, `.example.com` and
/// `*.example.com` nothing but them.
///
/// Two things differ, both to the safe side: a proxy whose address can't be used, such as one with
/// the scheme `socks5`, fails the requests that need it instead of being ignored; and in a CGI
/// process (with `REQUEST_METHOD` set) `HTTP_PROXY` in capitals is ignored, since clients can set
/// it, where Go fails the request.
#[derive(Clone, Default)]
pub struct ProxySettings {
    http: Option<Result<ProxyAddress, UnusableProxy>>,
    https: Option<Result<ProxyAddress, UnusableProxy>>,
    exceptions: Vec<ProxyException>,
}

/// The address of a proxy, and the user for it.
#[derive(Clone)]
pub(super) struct ProxyAddress {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`, marked as sensitive.
    pub(super) authorization: Option<http::HeaderValue>,
}

/// The environment names a proxy that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnusableProxy;

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ProxyException {
    Everything,
    Network(IpNet),
    Address(IpAddr, Option<String>),
    /// The domain with a leading dot, and whether the name without the dot is meant too.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<String>,
    },
}

impl ProxySettings {
    /// The proxies that the environment variables of this process name.
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// No proxy at all: every request goes to its host directly.
    pub fn direct() -> Self {
        Self::default()
    }

    /// The proxies that these variables name, for tests and for engines with settings of their own.
    ///
    /// ```
    /// use strongroom_sdk::http::ProxySettings;
    ///
    /// let proxies = ProxySettings::from_variables(|name| match name {
    ///     "HTTPS_PROXY" => Some("http://proxy.example.com:3128".to_owned()),
    ///     "NO_PROXY" => Some("example.com, 10.0.0.0/8".to_owned()),
    ///     _ => None,
    /// });
    /// ```
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| variable(name).filter(|value| !value.is_empty());
        let either = |upper: &str| value(upper).or_else(|| value(&upper.to_ascii_lowercase()));
        // In a CGI process the header `Proxy` of a request would set HTTP_PROXY.
        let is_cgi = value("REQUEST_METHOD").is_some();
        let http = if is_cgi { value("http_proxy") } else { either("HTTP_PROXY") };
        Self {
            http: http.map(|address| ProxyAddress::parse(&address)),
            https: either("HTTPS_PROXY").map(|address| ProxyAddress::parse(&address)),
            exceptions: parse_exceptions(&either("NO_PROXY").unwrap_or_default()),
        }
    }

    /// The proxy for a request to `uri`; `None` if it goes to its host directly.
    pub(super) fn proxy_for(&self, uri: &Uri) -> Result<Option<&ProxyAddress>, UnusableProxy> {
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let chosen = if is_https { &self.https } else { &self.http };
        let Some(chosen) = chosen else { return Ok(None) };
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        if self.is_exempt(unbracketed_host(uri), &port.to_string()) {
            return Ok(None);
        }
        chosen.as_ref().map(Some).map_err(|unusable| *unusable)
    }

    /// The value of `Proxy-Authorization` for a request that the proxy receives unencrypted.
    pub(super) fn authorization_for(&self, uri: &Uri) -> Option<http::HeaderValue> {
        let proxy = self.proxy_for(uri).ok().flatten()?;
        proxy.authorization.clone().filter(|_| uri.scheme() == Some(&Scheme::HTTP))
    }

    fn is_exempt(&self, host: &str, port: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.exceptions.iter().any(|exception| exception.matches(&host, address, port))
    }
}

impl ProxyException {
    fn matches(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        let has_port = |wanted: &Option<String>| wanted.as_deref().is_none_or(|it| it == port);
        match self {
            Self::Everything => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(wanted, at) => address == Some(*wanted) && has_port(at),
            Self::Domain { suffix, itself, port: at } => {
                let is_it = *itself && suffix.strip_prefix('.') == Some(host);
                (is_it || host.ends_with(suffix)) && has_port(at)
            }
        }
    }
}

fn parse_exceptions(list: &str) -> Vec<ProxyException> {
    let mut exceptions = Vec::new();
    for entry in list.split(',').map(|entry| entry.trim().to_ascii_lowercase()) {
        if entry == "*" {
            return vec![ProxyException::Everything];
        }
        exceptions.extend(parse_exception(&entry));
    }
    exceptions
}

fn parse_exception(entry: &str) -> Option<ProxyException> {
    if let Ok(network) = entry.parse() {
        return Some(ProxyException::Network(network));
    }
    let (host, port) = split_port(entry);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(ProxyException::Address(address.to_canonical(), port));
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    match host.strip_prefix('.') {
        _ if host.is_empty() => None,
        Some(_) => Some(ProxyException::Domain { suffix: host.to_owned(), itself: false, port }),
        None => Some(ProxyException::Domain { suffix: format!(".{host}"), itself: true, port }),
    }
}

/// Splits `host:port` and `[v6]:port`; an IPv6 address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<String>) {
    let unbracketed = |host: &'_ str| -> Option<usize> {
        (host.starts_with('[') && host.ends_with(']')).then_some(host.len())
    };
    match entry.rsplit_once(':') {
        Some((host, port)) if unbracketed(host).is_some() => {
            (host.trim_matches(['[', ']']), Some(port.to_owned()))
        }
        Some((host, port)) if !host.contains(':') => (host, Some(port.to_owned())),
        _ => (entry.trim_matches(['[', ']']), None),
    }
}

impl ProxyAddress {
    /// Parses `http://user:password@host:port`, where everything but the host may be missing.
    fn parse(text: &str) -> Result<Self, UnusableProxy> {
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = with_scheme.parse().map_err(|_| UnusableProxy)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(UnusableProxy),
        };
        let authority = uri.authority().ok_or(UnusableProxy)?;
        let host = unbracketed_host(&uri);
        if host.is_empty() {
            return Err(UnusableProxy);
        }
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authorization: user.map(basic_authorization).transpose()?,
        })
    }
}

fn basic_authorization(user_info: &str) -> Result<http::HeaderValue, UnusableProxy> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut plain = Secret::new(Vec::with_capacity(user_info.len() + 1));
    plain.expose_secret_mut().extend(percent_decode_str(user));
    plain.expose_secret_mut().push(b':');
    plain.expose_secret_mut().extend(percent_decode_str(password));
    let encoded = Secret::new(BASE64.encode(plain.expose_secret()));
    secret_header_value(&["Basic ", encoded.expose_secret()]).ok_or(UnusableProxy)
}

/// The host of a URI, without the brackets of IPv6; empty if it has none.
pub(super) fn unbracketed_host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxySettings")
            .field("http", &self.http)
            .field("https", &self.https)
            .field("exceptions", &self.exceptions)
            .finish()
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> ProxySettings {
        ProxySettings::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn chosen(settings: &ProxySettings, uri: &str) -> String {
        match settings.proxy_for(&uri.parse().unwrap()) {
            Ok(None) => "direct".to_owned(),
            Ok(Some(proxy)) => format!("{proxy:?}"),
            Err(UnusableProxy) => "unusable".to_owned(),
        }
    }

    #[test]
    fn the_scheme_selects_the_variable() {
        let both = settings(&[("HTTP_PROXY", "one:3128"), ("https_proxy", "https://two")]);
        assert_eq!(chosen(&both, "http://a.example/"), "http://one:3128");
        assert_eq!(chosen(&both, "https://a.example/"), "https://two:443");
        assert_eq!(chosen(&settings(&[("HTTP_PROXY", "one")]), "https://a.example/"), "direct");
        let upper_first = settings(&[("http_proxy", "low"), ("HTTP_PROXY", "up")]);
        assert_eq!(chosen(&upper_first, "http://a.example/"), "http://up:80");
        let cgi = settings(&[("HTTP_PROXY", "forged"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(chosen(&cgi, "http://a.example/"), "direct");
    }

    #[test]
    fn what_cannot_be_used_is_not_ignored() {
        for bad in ["socks5://p:1080", "ftp://p", "http://", "http://a b", ":"] {
            let proxies = settings(&[("HTTPS_PROXY", bad), ("NO_PROXY", "b.example")]);
            assert_eq!(chosen(&proxies, "https://a.example/"), "unusable", "{bad}");
            assert_eq!(chosen(&proxies, "https://b.example/"), "direct", "{bad}");
        }
    }

    /// The cases of Go's `golang.org/x/net/http/httpproxy` are the model of these.
    #[test]
    fn exceptions_are_those_of_go() {
        let all = "foo.com, .bar.com,*.baz.com, 192.168.1.1,10.0.0.0/8,[2001:db8::1]:80,\
                   2001:db8::2,fd00::/8,ported.com:8080,192.0.2.1:443,,:90";
        let proxies = settings(&[("HTTP_PROXY", "p"), ("HTTPS_PROXY", "p"), ("NO_PROXY", all)]);
        for direct in [
            "http://localhost/",
            "http://LOCALHOST:80/",
            "http://127.0.0.1:8200/",
            "http://127.1.2.3/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://foo.com/",
            "http://FOO.com:99/",
            "http://www.foo.com/",
            "http://x.bar.com/",
            "http://x.baz.com/",
            "http://192.168.1.1/",
            "http://10.1.2.3/",
            "http://[2001:db8::1]/",
            "http://[2001:db8::2]:9/",
            "http://[fd12::1]/",
            "http://ported.com:8080/",
            "http://sub.ported.com:8080/",
            "https://192.0.2.1/",
        ] {
            assert_eq!(chosen(&proxies, direct), "direct", "{direct}");
        }
        for proxied in [
            "http://notfoo.com/",
            "http://foo.com.evil.com/",
            "http://bar.com/",
            "http://baz.com/",
            "http://192.168.1.2/",
            "http://11.0.0.1/",
            "http://[2001:db8::1]:81/",
            "http://ported.com/",
            "http://192.0.2.1/",
            "http://localhost.example/",
            "http://x.example:90/",
        ] {
            assert_eq!(chosen(&proxies, proxied), "http://p:80", "{proxied}");
        }
        let none = settings(&[("HTTP_PROXY", "p"), ("NO_PROXY", "a.com,*")]);
        assert_eq!(chosen(&none, "http://anything.example/"), "direct");
    }

    #[test]
    fn the_proxys_password_is_not_shown() {
        let proxies = settings(&[("HTTP_PROXY", "http://user:hunter%322@p:1")]);
        assert_eq!(chosen(&proxies, "http://a.example/"), "http://p:1");
        assert!(!format!("{proxies:?}").contains("hunter"));
        let proxy = proxies.proxy_for(&"http://a.example/".parse().unwrap()).unwrap().unwrap();
        let header = proxy.authorization.as_ref().unwrap();
        assert!(header.is_sensitive());
        assert_eq!(header, &format!("Basic {}", BASE64.encode(b"user:hunter22")));
    }
}
