//! A certificate authority that is created for a test, and the certificates it issues.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;

/// A certificate authority with its key.
pub struct FakeAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate that the authority issued and its private key, both in PEM.
#[derive(Debug)]
pub struct CertAndKey {
    /// The certificate that the authority issued, in PEM.
    pub cert: String,
    /// The private key in PEM.
    pub key: String,
}

/// Creating a key or a certificate failed, which doesn't happen on a working machine.
pub type FakeTlsError = Box<dyn std::error::Error + Send + Sync>;

impl FakeAuthority {
    /// Creates an authority with a new key.
    pub fn new() -> Result<Self, FakeTlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate in PEM.
    pub fn cert_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for a DNS name or an IP address, with a new key.
    pub fn issue_certificate(&self, name: &str) -> Result<CertAndKey, FakeTlsError> {
        self.sign_key(name, &KeyPair::generate()?)
    }

    /// Issues a certificate for a key that already has one, as in a renewal.
    pub fn reissue_certificate(
        &self,
        name: &str,
        certified: &CertAndKey,
    ) -> Result<CertAndKey, FakeTlsError> {
        self.sign_key(name, &KeyPair::from_pem(&certified.key)?)
    }

    fn sign_key(&self, name: &str, key: &KeyPair) -> Result<CertAndKey, FakeTlsError> {
        let cert = CertificateParams::new([name.to_owned()])?.signed_by(key, &self.issuer)?;
        Ok(CertAndKey { cert: cert.pem(), key: key.serialize_pem() })
    }

    /// The TLS settings for a server on 127.0.0.1 that requires clients to show a certificate of
    /// this authority.
    pub fn server_config(&self) -> Result<ServerConfig, FakeTlsError> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        let cert = params.signed_by(&key, &self.issuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![cert.der().clone()], key)?)
    }
}

impl std::fmt::Debug for FakeAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeAuthority")
    }
}
