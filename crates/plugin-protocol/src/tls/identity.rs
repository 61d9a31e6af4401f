//! [`TlsIdentity`]: a side's own certificate and key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::sign::{any_ecdsa_type, any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivateSec1KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use strongroom_types::{Clock, Entropy, Secret, Timestamp};
use zeroize::Zeroize;

use super::SERVER_NAME;

/// A certificate and its private key. It exists for the lifetime of one process, and the key is
/// never written anywhere.
#[derive(Clone)]
pub struct TlsIdentity {
    certificate: CertificateDer<'static>,
    pem: Arc<str>,
    key: Arc<dyn SigningKey>,
}

/// Why a certificate could not be generated or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Generating the certificate or key failed.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The key has an unsupported form or does not belong to the certificate.
    #[error("can't use the key: {0}")]
    Key(#[from] rustls::Error),
    /// The PEM text contains no certificate, or more than one.
    #[error("the text holds {0} certificates where there must be one")]
    NotOneCertificate(usize),
    /// The text is not valid PEM.
    #[error("the text is not PEM")]
    Pem,
}

/// The same validity as in Go's implementation. No process runs that long, but the certificate must
/// never expire before.
const VALID_FOR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
/// The peer's clock may be slow.
const VALID_SINCE: Duration = Duration::from_secs(30);

impl TlsIdentity {
    /// Generates a P-256 key and a self-signed certificate. Go peers require the name, both key
    /// usages and a current validity period.
    ///
    /// The first call in a process takes tens of milliseconds, because the random generator is
    /// seeded: a plug-in calls this before anything else.
    pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Self::from_key_pair(&certificate_params(clock.now(), entropy)?.self_signed(&key)?, key)
    }

    /// Uses a certificate and key that were generated elsewhere. The key is an elliptic-curve key
    /// in SEC 1 DER form that names its curve, and must belong to the certificate.
    ///
    /// Both sides of a connection may have the same certificate; then each pins its own.
    pub fn from_sec1(
        certificate: CertificateDer<'static>,
        key: &Secret<Vec<u8>>,
    ) -> Result<Self, IdentityError> {
        let der = PrivateSec1KeyDer::from(key.expose_secret().as_slice());
        let key = any_ecdsa_type(&PrivateKeyDer::Sec1(der))?;
        let pem = to_pem(&certificate).into();
        let identity = Self { certificate, pem, key };
        identity.certified_key().keys_match()?;
        Ok(identity)
    }

    /// The certificate in DER, as it is sent in the handshake line. The private key is not
    /// included.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The certificate in PEM, as it is passed in the environment. The private key is not included.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn certified_key(&self) -> CertifiedKey {
        CertifiedKey::new(vec![self.certificate()], self.key.clone())
    }

    /// Takes the key over and zeroizes the original copies.
    pub(super) fn from_key_pair(
        certificate: &rcgen::Certificate,
        mut key: KeyPair,
    ) -> Result<Self, IdentityError> {
        let mut der = key.serialize_der();
        key.zeroize();
        let loaded = PrivateKeyDer::try_from(der.as_slice())
            .map_err(|_| rustls::Error::General("the key has an unknown form".to_owned()))
            .and_then(|der| any_supported_type(&der));
        der.zeroize();
        let (pem, certificate) = (certificate.pem().into(), certificate.der().clone());
        Ok(Self { certificate, pem, key: loaded? })
    }

    /// An identity that presents this certificate but has another key.
    #[cfg(test)]
    pub(super) fn with_key_of(&self, other: &Self) -> Self {
        Self { key: other.key.clone(), ..self.clone() }
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Parses the peer's certificate from PEM, as passed in the environment. The text must contain
/// exactly one.
pub fn read_pem(text: &str) -> Result<CertificateDer<'static>, IdentityError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let mut certificates = certificates.map_err(|_| IdentityError::Pem)?;
    match (certificates.pop(), certificates.len()) {
        (Some(certificate), 0) => Ok(certificate),
        (None, _) => Err(IdentityError::NotOneCertificate(0)),
        (Some(_), others) => Err(IdentityError::NotOneCertificate(others + 1)),
    }
}

/// PEM needs lines of 64 characters.
fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in certificate.chunks(48) {
        BASE64.encode_append(line, &mut pem);
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

fn certificate_params(
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([SERVER_NAME.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
    let mut serial = [0_u8; 16];
    entropy.fill(&mut serial);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let now = date_time_ymd(1970, 1, 1) + now.since(Timestamp::EPOCH);
    params.not_before = now - VALID_SINCE;
    params.not_after = now + VALID_FOR;
    Ok(params)
}
