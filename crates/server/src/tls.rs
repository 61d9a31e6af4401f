//! TLS settings from files, which can change while the server runs.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use strongroom_config::{TlsConfig, TlsVersion};
use strongroom_http::TlsSource;

/// How a listener speaks TLS.
pub(crate) struct TlsFromFiles {
    config: TlsConfig,
    current: ArcSwap<ServerConfig>,
}

impl TlsFromFiles {
    /// Reads the files.
    pub(crate) fn load(config: TlsConfig) -> Result<Self, String> {
        let current = ArcSwap::new(read(&config)?);
        Ok(Self { config, current })
    }

    /// Reads them again. Connections that are open keep what they have.
    pub(crate) fn reload(&self) -> Result<(), String> {
        self.current.store(read(&self.config)?);
        Ok(())
    }
}

impl TlsSource for TlsFromFiles {
    fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

/// Errors name the file.
fn read(config: &TlsConfig) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(provider(config));
    let chain = certificates(&config.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|error| broken(&config.key_file, error))?;
    let versions = versions(config);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?;
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => builder.with_client_cert_verifier(known_clients(file, provider)?),
    };
    let mut tls = builder.with_single_cert(chain, key).map_err(|error| {
        format!("{} and {}: {error}", config.cert_file.display(), config.key_file.display())
    })?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| broken(file, error))?;
    if chain.is_empty() { Err(broken(file, "no certificate in it")) } else { Ok(chain) }
}

fn broken(file: &Path, why: impl Display) -> String {
    format!("{}: {why}", file.display())
}

/// A client has to show a certificate that one of the file's authorities issued.
fn known_clients(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| broken(file, error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| broken(file, error))
}

fn versions(config: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    let all = [
        (TlsVersion::Tls13, &rustls::version::TLS13),
        (TlsVersion::Tls12, &rustls::version::TLS12),
    ];
    let allowed = config.min_version..=config.max_version;
    all.into_iter().filter(|(it, _)| allowed.contains(it)).map(|(_, version)| version).collect()
}

/// With the cipher suites that are named. TLS 1.3 keeps all of its own if none of them is.
fn provider(config: &TlsConfig) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if config.cipher_suites.is_empty() {
        return provider;
    }
    let is_named = |suite: &SupportedCipherSuite| config.cipher_suites.contains(&name(suite));
    let keeps_new = !provider.cipher_suites.iter().any(|it| it.tls13().is_some() && is_named(it));
    let is_new = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    provider.cipher_suites.retain(|it| is_named(it) || (keeps_new && is_new(it)));
    provider
}

/// As its registry has it; rustls puts the version into the names of the new ones.
fn name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}
