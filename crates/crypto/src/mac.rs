//! HMAC-SHA-256 (RFC 2104), used to derive identifiers that reveal nothing without the key; with
//! other hash functions for protocols that prescribe one.

use std::fmt;

use aws_lc_rs::hmac;
use strongroom_types::Entropy;

use crate::AeadKey;

/// An HMAC-SHA-256 key, precomputed for repeated use.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Builds a key from key material of any length; 32 bytes are recommended.
    pub fn new(material: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, material))
    }

    /// Generates a random key that is stored nowhere, so its codes can't be reproduced later.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self::new(AeadKey::generate_material(entropy).expose_secret())
    }

    /// Computes the authentication code of a message, 32 bytes. It is HMAC-SHA256 in full length,
    /// under the key given to `new`.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.0, message);
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        out
    }
}

/// The hash function of [`sign_with`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacHash {
    /// SHA-1, whose collisions don't weaken an HMAC. Only for protocols that prescribe it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// The HMAC of a message with a hash function that a protocol prescribes: 20, 32 or 64 bytes. For
/// everything else there is [`MacKey`].
pub fn sign_with(hash: MacHash, key: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        MacHash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        MacHash::Sha256 => hmac::HMAC_SHA256,
        MacHash::Sha512 => hmac::HMAC_SHA512,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn agrees_with_a_known_answer() {
        let code = MacKey::new(b"Jefe").sign(b"what do ya want for nothing?");
        let hex = data_encoding::HEXLOWER.encode(&code);
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    /// RFC 2202 and RFC 4231, test case 2.
    #[test]
    fn the_prescribed_hash_is_used() {
        let hex = |hash| {
            let code = sign_with(hash, b"Jefe", b"what do ya want for nothing?");
            data_encoding::HEXLOWER.encode(&code)
        };
        assert_eq!(hex(MacHash::Sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert!(hex(MacHash::Sha256).starts_with("5bdcc146bf60754e"));
        assert!(hex(MacHash::Sha512).starts_with("164b7a7bfcf819e2"));
    }
}
