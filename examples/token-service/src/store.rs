//! The operations on tokens, and the file that keeps them across restarts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use strongroom_types::{Secret, Timestamp};

use crate::tokens::TokenTable;

/// The details of a token, without its secret.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct TokenDetails {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) permissions: Vec<String>,
    #[serde(with = "rfc3339")]
    pub(crate) created_at: Timestamp,
    #[serde(with = "rfc3339")]
    pub(crate) expires_at: Timestamp,
}

/// A request to create a token. Unknown fields are refused: with a misspelt `ttl`, the token would
/// live longer than its owner expects.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTokenBody {
    name: String,
    permissions: Vec<String>,
    #[serde(default)]
    ttl: u64,
}

/// Counters since the service was first started, and the number of live tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStats {
    /// The number of tokens created.
    pub created: u64,
    /// The number of tokens deleted, not counting expired ones.
    pub deleted: u64,
    /// The number of renewals since the first start.
    pub renewed: u64,
    /// The number of tokens that are valid now.
    pub live: usize,
}

/// Why an operation fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error("no token has this id")]
    NotFound,
    #[error("the name is in use")]
    NameTaken,
    #[error("no room for another token")]
    Full,
    #[error("no random bytes to be had")]
    NoEntropy,
    #[error("the state file can't be written: {0}")]
    NotSaved(#[from] io::Error),
}

/// All tokens. Every method takes the current time and treats an expired token as missing.
///
/// Without a state file, only listing takes longer as the number of tokens grows. With one, each
/// change writes the whole file: that is simple, and `max_tokens` limits its size.
pub(crate) struct TokenRegistry {
    stats: ServiceStats,
    tokens: TokenTable,
    file: Option<PathBuf>,
    max_tokens: usize,
}

