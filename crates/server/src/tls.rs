//! TLS settings from files, which can be reloaded while the server runs.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use strongroom_config::{ClientCertificatePolicy, ListenerTlsConfig, TlsVersion};

use strongroom_http::TlsSource;

use crate::any_client_certificate::{AnyClientCertificate, BoundedClientChain};

/// The TLS settings of a listener, loaded from files.
pub(crate) struct TlsFromFiles {
    config: ListenerTlsConfig,
    current: ArcSwap<ServerConfig>,
}

impl TlsFromFiles {
    /// Loads the certificate, the key and the client authorities.
    pub(crate) fn load(config: ListenerTlsConfig) -> Result<Self, String> {
        let current = ArcSwap::new(build_server_config(&config)?);
        Ok(Self { config, current })
    }

    /// Loads the files again. Open connections keep the old settings.
    pub(crate) fn reload(&self) -> Result<(), String> {
        self.current.store(build_server_config(&self.config)?);
        Ok(())
    }
}

impl TlsSource for TlsFromFiles {
    fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

/// Builds the TLS settings from the files. Errors name the file.
fn build_server_config(config: &ListenerTlsConfig) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(crypto_provider(config));
    let chain = read_certificates(&config.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|error| file_error(&config.key_file, error))?;
    let versions = protocol_versions(config);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?;
    let builder = match &config.client_certificates {
        ClientCertificatePolicy::NotRequested => builder.with_no_client_auth(),
        ClientCertificatePolicy::Requested => {
            let any = Arc::new(AnyClientCertificate { provider });
            builder.with_client_cert_verifier(Arc::new(BoundedClientChain(any)))
        }
        ClientCertificatePolicy::Required(file) => {
            let verifier = BoundedClientChain(client_verifier(file, provider)?);
            builder.with_client_cert_verifier(Arc::new(verifier))
        }
    };
    let mut tls = builder.with_single_cert(chain, key).map_err(|error| {
        format!("{} and {}: {error}", config.cert_file.display(), config.key_file.display())
    })?;
    if matches!(config.client_certificates, ClientCertificatePolicy::Required(_)) {
        // A resumed session would have the certificate of its first handshake, without a check
        // whether that has expired meanwhile.
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
    }
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(file, error))?;
    if chain.is_empty() { Err(file_error(file, "no certificate in it")) } else { Ok(chain) }
}

fn file_error(file: &Path, why: impl Display) -> String {
    format!("{}: {why}", file.display())
}

/// Requires clients to show a certificate issued by one of the authorities in the file.
fn client_verifier(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).map_err(|error| file_error(file, error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| file_error(file, error))
}

fn protocol_versions(config: &ListenerTlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    let all = [
        (TlsVersion::Tls13, &rustls::version::TLS13),
        (TlsVersion::Tls12, &rustls::version::TLS12),
    ];
    let allowed = config.min_version..=config.max_version;
    all.into_iter().filter(|(it, _)| allowed.contains(it)).map(|(_, version)| version).collect()
}

/// The provider with the configured cipher suites. If none of them is for TLS 1.3, all of its
/// suites stay enabled.
fn crypto_provider(config: &ListenerTlsConfig) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if config.cipher_suites.is_empty() {
        return provider;
    }
    let is_named = |suite: &SupportedCipherSuite| config.cipher_suites.contains(&suite_name(suite));
    let keeps_new = !provider.cipher_suites.iter().any(|it| it.tls13().is_some() && is_named(it));
    let is_new = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    provider.cipher_suites.retain(|it| is_named(it) || (keeps_new && is_new(it)));
    provider
}

/// The suite's registered name. rustls adds the version to the names of TLS 1.3 suites.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}
