//! [`MountTable`]: all mounts as an immutable snapshot.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use metrics::Histogram;
use strongroom_engine::{MountInfo, Operation};
use strongroom_telemetry::names;
use strongroom_types::MountKind;

use crate::entry::MountEntry;
use crate::handle::EngineHandle;
use crate::mount_load::MountLoad;

/// All mounts by route, as an immutable snapshot. A change creates a new table; readers take no
/// lock.
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    by_route: HashMap<String, Arc<ActiveMount>>,
}

/// A mount in the table: its entry and the backend that handles its requests.
#[derive(Debug)]
pub struct ActiveMount {
    /// The stored description of the mount, with its path and settings.
    pub entry: MountEntry,
    /// The description of the mount that its engine receives.
    pub info: Arc<MountInfo>,
    /// The backend that handles the mount's requests.
    pub backend: MountBackend,
    histograms: OperationHistograms,
    mount_load: Arc<MountLoad>,
}

/// The backend that handles requests below a mount.
#[derive(Clone, Debug)]
pub enum MountBackend {
    /// A part of the server, such as `sys/`, found by the mount's type.
    BuiltIn,
    /// An engine, linked in or in a plug-in process.
    Engine(EngineHandle),
}

impl ActiveMount {
    /// Combines an entry with the backend that handles its requests.
    pub fn new(entry: MountEntry, backend: MountBackend) -> Arc<Self> {
        let info = Arc::new(entry.mount_info());
        // An engine's count is that of its handle, which outlives changes of the entry.
        let load = match &backend {
            MountBackend::Engine(engine) => engine.mount_load().clone(),
            MountBackend::BuiltIn => Arc::default(),
        };
        Arc::new(Self {
            entry,
            info,
            backend,
            histograms: OperationHistograms::default(),
            mount_load: load,
        })
    }

    /// The count of requests being processed under the mount.
    pub fn mount_load(&self) -> &Arc<MountLoad> {
        &self.mount_load
    }

    /// The histogram of the engine's duration for an operation, in milliseconds.
    pub fn operation_histogram(&self, operation: Operation) -> Histogram {
        self.histograms.histogram_for(&self.entry.mount_type, operation)
    }

    /// The handle of the mount's engine; `None` for the server's own backends.
    pub fn engine_handle(&self) -> Option<&EngineHandle> {
        match &self.backend {
            MountBackend::Engine(engine) => Some(engine),
            MountBackend::BuiltIn => None,
        }
    }
}

/// Histograms by operation, each registered once so that a request needs no look-up.
#[derive(Default)]
struct OperationHistograms([OnceLock<Histogram>; 9]);

impl OperationHistograms {
    fn histogram_for(&self, mount_type: &str, operation: Operation) -> Histogram {
        let look_up = || {
            let (of_type, operation) = (mount_type.to_owned(), operation.as_str());
            metrics::histogram!(names::ROUTE, "type" => of_type, "operation" => operation)
        };
        match self.0.get(operation as usize) {
            Some(known) => known.get_or_init(look_up).clone(),
            None => look_up(),
        }
    }
}

impl std::fmt::Debug for OperationHistograms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperationHistograms").finish_non_exhaustive()
    }
}

impl MountTable {
    /// Returns a table with the mount added, or replacing the one at the same route.
    #[must_use]
    pub fn with_mount(&self, mounted: Arc<ActiveMount>) -> Self {
        let mut table = self.clone();
        table.by_route.insert(mounted.entry.route(), mounted);
        table
    }

    /// Returns a table without the mount at this route.
    #[must_use]
    pub fn without_mount(&self, route: &str) -> Self {
        let mut table = self.clone();
        table.by_route.remove(route);
        table
    }

    /// The mount with the longest route that is a prefix of `path`, and the rest of the path. The
    /// path may omit the trailing slash of the mount itself.
    pub fn longest_match<'p>(&self, path: &'p str) -> Option<(&Arc<ActiveMount>, &'p str)> {
        let slashes = path.rmatch_indices('/').map(|(at, _)| at + 1);
        let below = slashes.into_iter().find_map(|end| {
            let (route, rest) = path.split_at_checked(end)?;
            Some((self.by_route.get(route)?, rest))
        });
        below.or_else(|| {
            // Mounts do not nest, so there is no longer match.
            let itself = self.by_route.get(&format!("{path}/"))?;
            Some((itself, path.get(path.len()..)?))
        })
    }

    /// The mount of this kind at exactly this path; `path` is that of the entry, without `auth/`.
    pub fn get(&self, kind: MountKind, path: &str) -> Option<&Arc<ActiveMount>> {
        match kind {
            MountKind::Auth => self.by_route.get(&format!("auth/{path}")),
            // A secrets mount at `auth/x/` can't exist, because that path is reserved.
            MountKind::Secret => self.by_route.get(path).filter(|m| m.entry.kind == kind),
        }
    }

    /// The mount with this UUID; `None` if it isn't mounted.
    pub fn find_by_uuid(&self, uuid: &str) -> Option<&Arc<ActiveMount>> {
        self.by_route.values().find(|mounted| mounted.entry.uuid.as_str() == uuid)
    }

    /// The mounts of a kind, sorted by path.
    pub fn mounts_of_kind(&self, kind: MountKind) -> Vec<&Arc<ActiveMount>> {
        let mut mounts: Vec<_> =
            self.by_route.values().filter(|mounted| mounted.entry.kind == kind).collect();
        mounts.sort_unstable_by(|a, b| a.entry.path.cmp(&b.entry.path));
        mounts
    }

    /// All mounts, including the built-in ones, in no particular order.
    pub fn all_mounts(&self) -> impl Iterator<Item = &Arc<ActiveMount>> {
        self.by_route.values()
    }
}
