//! [`TlsSettings`]: which certificates a client accepts and presents.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use strongroom_crypto::trust::PinnedServerVerifier;
use strongroom_types::Secret;

/// The TLS settings for one outside system, as an engine's configuration document has them.
///
/// Every certificate is verified; there is no setting that turns this off. For a system with a
/// self-signed certificate, set that certificate itself as [`ca_cert`](Self::ca_cert).
///
/// ```
/// use strongroom_sdk::Secret;
/// use strongroom_sdk::http::TlsSettings;
///
/// struct Config {
///     ca_cert: String,
///     client_cert: String,
///     client_key: Option<Secret<String>>,
/// }
///
/// impl Config {
///     fn tls(&self) -> TlsSettings<'_> {
///         TlsSettings::new()
///             .ca_cert(&self.ca_cert)
///             .client_cert(&self.client_cert, self.client_key.as_ref())
///     }
/// }
///
/// /// As `validate` of the document: a bad certificate is refused at once.
/// fn validate_config(config: &Config) -> Result<(), String> {
///     config.tls().check().map_err(|error| error.to_string())
/// }
/// ```
#[derive(Clone, Copy, Default)]
pub struct TlsSettings<'a> {
    ca_cert: &'a str,
    client_cert: &'a str,
    client_key: Option<&'a Secret<String>>,
    server_name: &'a str,
    versions: TlsVersions,
}

/// The versions of TLS that a client offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.3, and 1.2 for servers that don't know it.
    #[default]
    Tls12And13,
    /// 1.2 only.
    Tls12,
    /// 1.3 only.
    Tls13,
}

impl TlsVersions {
    fn offered(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12And13 => vec![&TLS13, &TLS12],
            Self::Tls12 => vec![&TLS12],
            Self::Tls13 => vec![&TLS13],
        }
    }
}

/// TLS settings that can't be applied. The texts call the settings `ca_cert`, `client_cert` and
/// `client_key`, as Vault's engines do, and quote nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
#[non_exhaustive]
pub enum TlsSettingsError {
    /// The certificates of the authorities can't be read as PEM.
    InvalidCaCert,
    /// The client certificate can't be read as PEM.
    InvalidClientCert,
    /// The client key can't be read as PEM.
    InvalidClientKey,
    /// There is a client certificate without a key, or a key without a certificate.
    IncompleteClientCert,
    /// The client certificate is one for another key.
    MismatchedClientKey,
    /// The server name is neither a DNS name nor an IP address.
    InvalidServerName,
    /// No authority is set, and the machine has none that can be read.
    NoAuthority,
}

impl TlsSettingsError {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::InvalidCaCert => "ca_cert is no certificate in PEM",
            Self::InvalidClientCert => "client_cert is no certificate in PEM",
            Self::InvalidClientKey => "client_key is no private key in PEM",
            Self::IncompleteClientCert => "client_cert and client_key need each other",
            Self::MismatchedClientKey => "client_key is not the key of client_cert",
            Self::InvalidServerName => "the TLS server name is neither a DNS name nor an address",
            Self::NoAuthority => {
                "no certificate authority is known: neither is ca_cert set nor has the machine any"
            }
        }
    }
}

impl<'a> TlsSettings<'a> {
    /// The machine's certificate authorities, no client certificate, and the host of the base URL
    /// as the server's name.
    pub fn new() -> Self {
        Self::default()
    }

    /// The certificates in PEM of the only authorities that are accepted, or the server's own
    /// certificate; an empty text leaves it to the machine's authorities.
    #[must_use]
    pub fn ca_cert(mut self, pem: &'a str) -> Self {
        self.ca_cert = pem;
        self
    }

    /// The certificate to present to the server, followed by its intermediates, and its private
    /// key, both in PEM; an empty text and `None` present none.
    #[must_use]
    pub fn client_cert(mut self, pem: &'a str, key: Option<&'a Secret<String>>) -> Self {
        self.client_cert = pem;
        self.client_key = key;
        self
    }

