//! [`PluginCatalogStore`]: the plug-in catalog, in storage and in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use strongroom_barrier::{Batch, View};
use strongroom_types::serial_queue::SerialQueueError;
use strongroom_types::{ErrorKind, SerialQueue};

use super::{PluginKind, PluginSpec};

/// The registered plug-ins. All are kept in memory as one immutable table that each change
/// replaces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PluginCatalogStore {
    view: View,
    table: Arc<ArcSwap<CatalogTable>>,
    change_queue: SerialQueue,
}

/// The registrations by plug-in type, name and version.
type CatalogTable = BTreeMap<(PluginKind, String, String), Arc<PluginSpec>>;

/// A registration as stored; `v` is the version of the format.
#[derive(serde::Serialize, serde::Deserialize)]
struct PluginRecord {
    v: u8,
    #[serde(flatten)]
    spec: PluginSpec,
}

/// The reason why a change of the catalog failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The change queue is full, or the change was interrupted.
    #[error(transparent)]
    NoTurn(#[from] SerialQueueError),
    /// The change could not be written to storage.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

impl CatalogError {
    /// The category of the failure, which determines the HTTP status code. A change refused by the
    /// full queue is `Unavailable`.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTurn(_) => ErrorKind::Unavailable,
            Self::Barrier(error) => error.kind(),
        }
    }
}

const MAX_QUEUED_CHANGES: usize = 64;

impl PluginCatalogStore {
    /// Loads all registrations from storage; called once at unseal.
    pub async fn load(view: View) -> Result<Self, CatalogError> {
        let mut table = CatalogTable::new();
        let mut pages = view.key_pages("");
        while let Some(keys) = pages.next_page().await? {
            for key in keys {
                if let Some(record) = view.get_json::<PluginRecord>(&key).await? {
                    table.insert(table_key(&record.spec), Arc::new(record.spec));
                }
            }
        }
        let table = Arc::new(ArcSwap::from_pointee(table));
        Ok(Self { view, table, change_queue: SerialQueue::new(MAX_QUEUED_CHANGES) })
    }

    /// The registration with exactly this type, name and version; the version is empty for an
    /// unversioned plug-in.
    pub fn get(&self, kind: PluginKind, name: &str, version: &str) -> Option<Arc<PluginSpec>> {
        self.table.load().get(&(kind, name.to_owned(), version.to_owned())).cloned()
    }

    /// The registered versions of a plug-in, sorted as text; an unversioned registration appears as
    /// an empty string.
    pub fn versions(&self, kind: PluginKind, name: &str) -> Vec<String> {
        let table = self.table.load();
        let same = table.keys().filter(|(k, n, _)| *k == kind && n == name);
        same.map(|(_, _, version)| version.clone()).collect()
    }

    /// All registrations, sorted by type, name and version.
    pub fn all_registrations(&self) -> Vec<Arc<PluginSpec>> {
        self.table.load().values().cloned().collect()
    }

    /// Registers a plug-in, or replaces the registration with the same type, name and version. The
    /// file is not checked here.
    ///
    /// # Cancel safety
    ///
    /// Once the change has started it completes, even if the future is dropped.
    pub async fn register(&self, spec: PluginSpec) -> Result<(), CatalogError> {
        let spec = Arc::new(spec);
        self.commit_change(move |view, batch, table| {
            let record = PluginRecord { v: 1, spec: PluginSpec::clone(&spec) };
            view.put_json(batch, &storage_key(&spec), &record);
            table.insert(table_key(&spec), spec);
        })
        .await
    }

    /// Removes a registration; does nothing if there is none. Mounts that run the plug-in keep
    /// running it.
    ///
    /// # Cancel safety
    ///
    /// Once the change has started it completes, even if the future is dropped.
    pub async fn remove(
        &self,
        kind: PluginKind,
        name: &str,
        version: &str,
    ) -> Result<(), CatalogError> {
        let Some(spec) = self.get(kind, name, version) else { return Ok(()) };
        self.commit_change(move |view, batch, table| {
            view.delete(batch, &storage_key(&spec));
            table.remove(&table_key(&spec));
        })
        .await
    }

    async fn commit_change(
        &self,
        change: impl FnOnce(&View, &mut Batch, &mut CatalogTable) + Send + 'static,
    ) -> Result<(), CatalogError> {
        let (view, shared) = (self.view.clone(), self.table.clone());
        let work = async move {
            let mut table = CatalogTable::clone(&shared.load());
            let mut batch = Batch::new();
            change(&view, &mut batch, &mut table);
            view.commit(batch).await?;
            shared.store(Arc::new(table));
            Ok(())
        };
        self.change_queue.run(work).await?
    }
}

fn table_key(spec: &PluginSpec) -> (PluginKind, String, String) {
    (spec.kind, spec.name.clone(), spec.version.clone())
}

/// The storage key of a registration. `-` is not a valid version, so it represents the unversioned
/// one.
fn storage_key(spec: &PluginSpec) -> String {
    let version = if spec.version.is_empty() { "-" } else { &spec.version };
    format!("{}/{}/{version}", spec.kind, spec.name)
}
