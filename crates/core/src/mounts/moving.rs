//! Moving a mount to another path.
//!
//! First its entry says where it is going: from then on no request gets in, and nothing else can be
//! mounted at either path. When the requests inside have left, the leases are ended, since their
//! ids begin with the old path. Last, one write gives the entry its new path. A process that dies
//! before that leaves the mount moving, and the next unseal goes on; where a lease can't be ended,
//! the mount is back where it was. The engine notices nothing: each request tells it the path.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_barrier::Batch;
use strongroom_types::{MountPath, MountUuid};
use tokio::sync::Notify;

use super::changes::{Mounts, RESERVED};
use super::entry::{Class, MountEntry, Move, MoveStatus};
use super::handle::ShutOut;
use super::table::{Backend, Mounted};
use crate::error::Error;
use crate::removal::Removal;
use crate::unsealed::Unsealed;

/// Mounts on their way.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    begun: Notify,
    /// Those that somebody carries.
    under_way: Mutex<HashSet<MountUuid>>,
}

/// How often moves are taken up that nobody carries, because their last step failed.
const ROUND: Duration = Duration::from_secs(60);

impl Mounts {
    /// Begins to move a mount and names the move. When this answers, no request gets in any more.
    pub async fn begin_move(
        &self,
        class: Class,
        from: MountPath,
        to: MountPath,
    ) -> Result<String, Error> {
        let mounts = self.clone();
        self.turns.take(async move { mounts.begin_move_now(class, &from, &to).await }).await?
    }

    async fn begin_move_now(
        &self,
        class: Class,
        from: &MountPath,
        to: &MountPath,
    ) -> Result<String, Error> {
        let table = self.table();
        let (source, target) = (class.route(from.as_str()), class.route(to.as_str()));
        if is_the_servers(class, from) {
            return Err(Error::invalid(format!("cannot remount {source:?}")));
        }
        if class == Class::Secret && RESERVED.iter().any(|own| target.starts_with(own)) {
            return Err(Error::invalid(format!("cannot remount to destination {target}")));
        }
        let missing = || Error::invalid(format!("no matching mount at {source:?}"));
        let mounted = table.get(class, from.as_str()).ok_or_else(missing)?;
        let handle = mounted.engine().ok_or_else(missing)?;
        if mounted.entry.tainted || mounted.entry.moving().is_some() {
            let text = format!("the mount at {source:?} is being removed or moved already");
            return Err(Error::invalid(text));
        }
        if let Some(taken) = self.taken(class, to) {
            let taken = class.route(&taken);
            return Err(Error::invalid(format!("path already in use at {taken:?}")));
        }
        let id = self.opener.barrier.entropy().uuid();
        let moved = Move {
            id: id.clone(),
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            status: MoveStatus::InProgress,
        };
        let entry = MountEntry { moved: Some(moved), ..mounted.entry.clone() };
        self.store(&entry, Batch::new()).await?;
        handle.shut_out(ShutOut::Moved);
        let backend = mounted.backend.clone();
        self.swap(|table| table.with(Mounted::new(entry, backend)));
        self.moves.begun.notify_one();
        Ok(id)
    }

    /// Ends a move: the mount is where it was going, or stays where it was. A move that is none any
    /// more stays that.
    async fn end_move(&self, uuid: MountUuid, id: String, arrived: bool) -> Result<(), Error> {
        let mounts = self.clone();
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.by_uuid(uuid.as_str()) else { return Ok(()) };
            let mut entry = mounted.entry.clone();
            let left = entry.route();
            match (&mut entry.moved, mounted.engine()) {
                (Some(moved), Some(handle))
                    if moved.id == id && moved.status == MoveStatus::InProgress =>
                {
                    if arrived {
                        entry.path = moved.to.clone();
                    }
                    let status = if arrived { MoveStatus::Success } else { MoveStatus::Failure };
                    moved.status = status;
                    mounts.store(&entry, Batch::new()).await?;
                    // Requests that were judged by the old path stay shut out.
                    let backend = Backend::Engine(handle.succeed());
                    mounts.swap(|table| table.without(&left).with(Mounted::new(entry, backend)));
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        self.turns.take(work).await?
    }

    /// The move of this name, of a mount that wasn't moved again since.
    pub fn find_move(&self, id: &str) -> Option<(Class, Move)> {
        let table = self.table();
        let mut moves = table.all().filter_map(|m| Some((m.entry.class, m.entry.moved.as_ref()?)));
        moves.find(|(_, moved)| moved.id == id).map(|(class, moved)| (class, moved.clone()))
    }
}

/// Whether the path is that of a mount every server has, or lies below it.
fn is_the_servers(class: Class, path: &MountPath) -> bool {
    match class {
        Class::Secret => RESERVED.iter().any(|own| path.as_str().starts_with(own)),
        Class::Auth => path.as_str().starts_with("token/"),
    }
}

impl Unsealed {
    /// Carries mounts that are on their way, in this life of the server or an earlier one.
    pub(crate) async fn carry_mounts(self: &Arc<Self>) {
        loop {
            let table = self.mounts.table();
            for mounted in table.all() {
                let Some(moving) = mounted.entry.moving() else { continue };
                let Some(under_way) = UnderWay::of(&self.mounts, &mounted.entry.uuid) else {
                    continue;
                };
                let (open, entry, id) = (self.clone(), mounted.entry.clone(), moving.id.clone());
                self.requests.spawn(async move {
                    let _under_way = under_way;
                    open.carry(entry, id).await;
                });
            }
            tokio::select! {
                () = self.mounts.moves.begun.notified() => {}
                () = self.clock().sleep(ROUND) => {}
            }
        }
    }

    async fn carry(self: &Arc<Self>, entry: MountEntry, id: String) {
        let (route, uuid) = (entry.route(), entry.uuid.clone());
        let left = self.leave(&entry).await;
        match &left {
            Ok(()) => tracing::info!(mount = route, id, "a mount is moved"),
            Err(error) => tracing::warn!(mount = route, id, %error, "a mount could not be moved"),
        }
        if let Err(error) = self.mounts.end_move(uuid, id, left.is_ok()).await {
            tracing::warn!(mount = route, %error, "the end of a move could not be written; it is taken up again");
        }
    }

    /// Ends everything that knows the old path.
    async fn leave(&self, entry: &MountEntry) -> Result<(), Error> {
        Removal { open: self, entry }.shut_requests_out(ShutOut::Moved).await?;
        self.end_leases(&entry.route()).await
    }
}

/// Says that somebody carries a mount, until dropped.
struct UnderWay {
    moves: Arc<Moves>,
    uuid: MountUuid,
}

impl UnderWay {
    fn of(mounts: &Mounts, uuid: &MountUuid) -> Option<Self> {
        let moves = mounts.moves.clone();
        let first = moves.lock().insert(uuid.clone());
        first.then(|| Self { moves, uuid: uuid.clone() })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.moves.lock().remove(&self.uuid);
    }
}

impl Moves {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<MountUuid>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