    /// The name that is sent to the server and that its certificate must have, instead of the host
    /// of the base URL; an empty text leaves it at that host.
    #[must_use]
    pub fn server_name(mut self, name: &'a str) -> Self {
        self.server_name = name;
        self
    }

    /// The versions of TLS to offer; 1.2 and 1.3 if this isn't called.
    #[must_use]
    pub fn versions(mut self, versions: TlsVersions) -> Self {
        self.versions = versions;
        self
    }

    /// Checks that the settings can be applied, without connecting. For a document's `validate`.
    ///
    /// # Errors
    ///
    /// [`TlsSettingsError`], which names the wrong setting and quotes nothing of it.
    pub fn check(&self) -> Result<(), TlsSettingsError> {
        self.client_config().map(drop)?;
        self.fixed_server_name().map(drop)
    }

    /// Whether nothing is set that would distinguish this server from any other.
    pub(super) fn is_default(&self) -> bool {
        self.server_name.is_empty() && !self.has_own_config()
    }

    /// Whether rustls needs another configuration than that of the process.
    fn has_own_config(&self) -> bool {
        self.versions != TlsVersions::default()
            || !self.ca_cert.is_empty()
            || !self.client_cert.is_empty()
            || self.client_key.is_some()
    }

    pub(crate) fn fixed_server_name(
        &self,
    ) -> Result<Option<ServerName<'static>>, TlsSettingsError> {
        if self.server_name.is_empty() {
            return Ok(None);
        }
        let name = ServerName::try_from(self.server_name.to_owned());
        name.map(Some).map_err(|_| TlsSettingsError::InvalidServerName)
    }

    /// The configuration for rustls; `None` if it is that of the process, see [`system_config`].
    pub(crate) fn client_config(&self) -> Result<Option<Arc<ClientConfig>>, TlsSettingsError> {
        if !self.has_own_config() {
            return Ok(None);
        }
        let pinned = if self.ca_cert.is_empty() {
            Vec::new()
        } else {
            certificates_from_pem(self.ca_cert).ok_or(TlsSettingsError::InvalidCaCert)?
        };
        let roots = if self.ca_cert.is_empty() {
            system_authorities().clone()
        } else {
            let mut roots = RootCertStore::empty();
            for certificate in &pinned {
                let added = roots.add(certificate.clone());
                added.map_err(|_| TlsSettingsError::InvalidCaCert)?;
            }
            roots
        };
        let identity = match (self.client_cert, self.client_key) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => return Err(TlsSettingsError::IncompleteClientCert),
            (certificates, Some(key)) => {
                let certificates = certificates_from_pem(certificates)
                    .ok_or(TlsSettingsError::InvalidClientCert)?;
                let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
                Some((certificates, key.map_err(|_| TlsSettingsError::InvalidClientKey)?))
            }
        };
        build_config(roots, pinned, identity, self.versions).map(Some)
    }
}

/// The configuration of a client without TLS settings. The machine's authorities are read once per
/// process.
pub(crate) fn system_config() -> Result<Arc<ClientConfig>, TlsSettingsError> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, TlsSettingsError>> = OnceLock::new();
    let build = || {
        let versions = TlsVersions::default();
        build_config(system_authorities().clone(), Vec::new(), None, versions)
    };
    CONFIG.get_or_init(build).clone()
}

fn system_authorities() -> &'static RootCertStore {
    static AUTHORITIES: OnceLock<RootCertStore> = OnceLock::new();
    AUTHORITIES.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // Some of a system's certificates are always of an unsupported kind.
        let (_good, _others) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}

type ClientIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn build_config(
    roots: RootCertStore,
    pinned: Vec<CertificateDer<'static>>,
    identity: Option<ClientIdentity>,
    versions: TlsVersions,
) -> Result<Arc<ClientConfig>, TlsSettingsError> {
    let verifier =
        PinnedServerVerifier::new(roots, pinned).map_err(|_| TlsSettingsError::NoAuthority)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&versions.offered())
        .map_err(|_| TlsSettingsError::NoAuthority)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            let config = builder.with_client_auth_cert(certificates, key);
            config.map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsSettingsError::MismatchedClientKey,
                rustls::Error::InvalidCertificate(_) => TlsSettingsError::InvalidClientCert,
                _ => TlsSettingsError::InvalidClientKey,
            })?
        }
    };
    Ok(Arc::new(config))
}

