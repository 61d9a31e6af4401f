//! [`KeyPages`]: reads the keys of a view page by page.

use std::borrow::Cow;

use super::View;
use crate::Error;

/// The keys of a [`View`] under one prefix, in byte order, read a page at a time so that only one
/// page of them is in memory. [`View::key_pages`] creates it.
///
/// Each page is read when it is asked for. A key that is added or removed meanwhile is seen or not,
/// depending on whether its page was read already; no key is returned twice.
///
/// ```no_run
/// # async fn count(view: &strongroom_barrier::View) -> Result<usize, strongroom_barrier::Error> {
/// let mut count = 0;
/// let mut pages = view.key_pages("accessor/");
/// while let Some(keys) = pages.next_page().await? {
///     count += keys.len();
/// }
/// # Ok(count)
/// # }
/// ```
#[derive(Debug)]
pub struct KeyPages<'a> {
    view: &'a View,
    prefix: Cow<'a, str>,
    /// The key after which the next page begins.
    position: Option<String>,
    page_size: usize,
    is_finished: bool,
}

/// Number of keys on a page unless [`KeyPages::with_page_size`] sets another.
const PAGE_SIZE: usize = 256;

impl View {
    /// Reads all keys under `prefix`, in pages of 256. The prefix and the keys are relative to the
    /// view. Nothing is read until the first page is asked for.
    pub fn key_pages<'a>(&'a self, prefix: impl Into<Cow<'a, str>>) -> KeyPages<'a> {
        let prefix = prefix.into();
        KeyPages { view: self, prefix, position: None, page_size: PAGE_SIZE, is_finished: false }
    }
}

impl KeyPages<'_> {
    /// Begins after this key, which need not exist; `None` to begin with the first key under the
    /// prefix.
    #[must_use]
    pub fn start_after(mut self, key: Option<String>) -> Self {
        self.position = key;
        self
    }

    /// Reads pages of at most this many keys. With zero, there are no pages.
    #[must_use]
    pub fn with_page_size(mut self, keys: usize) -> Self {
        self.page_size = keys;
        self
    }

    /// Leaves out all keys up to this one. A key that was passed already changes nothing.
    pub fn skip_past(&mut self, key: String) {
        self.position = self.position.take().max(Some(key));
    }

    /// Reads the next page; `None` after the last one. A page that is returned has at least one
    /// key.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`], or the error of the store. The next call reads the same page again.
    ///
    /// # Cancel safety
    ///
    /// Writes nothing. If the future is dropped, the next call reads the same page again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<String>>, Error> {
        if self.is_finished {
            return Ok(None);
        }
        let after = self.position.as_deref();
        let page = self.view.list_keys(&self.prefix, after, self.page_size).await?;
        self.is_finished = page.len() < self.page_size;
        let Some(last) = page.last() else { return Ok(None) };
        self.position = Some(last.clone());
        Ok(Some(page))
    }
}
