//! AES-256-GCM with a fresh random nonce for each message (NIST SP 800-38D, section 8.2.2).
//!
//! With random nonces one key may seal about 2^32 messages; the owner of a key must count them, as
//! the barrier's key ring does.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use strongroom_types::{Entropy, Secret};

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// Length in bytes of the nonce in front of each sealed message. It is drawn at random for each
/// message.
pub const NONCE_BYTES: usize = 12;
/// Length in bytes of the authentication tag behind the ciphertext. Every sealed message is longer
/// than its plaintext by this and the nonce.
pub const TAG_BYTES: usize = 16;

/// An AES-256-GCM key with its key schedule computed once. It is built from [`KEY_BYTES`] bytes,
/// which can't be read back.
pub struct AeadKey(LessSafeKey);

/// Decryption failed: the message was sealed with another key or other associated data, or was
/// modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message authentication failed")]
pub struct AuthenticationError;

/// The message is larger than AES-GCM can seal at once (64 GiB), far above any limit of this
/// project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message too large to seal")]
pub struct TooLarge;

impl AeadKey {
    /// Builds a key from [`KEY_BYTES`] bytes of key material; `None` for any other length.
    pub fn new(material: &[u8]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, material).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// Draws [`KEY_BYTES`] random bytes to use as key material. The result is wiped from memory
    /// when it is dropped.
    pub fn generate_material(entropy: &dyn Entropy) -> Secret<Vec<u8>> {
        let mut material = Secret::new(vec![0; KEY_BYTES]);
        entropy.fill(material.expose_secret_mut());
        material
    }

    /// Encrypts `plaintext` and appends `nonce ‖ ciphertext ‖ tag` to `out`. The `associated` data
    /// is authenticated but not included: [`AeadKey::open`] needs the same bytes again.
    ///
    /// # Errors
    ///
    /// If the plaintext is too large for the cipher; `out` may then hold a partial message.
    pub fn seal_into(
        &self,
        out: &mut Vec<u8>,
        plaintext: &[u8],
        associated: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<(), TooLarge> {
        let mut nonce = [0_u8; NONCE_BYTES];
        entropy.fill(&mut nonce);
        out.reserve(NONCE_BYTES + plaintext.len() + TAG_BYTES);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plaintext);
        let (_, body) = out.split_at_mut(start);
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated),
                body,
            )
            .map_err(|_| TooLarge)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts a message that [`AeadKey::seal_into`] wrote, and returns the plaintext.
    ///
    /// # Errors
    ///
    /// If the message is too short, was modified, or was sealed with another key or other
    /// associated data.
    pub fn open(
        &self,
        sealed: &[u8],
        associated: &[u8],
    ) -> Result<Secret<Vec<u8>>, AuthenticationError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES).ok_or(AuthenticationError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| AuthenticationError)?;
        let mut buffer = Secret::new(body.to_vec());
        let plain_len = {
            let plain = self
                .0
                .open_in_place(nonce, Aad::from(associated), buffer.expose_secret_mut())
                .map_err(|_| AuthenticationError)?;
            plain.len()
        };
        buffer.expose_secret_mut().truncate(plain_len);
        Ok(buffer)
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    fn test_key() -> AeadKey {
        AeadKey::new(AeadKey::generate_material(&SystemEntropy).expose_secret()).unwrap()
    }

    fn seal_message(key: &AeadKey, plaintext: &[u8], associated: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        key.seal_into(&mut sealed, plaintext, associated, &SystemEntropy).unwrap();
        sealed
    }

    #[test]
    fn opens_what_it_sealed() {
        let key = test_key();
        for plain in [&b""[..], b"x", &[7; 5000]] {
            let sealed = seal_message(&key, plain, b"where");
            assert_eq!(sealed.len(), NONCE_BYTES + plain.len() + TAG_BYTES);
            assert!(key.open(&sealed, b"where").unwrap().ct_eq(plain));
        }
    }

    #[test]
    fn refuses_changed_bytes_and_other_associated_data() {
        let key = test_key();
        let sealed = seal_message(&key, b"hello", b"here");
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.open(&changed, b"here").is_err(), "byte {index}");
        }
        assert!(key.open(&sealed, b"there").is_err());
        assert!(key.open(&sealed[..sealed.len() - 1], b"here").is_err());
        assert!(key.open(&[], b"here").is_err());
        assert!(test_key().open(&sealed, b"here").is_err());
    }

    #[test]
    fn nonces_differ() {
        let key = test_key();
        assert_ne!(seal_message(&key, b"same", b""), seal_message(&key, b"same", b""));
    }

    /// NIST GCM test vector (test case 14 of the original submission): zero key, zero block.
    #[test]
    fn agrees_with_a_known_answer() {
        let key = AeadKey::new(&[0; 32]).unwrap();
        let mut sealed = vec![0; NONCE_BYTES];
        let answer = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
        sealed.extend(data_encoding::HEXLOWER.decode(answer.as_bytes()).unwrap());
        assert!(key.open(&sealed, b"").unwrap().ct_eq(&[0; 16]));
    }

    #[test]
    fn refuses_keys_of_other_lengths() {
        assert!(AeadKey::new(&[0; 31]).is_none());
        assert!(AeadKey::new(&[0; 33]).is_none());
    }
}
