//! [`FaultyStorage`]: a store whose operations fail when a test requests it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{Error, Physical, PhysicalBatch, PhysicalEntry, Version};

/// Wraps another store and injects the faults of its [`FaultPlan`]. Without a configured fault,
/// operations go to the wrapped store unchanged.
#[derive(Debug)]
pub struct FaultyStorage<P> {
    below: P,
    plan: FaultPlan,
}

/// Which operations of a [`FaultyStorage`] fail. Clones share the same plan. At most one fault is
/// configured at a time; the default is none.
#[derive(Clone, Default)]
pub struct FaultPlan(Arc<Mutex<FaultPlanState>>);

#[derive(Default)]
struct FaultPlanState {
    /// Operations so far, reads and commits; and commits alone.
    operations: u64,
    commits: u64,
    fault: Option<PlannedFault>,
}

/// The configured fault.
struct PlannedFault {
    error: Error,
    when: FaultPoint,
    /// Whether all later operations fail as well, or only this one.
    lasting: bool,
}

enum FaultPoint {
    /// The operation with this number, reads included.
    Operation(u64),
    /// The commit with this number, before it is applied.
    BeforeCommit(u64),
    /// The commit with this number, after it was applied, so that its outcome is uncertain to the
    /// caller.
    AfterCommit(u64),
}

impl<P: Physical> FaultyStorage<P> {
    /// Wraps `below`, initially without faults.
    pub fn new(below: P) -> Self {
        Self { below, plan: FaultPlan::default() }
    }

    /// The plan with which a test configures the faults. It shares its state with the plan of this
    /// store.
    pub fn fault_plan(&self) -> FaultPlan {
        self.plan.clone()
    }
}

impl FaultPlan {
    /// Makes the `nth` operation from now, counted from 1, fail with `error` without effect.
    /// Replaces any configured fault.
    pub fn fail_at(&self, nth: u64, error: Error) {
        self.set_fault(error, false, |state| FaultPoint::Operation(state.operations + nth));
    }

    /// Makes every operation from the `nth` from now on fail with `error` without effect. Replaces
    /// any configured fault; [`FaultPlan::clear_fault`] ends it.
    pub fn fail_from(&self, nth: u64, error: Error) {
        self.set_fault(error, true, |state| FaultPoint::Operation(state.operations + nth));
    }

    /// Makes the `nth` commit from now fail with `error` without being applied. Counted from 1;
    /// replaces any configured fault.
    pub fn fail_before_commit(&self, nth: u64, error: Error) {
        self.set_fault(error, false, |state| FaultPoint::BeforeCommit(state.commits + nth));
    }

    /// Makes the `nth` commit from now return `error` although it was applied. If a precondition
    /// fails, that error is returned instead.
    pub fn fail_after_commit(&self, nth: u64, error: Error) {
        self.set_fault(error, false, |state| FaultPoint::AfterCommit(state.commits + nth));
    }

    /// Removes the configured fault; nothing fails from now on. The counters of operations and
    /// commits keep their values.
    pub fn clear_fault(&self) {
        self.lock_state().fault = None;
    }

    /// Number of operations so far, including failed ones. The counter is that of all clones of
    /// this plan, and is never reset.
    pub fn operation_count(&self) -> u64 {
        self.lock_state().operations
    }

    /// Number of commits so far, including failed ones. The counter is that of all clones of this
    /// plan, and is never reset.
    pub fn commit_count(&self) -> u64 {
        self.lock_state().commits
    }

    fn set_fault(
        &self,
        error: Error,
        lasting: bool,
        when: impl FnOnce(&FaultPlanState) -> FaultPoint,
    ) {
        let mut state = self.lock_state();
        let when = when(&state);
        state.fault = Some(PlannedFault { error, when, lasting });
    }

    fn lock_state(&self) -> MutexGuard<'_, FaultPlanState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_read(&self) -> Result<(), Error> {
        let mut state = self.lock_state();
        state.operations += 1;
        state.check_operation()
    }

    /// Fails the commit before it is applied, or returns the error to report afterwards.
    fn on_commit(&self) -> Result<Option<Error>, Error> {
        let mut state = self.lock_state();
        state.operations += 1;
        state.commits += 1;
        state.check_operation()?;
        let commits = state.commits;
        match &state.fault {
            Some(PlannedFault { error, when: FaultPoint::BeforeCommit(at), .. })
                if *at == commits =>
            {
                Err(error.clone())
            }
            Some(PlannedFault { error, when: FaultPoint::AfterCommit(at), .. })
                if *at == commits =>
            {
                Ok(Some(error.clone()))
            }
            _ => Ok(None),
        }
    }
}

impl FaultPlanState {
    fn check_operation(&self) -> Result<(), Error> {
        match &self.fault {
            Some(PlannedFault { error, when: FaultPoint::Operation(at), lasting })
                if self.operations == *at || (*lasting && self.operations > *at) =>
            {
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock_state();
        let fault = state.fault.as_ref().map(|fault| &fault.error);
        f.debug_struct("FaultPlan")
            .field("operations", &state.operations)
            .field("commits", &state.commits)
            .field("fault", &fault)
            .finish()
    }
}

#[async_trait]
impl<P: Physical> Physical for FaultyStorage<P> {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        self.plan.on_read()?;
        self.below.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.plan.on_read()?;
        self.below.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        let afterwards = self.plan.on_commit()?;
        let version = self.below.commit(batch).await?;
        afterwards.map_or(Ok(version), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStorage;

    #[tokio::test]
    async fn faults_fire_where_planned() {
        let store = FaultyStorage::new(MemoryStorage::new());
        let plan = store.fault_plan();

        plan.fail_before_commit(2, Error::Full);
        store.commit(PhysicalBatch::put("a", "1")).await.unwrap();
        assert!(matches!(store.commit(PhysicalBatch::put("b", "1")).await, Err(Error::Full)));
        assert_eq!(store.get("b").await.unwrap(), None);
        store.commit(PhysicalBatch::put("b", "1")).await.unwrap();

        plan.fail_after_commit(1, Error::Io("in doubt".to_owned()));
        assert!(matches!(store.commit(PhysicalBatch::put("c", "1")).await, Err(Error::Io(_))));
        assert!(store.get("c").await.unwrap().is_some());

        plan.fail_at(2, Error::ReadOnly);
        store.get("a").await.unwrap();
        assert!(matches!(store.scan("", None, 1).await, Err(Error::ReadOnly)));
        store.get("a").await.unwrap();

        plan.fail_from(1, Error::ReadOnly);
        assert!(store.get("a").await.is_err());
        assert!(store.commit(PhysicalBatch::put("d", "1")).await.is_err());
        plan.clear_fault();
        assert_eq!(store.get("d").await.unwrap(), None);
        assert_eq!((plan.operation_count(), plan.commit_count()), (12, 5));
    }
}
