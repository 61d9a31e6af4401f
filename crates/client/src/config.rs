//! What a client is made with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use strongroom_crypto::SystemEntropy;
use strongroom_types::{Clock, Entropy, Secret, SystemClock};

use crate::error::Error;

/// What a client is made with.
///
/// ```
/// # use strongroom_client::{Client, ClientConfig};
/// let config = ClientConfig { address: "http://127.0.0.1:8200".to_owned(), ..Default::default() };
/// let client = Client::new(config)?;
/// # Ok::<(), strongroom_client::Error>(())
/// ```
pub struct ClientConfig {
    /// `https://host:port`, `http://host:port` or `unix:///path`. A path in it is put before every
    /// request's.
    pub address: String,
    /// Who is asking.
    pub token: Option<Secret<String>>,
    /// The namespace that paths are relative to.
    pub namespace: Option<String>,
    /// How long the token that wraps the answer lives, if answers are to be wrapped.
    pub wrap_ttl: Option<String>,
    /// Headers of every request. Those that begin with `X-Vault-` are the client's own.
    pub headers: Vec<(String, String)>,
    /// Values of `X-Vault-MFA`.
    pub mfa: Vec<Secret<String>>,
    /// Whether policies that may be overridden are to be (`X-Vault-Policy-Override`).
    pub policy_override: bool,
    /// Certificates.
    pub tls: ClientTlsConfig,
    /// A proxy for all requests. The proxy variables of the environment are honoured without it.
    pub proxy: Option<String>,
    /// How long a request may take, its answer included.
    pub timeout: Duration,
    /// How often a request is repeated that failed for a reason that may pass.
    pub max_retries: u32,
    /// Whether one redirect is followed, as a standby sends it.
    pub follow_redirect: bool,
    /// Bytes of an answer; a longer one is an error.
    pub max_response_bytes: usize,
    /// The time, for waiting between attempts.
    pub clock: Arc<dyn Clock>,
    /// Chance, so that clients that failed together don't come back together.
    pub entropy: Arc<dyn Entropy>,
}

/// Certificates of a client.
#[derive(Default)]
pub struct ClientTlsConfig {
    /// The authorities that are trusted, instead of the system's.
    pub ca: Option<PemSource>,
    /// The same as a folder of PEM files. Only looked at without `ca`.
    pub ca_folder: Option<PathBuf>,
    /// The client's own certificate.
    pub client_cert: Option<PemSource>,
    /// Its private key.
    pub client_key: Option<PemSource>,
    /// The name that the server's certificate must have, instead of the address's host.
    pub server_name: Option<String>,
    /// Trust any certificate.
    pub skip_verify: bool,
}

/// Something in PEM.
pub enum PemSource {
    /// In a file.
    File(PathBuf),
    /// Here. It may be a key.
    Text(Secret<String>),
}

/// Where a client goes when nobody says otherwise.
pub const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";
/// How long a request may take when nobody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is repeated when nobody says otherwise.
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
    /// Where it goes; nothing of who is asking.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address =
            ServerAddress::parse(&self.address).map(|address| address.base_url.to_string());
        f.debug_struct("ClientConfig")
            .field("address", &address.ok())
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

/// An address, understood.
pub(crate) struct ServerAddress {
    /// Scheme, host, port and perhaps a path; for a socket, what HTTP sees of it.
    pub(crate) base_url: Url,
    /// The socket, if it is one.
    pub(crate) socket: Option<PathBuf>,
    /// Name and password in the address. They are kept apart, so that no message shows them.
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
        // The parser's own words say less than this, and may repeat a password.
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
        // Neither fails for a URL that has a host.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base_url: base, socket, login })
    }

    /// Whether what is sent stays on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let host = self.base_url.host_str().unwrap_or_default();
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        self.socket.is_some() || host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

/// Whether a text begins so, in any case.
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
