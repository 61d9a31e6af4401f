//! [`TokenStore`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, Version, View};
use strongroom_crypto::MacKey;
use strongroom_types::{Accessor, Entropy, PolicyName, Secret, Timestamp, Ttl};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::batch::BatchTokenCipher;
use crate::cidr::Cidr;
use crate::error::Error;
use crate::revocation_marks::{RevocationMark, RevocationMarks};
use crate::token::{Token, TokenKey, TokenKind};

/// The tokens of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenStore(Arc<TokenStoreInner>);

#[derive(Debug)]
struct TokenStoreInner {
    view: View,
    hash: ArcSwap<MacKey>,
    batch_cipher: BatchTokenCipher,
    marks: RevocationMarks,
    /// Held while a mark is carried from disk to memory, so that the later one is carried last.
    mark_reload: Mutex<()>,
    cache: Cache<TokenKey, CachedToken, TokenRecordWeigher>,
    /// Changes of marks under way. They run to their end even when their caller has gone.
    tasks: TaskTracker,
    tidy_running: AtomicBool,
}

/// A token as it was at some version of its record, so that the record need not be read again.
#[derive(Clone, Debug)]
struct CachedToken {
    token: Arc<Token>,
    version: Version,
    /// Of the record.
    bytes: usize,
}

/// Weighs known tokens by their records: what is in memory is about as large again.
#[derive(Clone, Debug)]
struct TokenRecordWeigher;

impl Weighter<TokenKey, CachedToken> for TokenRecordWeigher {
    fn weight(&self, _: &TokenKey, known: &CachedToken) -> u64 {
        const OVERHEAD: usize = 512;
        u64::try_from(known.bytes.saturating_mul(2) + OVERHEAD).unwrap_or(u64::MAX)
    }
}

/// A token that was found, with what is needed to change it.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// Its name in storage.
    pub key: TokenKey,
    /// What is known of it.
    pub token: Arc<Token>,
    /// For changes on condition that it didn't change meanwhile.
    pub version: Version,
}

/// What a new token is to be.
pub struct NewToken {
    /// A chosen id, or none for a random one.
    pub id: Option<Secret<String>>,
    /// The token it is made with; none for an orphan.
    pub parent: Option<TokenKey>,
    /// What it may do.
    pub policies: Vec<PolicyName>,
    /// The path it is made at.
    pub path: String,
    /// For logs and engines.
    pub display_name: String,
    /// Kept with it.
    pub meta: Option<BTreeMap<String, String>>,
    /// Its lifetime; zero for one that doesn't expire.
    pub ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// For periodic tokens.
    pub period: Ttl,
    /// See [`Token::explicit_max_ttl`].
    pub explicit_max_ttl: Ttl,
    /// Requests it may make; zero for any number.
    pub num_uses: u32,
    /// The role it is made by.
    pub role: Option<String>,
    /// Where it may be used from; anywhere if there are none.
    pub bound_cidrs: Vec<Cidr>,
}

/// A token that a batch will create.
pub struct IssuedToken {
    /// The token's id: the only copy there will ever be.
    pub id: Secret<String>,
    /// Its name in storage.
    pub key: TokenKey,
    /// What is stored of it.
    pub token: Token,
}

/// How spending a use went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseOutcome {
    /// It isn't counted, or there are more.
    Remaining,
    /// It was the last: the token is marked, and is to be revoked after this request.
    LastUse,
}

/// What an accessor leads to.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccessorRecord {
    pub(crate) accessor: Accessor,
    pub(crate) token: TokenKey,
}

/// What a mark says.
#[derive(Serialize, Deserialize)]
struct MarkRecord {
    v: u8,
    children: RevocationMark,
}

const SALT_KEY: &str = "salt";
/// The prefix by which scanners and people know a service token.
const SERVICE_TOKEN_PREFIX: &str = "hvs.";
const ID_CHARS: usize = 24;
/// Tokens that room is made for at once; the cache grows beyond.
const INITIAL_CACHE_TOKENS: usize = 4096;
/// The most tokens above one. A look-up climbs past all of them while anything is being revoked.
pub const MAX_DEPTH: usize = 128;
const PAGE: usize = 256;
/// Attempts to count a use against others who count at the same time.
const MAX_COMMIT_ATTEMPTS: usize = 64;

impl TokenStore {
    /// Bytes of tokens that are kept in memory where nobody says otherwise.
    pub const CACHE_BYTES: u64 = 8 << 20;

    /// Makes the store of a new server; its salt is added to the batch that initialises it.
    pub fn initialise(view: View, batch: &mut Batch) -> Self {
        let salt = strongroom_crypto::AeadKey::generate_material(&**view.barrier().entropy());
        view.put(batch, SALT_KEY, salt.expose_secret().clone());
        let sealer = BatchTokenCipher::initialise(&view, batch);
        Self::new(view, &salt, sealer, HashMap::new(), Self::CACHE_BYTES)
    }

