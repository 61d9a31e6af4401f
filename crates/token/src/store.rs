//! [`TokenStore`]: creates, finds, changes and removes tokens.

mod accessor_pages;

pub use accessor_pages::AccessorPages;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, Version, View};
use strongroom_crypto::MacKey;
use strongroom_types::{Accessor, Entropy, Secret, Timestamp, TokenType, chain};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::accessor_hash::AccessorHash;
use crate::batch_cipher::BatchTokenCipher;
use crate::error::Error;
use crate::new_token::NewToken;
use crate::revocation_marks::{RevocationMark, RevocationMarks};
use crate::token::{MAX_DEPTH, Token, TokenKey};

/// The tokens of a server: their records, indexes and revocation marks. Cheap to clone. Ids are
/// never stored, only keyed hashes.
#[derive(Clone, Debug)]
pub struct TokenStore(Arc<TokenStoreInner>);

#[derive(Debug)]
struct TokenStoreInner {
    view: View,
    hash: ArcSwap<MacKey>,
    batch_cipher: BatchTokenCipher,
    marks: RevocationMarks,
    /// Held while a mark is read back from disk into memory, so that the latest one is applied
    /// last.
    mark_reload: Mutex<()>,
    cache: Cache<TokenKey, CachedToken, TokenRecordWeigher>,
    /// Changes of marks in progress. They run to completion even if their caller is dropped.
    tasks: TaskTracker,
    tidy_running: AtomicBool,
}

/// A decoded token and the version of its record, so that an unchanged record isn't decoded again.
#[derive(Clone, Debug)]
struct CachedToken {
    token: Arc<Token>,
    version: Version,
    /// Size of the stored record.
    bytes: usize,
}

/// Weighs cached tokens: in memory a token takes about twice its stored size.
#[derive(Clone, Debug)]
struct TokenRecordWeigher;

impl Weighter<TokenKey, CachedToken> for TokenRecordWeigher {
    fn weight(&self, _: &TokenKey, known: &CachedToken) -> u64 {
        const OVERHEAD: usize = 512;
        u64::try_from(known.bytes.saturating_mul(2) + OVERHEAD).unwrap_or(u64::MAX)
    }
}

/// A token that was found, with the version needed to change it. The record may have been changed
/// since; a conditional commit then fails.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// The keyed hash of the token's id.
    pub key: TokenKey,
    /// The decoded record, shared with the cache.
    pub token: Arc<Token>,
    /// The version of the record, on which a change is conditional. Zero for batch tokens.
    pub version: Version,
}

/// A token that a batch will create, or a batch token. A service token exists only once that batch
/// has been committed.
pub struct IssuedToken {
    /// The token's id, which the client sends. No other copy exists.
    pub id: Secret<String>,
    /// The keyed hash of the token's id.
    pub key: TokenKey,
    /// The record of the token.
    pub token: Token,
}

/// The result of counting a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseOutcome {
    /// The token has uses left, or its uses aren't counted.
    Remaining,
    /// It was the last use: the token is marked, and the caller must revoke it after the request.
    LastUse,
}

/// The value of an accessor's index entry.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccessorRecord {
    pub(crate) accessor: Accessor,
    pub(crate) token: TokenKey,
}

/// The value of a revocation mark.
#[derive(Serialize, Deserialize)]
struct MarkRecord {
    v: u8,
    children: RevocationMark,
}

const SALT_KEY: &str = "salt";
/// Prefix that marks a service token, the one Vault uses and secret scanners look for.
const SERVICE_TOKEN_PREFIX: &str = "hvs.";
const ID_CHARS: usize = 24;
/// Tokens for which cache space is allocated up front; the cache grows beyond that.
const INITIAL_CACHE_TOKENS: usize = 4096;
/// Retries when concurrent requests change the same token.
const MAX_COMMIT_ATTEMPTS: usize = 64;

impl TokenStore {
    /// Default size of the token cache in bytes.
    pub const CACHE_BYTES: u64 = 8 << 20;

    /// Creates the store of a new server. Its salt and the batch token key are added to the initial
    /// batch.
    pub fn initialise(view: View, batch: &mut Batch) -> Self {
        let salt = strongroom_crypto::AeadKey::generate_material(&**view.barrier().entropy());
        view.put(batch, SALT_KEY, salt.expose_secret().clone());
        let batch_cipher = BatchTokenCipher::initialise(&view, batch);
        Self::new(view, &salt, batch_cipher, HashMap::new(), Self::CACHE_BYTES)
    }

