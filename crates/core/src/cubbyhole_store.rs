//! [`CubbyholeStore`]: the entries stored per token, which are deleted with it.
//!
//! ```text
//! <token key>/own/<path>       an object the token wrote
//! <token key>/wrapped/<part>   of a wrapping token: what it unwraps, and where that came from
//! ```
//!
//! `<token key>` is a keyed hash of the token's id, so a storage key doesn't reveal a token. Paths
//! that requests can name are all below `own/`, so no token can write what a wrapping token
//! unwraps.

use strongroom_barrier::{Batch, Error, View};
use strongroom_token::TokenKey;
use strongroom_types::RawObject;

/// Storage of all tokens' cubbyholes, and of the responses that wrapping tokens unwrap. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct CubbyholeStore {
    view: View,
}

/// Entries deleted per batch.
const PAGE_SIZE: usize = 128;

impl CubbyholeStore {
    /// Creates the store on its view of the barrier's storage, without reading anything.
    pub fn new(view: View) -> Self {
        Self { view }
    }

    /// Reads the object that `owner` wrote at `path`; `None` if there is none.
    pub async fn read(&self, owner: &TokenKey, path: &str) -> Result<Option<RawObject>, Error> {
        let entry = self.view.get(&storage_key(owner, path)).await?;
        Ok(entry.map(|entry| RawObject::from_own_json(entry.value)))
    }

    /// Lists up to `limit` names directly in `folder`, which is empty or ends in a slash, starting
    /// after the name `after`. Subfolders end in a slash.
    pub async fn list(
        &self,
        owner: &TokenKey,
        folder: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.view.list_children(&storage_key(owner, folder), after, limit).await
    }

    /// Adds a write to a batch. The batch must also require that the token isn't being revoked
    /// (`TokenStore::require_not_revoking`), or the entry could outlive its token.
    pub fn put(&self, batch: &mut Batch, owner: &TokenKey, path: &str, object: &RawObject) {
        self.view.put(batch, &storage_key(owner, path), object.as_bytes().to_vec());
    }

    /// Adds the condition that nothing is stored at `path`; otherwise the batch fails when
    /// committed.
    pub fn require_absent(&self, batch: &mut Batch, owner: &TokenKey, path: &str) {
        self.view.require_absent(batch, &storage_key(owner, path));
    }

    /// Deletes the object that `owner` wrote at `path`. Does nothing if there is none.
    pub async fn delete(&self, owner: &TokenKey, path: &str) -> Result<(), Error> {
        let mut batch = Batch::new();
        self.view.delete(&mut batch, &storage_key(owner, path));
        self.view.commit(batch).await?;
        Ok(())
    }

    /// Deletes everything stored for a token, wrapped responses included, one page per batch. The
    /// token must be marked for revocation, so that nothing is added meanwhile. If interrupted,
    /// call it again.
    pub async fn delete_all(&self, owner: &TokenKey) -> Result<(), Error> {
        let all = format!("{owner}/");
        loop {
            let keys = self.view.list_keys(&all, None, PAGE_SIZE).await?;
            if keys.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for key in &keys {
                self.view.delete(&mut batch, key);
            }
            self.view.commit(batch).await?;
        }
    }

    /// The view that holds the wrapped response of a wrapping token and its metadata.
    pub(crate) fn wrapped_view(&self, owner: &TokenKey) -> View {
        self.view.sub_view(&format!("{owner}/wrapped/"))
    }
}

fn storage_key(owner: &TokenKey, path: &str) -> String {
    format!("{owner}/own/{path}")
}
