//! The bytes of one encrypted entry.
//!
//! ```text
//! 0      format, 1
//! 1..5   term of the key, big endian
//! 5..17  nonce
//! 17..   AES-256-GCM of (flags ‖ value), with tag
//! ```
//!
//! The associated data is the format, the term and the storage key, so a record opens only where
//! it was written. Of the flags, bit 0 marks an entry that asked for seal wrapping.

use bytes::Bytes;
use strongroom_crypto::AeadKey;
use strongroom_types::{Entropy, Secret};

use crate::Error;

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 5;
const SEAL_WRAP: u8 = 1;

/// What was in a record.
#[derive(Clone)]
pub struct DecryptedRecord {
    /// The value; wiped when the last reader lets go.
    pub value: Bytes,
    /// Whether the entry asked for the seal's extra encryption.
    pub seal_wrap: bool,
}

/// Encrypts `value` for `storage_key` under the key of `term`.
pub fn encrypt(
    key: &AeadKey,
    term: u32,
    storage_key: &str,
    value: &[u8],
    seal_wrap: bool,
    entropy: &dyn Entropy,
) -> Result<Bytes, Error> {
    let mut record = Vec::with_capacity(HEADER_BYTES + value.len() + 29);
    record.push(FORMAT);
    record.extend_from_slice(&term.to_be_bytes());
    let mut plain = Secret::new(Vec::with_capacity(value.len() + 1));
    plain.expose_secret_mut().push(if seal_wrap { SEAL_WRAP } else { 0 });
    plain.expose_secret_mut().extend_from_slice(value);
    key.seal_into(&mut record, plain.expose_secret(), &associated_data(term, storage_key), entropy)
        .map_err(|_| Error::TooLarge { key: storage_key.to_owned() })?;
    Ok(Bytes::from(record))
}

/// The term a record was encrypted under.
pub fn read_term(storage_key: &str, record: &[u8]) -> Result<u32, Error> {
    let header = record.first_chunk::<HEADER_BYTES>();
    match header {
        Some([FORMAT, a, b, c, d]) => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        Some(_) => Err(tampered_error(storage_key, "unknown record format")),
        None => Err(tampered_error(storage_key, "record too short")),
    }
}

/// Decrypts a record found at `storage_key`.
pub fn decrypt(key: &AeadKey, storage_key: &str, record: &[u8]) -> Result<DecryptedRecord, Error> {
    let term = read_term(storage_key, record)?;
    let body = record.get(HEADER_BYTES..).unwrap_or_default();
    let plain = key
        .open(body, &associated_data(term, storage_key))
        .map_err(|_| tampered_error(storage_key, "message authentication failed"))?;
    let Some(flags) = plain.expose_secret().first().copied() else {
        return Err(tampered_error(storage_key, "record without flags"));
    };
    let value = Bytes::from_owner(SecretBuffer(plain)).slice(1..);
    Ok(DecryptedRecord { value, seal_wrap: flags & SEAL_WRAP != 0 })
}

fn tampered_error(key: &str, reason: &'static str) -> Error {
    Error::Tampered { key: key.to_owned(), reason }
}

fn associated_data(term: u32, storage_key: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(HEADER_BYTES + storage_key.len());
    data.push(FORMAT);
    data.extend_from_slice(&term.to_be_bytes());
    data.extend_from_slice(storage_key.as_bytes());
    data
}

/// Lets a shared buffer own a secret.
struct SecretBuffer(Secret<Vec<u8>>);

impl AsRef<[u8]> for SecretBuffer {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_secret()
    }
}
