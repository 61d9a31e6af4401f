//! [`Catalog`]: the registered plug-ins.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use strongroom_barrier::{Batch, View};
use strongroom_types::Turns;
use strongroom_types::turns::NoTurn;

use super::{PluginSpec, PluginType};

/// The registered plug-ins, in memory as one immutable table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    view: View,
    table: Arc<ArcSwap<Table>>,
    turns: Turns,
}

/// By type, name and version.
type Table = BTreeMap<(PluginType, String, String), Arc<PluginSpec>>;

/// What is stored of a plug-in.
#[derive(serde::Serialize, serde::Deserialize)]
struct Record {
    v: u8,
    #[serde(flatten)]
    spec: PluginSpec,
}

/// Why the catalog can't be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Too many changes at once.
    #[error(transparent)]
    NoTurn(#[from] NoTurn),
    /// The barrier.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

const WAITING: usize = 64;
const PAGE: usize = 256;

impl Catalog {
    /// Loads all registrations.
    pub async fn load(view: View) -> Result<Self, CatalogError> {
        let mut table = Table::new();
        let mut after: Option<String> = None;
        loop {
            let keys = view.keys("", after.as_deref(), PAGE).await?;
            let full = keys.len() == PAGE;
            after = keys.last().cloned();
            for key in keys {
                if let Some(record) = view.get_json::<Record>(&key).await? {
                    table.insert(place(&record.spec), Arc::new(record.spec));
                }
            }
            if !full {
                break;
            }
        }
        let table = Arc::new(ArcSwap::from_pointee(table));
        Ok(Self { view, table, turns: Turns::new(WAITING) })
    }

    /// One registration.
    pub fn get(&self, kind: PluginType, name: &str, version: &str) -> Option<Arc<PluginSpec>> {
        self.table.load().get(&(kind, name.to_owned(), version.to_owned())).cloned()
    }

    /// The registered versions of a plug-in.
    pub fn versions(&self, kind: PluginType, name: &str) -> Vec<String> {
        let table = self.table.load();
        let same = table.keys().filter(|(k, n, _)| *k == kind && n == name);
        same.map(|(_, _, version)| version.clone()).collect()
    }

    /// All registrations, in order.
    pub fn all(&self) -> Vec<Arc<PluginSpec>> {
        self.table.load().values().cloned().collect()
    }

    /// Registers a plug-in, or replaces a registration.
    pub async fn put(&self, spec: PluginSpec) -> Result<(), CatalogError> {
        let spec = Arc::new(spec);
        self.change(move |view, batch, table| {
            let record = Record { v: 1, spec: PluginSpec::clone(&spec) };
            view.put_json(batch, &storage_key(&spec), &record);
            table.insert(place(&spec), spec);
        })
        .await
    }

    /// Removes a registration, if it is there. Mounts that run it go on.
    pub async fn remove(
        &self,
        kind: PluginType,
        name: &str,
        version: &str,
    ) -> Result<(), CatalogError> {
        let Some(spec) = self.get(kind, name, version) else { return Ok(()) };
        self.change(move |view, batch, table| {
            view.delete(batch, &storage_key(&spec));
            table.remove(&place(&spec));
        })
        .await
    }

    async fn change(
        &self,
        change: impl FnOnce(&View, &mut Batch, &mut Table) + Send + 'static,
    ) -> Result<(), CatalogError> {
        let (view, shared) = (self.view.clone(), self.table.clone());
        let work = async move {
            let mut table = Table::clone(&shared.load());
            let mut batch = Batch::new();
            change(&view, &mut batch, &mut table);
            view.commit(batch).await?;
            shared.store(Arc::new(table));
            Ok(())
        };
        self.turns.take(work).await?
    }
}

fn place(spec: &PluginSpec) -> (PluginType, String, String) {
    (spec.kind, spec.name.clone(), spec.version.clone())
}

/// `-` can't be a version, so it stands for none.
fn storage_key(spec: &PluginSpec) -> String {
    let version = if spec.version.is_empty() { "-" } else { &spec.version };
    format!("{}/{}/{version}", spec.kind, spec.name)
}
