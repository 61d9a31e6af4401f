//! The storage and the system view of one instance.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use strongroom_engine::{
    ClusterInfo, EntityGroup, EntityInfo, MountLifetimes, Storage, StorageBatch, StorageChange,
    StorageEntry, StorageError, SystemError, SystemView, WrappingToken, check_folder, check_key,
};
use strongroom_types::clock::ManualClock;
use strongroom_types::{Clock, Fields, RawObject, Secret, Timestamp, Ttl};

use super::key_encoding::check_change;
use super::memory_entries::MemoryEntries;

/// Storage that permits what the phase of the instance permits.
#[derive(Debug)]
pub(super) struct TestInstanceStorage {
    memory: Arc<MemoryEntries>,
    clock: ManualClock,
    phase: Mutex<InstancePhase>,
    /// Whether it simulates a server without preconditions and atomic batches, such as Vault.
    foreign: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstancePhase {
    /// Reads only, while the instance is being set up.
    Setup,
    /// Reads and writes.
    Live,
    /// Nothing: the instance was closed or has crashed.
    Closed,
}

impl TestInstanceStorage {
    pub(super) fn new(memory: Arc<MemoryEntries>, clock: ManualClock, foreign: bool) -> Self {
        Self { memory, clock, phase: Mutex::new(InstancePhase::Setup), foreign }
    }

    pub(super) fn set_phase(&self, phase: InstancePhase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> InstancePhase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_may_read(&self) -> Result<(), StorageError> {
        match self.phase() {
            InstancePhase::Closed => Err(StorageError::Closed),
            InstancePhase::Setup | InstancePhase::Live => self.memory.check_read(),
        }
    }

    fn check_may_write(&self) -> Result<(), StorageError> {
        match self.phase() {
            InstancePhase::Closed => Err(StorageError::Closed),
            InstancePhase::Setup => Err(StorageError::Setup),
            InstancePhase::Live => self.memory.check_write(),
        }
    }
}

#[async_trait]
impl Storage for TestInstanceStorage {
    async fn get(&self, key: &str) -> Result<Option<StorageEntry>, StorageError> {
        self.check_may_read()?;
        check_key(key)?;
        self.memory.count_read();
        self.memory.check_entry(key)?;
        Ok(self.memory.get(key))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        self.check_may_read()?;
        check_folder(prefix)?;
        Ok(self.memory.list(prefix, after, limit))
    }

    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
        self.check_may_write()?;
        let check = |change: &StorageChange| {
            check_key(change.key())?;
            check_change(change, self.foreign)
        };
        batch.changes.iter().try_for_each(check)?;
        batch.preconditions.iter().try_for_each(|condition| check_key(condition.key()))?;
        self.memory.count_batch(batch.changes.len());
        let outcome = self.memory.commit(batch);
        self.clock.advance(self.memory.write_time());
        outcome
    }

    fn is_atomic(&self) -> bool {
        true
    }
}

/// A system view that answers every query.
#[derive(Debug)]
pub(super) struct TestSystem {
    lifetimes: Mutex<MountLifetimes>,
    /// The entities with their groups, by id.
    entities: Mutex<BTreeMap<String, (EntityInfo, Vec<EntityGroup>)>>,
    wrapped: Mutex<WrappedEntries>,
    clock: ManualClock,
}

/// Data that the engine wrapped, with the end of its lifetime, by wrapping token.
#[derive(Debug, Default)]
struct WrappedEntries {
    entries: BTreeMap<String, (RawObject, Timestamp)>,
    issued: usize,
}

impl TestSystem {
    pub(super) fn new(lifetimes: MountLifetimes, clock: ManualClock) -> Self {
        Self {
            lifetimes: Mutex::new(lifetimes),
            entities: Mutex::default(),
            wrapped: Mutex::default(),
            clock,
        }
    }

    pub(super) fn set_lifetimes(&self, lifetimes: MountLifetimes) {
        *self.lifetimes.lock().unwrap_or_else(PoisonError::into_inner) = lifetimes;
    }

    pub(super) fn current_lifetimes(&self) -> MountLifetimes {
        *self.lifetimes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put_entity(&self, entity: EntityInfo, groups: Vec<EntityGroup>) {
        let mut entities = self.entities.lock().unwrap_or_else(PoisonError::into_inner);
        entities.insert(entity.id.clone(), (entity, groups));
    }

    pub(super) fn take_wrapped(&self, token: &str) -> Option<Fields> {
        let mut wrapped = self.wrapped.lock().unwrap_or_else(PoisonError::into_inner);
        let found = wrapped.entries.remove(token);
        let (data, _) = found.filter(|(_, expires)| *expires > self.clock.now())?;
        Some(data.fields())
    }

    fn find_entity(&self, id: &str) -> Option<(EntityInfo, Vec<EntityGroup>)> {
        self.entities.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

#[async_trait]
impl SystemView for TestSystem {
    async fn lifetimes(&self) -> Result<MountLifetimes, SystemError> {
        Ok(self.current_lifetimes())
    }

    async fn tainted(&self) -> Result<bool, SystemError> {
        Ok(false)
    }

    async fn cluster_info(&self) -> Result<ClusterInfo, SystemError> {
        Ok(ClusterInfo { name: "test".to_owned(), id: "a-cluster".to_owned() })
    }

    async fn server_version(&self) -> Result<String, SystemError> {
        Ok("1.0.0".to_owned())
    }

    /// Knows a single policy, `known`, and a single password.
    async fn generate_password(&self, policy: &str) -> Result<Secret<String>, SystemError> {
        match policy {
            "known" => Ok(Secret::from_text("correct horse")),
            _ => Err(SystemError("policy does not exist".to_owned())),
        }
    }

    async fn entity(&self, id: &str) -> Result<Option<EntityInfo>, SystemError> {
        Ok(self.find_entity(id).map(|(entity, _)| entity))
    }

    async fn entity_groups(&self, id: &str) -> Result<Vec<EntityGroup>, SystemError> {
        Ok(self.find_entity(id).map(|(_, groups)| groups).unwrap_or_default())
    }

    async fn wrap_data(&self, data: RawObject, ttl: Ttl) -> Result<WrappingToken, SystemError> {
        if ttl.is_zero() {
            return Err(SystemError("a wrapping token needs a lifetime".to_owned()));
        }
        let ttl = ttl.min(self.current_lifetimes().max);
        let creation_time = self.clock.now();
        let mut wrapped = self.wrapped.lock().unwrap_or_else(PoisonError::into_inner);
        wrapped.issued += 1;
        let token = format!("hvs.wrapping-{}", wrapped.issued);
        let expires = creation_time.plus(ttl.as_duration());
        wrapped.entries.insert(token.clone(), (data, expires));
        Ok(WrappingToken {
            accessor: format!("accessor-{}", wrapped.issued),
            token: Secret::new(token),
            ttl,
            creation_time,
            creation_path: "sys/wrapping/wrap".to_owned(),
        })
    }
}
