//! [`Rs256Key`]: RSA signatures of the kind RS256 (RFC 7518), for tokens that outside systems verify.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};

/// A private RSA key of 2048 to 8192 bits that signs with RSASSA-PKCS1-v1_5 and SHA-256. It is wiped
/// when it is dropped.
pub struct Rs256Key(RsaKeyPair);

impl Rs256Key {
    /// Reads a key in DER, as PKCS #8 or PKCS #1 (`RSA PRIVATE KEY` in PEM). `None` if it is neither,
    /// or has another size.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let key = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
        key.ok().map(Self)
    }

    /// The signature of a message; `None` only if the library fails. It takes a few milliseconds for
    /// the largest keys.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
        Some(signature)
    }

    /// Whether this key made the signature of a message. For tests and fakes: whoever verifies
    /// signatures of others has only their public keys.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(public) = self.0.public_key().as_der() else { return false };
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref());
        public.verify(message, signature).is_ok()
    }
}

impl fmt::Debug for Rs256Key {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rs256Key").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What precedes the PKCS #1 key in the PKCS #8 encoding of a 2048-bit key.
    const PKCS8_HEADER_BYTES: usize = 26;

    #[test]
    fn keys_in_both_encodings_sign_and_only_their_own_message_verifies() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let pkcs8 = pair.serialize_der();
        let key = Rs256Key::from_der(&pkcs8).unwrap();
        let pkcs1 = Rs256Key::from_der(&pkcs8[PKCS8_HEADER_BYTES..]).unwrap();
        let signature = key.sign(b"header.claims").unwrap();
        assert_eq!(signature, pkcs1.sign(b"header.claims").unwrap(), "the same key");
        assert!(key.has_signed(b"header.claims", &signature));
        assert!(!key.has_signed(b"header.other", &signature));
        assert!(!key.has_signed(b"header.claims", &signature[1..]));
        assert_eq!(format!("{key:?}"), "Rs256Key { .. }");
    }

    #[test]
    fn what_is_no_rsa_key_is_refused() {
        assert!(Rs256Key::from_der(b"").is_none());
        assert!(Rs256Key::from_der(b"not DER at all").is_none());
        let elliptic = rcgen::KeyPair::generate().unwrap();
        assert!(Rs256Key::from_der(&elliptic.serialize_der()).is_none());
    }
}
