//! Mutual TLS. Under AutoMTLS each side generates a certificate for the lifetime of one process,
//! sends it to the other side, and accepts no other certificate than the peer's. In versions 3 and
//! 4 both sides use the same certificate, which they were given.
//!
//! - [`identity`]: [`TlsIdentity`], a side's own certificate and key
//! - [`pin`]: [`PinnedPeer`], the check that the peer has the expected certificate
//! - [`client_config`] and [`server_config`]: the same certificates serve the main connection and
//!   those of the broker, in either role

pub mod identity;
pub mod pin;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

pub use identity::{IdentityError, TlsIdentity};
pub use pin::PinnedPeer;

/// The name in every certificate of this protocol, and the one that every client requests.
pub const SERVER_NAME: &str = "localhost";

/// Go's gRPC refuses a connection that did not negotiate HTTP/2.
const ALPN: &[u8] = b"h2";

/// The TLS configuration for the side that dials. It accepts only the certificate `peer`.
pub fn client_config(
    identity: &TlsIdentity,
    peer: CertificateDer<'static>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    client_config_for(identity, peer, rustls::DEFAULT_VERSIONS)
}

/// The TLS configuration for the side that accepts. It requires the client certificate `peer`.
pub fn server_config(
    identity: &TlsIdentity,
    peer: CertificateDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    server_config_for(identity, peer, rustls::DEFAULT_VERSIONS)
}

fn client_config_for(
    identity: &TlsIdentity,
    peer: CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let certificate = SingleCertAndKey::from(identity.certified_key());
    let mut config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedPeer::new(peer, &crypto_provider())))
        .with_client_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the check of the certificate.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn server_config_for(
    identity: &TlsIdentity,
    peer: CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let certificate = SingleCertAndKey::from(identity.certified_key());
    let mut config = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(Arc::new(PinnedPeer::new(peer, &crypto_provider())))
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Uses aws-lc-rs, because Go generates certificates on P-521. AES-128 is preferred: on a local
/// socket the longer key has no benefit.
fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        let mut provider = aws_lc_rs::default_provider();
        let first = cipher_suite::TLS13_AES_128_GCM_SHA256.suite();
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != first);
        Arc::new(provider)
    });
    provider.clone()
}