    /// Opens the store of a server, with the revocations that were under way. Of tokens it keeps
    /// `cache_bytes` in memory.
    pub async fn load(view: View, cache_bytes: u64) -> Result<Self, Error> {
        let missing = || strongroom_barrier::Error::Tampered {
            key: "token/salt".to_owned(),
            reason: "the salt of token ids is missing",
        };
        let salt = view.get(SALT_KEY).await?.ok_or_else(missing)?;
        let mut marks = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let keys = view.list_keys("revoking/", after.as_deref(), PAGE).await?;
            let full = keys.len() == PAGE;
            after = keys.last().cloned();
            for key in keys {
                let record: Option<MarkRecord> = view.get_json(&key).await?;
                let token = key.strip_prefix("revoking/").and_then(TokenKey::from_stored);
                if let (Some(record), Some(token)) = (record, token) {
                    marks.insert(token, record.children);
                }
            }
            if !full {
                break;
            }
        }
        let sealer = BatchTokenCipher::load(&view).await?;
        Ok(Self::new(view, &Secret::new(salt.value.to_vec()), sealer, marks, cache_bytes))
    }

    fn new(
        view: View,
        salt: &Secret<Vec<u8>>,
        sealer: BatchTokenCipher,
        marks: HashMap<TokenKey, RevocationMark>,
        cache_bytes: u64,
    ) -> Self {
        Self(Arc::new(TokenStoreInner {
            view,
            hash: ArcSwap::from_pointee(MacKey::new(salt.expose_secret())),
            batch_cipher: sealer,
            marks: RevocationMarks::new(marks),
            mark_reload: Mutex::default(),
            cache: Cache::with_weighter(INITIAL_CACHE_TOKENS, cache_bytes, TokenRecordWeigher),
            tasks: TaskTracker::new(),
            tidy_running: AtomicBool::new(false),
        }))
    }

    /// Takes the salt, the key of batch tokens and all known tokens out of memory, whoever still
    /// holds a clone. For a barrier that was closed: no token is found or made any more.
    pub fn close(&self) {
        let entropy = &**self.0.view.barrier().entropy();
        // In their place are keys that nothing was ever made with.
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

    /// The name in storage of the token with this id; of a batch token, which has none, its name
    /// for engines.
    pub fn key_of(&self, id: &str) -> TokenKey {
        TokenKey(to_hex(&self.0.hash.load().sign(id.as_bytes())))
    }

    /// Adds a new token to a batch, on condition that its parent isn't being revoked and that its
    /// id isn't taken; see [`TokenStore::is_gone_or_revoking`], and [`TokenStore::check_depth`] before it.
    pub fn create(&self, batch: &mut Batch, new: NewToken, now: Timestamp) -> IssuedToken {
        let entropy: &dyn Entropy = &**self.0.view.barrier().entropy();
        let id = new.id.unwrap_or_else(|| {
            Secret::new(format!("{SERVICE_TOKEN_PREFIX}{}", entropy.base62(ID_CHARS)))
        });
        let key = self.key_of(id.expose_secret());
        let accessor = self.new_accessor(entropy);
        let token = Token {
            v: 1,
            kind: TokenKind::Service,
            accessor,
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

    /// Refuses to go deeper than [`MAX_DEPTH`]: for whoever makes a child of this token, before
    /// [`TokenStore::create`]. Nothing ever gets more tokens above it, so this can't be outrun.
    pub async fn check_depth(&self, parent: &TokenKey) -> Result<(), Error> {
        let mut above = Some(parent.clone());
        for _ in 0..MAX_DEPTH {
            let Some(key) = above else { return Ok(()) };
            above = self.find_by_key(&key).await?.and_then(|found| found.token.parent.clone());
        }
        if above.is_some() { Err(Error::TooDeep) } else { Ok(()) }
    }

    /// Adds the condition that a token is there and isn't being revoked: for whatever is made from
    /// it.
    pub fn require_not_revoking(&self, batch: &mut Batch, key: &TokenKey) {
        self.0.view.require_exists(batch, &record_key(key));
        self.0.view.require_absent(batch, &mark_key(key));
    }

    /// Whether a failed batch failed because this token is gone or being revoked.
    pub fn is_gone_or_revoking(&self, key: &TokenKey, error: &strongroom_barrier::Error) -> bool {
        self.0.view.precondition_failed_on(&record_key(key), error)
            || self.0.view.precondition_failed_on(&mark_key(key), error)
    }

    /// The token with this id, if it may be used: not expired, not spent, and neither it nor any
    /// token above it being revoked.
    pub async fn look_up(&self, id: &str, now: Timestamp) -> Result<Option<StoredToken>, Error> {
        if Self::is_batch_id(id) {
            return self.look_up_batch(id, now).await;
        }
        let Some(found) = self.find_by_key(&self.key_of(id)).await? else { return Ok(None) };
        Ok(self.is_usable(&found, now).await?.then_some(found))
    }

    /// The token this accessor names, if it may be used.
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

    /// A token by its name in storage, usable or not.
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
        // Closed meanwhile: what is known was emptied before this came in.
        if self.0.view.barrier().is_closed() {
            self.0.cache.remove(key);
        }
        Ok(Some(StoredToken { key: key.clone(), token, version }))
    }

    /// The accessors of all tokens, in no useful order, after a place that an earlier call gave.
    pub async fn list_accessors(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Accessor>, Option<String>), Error> {
        let keys = self.0.view.list_keys("accessor/", after, limit).await?;
        let next = (keys.len() == limit).then(|| keys.last().cloned()).flatten();
        let mut accessors = Vec::with_capacity(keys.len());
        for key in keys {
            let entry = self.0.view.get_uncached(&key).await?;
            if let Some(entry) = entry {
                let record: AccessorRecord = self.0.view.decode_json(&key, &entry.value)?;
                accessors.push(record.accessor);
            }
        }
        Ok((accessors, next))
    }

    /// Counts one use, durably. The last one marks the token.
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

    /// Counts the last use a token has, together with what else is in the batch, durably: of all who
    /// try, one succeeds, and for the others nothing of their batches happens. The token is marked,
    /// and is to be revoked.
    ///
    /// Cancel safety: a use that was begun is counted, on disk and in memory.
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

    /// Adds a changed token to a batch, on condition that nobody changed it meanwhile and that it
    /// isn't being revoked.
    pub fn update(&self, batch: &mut Batch, found: &StoredToken, token: &Token) {
        let key = record_key(&found.key);
        self.0.view.require_unchanged(batch, &key, found.version);
        self.0.view.require_absent(batch, &mark_key(&found.key));
        self.0.view.put_json(batch, &key, token);
    }

    /// Marks a token: it and everything below it is refused from now on. Durable when this answers.
    /// `false` if there is no such token. A mark that is there already stays as it is, unless the
    /// new one takes the children as well.
    ///
    /// Cancel safety: a mark that was begun is made, on disk and in memory.
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
            // The children of a token that is revoked with its tree must not be cut loose.
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

    /// Marks tokens whose parent is being revoked.
    pub async fn mark_children_for_revocation(&self, keys: &[TokenKey]) -> Result<(), Error> {
        let mut batch = Batch::new();
        for key in keys {
            self.add_mark(&mut batch, key, RevocationMark::Tree);
        }
        Ok(self.commit_marks(batch, keys.to_vec(), Some(RevocationMark::Tree)).await?)
    }

    /// Tokens whose revocation is under way.
    pub fn marked_tokens(&self) -> Vec<(TokenKey, RevocationMark)> {
        self.0.marks.snapshot()
    }

    /// How many tokens are known in memory.
    #[cfg(test)]
    pub(crate) fn cached_len(&self) -> usize {
        self.0.cache.len()
    }

    /// How many tokens are being revoked.
    pub fn marked_count(&self) -> usize {
        self.0.marks.len()
    }

    /// What a mark on this token says.
    pub fn mark_of(&self, key: &TokenKey) -> Option<RevocationMark> {
        self.0.marks.get(key)
    }

    /// The tokens made with this one, after one of them.
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

    /// Cuts a child off its parent, so that it lives on without it.
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

    /// Removes a token and its mark, together with what else is in the batch. Its leases and
    /// children must have been dealt with.
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
                // Its children live on: nothing above it reaches them.
                Some(RevocationMark::Orphan) => return Ok(true),
                None => {}
            }
            parent = self.find_by_key(&key).await?.and_then(|found| found.token.parent.clone());
        }
        Ok(true)
    }

    /// Applies a batch that leaves these tokens with this mark, and carries what came of it into
    /// memory: both, even when the caller has gone.
    async fn commit_marks(
        &self,
        batch: Batch,
        keys: Vec<TokenKey>,
        mark: Option<RevocationMark>,
    ) -> Result<(), strongroom_barrier::Error> {
        let store = self.clone();
        let work = self.0.tasks.spawn(async move {
            let done = store.0.view.commit(batch).await;
            let _carrying = store.0.mark_reload.lock().await;
            for key in &keys {
                store.reload_mark(key, mark.filter(|_| done.is_ok())).await;
            }
            done.map(|_| ())
        });
        work.await.unwrap_or(Err(strongroom_barrier::Error::Interrupted))
    }

    /// Makes memory say of a mark what the disk says. Others may have changed it meanwhile, and a
    /// commit that failed may have been applied, so the disk is asked. Where it doesn't answer, a
    /// mark that was made counts.
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
                tracing::warn!(%error, "a mark can't be read back");
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
