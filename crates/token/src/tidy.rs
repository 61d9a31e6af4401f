//! Tidying removes index entries of tokens that no longer exist. Everything about a token is
//! written and removed in one batch, so there should be none; a partially restored storage may have
//! some.

use std::sync::atomic::Ordering;

use strongroom_barrier::Batch;

use crate::error::Error;
use crate::store::{AccessorRecord, TokenStore, record_key};
use crate::token::TokenKey;

/// The result of one tidy run, in numbers of index entries. Entries whose token still exists are
/// only counted as seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TidyReport {
    /// Number of index entries examined.
    pub seen: usize,
    /// Number of accessor entries removed because their token doesn't exist.
    pub accessors: usize,
    /// Number of child entries removed because the child doesn't exist.
    pub children: usize,
}

impl TokenStore {
    /// Removes accessor and child entries whose token doesn't exist, reading a page of keys at a
    /// time.
    ///
    /// # Errors
    ///
    /// If the barrier can't be read or written; entries removed before that stay removed.
    ///
    /// # Cancel safety
    ///
    /// Each removal is a batch of its own, on condition that the token still doesn't exist.
    pub async fn tidy(&self) -> Result<TidyReport, Error> {
        let mut tidied = TidyReport::default();
        for prefix in ["accessor/", "parent/"] {
            let mut pages = self.view().key_pages(prefix);
            while let Some(keys) = pages.next_page().await? {
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
                tokio::task::yield_now().await;
            }
        }
        Ok(tidied)
    }

    /// The token an accessor entry or a child entry refers to. `None` if the entry can't be
    /// decoded, which is then left alone.
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

    /// Returns `false` if the token exists after all.
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

/// Permission to run tidy. Only one exists at a time; dropping it allows the next.
#[derive(Debug)]
pub struct TidyGuard(TokenStore);

impl TokenStore {
    /// Returns a guard, or `None` while another tidy run holds it. Dropping the guard lets the next
    /// run start; the call doesn't wait.
    pub fn try_start_tidy(&self) -> Option<TidyGuard> {
        let taken = self.tidy_flag().swap(true, Ordering::AcqRel);
        (!taken).then(|| TidyGuard(self.clone()))
    }
}

impl TidyGuard {
    /// Runs [`TokenStore::tidy`] and releases the guard, even if the future is dropped.
    ///
    /// # Errors
    ///
    /// As [`TokenStore::tidy`].
    ///
    /// # Cancel safety
    ///
    /// As [`TokenStore::tidy`].
    pub async fn run(self) -> Result<TidyReport, Error> {
        self.0.tidy().await
    }
}

impl Drop for TidyGuard {
    fn drop(&mut self) {
        self.0.tidy_flag().store(false, Ordering::Release);
    }
}
