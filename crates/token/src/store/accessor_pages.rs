//! [`AccessorPages`]: reads the accessors of all tokens page by page.

use strongroom_barrier::KeyPages;
use strongroom_types::Accessor;

use super::TokenStore;
use crate::error::Error;

/// The accessors of all stored tokens, read a page at a time and in no particular order.
/// [`TokenStore::accessor_pages`] creates it.
pub struct AccessorPages<'a> {
    pub(super) store: &'a TokenStore,
    pub(super) keys: KeyPages<'a>,
}

impl AccessorPages<'_> {
    /// Reads pages of at most this many accessors instead of 256.
    #[must_use]
    pub fn with_page_size(self, accessors: usize) -> Self {
        Self { keys: self.keys.with_page_size(accessors), ..self }
    }

    /// Reads the next page; `None` after the last one. A page is empty if all of its tokens were
    /// removed meanwhile.
    ///
    /// # Errors
    ///
    /// If a record can't be decoded, or the error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// Writes nothing. If the future is dropped, the page may be skipped by the next call.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Accessor>>, Error> {
        match self.keys.next_page().await? {
            Some(keys) => Ok(Some(self.store.read_accessors(keys).await?)),
            None => Ok(None),
        }
    }
}
