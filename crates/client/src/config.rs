//! The configuration of a client: address, token, headers, certificates and limits.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use strongroom_crypto::SystemEntropy;
use strongroom_types::{Clock, Entropy, Secret, SystemClock};

use crate::error::Error;

/// The configuration of a [`Client`](crate::Client): server, token, headers, TLS and limits.
///
/// ```
/// # use strongroom_client::{Client, ClientConfig};
/// let config = ClientConfig { address: "http://127.0.0.1:8200".to_owned(), ..Default::default() };
/// let client = Client::new(config)?;
/// # Ok::<(), strongroom_client::Error>(())
/// ```
pub struct ClientConfig {
    /// `https://host:port`, `http://host:port` or `unix:///path`. For HTTP addresses, a path in it
    /// is prepended to the path of every request.
    pub address: String,
    /// The token that requests are authenticated with (`X-Vault-Token`); `None` to send none.
    pub token: Option<Secret<String>>,
    /// The namespace that request paths are relative to (`X-Vault-Namespace`).
    pub namespace: Option<String>,
    /// Asks for response wrapping (`X-Vault-Wrap-TTL`): the lifetime of the wrapping token, as a
    /// duration such as `5m`. `None` for plain responses.
    pub wrap_ttl: Option<String>,
    /// Names and values of headers to add to every request. The names may not begin with
    /// `X-Vault-`, which the client sets itself.
    pub headers: Vec<(String, String)>,
    /// Values of the `X-Vault-MFA` header, one header for each.
    pub mfa: Vec<Secret<String>>,
    /// Whether to override soft-mandatory policies (`X-Vault-Policy-Override`).
    pub policy_override: bool,
    /// Trusted authorities, the client's own certificate and how the server's is checked.
    pub tls: ClientTlsConfig,
    /// The URL of a proxy for all requests; `None` to use the proxy variables of the environment.
    pub proxy: Option<String>,
    /// How long one attempt at a request may take, until its whole response has been read.
    pub timeout: Duration,
    /// How many times a request that failed for a temporary reason is retried.
    pub max_retries: u32,
    /// Whether to follow one redirect, such as the one a standby node answers with.
    pub follow_redirect: bool,
    /// The maximum size of a response body in bytes; a longer one is [`Error::ResponseTooLarge`].
    pub max_response_bytes: usize,
    /// The clock that the client waits on between attempts. Tests replace it.
    pub clock: Arc<dyn Clock>,
    /// The random numbers that vary the delay between attempts, so that clients that failed at the
    /// same time don't all retry at the same time.
    pub entropy: Arc<dyn Entropy>,
}

/// TLS settings of a client: the authorities it trusts, and its own certificate.
#[derive(Default)]
pub struct ClientTlsConfig {
    /// Certificate authorities to trust instead of the system's.
    pub ca: Option<PemSource>,
    /// A folder of PEM files with authorities to trust. Ignored if `ca` is set.
    pub ca_folder: Option<PathBuf>,
    /// The client's own certificate, with its chain, for servers that require one.
    pub client_cert: Option<PemSource>,
    /// The private key of `client_cert`. Both must be set, or neither.
    pub client_key: Option<PemSource>,
    /// The name that the server's certificate must be valid for, instead of the address's host.
    pub server_name: Option<String>,
    /// Accept any server certificate. Only for tests: the connection can be intercepted.
    pub skip_verify: bool,
}

/// Where PEM data, a certificate or a private key, comes from.
pub enum PemSource {
    /// The path of a PEM file, which is read when the client is created.
    File(PathBuf),
    /// The PEM text itself, kept as a secret since it may be a private key.
    Text(Secret<String>),
}

/// The address a client uses unless another one is configured.
pub const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";
/// How long one attempt at a request may take unless configured otherwise. It is 60 seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// How many times a failed request is retried unless configured otherwise. A request is thus sent
/// at most three times, and after a redirect up to three times again.
pub const DEFAULT_RETRIES: u32 = 2;

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            address: DEFAULT_ADDRESS.to_owned(),
            token: None,
            namespace: None,
            wrap_ttl: None,
            headers: Vec::new(),
            mfa: Vec::new(),
            policy_override: false,
            tls: ClientTlsConfig::default(),
            proxy: None,
            timeout: DEFAULT_TIMEOUT,
            max_retries: DEFAULT_RETRIES,
            follow_redirect: true,
            max_response_bytes: 64 << 20,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

