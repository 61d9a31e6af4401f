//! Verification of TLS server certificates when the certificate authorities are configured.
//!
//! Tutorials create a server certificate with one command, which makes it self-signed and marks it
//! as a CA. Go's TLS accepts such a certificate if it is in the CA file; rustls refuses a CA
//! certificate as a server certificate. This verifier accepts it if it is, byte for byte, one of
//! the configured certificates. Its name and validity period are checked as always.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Accepts a server certificate that a configured CA issued, or that is itself one of the
/// configured CA certificates.
#[derive(Debug)]
pub struct PinnedServerVerifier {
    webpki_verifier: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl PinnedServerVerifier {
    /// A verifier that trusts `roots`, and servers that present one of `given`, which must also be
    /// among the roots.
    ///
    /// # Errors
    ///
    /// If rustls can't build a verifier from the roots, for example because there are none.
    pub fn new(roots: RootCertStore, given: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let provider = Arc::new(default_provider());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let usual = usual.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { webpki_verifier: usual, pinned: given })
    }
}

impl ServerCertVerifier for PinnedServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.webpki_verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verdict {
            // The validity period was checked before this error was found.
            Err(error) if is_ca_as_end_entity(&error) && self.pinned.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki_verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki_verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki_verifier.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because no trusted authority issued it. A CA certificate that
/// is presented as a server's certificate counts too.
pub fn is_unknown_issuer(error: &Error) -> bool {
    let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    *error == unknown || is_ca_as_end_entity(error)
}

/// Whether a certificate was refused because it is a CA certificate.
fn is_ca_as_end_entity(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// A certificate as `openssl req -x509` creates it.
    fn self_signed_ca() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["vault.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        signed.der().clone().into_owned()
    }

    fn verify_result(
        trusted: &CertificateDer<'static>,
        shown: &CertificateDer<'_>,
        name: &str,
        year: u64,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let verifier = PinnedServerVerifier::new(roots, vec![trusted.clone()]).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600));
        verifier.verify_server_cert(shown, &[], &name, &[], now).map(drop)
    }

    #[test]
    fn accepts_a_pinned_self_signed_server() {
        let own = self_signed_ca();
        verify_result(&own, &own, "vault.example", 2025).unwrap();
    }

    #[test]
    fn refuses_other_servers_names_and_expired_times() {
        let own = self_signed_ca();
        let refused = |trusted, name, year| match verify_result(trusted, &own, name, year) {
            Err(Error::InvalidCertificate(reason)) => reason,
            other => panic!("{other:?}"),
        };
        let another = self_signed_ca();
        let stranger = refused(&another, "vault.example", 2025);
        assert!(matches!(stranger, CertificateError::Other(_)), "{stranger:?}");
        let name = refused(&own, "other.example", 2025);
        assert!(matches!(name, CertificateError::NotValidForNameContext { .. }), "{name:?}");
        let early = refused(&own, "vault.example", 2019);
        assert!(matches!(early, CertificateError::NotValidYetContext { .. }), "{early:?}");
        let late = refused(&own, "vault.example", 2031);
        assert!(matches!(late, CertificateError::ExpiredContext { .. }), "{late:?}");
    }
}