    /// Opens the store of an initialised server and loads the revocations in progress.
    /// `cache_bytes` limits the memory used for cached tokens.
    ///
    /// # Errors
    ///
    /// If the salt is missing or a mark can't be decoded, or the error of the barrier.
    pub async fn load(view: View, cache_bytes: u64) -> Result<Self, Error> {
        let missing = || strongroom_barrier::Error::Tampered {
            key: "token/salt".to_owned(),
            reason: "the salt of token ids is missing",
        };
        let salt = view.get(SALT_KEY).await?.ok_or_else(missing)?;
        let mut marks = HashMap::new();
        let mut pages = view.key_pages("revoking/");
        while let Some(keys) = pages.next_page().await? {
            for key in keys {
                let record: Option<MarkRecord> = view.get_json(&key).await?;
                let token = key.strip_prefix("revoking/").and_then(TokenKey::from_stored);
                if let (Some(record), Some(token)) = (record, token) {
                    marks.insert(token, record.children);
                }
            }
        }
        let batch_cipher = BatchTokenCipher::load(&view).await?;
        Ok(Self::new(view, &Secret::new(salt.value.to_vec()), batch_cipher, marks, cache_bytes))
    }

    fn new(
        view: View,
        salt: &Secret<Vec<u8>>,
        batch_cipher: BatchTokenCipher,
        marks: HashMap<TokenKey, RevocationMark>,
        cache_bytes: u64,
    ) -> Self {
        Self(Arc::new(TokenStoreInner {
            view,
            hash: ArcSwap::from_pointee(MacKey::new(salt.expose_secret())),
            batch_cipher,
            marks: RevocationMarks::new(marks),
            mark_reload: Mutex::default(),
            cache: Cache::with_weighter(INITIAL_CACHE_TOKENS, cache_bytes, TokenRecordWeigher),
            tasks: TaskTracker::new(),
            tidy_running: AtomicBool::new(false),
        }))
    }

    /// Erases the salt, the batch token key and all cached tokens from memory, even if clones of
    /// the store remain. Called after the barrier is closed: from then on no token is found or
    /// created.
    pub fn close(&self) {
        let entropy = &**self.0.view.barrier().entropy();
        // Replaced by random keys that match no existing token.
        self.0.hash.store(Arc::new(MacKey::generate(entropy)));
        self.0.batch_cipher.erase_key(entropy);
        self.0.cache.clear();
    }

    pub(crate) fn view(&self) -> &View {
        &self.0.view
    }

    pub(crate) fn tidy_flag(&self) -> &AtomicBool {
        &self.0.tidy_running
    }

    pub(crate) fn batch_cipher(&self) -> &BatchTokenCipher {
        &self.0.batch_cipher
    }

    /// The key of the token with this id: a keyed hash, under which it is stored. Batch tokens
    /// aren't stored, but have one too, for engines.
    pub fn key_of(&self, id: &str) -> TokenKey {
        TokenKey(to_hex(&self.0.hash.load().sign(id.as_bytes())))
    }

    /// Adds a new token to a batch, on condition that its parent isn't being revoked and that its
    /// id isn't taken. Call [`TokenStore::check_depth`] first; if the commit fails,
    /// [`TokenStore::is_gone_or_revoking`] returns whether the parent was the reason.
    pub fn create(&self, batch: &mut Batch, new: NewToken, now: Timestamp) -> IssuedToken {
        let entropy: &dyn Entropy = &**self.0.view.barrier().entropy();
        let id = new.id.unwrap_or_else(|| {
            Secret::new(format!("{SERVICE_TOKEN_PREFIX}{}", entropy.base62(ID_CHARS)))
        });
        let key = self.key_of(id.expose_secret());
        let accessor = self.new_accessor(entropy);
        let token = Token {
            v: 1,
            token_type: TokenType::Service,
            accessor,
            accessor_hash: AccessorHash::default(),
            parent: new.parent,
            policies: new.policies,
            path: new.path,
            display_name: new.display_name,
            meta: new.meta,
            created: now,
            creation_ttl: new.ttl,
            expires: (!new.ttl.is_zero()).then(|| now.plus(new.ttl.as_duration())),
            renewable: new.renewable,
            last_renewal: None,
            period: new.period,
            explicit_max_ttl: new.explicit_max_ttl,
            uses_left: (new.num_uses > 0).then_some(new.num_uses),
            role: new.role,
            bound_cidrs: new.bound_cidrs,
        };
        let view = &self.0.view;
        view.require_absent(batch, &record_key(&key));
        view.put_json(batch, &record_key(&key), &token);
        let led = AccessorRecord { accessor: token.accessor.clone(), token: key.clone() };
        view.put_json(batch, &self.accessor_key(&token.accessor), &led);
        if let Some(parent) = &token.parent {
            self.require_not_revoking(batch, parent);
            view.put(batch, &child_key(parent, &key), Vec::new());
        }
        IssuedToken { id, key, token }
    }

