//! [`AnyClientCertificate`]: asks clients for a certificate, and leaves to auth methods what it is
//! worth. [`BoundedClientChain`]: refuses chains that are larger than real ones are.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

/// Accepts every certificate of which the client proves that it has the key, and clients without
/// one. Issuer, validity and purpose aren't checked: certificates may be pinned in an auth method,
/// or be issued by authorities that only such a method knows.
#[derive(Debug)]
pub(crate) struct AnyClientCertificate {
    pub(crate) provider: Arc<CryptoProvider>,
}

/// The largest number of certificates in a chain, and of their bytes. A chain stays in memory as long
/// as its connection.
const MAX_CERTIFICATES: usize = 10;
const MAX_CHAIN_BYTES: usize = 32 * 1024;

/// Another verifier behind a bound on the size of chains.
#[derive(Debug)]
pub(crate) struct BoundedClientChain(pub(crate) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for BoundedClientChain {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes = intermediates.iter().fold(end_entity.len(), |sum, it| sum + it.len());
        if intermediates.len() >= MAX_CERTIFICATES || bytes > MAX_CHAIN_BYTES {
            return Err(Error::General("the client's certificate chain is too large".to_owned()));
        }
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: clients then offer whichever certificate they are configured with.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;

    use super::*;

    #[test]
    fn sr_2026_08_chains_are_bounded_in_number_and_bytes() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let bounded = BoundedClientChain(Arc::new(AnyClientCertificate { provider }));
        let now = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
        let check = |count: usize, bytes: usize| {
            let rest = vec![CertificateDer::from(vec![0; bytes]); count];
            bounded.verify_client_cert(&CertificateDer::from(vec![0; bytes]), &rest, now).is_ok()
        };
        assert!(check(0, 2000) && check(9, 2000));
        assert!(!check(10, 1) && !check(9, 4000) && !check(0, 40_000));
    }
}