impl TokenRegistry {
    /// Reads the state file, if one is configured and exists, then writes it, so that a file that
    /// can't be written is an error now and not when the first token is created.
    pub(crate) fn open(file: Option<PathBuf>, max_tokens: usize) -> io::Result<Self> {
        let mut stored = StoredState::default();
        if let Some(file) = &file {
            match std::fs::read(file) {
                Ok(json) => stored = serde_json::from_slice(&json)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let StoredState { stats, tokens } = stored;
        let store = Self { stats, tokens: tokens.into_owned().into(), file, max_tokens };
        store.save_state(stats)?;
        Ok(store)
    }

    /// Creates a token. Only this call returns the token itself.
    ///
    /// A name can belong to one live token only. So a caller that lost the response finds its token
    /// by the name it chose, and finds exactly one.
    pub(crate) fn create(
        &mut self,
        wish: CreateTokenBody,
        now: Timestamp,
    ) -> Result<(TokenDetails, Secret<String>), StoreError> {
        check_request(&wish)?;
        let expires_at = expires_at(wish.ttl, now)?;
        if self.tokens.find_by_name(&wish.name, now).is_some() {
            return Err(StoreError::NameTaken);
        }
        if self.tokens.live_count(now) >= self.max_tokens {
            return Err(StoreError::Full);
        }
        let plain = Secret::new(format!("tok_{}", BASE64URL_NOPAD.encode(&random_bytes::<32>()?)));
        let token = TokenDetails {
            id: HEXLOWER.encode(&random_bytes::<16>()?),
            name: wish.name,
            permissions: wish.permissions,
            created_at: now,
            expires_at,
        };
        let stats = ServiceStats { created: self.stats.created + 1, ..self.stats };
        self.commit(now, stats, sha256_hex(plain.expose_secret()), Some(token.clone()))?;
        Ok((token, plain))
    }

    /// Sets a token's remaining lifetime to `ttl` seconds, longer or shorter than before.
    pub(crate) fn renew(
        &mut self,
        id: &str,
        ttl: u64,
        now: Timestamp,
    ) -> Result<TokenDetails, StoreError> {
        let expires_at = expires_at(ttl, now)?;
        let (hash, token) = self.tokens.find_by_id(id, now).ok_or(StoreError::NotFound)?;
        let (hash, token) = (hash.to_owned(), TokenDetails { expires_at, ..token.clone() });
        let stats = ServiceStats { renewed: self.stats.renewed + 1, ..self.stats };
        self.commit(now, stats, hash, Some(token.clone()))?;
        Ok(token)
    }

    /// Deletes a token.
    pub(crate) fn delete(&mut self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let (hash, _) = self.tokens.find_by_id(id, now).ok_or(StoreError::NotFound)?;
        let stats = ServiceStats { deleted: self.stats.deleted + 1, ..self.stats };
        self.commit(now, stats, hash.to_owned(), None)
    }

    pub(crate) fn get(&self, id: &str, now: Timestamp) -> Result<&TokenDetails, StoreError> {
        self.tokens.find_by_id(id, now).map(|(_, token)| token).ok_or(StoreError::NotFound)
    }

    /// Finds a token by its secret. The look-up by hash needs no constant time.
    pub(crate) fn find_by_secret(&self, plain: &str, now: Timestamp) -> Option<&TokenDetails> {
        self.tokens.find_by_hash(&sha256_hex(plain), now)
    }

    pub(crate) fn find_by_name(&self, name: &str, now: Timestamp) -> Option<&TokenDetails> {
        self.tokens.find_by_name(name, now)
    }

    pub(crate) fn live_tokens(&self, now: Timestamp) -> impl Iterator<Item = &TokenDetails> {
        self.tokens.live_tokens(now)
    }

    pub(crate) fn stats(&self, now: Timestamp) -> ServiceStats {
        ServiceStats { live: self.tokens.live_count(now), ..self.stats }
    }

    /// Sets or removes one token, and returns once the change would survive a power failure. If the
    /// file can't be written, the change is undone in memory, but the file may have either state.
    fn commit(
        &mut self,
        now: Timestamp,
        stats: ServiceStats,
        hash: String,
        token: Option<TokenDetails>,
    ) -> Result<(), StoreError> {
        self.tokens.remove_expired(now);
        let before = match token {
            Some(token) => self.tokens.insert(hash.clone(), token),
            None => self.tokens.remove(&hash),
        };
        let stats = ServiceStats { live: self.tokens.live_count(now), ..stats };
        if let Err(error) = self.save_state(stats) {
            match before {
                Some(before) => self.tokens.insert(hash, before),
                None => self.tokens.remove(&hash),
            };
            return Err(error.into());
        }
        self.stats = stats;
        Ok(())
    }

    /// Writes the state file, if there is one.
    fn save_state(&self, stats: ServiceStats) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        write_state_file(file, &StoredState { stats, tokens: Cow::Borrowed(self.tokens.as_map()) })
    }
}

/// The content of the state file. Tokens are stored under their SHA-256, so a reader of the file
/// can't use them.
#[derive(Default, Serialize, Deserialize)]
struct StoredState<'a> {
    stats: ServiceStats,
    tokens: Cow<'a, BTreeMap<String, TokenDetails>>,
}

/// Replaces the file atomically: after a crash it has the old state or the new one.
fn write_state_file(file: &Path, state: &StoredState<'_>) -> io::Result<()> {
    let mut next = file.as_os_str().to_owned();
    next.push(".new");
    // Remove the temporary file of a crashed write; a new file gets the mode set below.
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    new.write_all(&serde_json::to_vec(state)?)?;
    new.sync_all()?;
    std::fs::rename(&next, file)?;
    // The rename changes the folder, which has to be synced separately.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn check_request(wish: &CreateTokenBody) -> Result<(), StoreError> {
    let fits =
        |text: &str, max| (1..=max).contains(&text.len()) && !text.contains(char::is_control);
    if !fits(&wish.name, 256) {
        return Err(StoreError::Invalid("name must be 1 to 256 bytes without control characters"));
    }
    if wish.permissions.len() > 64 || !wish.permissions.iter().all(|one| fits(one, 128)) {
        return Err(StoreError::Invalid(
            "permissions must be at most 64, each 1 to 128 bytes without control characters",
        ));
    }
    Ok(())
}

fn expires_at(ttl: u64, now: Timestamp) -> Result<Timestamp, StoreError> {
    match ttl {
        0 => Ok(now.plus(Duration::from_secs(3600))),
        1..=315_360_000 => Ok(now.plus(Duration::from_secs(ttl))),
        _ => Err(StoreError::Invalid("ttl must be at most 315360000 seconds (ten years)")),
    }
}

fn random_bytes<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| StoreError::NoEntropy)?;
    Ok(bytes)
}

fn sha256_hex(text: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Times in RFC 3339 format, for the state file and responses.
mod rfc3339 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use strongroom_types::Timestamp;

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("not a time"))
    }
}
