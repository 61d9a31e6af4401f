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

use serde::{Deserialize, Serialize};
use strongroom_barrier::Version;
use strongroom_types::{Accessor, Cidr, PolicyName, Secret, Timestamp, TokenType, Ttl};

use crate::accessor_hash::AccessorHash;
use crate::batch_cipher::{BATCH_TOKEN_PREFIX, MAX_BATCH_CHARS};
use crate::error::Error;
use crate::new_token::NewToken;
use crate::store::{IssuedToken, StoredToken, TokenStore};
use crate::token::{Token, TokenKey};

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
            token_type: TokenType::Batch,
            accessor: Accessor::empty(),
            accessor_hash: AccessorHash::default(),
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
