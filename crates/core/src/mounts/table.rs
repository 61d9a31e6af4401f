//! [`MountTable`]: all mounts as an immutable snapshot.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use metrics::Histogram;
use strongroom_sdk::engine::{MountInfo, Operation};
use strongroom_telemetry::names;

use super::entry::{MountClass, MountEntry};
use super::handle::EngineHandle;
use crate::admission::MountLoad;

/// All mounts. A change makes a new table; readers take no lock.
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    by_route: HashMap<String, Arc<ActiveMount>>,
}

/// A mount and what answers for it.
#[derive(Debug)]
pub struct ActiveMount {
    /// What is stored of it.
    pub entry: MountEntry,
    /// What its engine may know of it.
    pub info: Arc<MountInfo>,
    /// What answers.
    pub backend: MountBackend,
    histograms: OperationHistograms,
    mount_load: Arc<MountLoad>,
}

/// What answers below a mount.
#[derive(Clone, Debug)]
pub enum MountBackend {
    /// `sys/`.
    System,
    /// `auth/token/`.
    Token,
    /// `cubbyhole/`.
    Cubbyhole,
    /// An engine.
    Engine(EngineHandle),
}

impl ActiveMount {
    /// Puts an entry and what answers for it together.
    pub fn new(entry: MountEntry, backend: MountBackend) -> Arc<Self> {
        let info = Arc::new(entry.mount_info());
        // Of an engine the handle's: that stays while the entry is changed.
        let load = match &backend {
            MountBackend::Engine(engine) => engine.mount_load().clone(),
            MountBackend::System | MountBackend::Token | MountBackend::Cubbyhole => Arc::default(),
        };
        Arc::new(Self {
            entry,
            info,
            backend,
            histograms: OperationHistograms::default(),
            mount_load: load,
        })
    }

    /// How many requests are being worked on under it.
    pub(crate) fn mount_load(&self) -> &Arc<MountLoad> {
        &self.mount_load
    }

    /// The metric of how long its engine takes for an operation.
    pub(crate) fn operation_histogram(&self, operation: Operation) -> Histogram {
        self.histograms.histogram_for(&self.entry.mount_type, operation)
    }

    /// Whether the server answers for itself: `sys/`.
    pub fn is_system(&self) -> bool {
        matches!(self.backend, MountBackend::System)
    }

    /// The engine, unless the server itself answers.
    pub fn engine_handle(&self) -> Option<&EngineHandle> {
        match &self.backend {
            MountBackend::Engine(engine) => Some(engine),
            MountBackend::System | MountBackend::Token | MountBackend::Cubbyhole => None,
        }
    }
}

/// Metrics by operation, each looked up once: a request finds its own without a search.
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
    /// With one more mount, or another in place of the one that was there.
    #[must_use]
    pub fn with_mount(&self, mounted: Arc<ActiveMount>) -> Self {
        let mut table = self.clone();
        table.by_route.insert(mounted.entry.route(), mounted);
        table
    }

    /// Without the mount at a route.
    #[must_use]
    pub fn without_mount(&self, route: &str) -> Self {
        let mut table = self.clone();
        table.by_route.remove(route);
        table
    }

    /// The mount with the longest path that `path` lies under, and the rest of the path. The mount
    /// itself may be named without its slash.
    pub fn longest_match<'p>(&self, path: &'p str) -> Option<(&Arc<ActiveMount>, &'p str)> {
        let slashes = path.rmatch_indices('/').map(|(at, _)| at + 1);
        let below = slashes.into_iter().find_map(|end| {
            let (route, rest) = path.split_at_checked(end)?;
            Some((self.by_route.get(route)?, rest))
        });
        below.or_else(|| {
            // No mount lies under another, so nothing longer was passed by.
            let itself = self.by_route.get(&format!("{path}/"))?;
            Some((itself, path.get(path.len()..)?))
        })
    }

    /// The mount at exactly this place.
    pub fn get(&self, class: MountClass, path: &str) -> Option<&Arc<ActiveMount>> {
        match class {
            MountClass::Auth => self.by_route.get(&format!("auth/{path}")),
            // `auth/x/` as a secrets mount can't exist: the path is reserved.
            MountClass::Secret => self.by_route.get(path).filter(|m| m.entry.class == class),
        }
    }

    /// The mount of this UUID.
    pub fn find_by_uuid(&self, uuid: &str) -> Option<&Arc<ActiveMount>> {
        self.by_route.values().find(|mounted| mounted.entry.uuid.as_str() == uuid)
    }

    /// The mounts of a class, by path.
    pub fn mounts_of_class(&self, class: MountClass) -> Vec<&Arc<ActiveMount>> {
        let mut mounts: Vec<_> =
            self.by_route.values().filter(|mounted| mounted.entry.class == class).collect();
        mounts.sort_unstable_by(|a, b| a.entry.path.cmp(&b.entry.path));
        mounts
    }

    /// All mounts, in no order.
    pub fn all_mounts(&self) -> impl Iterator<Item = &Arc<ActiveMount>> {
        self.by_route.values()
    }
}