fn certificates_from_pem(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.ok().filter(|all| !all.is_empty())
}

/// A copy of the settings, to find out whether a client was built for them.
pub(crate) struct OwnedTlsSettings {
    ca_cert: String,
    client_cert: String,
    client_key: Option<Secret<String>>,
    server_name: String,
    versions: TlsVersions,
}

impl OwnedTlsSettings {
    pub(crate) fn copy_of(settings: &TlsSettings<'_>) -> Self {
        let copy = |key: &Secret<String>| Secret::from_text(key.expose_secret());
        Self {
            ca_cert: settings.ca_cert.to_owned(),
            client_cert: settings.client_cert.to_owned(),
            client_key: settings.client_key.map(copy),
            server_name: settings.server_name.to_owned(),
            versions: settings.versions,
        }
    }

    pub(crate) fn is_same_as(&self, settings: &TlsSettings<'_>) -> bool {
        let same_key = match (&self.client_key, settings.client_key) {
            (None, None) => true,
            (Some(own), Some(other)) => own.ct_eq(other.expose_secret().as_bytes()),
            _ => false,
        };
        same_key
            && self.ca_cert == settings.ca_cert
            && self.client_cert == settings.client_cert
            && self.server_name == settings.server_name
            && self.versions == settings.versions
    }
}

impl fmt::Debug for TlsSettings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("ca_cert", &self.ca_cert)
            .field("client_cert", &self.client_cert)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use strongroom_fakes::tls::FakeAuthority;

    use super::*;

    #[test]
    fn bad_settings_are_named_and_not_quoted() {
        let authority = FakeAuthority::new().unwrap();
        let (one, two) =
            (authority.issue_certificate("a").unwrap(), authority.issue_certificate("b").unwrap());
        let (key, other) = (Secret::from_text(&one.key), Secret::from_text(&two.key));
        let garbage = Secret::from_text("hunter2");
        let ca = authority.cert_pem();
        let check = |settings: TlsSettings<'_>| settings.check().err();
        let new = TlsSettings::new;
        use TlsSettingsError::*;
        assert_eq!(check(new().ca_cert(&ca).client_cert(&one.cert, Some(&key))), None);
        assert_eq!(check(new().server_name("nomad.example")), None);
        assert_eq!(check(new().ca_cert("hunter2")), Some(InvalidCaCert));
        assert_eq!(check(new().ca_cert(&one.key)), Some(InvalidCaCert));
        let with = |cert, key| check(new().ca_cert(&ca).client_cert(cert, key));
        assert_eq!(with("x", Some(&key)), Some(InvalidClientCert));
        assert_eq!(with(&one.cert, Some(&garbage)), Some(InvalidClientKey));
        assert_eq!(with(&one.cert, Some(&other)), Some(MismatchedClientKey));
        assert_eq!(with(&one.cert, None), Some(IncompleteClientCert));
        assert_eq!(with("", Some(&key)), Some(IncompleteClientCert));
        assert_eq!(check(new().server_name("a b")), Some(InvalidServerName));
        assert!(!format!("{:?}", new().client_cert("", Some(&garbage))).contains("hunter2"));
    }

    #[test]
    fn changed_settings_are_told_apart() {
        let (one, two) = (Secret::from_text("one"), Secret::from_text("two"));
        let settings =
            TlsSettings::new().ca_cert("ca").client_cert("c", Some(&one)).server_name("n");
        let kept = OwnedTlsSettings::copy_of(&settings);
        assert!(kept.is_same_as(&settings));
        for other in [
            TlsSettings::new(),
            settings.ca_cert("cb"),
            settings.client_cert("c", Some(&two)),
            settings.client_cert("c", None),
            settings.client_cert("d", Some(&one)),
            settings.server_name(""),
            settings.versions(TlsVersions::Tls13),
        ] {
            assert!(!kept.is_same_as(&other), "{other:?}");
        }
    }
}
