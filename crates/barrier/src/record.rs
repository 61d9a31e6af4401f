//! The bytes of one encrypted entry.
//!
//! ```text
//! 0      format, 1
//! 1..5   term of the key, big endian
//! 5..17  nonce
//! 17..   AES-256-GCM of (flags ‖ value), with tag
//! ```
//!
//! The associated data is the format, the term and the storage key, so a record decrypts only at
//! the key it was written for. Bit 0 of the flags marks an entry that requested seal wrapping.

use bytes::Bytes;
use strongroom_crypto::AeadKey;
use strongroom_types::{Entropy, Secret};

use crate::Error;

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 5;
const SEAL_WRAP: u8 = 1;

/// The content of a decrypted record.
#[derive(Clone)]
pub struct DecryptedRecord {
    /// The decrypted value; wiped when the last clone is dropped.
    pub value: Bytes,
    /// Whether the entry was written with a request for seal wrapping.
    pub seal_wrap: bool,
}

/// Encrypts `value` into a record that decrypts only at `storage_key`, under `key`, the key of
/// `term`.
///
/// # Errors
///
/// [`Error::TooLarge`] if the value exceeds what the cipher can encrypt.
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

/// Reads the term whose key encrypted a record, from its unauthenticated header.
///
/// # Errors
///
/// [`Error::Tampered`] if the record is too short or has an unknown format.
pub fn read_term(storage_key: &str, record: &[u8]) -> Result<u32, Error> {
    let header = record.first_chunk::<HEADER_BYTES>();
    match header {
        Some([FORMAT, a, b, c, d]) => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        Some(_) => Err(tampered_error(storage_key, "unknown record format")),
        None => Err(tampered_error(storage_key, "record too short")),
    }
}

/// Decrypts a record that was found at `storage_key`.
///
/// # Errors
///
/// [`Error::Tampered`] if it was modified, moved from another key, or encrypted under another key.
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

/// Lets [`Bytes`] own a secret, which is wiped when the last clone is dropped.
struct SecretBuffer(Secret<Vec<u8>>);

impl AsRef<[u8]> for SecretBuffer {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_secret()
    }
}