    /// Checks that a child of this token would have no more than [`MAX_DEPTH`] ancestors; call it
    /// before [`TokenStore::create`]. Tokens never get more ancestors, so a concurrent change can't
    /// invalidate the result.
    ///
    /// # Errors
    ///
    /// [`Error::TooDeep`] if it would, or the error of the barrier.
    pub async fn check_depth(&self, parent: &TokenKey) -> Result<(), Error> {
        let mut above = Some(parent.clone());
        for _ in 0..MAX_DEPTH {
            let Some(key) = above else { return Ok(()) };
            above = self.find_by_key(&key).await?.and_then(|found| found.token.parent.clone());
        }
        if above.is_some() { Err(Error::TooDeep) } else { Ok(()) }
    }

    /// Adds the condition that the token exists and isn't being revoked, for batches that create
    /// something on its behalf.
    pub fn require_not_revoking(&self, batch: &mut Batch, key: &TokenKey) {
        self.0.view.require_exists(batch, &record_key(key));
        self.0.view.require_absent(batch, &mark_key(key));
    }

    /// Whether a commit failed because this token doesn't exist or is being revoked. Other
    /// failures, and other tokens' preconditions, give `false`.
    pub fn is_gone_or_revoking(&self, key: &TokenKey, error: &strongroom_barrier::Error) -> bool {
        self.0.view.precondition_failed_on(&record_key(key), error)
            || self.0.view.precondition_failed_on(&mark_key(key), error)
    }

    /// The token with this id if it may be used: not expired, uses left, and neither it nor any of
    /// its ancestors being revoked. `None` otherwise.
    ///
    /// # Errors
    ///
    /// If a record can't be decoded, or the error of the barrier.
    pub async fn look_up(&self, id: &str, now: Timestamp) -> Result<Option<StoredToken>, Error> {
        if Self::is_batch_id(id) {
            return self.look_up_batch(id, now).await;
        }
        let Some(found) = self.find_by_key(&self.key_of(id)).await? else { return Ok(None) };
        Ok(self.is_usable(&found, now).await?.then_some(found))
    }

    /// The token with this accessor if it may be used; see [`TokenStore::look_up`].
    ///
    /// # Errors
    ///
    /// If a record can't be decoded, or the error of the barrier.
    pub async fn look_up_by_accessor(
        &self,
        accessor: &Accessor,
        now: Timestamp,
    ) -> Result<Option<StoredToken>, Error> {
        let record: Option<AccessorRecord> =
            self.0.view.get_json(&self.accessor_key(accessor)).await?;
        let Some(record) = record else { return Ok(None) };
        let Some(found) = self.find_by_key(&record.token).await? else { return Ok(None) };
        Ok(self.is_usable(&found, now).await?.then_some(found))
    }

    /// The token with this key, whether or not it may be used; `None` if it isn't stored.
    ///
    /// # Errors
    ///
    /// If a record can't be decoded, or the error of the barrier.
    pub async fn find_by_key(&self, key: &TokenKey) -> Result<Option<StoredToken>, Error> {
        let record = record_key(key);
        let Some(entry) = self.0.view.get(&record).await? else { return Ok(None) };
        let version = entry.version;
        if let Some(known) = self.0.cache.get(key)
            && known.version == version
        {
            return Ok(Some(StoredToken { key: key.clone(), token: known.token, version }));
        }
        let token: Arc<Token> = Arc::new(self.0.view.decode_json(&record, &entry.value)?);
        let known = CachedToken { token: token.clone(), version, bytes: entry.value.len() };
        self.0.cache.insert(key.clone(), known);
        // If the store was closed meanwhile, the cache had been cleared before this insertion.
        if self.0.view.barrier().is_closed() {
            self.0.cache.remove(key);
        }
        Ok(Some(StoredToken { key: key.clone(), token, version }))
    }

