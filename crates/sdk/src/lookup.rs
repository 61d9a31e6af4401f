//! [`LookupKey`]: how a secret that clients present is stored and found again.
//!
//! An auth method that issues secrets itself has to find the entry of a secret when a client presents
//! it. Storage keys must not contain the secret. A [`LookupKey`], which is stored in a document,
//! turns the secret into a [`LookupDigest`] (HMAC-SHA-256), which may be part of a storage key:
//! without the key it can't be computed, and the secret can't be computed from it.
//!
//! ```
//! use strongroom_sdk::lookup::LookupKey;
//! use strongroom_sdk::records::RecordKey;
//! use strongroom_sdk::{Context, Document, Error, Secret};
//!
//! /// A machine, and the key under which its codes are stored.
//! #[derive(Document)]
//! #[document(path = "machines/{name}")]
//! struct Machine {
//!     #[field(internal)]
//!     lookup_key: Option<LookupKey>,
//! }
//!
//! async fn knows(context: &Context, of: &Machine, code: &Secret<String>) -> Result<bool, Error> {
//!     let Some(key) = &of.lookup_key else { return Ok(false) };
//!     let digest = key.digest(&["code", code.expose_secret()]);
//!     let record = RecordKey::new("code", digest.as_str());
//!     Ok(context.records().get(&record).await?.is_some())
//! }
//! ```

use std::fmt;

use data_encoding::HEXLOWER;
use serde_json::value::RawValue;
use strongroom_crypto::MacKey;
use strongroom_crypto::digest::sha256;
use strongroom_schema::field::{Field, FieldKind, InvalidValue};
use strongroom_types::{Entropy, Secret};

/// The key with which an engine computes the storage keys of secrets. A field of a document; it is
/// never shown, and has no value until the engine sets it, so declare it as an `Option`.
pub struct LookupKey(Secret<String>);

/// The number of characters of a generated key: 256 bits of randomness.
const KEY_CHARACTERS: usize = 43;

impl LookupKey {
    /// A new random key, of 256 bits, which no other document has.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::new(entropy.base62(KEY_CHARACTERS)))
    }

    /// A fixed key, for a decoy: an account that doesn't exist, whose secrets are looked up as those
    /// of an existing account are.
    pub fn decoy() -> Self {
        Self(Secret::from_text("a decoy has no secrets, so its key protects none"))
    }

    /// The digest of several parts. The boundaries between the parts are part of the message, so that
    /// no two lists of parts have the same digest.
    pub fn digest(&self, parts: &[&str]) -> LookupDigest {
        let mut message = Secret::new(Vec::new());
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes();
            message.expose_secret_mut().extend_from_slice(&length);
            message.expose_secret_mut().extend_from_slice(part.as_bytes());
        }
        let key = MacKey::new(self.0.expose_secret().as_bytes());
        LookupDigest(HEXLOWER.encode(&key.sign(message.expose_secret())))
    }
}

impl fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupKey")
    }
}

impl Field for LookupKey {
    const KIND: FieldKind = FieldKind::String;
    const SECRET: bool = true;

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        Secret::read(raw).map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        self.0.write(out)
    }
}

/// A digest of [`LookupKey::digest`] or [`digest_of_name`]: 64 hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupDigest(String);

impl LookupDigest {
    /// The digest as text, for a storage key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The SHA-256 digest of a name that a client chose, for a storage key: any text becomes a name of
/// fixed length. It hides nothing, because whoever guesses the name can compute it; for a secret use
/// [`LookupKey::digest`].
pub fn digest_of_name(name: &str) -> LookupDigest {
    LookupDigest(HEXLOWER.encode(&sha256(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn the_boundaries_of_parts_change_the_digest() {
        let key = LookupKey::decoy();
        let lists: [&[&str]; 5] = [&["ab", "c"], &["a", "bc"], &["abc"], &["abc", ""], &[]];
        for (index, one) in lists.iter().enumerate() {
            for (other_index, other) in lists.iter().enumerate() {
                let equal = key.digest(one) == key.digest(other);
                assert_eq!(equal, index == other_index, "{one:?} {other:?}");
            }
        }
        assert_eq!(key.digest(&["a"]).as_str().len(), 64);
    }

    #[test]
    fn keys_differ_and_are_not_printed() {
        let entropy = SeededEntropy::new(7);
        let (one, other) = (LookupKey::generate(&entropy), LookupKey::generate(&entropy));
        assert_ne!(one.digest(&["a"]), other.digest(&["a"]));
        assert_eq!(format!("{one:?}"), "LookupKey");
    }

    /// FIPS 180-4, the example "abc".
    #[test]
    fn names_have_the_digest_of_the_standard() {
        let digest = digest_of_name("abc");
        assert!(digest.as_str().starts_with("ba7816bf8f01cfea"), "{digest:?}");
    }
}
