//! AutoMTLS: each side makes a certificate for the life of one process, tells the other, and
//! accepts nothing else. Versions 3 and 4 do with one certificate, which both sides were given.
//!
//! - [`identity`]: [`TlsIdentity`], our own certificate and key
//! - [`pin`]: [`PinnedPeer`], the check that the peer is the one
//! - [`client_config`] and [`server_config`]: the same material serves the main connection and
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

/// The name every certificate of this wire carries, and every client asks for.
pub const SERVER_NAME: &str = "localhost";

/// Go's gRPC refuses a connection that did not agree on HTTP/2.
const ALPN: &[u8] = b"h2";

/// For the side that dials.
pub fn client_config(
    identity: &TlsIdentity,
    peer: CertificateDer<'static>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    client_config_for(identity, peer, rustls::DEFAULT_VERSIONS)
}

/// For the side that accepts. The client must show its certificate too.
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
    // A resumed session would pass by the check of the certificate.
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

/// aws-lc-rs, since Go makes certificates on P-521. AES-128 first: on a socket of this machine
/// the longer key buys nothing.
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
