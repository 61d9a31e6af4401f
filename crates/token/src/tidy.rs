//! Tidying: what points to tokens that are gone. Everything about a token is written and removed in
//! one batch, so there should be nothing; a storage that was restored in parts may have some.

use std::sync::atomic::Ordering;

use strongroom_barrier::Batch;

use crate::error::Error;
use crate::store::{AccessorRecord, TokenStore, record_key};
use crate::token::TokenKey;

/// What a round of tidying did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TidyReport {
    /// Entries looked at.
    pub seen: usize,
    /// Accessors removed whose token is gone.
    pub accessors: usize,
    /// Entries of children removed that are gone.
    pub children: usize,
}

const PAGE: usize = 256;

impl TokenStore {
    /// Removes accessors and entries of children whose token is gone, a page at a time.
    ///
    /// Cancel safety: each removal is a batch of its own, on condition that the token is still gone.
    pub async fn tidy(&self) -> Result<TidyReport, Error> {
        let mut tidied = TidyReport::default();
        for prefix in ["accessor/", "parent/"] {
            let mut after: Option<String> = None;
            loop {
                let keys = self.view().list_keys(prefix, after.as_deref(), PAGE).await?;
                after = keys.last().cloned();
                let last = keys.len() < PAGE;
                for key in keys {
                    tidied.seen += 1;
                    let Some(token) = self.token_of_pointer(&key).await? else { continue };
                    if !self.remove_pointer(&key, &token).await? {
                        continue;
                    }
                    if prefix == "accessor/" {
                        tidied.accessors += 1;
                    } else {
                        tidied.children += 1;
                    }
                }
                if last {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(tidied)
    }

    /// The token an accessor or an entry of a child points at. None for what says nothing: that is
    /// left to whoever can read it.
    async fn token_of_pointer(&self, key: &str) -> Result<Option<TokenKey>, Error> {
        if key.starts_with("parent/") {
            return Ok(key.rsplit_once('/').and_then(|(_, child)| TokenKey::from_stored(child)));
        }
        let Some(entry) = self.view().get_uncached(key).await? else { return Ok(None) };
        Ok(self
            .view()
            .decode_json(key, &entry.value)
            .ok()
            .map(|record: AccessorRecord| record.token))
    }

    /// `false` if the token is there after all.
    async fn remove_pointer(&self, key: &str, token: &TokenKey) -> Result<bool, Error> {
        let record = record_key(token);
        if self.view().get_uncached(&record).await?.is_some() {
            return Ok(false);
        }
        let mut batch = Batch::new();
        self.view().require_absent(&mut batch, &record);
        self.view().delete(&mut batch, key);
        match self.view().commit(batch).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_precondition() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The right to tidy: there is one.
#[derive(Debug)]
pub struct TidyGuard(TokenStore);

impl TokenStore {
    /// None while somebody else is tidying.
    pub fn try_start_tidy(&self) -> Option<TidyGuard> {
        let taken = self.tidy_flag().swap(true, Ordering::AcqRel);
        (!taken).then(|| TidyGuard(self.clone()))
    }
}

impl TidyGuard {
    /// See [`TokenStore::tidy`].
    pub async fn run(self) -> Result<TidyReport, Error> {
        self.0.tidy().await
    }
}

impl Drop for TidyGuard {
    fn drop(&mut self) {
        self.0.tidy_flag().store(false, Ordering::Release);
    }
}