    /// Reads the accessors of all tokens, page by page and in no particular order.
    pub fn accessor_pages(&self) -> AccessorPages<'_> {
        AccessorPages { store: self, keys: self.0.view.key_pages("accessor/") }
    }

    /// Reads the accessors in these index entries.
    async fn read_accessors(&self, keys: Vec<String>) -> Result<Vec<Accessor>, Error> {
        let mut accessors = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(entry) = self.0.view.get_uncached(&key).await? {
                let record: AccessorRecord = self.0.view.decode_json(&key, &entry.value)?;
                accessors.push(record.accessor);
            }
        }
        Ok(accessors)
    }

    /// Durably counts one use of the token, if its uses are limited. The last use also marks the
    /// token for revocation.
    ///
    /// # Errors
    ///
    /// [`Error::Revoked`] if no use is left or the token doesn't exist any more;
    /// [`Error::Contended`] if concurrent requests, or a revocation of the token, used up the
    /// retries; or the error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// A commit that has begun completes even if the future is dropped, so the use may be counted.
    pub async fn count_use(&self, found: &StoredToken) -> Result<UseOutcome, Error> {
        if found.token.uses_left.is_none() {
            return Ok(UseOutcome::Remaining);
        }
        let mut found = found.clone();
        for _ in 0..MAX_COMMIT_ATTEMPTS {
            let Some(left) = found.token.uses_left.and_then(|left| left.checked_sub(1)) else {
                return Err(Error::Revoked);
            };
            let mut batch = Batch::new();
            let spent = Token { uses_left: Some(left), ..Token::clone(&found.token) };
            self.update(&mut batch, &found, &spent);
            if left == 0 {
                self.add_mark(&mut batch, &found.key, RevocationMark::Tree);
            }
            let done = if left == 0 {
                self.commit_marks(batch, vec![found.key.clone()], Some(RevocationMark::Tree)).await
            } else {
                self.0.view.commit(batch).await.map(|_| ())
            };
            match done {
                Ok(()) if left == 0 => return Ok(UseOutcome::LastUse),
                Ok(()) => return Ok(UseOutcome::Remaining),
                Err(error) if error.is_precondition() => {}
                Err(error) => return Err(error.into()),
            }
            found = self.find_by_key(&found.key).await?.ok_or(Error::Revoked)?;
        }
        Err(Error::Contended)
    }

    /// Durably counts the last use of a token in the same commit as the rest of the batch. Of
    /// concurrent callers one succeeds; the others' batches are not applied. The token is marked,
    /// and the caller must revoke it.
    ///
    /// # Errors
    ///
    /// [`Error::Revoked`] if the token doesn't have exactly one use left, changed meanwhile or is
    /// being revoked, or another precondition of the batch fails; or the error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// Once begun, the use is counted on disk and in memory even if the future is dropped.
    pub async fn consume_last_use(
        &self,
        found: &StoredToken,
        mut batch: Batch,
    ) -> Result<(), Error> {
        if found.token.uses_left != Some(1) {
            return Err(Error::Revoked);
        }
        let spent = Token { uses_left: Some(0), ..Token::clone(&found.token) };
        self.update(&mut batch, found, &spent);
        self.add_mark(&mut batch, &found.key, RevocationMark::Tree);
        match self.commit_marks(batch, vec![found.key.clone()], Some(RevocationMark::Tree)).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_precondition() => Err(Error::Revoked),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds a changed token to a batch, on condition that it didn't change meanwhile and isn't
    /// being revoked.
    pub fn update(&self, batch: &mut Batch, found: &StoredToken, token: &Token) {
        let key = record_key(&found.key);
        self.0.view.require_unchanged(batch, &key, found.version);
        self.0.view.require_absent(batch, &mark_key(&found.key));
        self.0.view.put_json(batch, &key, token);
    }

    /// Marks a token: from now on it and all its descendants are refused. Durable when this
    /// returns. Returns `false` if the token doesn't exist. An existing mark is kept, except that
    /// [`RevocationMark::Tree`] replaces [`RevocationMark::Orphan`].
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// Once begun, the mark is set on disk and in memory even if the future is dropped.
    pub async fn mark_for_revocation(
        &self,
        key: &TokenKey,
        mark: RevocationMark,
    ) -> Result<bool, Error> {
        if self.0.marks.get(key).is_some_and(|known| known == RevocationMark::Tree || known == mark)
        {
            return Ok(true);
        }
        let mut batch = Batch::new();
        self.0.view.require_exists(&mut batch, &record_key(key));
        if mark == RevocationMark::Orphan {
            // A token being revoked with its tree must not have its children orphaned.
            self.0.view.require_absent(&mut batch, &mark_key(key));
        }
        self.add_mark(&mut batch, key, mark);
        match self.commit_marks(batch, vec![key.clone()], Some(mark)).await {
            Ok(()) => Ok(true),
            Err(error) if self.0.view.precondition_failed_on(&mark_key(key), &error) => Ok(true),
            Err(error) if error.is_precondition() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Marks tokens whose parent is being revoked with its tree, all in one commit.
    ///
    /// # Errors
    ///
    /// The error of the barrier; if the outcome is uncertain, the marks in memory follow those on
    /// disk, as far as these can be read.
    ///
    /// # Cancel safety
    ///
    /// As [`TokenStore::mark_for_revocation`].
    pub async fn mark_children_for_revocation(&self, keys: &[TokenKey]) -> Result<(), Error> {
        let mut batch = Batch::new();
        for key in keys {
            self.add_mark(&mut batch, key, RevocationMark::Tree);
        }
        Ok(self.commit_marks(batch, keys.to_vec(), Some(RevocationMark::Tree)).await?)
    }

    /// All tokens being revoked, with their marks.
    pub fn marked_tokens(&self) -> Vec<(TokenKey, RevocationMark)> {
        self.0.marks.snapshot()
    }

    /// Number of cached tokens.
    #[cfg(test)]
    pub(crate) fn cached_len(&self) -> usize {
        self.0.cache.len()
    }

    /// Number of tokens being revoked, as shown by the metrics. It counts the marks in memory and
    /// reads nothing.
    pub fn marked_count(&self) -> usize {
        self.0.marks.len()
    }

    /// The mark of this token; `None` if it isn't being revoked. It is looked up in memory, without
    /// reading the store.
    pub fn mark_of(&self, key: &TokenKey) -> Option<RevocationMark> {
        self.0.marks.get(key)
    }

    /// Lists the direct children of a token, sorted by key, at most `limit` of those after `after`.
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    pub async fn list_children(
        &self,
        key: &TokenKey,
        after: Option<&TokenKey>,
        limit: usize,
    ) -> Result<Vec<TokenKey>, Error> {
        let prefix = format!("parent/{key}/");
        let after = after.map(|child| child_key(key, child));
        let keys = self.0.view.list_keys(&prefix, after.as_deref(), limit).await?;
        let child = |key: &String| key.get(prefix.len()..).and_then(TokenKey::from_stored);
        Ok(keys.iter().filter_map(child).collect())
    }

    /// Removes a child's reference to its parent, so that it stays valid without it.
    ///
    /// # Errors
    ///
    /// [`Error::Contended`] if concurrent changes of the child used up the retries, or the error of
    /// the barrier.
    ///
    /// # Cancel safety
    ///
    /// A write that has begun completes even if the future is dropped.
    pub async fn orphan_child(&self, parent: &TokenKey, child: &TokenKey) -> Result<(), Error> {
        for _ in 0..MAX_COMMIT_ATTEMPTS {
            let mut batch = Batch::new();
            self.0.view.delete(&mut batch, &child_key(parent, child));
            if let Some(found) = self.find_by_key(child).await? {
                let key = record_key(child);
                let orphan = Token { parent: None, ..Token::clone(&found.token) };
                self.0.view.require_unchanged(&mut batch, &key, found.version);
                self.0.view.put_json(&mut batch, &key, &orphan);
            }
            match self.0.view.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_precondition() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended)
    }

    /// Removes a token, its index entries and its mark, in one commit with the rest of the batch.
    /// Its leases and children must have been removed before.
    ///
    /// # Errors
    ///
    /// If a record can't be decoded, or the error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// A removal that has begun completes, on disk and in memory, even if the future is dropped.
    pub async fn remove(&self, key: &TokenKey, mut batch: Batch) -> Result<(), Error> {
        let view = &self.0.view;
        if let Some(found) = self.find_by_key(key).await? {
            view.delete(&mut batch, &record_key(key));
            view.delete(&mut batch, &self.accessor_key(&found.token.accessor));
            if let Some(parent) = &found.token.parent {
                view.delete(&mut batch, &child_key(parent, key));
            }
        }
        view.delete(&mut batch, &mark_key(key));
        self.commit_marks(batch, vec![key.clone()], None).await?;
        self.0.cache.remove(key);
        Ok(())
    }

    pub(crate) async fn is_usable(
        &self,
        found: &StoredToken,
        now: Timestamp,
    ) -> Result<bool, Error> {
        if found.token.is_expired(now) || found.token.uses_left == Some(0) {
            return Ok(false);
        }
        if self.0.marks.is_empty() {
            return Ok(true);
        }
        if self.0.marks.get(&found.key).is_some() {
            return Ok(false);
        }
        let mut parent = found.token.parent.clone();
        while let Some(key) = parent {
            match self.0.marks.get(&key) {
                Some(RevocationMark::Tree) => return Ok(false),
                // Its children become orphans, so its ancestors don't affect them.
                Some(RevocationMark::Orphan) => return Ok(true),
                None => {}
            }
            parent = self.find_by_key(&key).await?.and_then(|found| found.token.parent.clone());
        }
        Ok(true)
    }

    /// Commits a batch that leaves these tokens with this mark, then updates the marks in memory.
    /// Both complete even if the caller is dropped.
    async fn commit_marks(
        &self,
        batch: Batch,
        keys: Vec<TokenKey>,
        mark: Option<RevocationMark>,
    ) -> Result<(), strongroom_barrier::Error> {
        let store = self.clone();
        let work = async move {
            let done = store.0.view.commit(batch).await;
            let _carrying = store.0.mark_reload.lock().await;
            for key in &keys {
                store.reload_mark(key, mark.filter(|_| done.is_ok())).await;
            }
            done.map(|_| ())
        };
        let work = self.0.tasks.spawn(work.in_current_span());
        work.await.unwrap_or(Err(strongroom_barrier::Error::Interrupted))
    }

    /// Updates the mark in memory from the one on disk. It is read back because others may have
    /// changed it, and because a failed commit may have been applied. If the read fails, a mark
    /// that was just committed is used.
    async fn reload_mark(&self, key: &TokenKey, made: Option<RevocationMark>) {
        let stored = mark_key(key);
        let read = match self.0.view.get_uncached(&stored).await {
            Ok(None) => Ok(None),
            Ok(Some(entry)) => self.0.view.decode_json(&stored, &entry.value).map(Some),
            Err(error) => Err(error),
        };
        let mark = match read {
            Ok(record) => record.map(|record: MarkRecord| record.children),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "a revocation mark can't be read back");
                if made.is_none() {
                    return;
                }
                made
            }
        };
        match mark {
            Some(mark) => self.0.marks.insert(key, mark),
            None => self.0.marks.remove(key),
        }
    }

    fn add_mark(&self, batch: &mut Batch, key: &TokenKey, mark: RevocationMark) {
        let record = MarkRecord { v: 1, children: mark };
        self.0.view.put_json(batch, &mark_key(key), &record);
    }

    #[expect(clippy::expect_used, reason = "base62 is printable and has no slash")]
    fn new_accessor(&self, entropy: &dyn Entropy) -> Accessor {
        Accessor::parse(&entropy.base62(ID_CHARS)).expect("base62 makes an accessor")
    }

    fn accessor_key(&self, accessor: &Accessor) -> String {
        format!("accessor/{}", to_hex(&self.0.hash.load().sign(accessor.as_str().as_bytes())))
    }
}

pub(crate) fn record_key(key: &TokenKey) -> String {
    ["id/", key.as_str()].concat()
}

fn mark_key(key: &TokenKey) -> String {
    ["revoking/", key.as_str()].concat()
}

fn child_key(parent: &TokenKey, child: &TokenKey) -> String {
    ["parent/", parent.as_str(), "/", child.as_str()].concat()
}

fn to_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
