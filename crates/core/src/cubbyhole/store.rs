//! [`CubbyholeStore`]: what is kept for tokens, and ends with them.
//!
//! ```text
//! <token key>/own/<path>       an object the token wrote
//! <token key>/wrapped/<part>   of a wrapping token: what it unwraps, and where that came from
//! ```
//!
//! `<token key>` is a keyed hash of the token's id, so a key tells nobody a token. What a token can
//! name lies under `own/`: no token can write what makes a wrapping token.

use strongroom_barrier::{Batch, Error, View};
use strongroom_token::TokenKey;
use strongroom_types::RawObject;

/// The cubbyholes of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CubbyholeStore {
    view: View,
}

/// Entries deleted in one batch.
const PAGE_SIZE: usize = 128;

impl CubbyholeStore {
    /// Over its view. Reads nothing.
    pub fn new(view: View) -> Self {
        Self { view }
    }

    /// What a token wrote at a path.
    pub async fn read(&self, owner: &TokenKey, path: &str) -> Result<Option<RawObject>, Error> {
        let entry = self.view.get(&storage_key(owner, path)).await?;
        Ok(entry.map(|entry| RawObject::from_own_json(entry.value)))
    }

    /// What lies directly in a folder, which is empty or ends in a slash.
    pub async fn list(
        &self,
        owner: &TokenKey,
        folder: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.view.list_children(&storage_key(owner, folder), after, limit).await
    }

    /// Adds a write to a batch, which must require that the token isn't being revoked.
    pub fn put(&self, batch: &mut Batch, owner: &TokenKey, path: &str, object: &RawObject) {
        self.view.put(batch, &storage_key(owner, path), object.as_bytes().to_vec());
    }

    /// The batch applies only if the path is empty.
    pub fn require_absent(&self, batch: &mut Batch, owner: &TokenKey, path: &str) {
        self.view.require_absent(batch, &storage_key(owner, path));
    }

    /// Deletes what is at a path, if anything is.
    pub async fn delete(&self, owner: &TokenKey, path: &str) -> Result<(), Error> {
        let mut batch = Batch::new();
        self.view.delete(&mut batch, &storage_key(owner, path));
        self.view.commit(batch).await?;
        Ok(())
    }

    /// Deletes all that is kept for a token, a page at a time. The token must be marked, so that
    /// nothing is put there meanwhile; cut off in its middle, it is begun again.
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

    /// Where the parts of what a wrapping token unwraps lie.
    pub(crate) fn wrapped_view(&self, owner: &TokenKey) -> View {
        self.view.sub_view(&format!("{owner}/wrapped/"))
    }
}

fn storage_key(owner: &TokenKey, path: &str) -> String {
    format!("{owner}/own/{path}")
}
