//! [`Faulty`]: a store whose operations fail when a test says so.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{Batch, Entry, Error, Physical, Version};

/// A store over another, with faults. Clones of its [`Plan`] let the test speak to it.
#[derive(Debug)]
pub struct Faulty<P> {
    below: P,
    plan: Plan,
}

/// What goes wrong, and when. Clones are the same plan.
#[derive(Clone, Default)]
pub struct Plan(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Operations so far: all, and commits alone.
    operations: u64,
    commits: u64,
    fault: Option<Fault>,
}

/// The fault in force.
struct Fault {
    error: Error,
    when: When,
    /// From that operation on, or at that one alone.
    lasting: bool,
}

enum When {
    /// The operation of this number, reads too.
    Operation(u64),
    /// The commit of this number, before anything is applied.
    BeforeCommit(u64),
    /// The commit of this number, after it was applied: in doubt for the caller.
    AfterCommit(u64),
}

impl<P: Physical> Faulty<P> {
    /// `below`, and nothing wrong with it yet.
    pub fn new(below: P) -> Self {
        Self { below, plan: Plan::default() }
    }

    /// What to speak to it by.
    pub fn plan(&self) -> Plan {
        self.plan.clone()
    }
}

impl Plan {
    /// The `nth` operation from now, counted from 1, fails with `error` and does nothing.
    pub fn fail_at(&self, nth: u64, error: Error) {
        self.set(error, false, |state| When::Operation(state.operations + nth));
    }

    /// Every operation from the `nth` on fails with `error` and does nothing.
    pub fn fail_from(&self, nth: u64, error: Error) {
        self.set(error, true, |state| When::Operation(state.operations + nth));
    }

    /// The `nth` commit from now fails with `error`, and is not applied.
    pub fn fail_before_commit(&self, nth: u64, error: Error) {
        self.set(error, false, |state| When::BeforeCommit(state.commits + nth));
    }

    /// The `nth` commit from now is applied, and answers `error` all the same. Its preconditions
    /// hold as ever: when one doesn't, that is the answer.
    pub fn fail_after_commit(&self, nth: u64, error: Error) {
        self.set(error, false, |state| When::AfterCommit(state.commits + nth));
    }

    /// Nothing fails from now on.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Operations there were so far, failed ones too.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Commits there were so far, failed ones too.
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    fn set(&self, error: Error, lasting: bool, when: impl FnOnce(&State) -> When) {
        let mut state = self.state();
        let when = when(&state);
        state.fault = Some(Fault { error, when, lasting });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_read(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.operations += 1;
        state.at_operation()
    }

    /// Fails before the commit, or says how it is to end after it.
    fn on_commit(&self) -> Result<Option<Error>, Error> {
        let mut state = self.state();
        state.operations += 1;
        state.commits += 1;
        state.at_operation()?;
        let commits = state.commits;
        match &state.fault {
            Some(Fault { error, when: When::BeforeCommit(at), .. }) if *at == commits => {
                Err(error.clone())
            }
            Some(Fault { error, when: When::AfterCommit(at), .. }) if *at == commits => {
                Ok(Some(error.clone()))
            }
            _ => Ok(None),
        }
    }
}

impl State {
    fn at_operation(&self) -> Result<(), Error> {
        match &self.fault {
            Some(Fault { error, when: When::Operation(at), lasting })
                if self.operations == *at || (*lasting && self.operations > *at) =>
            {
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let fault = state.fault.as_ref().map(|fault| &fault.error);
        f.debug_struct("Plan")
            .field("operations", &state.operations)
            .field("commits", &state.commits)
            .field("fault", &fault)
            .finish()
    }
}

#[async_trait]
impl<P: Physical> Physical for Faulty<P> {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
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

    async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        let afterwards = self.plan.on_commit()?;
        let version = self.below.commit(batch).await?;
        afterwards.map_or(Ok(version), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[tokio::test]
    async fn fails_before_after_at_and_from() {
        let store = Faulty::new(Memory::new());
        let plan = store.plan();

        plan.fail_before_commit(2, Error::Full);
        store.commit(Batch::put("a", "1")).await.unwrap();
        assert!(matches!(store.commit(Batch::put("b", "1")).await, Err(Error::Full)));
        assert_eq!(store.get("b").await.unwrap(), None);
        store.commit(Batch::put("b", "1")).await.unwrap();

        plan.fail_after_commit(1, Error::Io("in doubt".to_owned()));
        assert!(matches!(store.commit(Batch::put("c", "1")).await, Err(Error::Io(_))));
        assert!(store.get("c").await.unwrap().is_some());

        plan.fail_at(2, Error::ReadOnly);
        store.get("a").await.unwrap();
        assert!(matches!(store.scan("", None, 1).await, Err(Error::ReadOnly)));
        store.get("a").await.unwrap();

        plan.fail_from(1, Error::ReadOnly);
        assert!(store.get("a").await.is_err());
        assert!(store.commit(Batch::put("d", "1")).await.is_err());
        plan.heal();
        assert_eq!(store.get("d").await.unwrap(), None);
        assert_eq!((plan.operations(), plan.commits()), (12, 5));
    }
}
