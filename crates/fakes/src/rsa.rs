//! An RSA key that is created for a test, such as that of an app whose signatures a fake verifies.

use strongroom_crypto::Rs256Key;

use crate::tls::FakeTlsError;

/// An RSA key of 2048 bits.
pub struct FakeRsaKey {
    pem: String,
    key: Rs256Key,
}

impl FakeRsaKey {
    /// Creates a new key, which takes a while: up to a second.
    ///
    /// # Errors
    ///
    /// If the library can't create a key, which doesn't happen on a working machine.
    pub fn generate() -> Result<Self, FakeTlsError> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?;
        let key = Rs256Key::from_der(&pair.serialize_der()).ok_or("the key can't be read")?;
        Ok(Self { pem: pair.serialize_pem(), key })
    }

    /// The private key in PEM, as PKCS #8.
    pub fn private_pem(&self) -> &str {
        &self.pem
    }

    /// Whether this key made the RS256 signature of a message.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.has_signed(message, signature)
    }
}

impl std::fmt::Debug for FakeRsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeRsaKey")
    }
}