impl fmt::Debug for ClientConfig {
    /// Shows the address and whether there is a token, but no secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address =
            ServerAddress::parse(&self.address).map(|address| address.base_url.to_string());
        f.debug_struct("ClientConfig")
            .field("address", &address.ok())
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

/// A server address, parsed and validated.
pub(crate) struct ServerAddress {
    /// Scheme, host, port and an optional path; for a Unix socket, the URL that HTTP requests name.
    pub(crate) base_url: Url,
    /// The path of the Unix socket, if the address is one.
    pub(crate) socket: Option<PathBuf>,
    /// User name and password from the address. They are kept apart so that no message shows them.
    pub(crate) login: Option<(String, Secret<String>)>,
}

impl ServerAddress {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let (http, socket) = match text.strip_prefix("unix://") {
            Some("") => return Err(invalid_address("it names no socket")),
            Some(path) => ("http://localhost", Some(PathBuf::from(path))),
            None => (text, None),
        };
        let has_scheme =
            ["http://", "https://"].iter().any(|scheme| starts_with_ignoring_case(http, scheme));
        if !has_scheme {
            return Err(invalid_address("it must begin with https://, http:// or unix://"));
        }
        // The parser's own error text is less specific and may repeat a password.
        let unusable =
            || invalid_address("what follows the scheme must be a host, and perhaps a port");
        let mut base = Url::parse(http).map_err(|_| unusable())?;
        if base.host().is_none() {
            return Err(unusable());
        }
        let login = (!base.username().is_empty()).then(|| {
            let password = Secret::from_text(base.password().unwrap_or_default());
            (base.username().to_owned(), password)
        });
        // These can only fail for a URL without a host.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base_url: base, socket, login })
    }

    /// Whether connections to this address stay on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let host = self.base_url.host_str().unwrap_or_default();
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        self.socket.is_some() || host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

/// Whether a text begins with `start`, ignoring ASCII case.
fn starts_with_ignoring_case(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|first| first.eq_ignore_ascii_case(start))
}

fn invalid_address(reason: &str) -> Error {
    Error::Config(format!("the address can't be used: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let unix = ServerAddress::parse("unix:///run/vault.sock").unwrap();
        assert_eq!(unix.socket.as_deref(), Some(std::path::Path::new("/run/vault.sock")));
        assert_eq!(unix.base_url.as_str(), "http://localhost/");
        let with_login = ServerAddress::parse("https://ann:hunter2@host:8200/prefix?x#y").unwrap();
        assert_eq!(with_login.base_url.as_str(), "https://host:8200/prefix");
        let (name, password) = with_login.login.as_ref().unwrap();
        assert_eq!(name, "ann");
        assert!(password.ct_eq(b"hunter2"));
    }

    #[test]
    fn missing_scheme_is_refused() {
        for text in ["", "127.0.0.1:8200", "localhost:8200", "ftp://host", "nonsense", "http:host"]
        {
            let error = ServerAddress::parse(text).map(drop).unwrap_err().to_string();
            assert!(error.ends_with("must begin with https://, http:// or unix://"), "{error}");
        }
    }

    #[test]
    fn invalid_address_is_not_quoted() {
        for text in
            ["https://", "http://:hunter2@", "http://h:hunter2", "http://[::hunter2", "unix://"]
        {
            let error = ServerAddress::parse(text).map(drop).unwrap_err().to_string();
            assert!(error.starts_with("the address can't be used: "), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("base"), "{error}");
        }
        assert!(ServerAddress::parse("HTTP://host").is_ok());
    }

    #[test]
    fn local_addresses_are_recognised() {
        for text in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "unix:///s"] {
            assert!(ServerAddress::parse(text).unwrap().is_local(), "{text}");
        }
        assert!(!ServerAddress::parse("http://127.0.0.1.example.com").unwrap().is_local());
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = ClientConfig {
            address: "https://ann:hunter2@host".to_owned(),
            token: Some(Secret::from_text("hunter2")),
            headers: vec![("x".to_owned(), "hunter2".to_owned())],
            mfa: vec![Secret::from_text("hunter2")],
            ..Default::default()
        };
        let shown = format!("{config:?}");
        assert!(shown.contains("host") && !shown.contains("hunter2"), "{shown}");
    }
}
