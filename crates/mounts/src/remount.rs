//! Moving a mount to another path.
//!
//! First the mount's entry records the target: from then on requests are refused, and nothing else
//! can be mounted at either path. When the running requests have finished, the leases are revoked,
//! since their ids begin with the old path. Last, one write sets the entry's new path. If the
//! process exits before that, the next unseal continues the remount. If a lease cannot be revoked,
//! the remount fails and the mount stays at its old path. The engine needs no change: each request
//! contains the mount path.

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_types::{MountKind, MountPath, MountUuid};

use crate::entry::{MountEntry, RemountProgress, RemountRecord};
use crate::error::Error;
use crate::handle::Blocked;
use crate::pending_remounts::PendingRemounts;
use crate::registry::{MountRegistry, RESERVED_PATHS};
use crate::table::{ActiveMount, MountBackend};

impl MountRegistry {
    /// Begins a remount and returns its migration id. When this returns, the mount refuses
    /// requests.
    ///
    /// # Errors
    ///
    /// `Invalid` if there is no such mount, it is being removed or moved already, or the target is
    /// reserved or in use.
    ///
    /// # Cancel safety
    ///
    /// Once the change has started it completes, even if the future is dropped.
    pub async fn begin_remount(
        &self,
        kind: MountKind,
        from: MountPath,
        to: MountPath,
    ) -> Result<String, Error> {
        let mounts = self.clone();
        self.change_queue
            .run(async move { mounts.begin_remount_now(kind, &from, &to).await })
            .await?
    }

    async fn begin_remount_now(
        &self,
        kind: MountKind,
        from: &MountPath,
        to: &MountPath,
    ) -> Result<String, Error> {
        let table = self.table();
        let (source, target) = (kind.route_to(from.as_str()), kind.route_to(to.as_str()));
        if is_builtin_mount_path(kind, from) {
            return Err(Error::ReservedSource(source));
        }
        if kind == MountKind::Secret && RESERVED_PATHS.iter().any(|own| target.starts_with(own)) {
            return Err(Error::ReservedTarget(target));
        }
        let missing = || Error::NothingToRemount(source.clone());
        let mounted = table.get(kind, from.as_str()).ok_or_else(missing)?;
        let handle = mounted.engine_handle().ok_or_else(missing)?;
        if mounted.entry.tainted || mounted.entry.remount_in_progress().is_some() {
            return Err(Error::RemovedOrMoved(source));
        }
        if let Some(taken) = self.overlapping_path(kind, to) {
            return Err(Error::TargetInUse(kind.route_to(&taken)));
        }
        let id = self.engine_loader.barrier.entropy().uuid();
        let moved = RemountRecord {
            id: id.clone(),
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            status: RemountProgress::InProgress,
        };
        let entry = MountEntry { moved: Some(moved), ..mounted.entry.clone() };
        self.store_entry(&entry, Batch::new()).await?;
        handle.block(Blocked::Moving);
        let backend = mounted.backend.clone();
        self.update_table(|table| table.with_mount(ActiveMount::new(entry, backend)));
        self.pending_remounts.remount_started.notify_one();
        Ok(id)
    }

    /// Finishes a remount: the mount gets its new path if `arrived`, else it keeps the old one.
    /// Does nothing if the remount was cancelled or already finished.
    ///
    /// # Errors
    ///
    /// `Unavailable` if too many changes wait; the barrier's error if the entry can't be written.
    /// The remount is still in progress then.
    ///
    /// # Cancel safety
    ///
    /// Once the change has started it completes, even if the future is dropped.
    pub async fn end_remount(
        &self,
        uuid: MountUuid,
        id: String,
        arrived: bool,
    ) -> Result<(), Error> {
        let mounts = self.clone();
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.find_by_uuid(uuid.as_str()) else { return Ok(()) };
            let mut entry = mounted.entry.clone();
            let old_route = entry.route();
            match (&mut entry.moved, mounted.engine_handle()) {
                (Some(moved), Some(handle))
                    if moved.id == id && moved.status == RemountProgress::InProgress =>
                {
                    if arrived {
                        entry.path = moved.to.clone();
                    }
                    let status =
                        if arrived { RemountProgress::Success } else { RemountProgress::Failure };
                    moved.status = status;
                    mounts.store_entry(&entry, Batch::new()).await?;
                    // The old handle stays blocked for requests that were authorized on the old
                    // path.
                    let backend = MountBackend::Engine(handle.successor());
                    mounts.update_table(|table| {
                        table.without_mount(&old_route).with_mount(ActiveMount::new(entry, backend))
                    });
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        self.change_queue.run(work).await?
    }

    /// Waits until a remount is begun; returns at once if one was since the last call.
    pub async fn remount_begun(&self) {
        self.pending_remounts.remount_started.notified().await;
    }

    /// The remount with this migration id; `None` if it is unknown or the mount was remounted again
    /// since.
    pub fn find_remount(&self, id: &str) -> Option<(MountKind, RemountRecord)> {
        let table = self.table();
        let mut moves =
            table.all_mounts().filter_map(|m| Some((m.entry.kind, m.entry.moved.as_ref()?)));
        moves.find(|(_, moved)| moved.id == id).map(|(kind, moved)| (kind, moved.clone()))
    }
}

/// Whether the path is that of a built-in mount, is otherwise reserved, or lies below one of these.
fn is_builtin_mount_path(kind: MountKind, path: &MountPath) -> bool {
    match kind {
        MountKind::Secret => RESERVED_PATHS.iter().any(|own| path.as_str().starts_with(own)),
        MountKind::Auth => path.as_str().starts_with("token/"),
    }
}

/// Marks that a task is working on a mount's remount, until dropped.
pub struct RemountGuard {
    pending_remounts: Arc<PendingRemounts>,
    uuid: MountUuid,
}

impl RemountGuard {
    /// `None` if another task is working on it.
    pub fn acquire(mounts: &MountRegistry, uuid: &MountUuid) -> Option<Self> {
        let moves = mounts.pending_remounts.clone();
        let first = moves.lock_in_progress().insert(uuid.clone());
        first.then(|| Self { pending_remounts: moves, uuid: uuid.clone() })
    }
}

impl Drop for RemountGuard {
    fn drop(&mut self) {
        self.pending_remounts.lock_in_progress().remove(&self.uuid);
    }
}
