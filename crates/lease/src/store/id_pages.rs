//! [`LeaseIdPages`]: reads the ids of leases page by page.

use std::borrow::Cow;

use strongroom_barrier::KeyPages;
use strongroom_types::LeaseId;

use super::{Error, LeaseStore};

/// The ids of leases in byte order, read a page at a time. [`LeaseStore::id_pages`],
/// [`LeaseStore::token_id_pages`] and [`LeaseStore::irrevocable_id_pages`] create it.
///
/// Each page is read when it is asked for, so a lease that is created or removed meanwhile is seen
/// or not.
pub struct LeaseIdPages<'a> {
    pub(super) store: &'a LeaseStore,
    pub(super) keys: KeyPages<'a>,
    /// The folder of the view in which the keys are; the rest of a key is the id.
    pub(super) folder: Cow<'static, str>,
}

impl LeaseIdPages<'_> {
    /// Reads pages of at most this many ids instead of 256.
    #[must_use]
    pub fn with_page_size(self, ids: usize) -> Self {
        Self { keys: self.keys.with_page_size(ids), ..self }
    }

    /// Reads the next page; `None` after the last one. Keys that can't be parsed are left out, so a
    /// page may have fewer ids than others, or none.
    ///
    /// # Errors
    ///
    /// The error of the barrier. The next call reads the same page again.
    ///
    /// # Cancel safety
    ///
    /// Writes nothing. If the future is dropped, the next call reads the same page again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<LeaseId>>, Error> {
        let Some(keys) = self.keys.next_page().await? else { return Ok(None) };
        let parse = |key: String| LeaseId::parse(key.get(self.folder.len()..)?).ok();
        Ok(Some(self.store.parse_keys(&self.folder, keys, parse)))
    }

    /// Reads up to `limit` ids. Keys that can't be parsed don't count, so fewer ids mean that there
    /// are no more.
    pub(super) async fn read_first(self, limit: usize) -> Result<Vec<LeaseId>, Error> {
        let mut pages = self.with_page_size(limit);
        let mut all = Vec::new();
        while all.len() < limit
            && let Some(ids) = pages.next_page().await?
        {
            all.extend(ids);
        }
        all.truncate(limit);
        Ok(all)
    }
}
