//! HMAC-SHA-256 (RFC 2104), used to derive identifiers that reveal nothing without the key.

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
}
