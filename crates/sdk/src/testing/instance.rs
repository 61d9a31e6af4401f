//! The storage and system of one instance, as a server gives them.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use strongroom_types::Secret;
use strongroom_types::clock::ManualClock;

use super::encoding::check_change;
use super::memory::Memory;
use crate::engine::{
    Change, ClusterInfo, Lifetimes, Storage, StorageBatch, StorageError, Stored, System,
    SystemError, check_folder, check_key,
};

/// Storage that goes through the phases of an instance.
#[derive(Debug)]
pub(super) struct InstanceStorage {
    memory: Arc<Memory>,
    clock: ManualClock,
    phase: Mutex<Phase>,
    /// Whether it stands for a server of others.
    foreign: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Reads only.
    Setup,
    /// Everything.
    Live,
    /// Nothing: the instance was closed, or died.
    Closed,
}

impl InstanceStorage {
    pub(super) fn new(memory: Arc<Memory>, clock: ManualClock, foreign: bool) -> Self {
        Self { memory, clock, phase: Mutex::new(Phase::Setup), foreign }
    }

    pub(super) fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_read(&self) -> Result<(), StorageError> {
        match self.phase() {
            Phase::Closed => Err(StorageError::Closed),
            Phase::Setup | Phase::Live => self.memory.check_read(),
        }
    }

    fn may_write(&self) -> Result<(), StorageError> {
        match self.phase() {
            Phase::Closed => Err(StorageError::Closed),
            Phase::Setup => Err(StorageError::Setup),
            Phase::Live => self.memory.check_write(),
        }
    }
}

#[async_trait]
impl Storage for InstanceStorage {
    async fn get(&self, key: &str) -> Result<Option<Stored>, StorageError> {
        self.may_read()?;
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
        self.may_read()?;
        check_folder(prefix)?;
        Ok(self.memory.list(prefix, after, limit))
    }

    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
        self.may_write()?;
        let check = |change: &Change| {
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

/// A server that has answers to everything.
#[derive(Debug)]
pub(super) struct TestSystem(Mutex<Lifetimes>);

impl TestSystem {
    pub(super) fn new(lifetimes: Lifetimes) -> Self {
        Self(Mutex::new(lifetimes))
    }

    pub(super) fn tune(&self, lifetimes: Lifetimes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lifetimes;
    }

    pub(super) fn now(&self) -> Lifetimes {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl System for TestSystem {
    async fn lifetimes(&self) -> Result<Lifetimes, SystemError> {
        Ok(self.now())
    }

    async fn tainted(&self) -> Result<bool, SystemError> {
        Ok(false)
    }

    async fn cluster(&self) -> Result<ClusterInfo, SystemError> {
        Ok(ClusterInfo { name: "test".to_owned(), id: "a-cluster".to_owned() })
    }

    async fn server_version(&self) -> Result<String, SystemError> {
        Ok("1.0.0".to_owned())
    }

    /// There is one policy, `known`, and one password.
    async fn password(&self, policy: &str) -> Result<Secret<String>, SystemError> {
        match policy {
            "known" => Ok(Secret::from_text("correct horse")),
            _ => Err(SystemError("policy does not exist".to_owned())),
        }
    }
}
