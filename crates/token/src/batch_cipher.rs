//! [`BatchTokenCipher`]: encrypts batch tokens. The format is in [`batch`](crate::batch).

use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::BASE64URL_NOPAD;
use strongroom_barrier::{Batch, View};
use strongroom_crypto::{AeadKey, MacKey};
use strongroom_types::{Entropy, Secret};

use crate::error::Error;

/// Prefix that marks a batch token, the one Vault uses and secret scanners look for.
pub(crate) const BATCH_TOKEN_PREFIX: &str = "hvb.";
/// Maximum length of a batch token in bytes. Longer ones are neither created nor decrypted, because
/// a token must fit into a request header.
pub const MAX_BATCH_CHARS: usize = 8 << 10;
const BATCH_KEY: &str = "batch-key";
const FORMAT: u8 = 1;
const SALT_BYTES: usize = 16;
const MAC_PURPOSE: &[u8] = b"strongroom batch token";

/// Derives the key of each batch token and encrypts and decrypts them.
#[derive(Debug)]
pub(crate) struct BatchTokenCipher(ArcSwap<MacKey>);

impl BatchTokenCipher {
    /// Generates the key of a new server and adds it to the initial batch.
    pub(crate) fn initialise(view: &View, batch: &mut Batch) -> Self {
        let key = AeadKey::generate_material(&**view.barrier().entropy());
        view.put(batch, BATCH_KEY, key.expose_secret().clone());
        Self::new(key.expose_secret())
    }

    fn new(key: &[u8]) -> Self {
        Self(ArcSwap::from_pointee(MacKey::new(key)))
    }

    /// Replaces the key in memory by a random one, so that no batch token decrypts any more.
    pub(crate) fn erase_key(&self, entropy: &dyn Entropy) {
        self.0.store(Arc::new(MacKey::generate(entropy)));
    }

    /// Loads the key. A server initialised before batch tokens existed gets a new one.
    pub(crate) async fn load(view: &View) -> Result<Self, Error> {
        if let Some(key) = view.get_uncached(BATCH_KEY).await? {
            return Ok(Self::new(&key.value));
        }
        let mut batch = Batch::new();
        // If two instances try this at once, one fails and the other's key is used.
        view.require_absent(&mut batch, BATCH_KEY);
        let batch_cipher = Self::initialise(view, &mut batch);
        view.commit(batch).await?;
        Ok(batch_cipher)
    }

    pub(crate) fn seal(&self, plain: &[u8], entropy: &dyn Entropy) -> Option<Secret<String>> {
        let mut sealed = vec![0; 1 + SALT_BYTES];
        entropy.fill(&mut sealed);
        if let Some(format) = sealed.first_mut() {
            *format = FORMAT;
        }
        let (key, associated) = self.derive_key(&sealed)?;
        key.seal_into(&mut sealed, plain, &associated, entropy).ok()?;
        Some(Secret::new(format!("{BATCH_TOKEN_PREFIX}{}", BASE64URL_NOPAD.encode(&sealed))))
    }

    /// Decrypts a token of this server; `None` for any other text, including other encodings of the
    /// same bytes.
    pub(crate) fn open(&self, id: &str) -> Option<Secret<Vec<u8>>> {
        if id.len() > MAX_BATCH_CHARS {
            return None;
        }
        let sealed =
            BASE64URL_NOPAD.decode(id.strip_prefix(BATCH_TOKEN_PREFIX)?.as_bytes()).ok()?;
        let (head, body) = sealed.split_at_checked(1 + SALT_BYTES)?;
        if head.first() != Some(&FORMAT) {
            return None;
        }
        let (key, associated) = self.derive_key(head)?;
        key.open(body, &associated).ok()
    }

    /// The key of the token with this header, and the associated data of its encryption.
    fn derive_key(&self, head: &[u8]) -> Option<(AeadKey, Vec<u8>)> {
        let associated = [MAC_PURPOSE, head].concat();
        let material = Secret::new(self.0.load().sign(&associated).to_vec());
        Some((AeadKey::new(material.expose_secret())?, associated))
    }
}
