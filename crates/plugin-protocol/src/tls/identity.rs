//! Our own certificate and key.

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

/// A certificate and its key, for the life of one process and never written anywhere.
#[derive(Clone)]
pub struct TlsIdentity {
    certificate: CertificateDer<'static>,
    pem: Arc<str>,
    key: Arc<dyn SigningKey>,
}

/// Why there is no identity, or no peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The certificate could not be made.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The key could not be used.
    #[error("can't use the key: {0}")]
    Key(#[from] rustls::Error),
    /// The PEM text holds no certificate, or several.
    #[error("the text holds {0} certificates where there must be one")]
    NotOneCertificate(usize),
    /// The PEM text is broken.
    #[error("the text is not PEM")]
    Pem,
}

/// As long as Go peers make theirs. The process won't live so long, but it must not end before.
const VALID_FOR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
/// The peer's clock may be behind ours.
const VALID_SINCE: Duration = Duration::from_secs(30);

impl TlsIdentity {
    /// Makes a P-256 key and a self-signed certificate: Go peers ask for the name, both usages
    /// and a time between its ends.
    ///
    /// The first call in a process takes tens of milliseconds, since the random generator is
    /// seeded: a plug-in makes its identity before it does anything else.
    pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Self::from_key_pair(&certificate_params(clock.now(), entropy)?.self_signed(&key)?, key)
    }

    /// A certificate and its key that were made elsewhere: an elliptic-curve key in the form of
    /// SEC 1, in DER, which names its curve. It must be the certificate's.
    ///
    /// Both sides of a connection may have the same: then each pins its own.
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

    /// The certificate in DER, as the handshake line carries it.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The certificate in PEM, as the environment carries it.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn certified_key(&self) -> CertifiedKey {
        CertifiedKey::new(vec![self.certificate()], self.key.clone())
    }

    /// Takes the key over: what is left of it is wiped.
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

    /// Somebody who shows this certificate and has another key.
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

/// Reads the one certificate of a peer, as the environment carries it.
pub fn read_pem(text: &str) -> Result<CertificateDer<'static>, IdentityError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let mut certificates = certificates.map_err(|_| IdentityError::Pem)?;
    match (certificates.pop(), certificates.len()) {
        (Some(certificate), 0) => Ok(certificate),
        (None, _) => Err(IdentityError::NotOneCertificate(0)),
        (Some(_), others) => Err(IdentityError::NotOneCertificate(others + 1)),
    }
}

/// Lines of 64 characters, as PEM wants them.
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
