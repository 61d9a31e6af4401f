//! Batch tokens: the token carries its own encrypted record. Nothing is stored, so it can't be
//! renewed or revoked; it ends when its TTL does, or with its parent token.
//!
//! ```text
//! hvb. ‖ base64url of: format 1 ‖ salt 16 ‖ AES-256-GCM (nonce 12 ‖ payload ‖ tag 16)
//! ```
//!
//! There may be far more batch tokens than one AES key with random nonces should encrypt. So each
//! is encrypted under its own key: HMAC-SHA-256 of its salt under a key in this server's storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, Version, View};
use strongroom_crypto::{AeadKey, MacKey};
use strongroom_types::{Accessor, Entropy, PolicyName, Secret, Timestamp, Ttl};

use crate::cidr::Cidr;
use crate::error::Error;
use crate::store::{IssuedToken, NewToken, StoredToken, TokenStore};
use crate::token::{Token, TokenKey, TokenKind};

/// Prefix that marks a batch token, the one Vault uses and secret scanners look for.
const BATCH_TOKEN_PREFIX: &str = "hvb.";
/// Maximum length of a batch token in bytes. Longer ones are neither created nor decrypted, because
/// a token must fit into a request header.
pub const MAX_BATCH_CHARS: usize = 8 << 10;
const BATCH_KEY: &str = "batch-key";
const FORMAT: u8 = 1;
const SALT_BYTES: usize = 16;
const MAC_PURPOSE: &[u8] = b"strongroom batch token";

/// The encrypted payload of a batch token. The field names are the format; they are short because
/// the token is sent with every request.
#[derive(Serialize, Deserialize)]
struct BatchTokenPayload {
    #[serde(rename = "up", default, skip_serializing_if = "Option::is_none")]
    parent: Option<TokenKey>,
    #[serde(rename = "po")]
    #[serde(deserialize_with = "PolicyName::deserialize_stored")]
    policies: Vec<PolicyName>,
    #[serde(rename = "at")]
    path: String,
    #[serde(rename = "dn")]
    display_name: String,
    #[serde(rename = "md", default, skip_serializing_if = "Option::is_none")]
    meta: Option<BTreeMap<String, String>>,
    #[serde(rename = "ct")]
    created: Timestamp,
    #[serde(rename = "tt")]
    ttl: Ttl,
    #[serde(rename = "ro", default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(rename = "ci", default, skip_serializing_if = "Vec::is_empty")]
    bound_cidrs: Vec<Cidr>,
}

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

    fn seal(&self, plain: &[u8], entropy: &dyn Entropy) -> Option<Secret<String>> {
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
    fn open(&self, id: &str) -> Option<Secret<Vec<u8>>> {
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

impl TokenStore {
    /// Creates a batch token. Nothing is stored; the token is usable only while its parent is.
    ///
    /// # Errors
    ///
    /// [`Error::BatchTooLarge`] if the token exceeds [`MAX_BATCH_CHARS`];
    /// [`strongroom_barrier::Error::Sealed`] if the barrier is closed.
    pub fn create_batch_token(&self, new: NewToken, now: Timestamp) -> Result<IssuedToken, Error> {
        let sealed = BatchTokenPayload {
            parent: new.parent,
            policies: new.policies,
            path: new.path,
            display_name: new.display_name,
            meta: new.meta,
            created: now,
            ttl: new.ttl,
            role: new.role,
            bound_cidrs: new.bound_cidrs,
        };
        let plain = Secret::new(serde_json::to_vec(&sealed).unwrap_or_default());
        let entropy = &**self.view().barrier().entropy();
        let fits = plain.expose_secret().len() < MAX_BATCH_CHARS;
        let id = fits.then(|| self.batch_cipher().seal(plain.expose_secret(), entropy)).flatten();
        let id = id.filter(|id| id.expose_secret().len() <= MAX_BATCH_CHARS);
        let id = id.ok_or(Error::BatchTooLarge)?;
        self.check_not_closed()?;
        let key = self.key_of(id.expose_secret());
        Ok(IssuedToken { id, key, token: sealed.into_token() })
    }

    /// Whether an id has the prefix of a batch token, genuine or not. Decryption is what proves it
    /// genuine.
    pub fn is_batch_id(id: &str) -> bool {
        id.starts_with(BATCH_TOKEN_PREFIX)
    }

    /// The batch token with this id if it may be used: it decrypts, isn't expired, and its parent
    /// may be used as well.
    pub(crate) async fn look_up_batch(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<StoredToken>, Error> {
        let Some(plain) = self.batch_cipher().open(id) else {
            // Once the key is erased from memory, a genuine token fails to decrypt too.
            self.check_not_closed()?;
            return Ok(None);
        };
        let Ok(sealed) = serde_json::from_slice::<BatchTokenPayload>(plain.expose_secret()) else {
            return Ok(None);
        };
        let token = sealed.into_token();
        // Batch tokens always expire, so one without an end wasn't created by this server.
        if token.expires.is_none() || token.is_expired(now) {
            return Ok(None);
        }
        if let Some(parent) = &token.parent {
            let Some(parent) = self.find_by_key(parent).await? else { return Ok(None) };
            if !self.is_usable(&parent, now).await? {
                return Ok(None);
            }
        }
        let key = self.key_of(id);
        Ok(Some(StoredToken { key, token: Arc::new(token), version: Version(0) }))
    }

    /// Fails if the barrier is closed, which batch tokens wouldn't notice otherwise. Must be called
    /// after the key was used, because the key is erased only after the barrier is closed.
    fn check_not_closed(&self) -> Result<(), Error> {
        match self.view().barrier().is_closed() {
            true => Err(strongroom_barrier::Error::Sealed.into()),
            false => Ok(()),
        }
    }
}

impl BatchTokenPayload {
    fn into_token(self) -> Token {
        Token {
            v: 1,
            kind: TokenKind::Batch,
            accessor: Accessor::empty(),
            parent: self.parent,
            policies: self.policies,
            path: self.path,
            display_name: self.display_name,
            meta: self.meta,
            created: self.created,
            creation_ttl: self.ttl,
            expires: (!self.ttl.is_zero()).then(|| self.created.plus(self.ttl.as_duration())),
            renewable: false,
            last_renewal: None,
            period: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            uses_left: None,
            role: self.role,
            bound_cidrs: self.bound_cidrs,
        }
    }
}
