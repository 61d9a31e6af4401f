//! [`KeptCopies`]: guards for copies that the catalog or the mount table doesn't show yet.
//!
//! Unneeded copies are removed. Before that, the catalog and the mounts are read to find out which
//! are needed. A plug-in that is registered or mounted at the same time has its copy made, or
//! relies on it, before it is visible there; so the registration holds a guard from before until
//! after that. A removal spares every copy that was guarded at any time since it began: what became
//! visible after the catalog was read was guarded at that time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names of the guarded copies. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct KeptCopies(Arc<Mutex<KeptCopiesState>>);

#[derive(Debug, Default)]
struct KeptCopiesState {
    /// The number of guards for each name.
    kept: BTreeMap<String, usize>,
    removals: usize,
    /// Names whose guards were dropped since the oldest removal in progress began.
    kept_before: BTreeSet<String>,
}

impl KeptCopies {
    /// Protects a copy from removal until the guard is dropped. A copy may be guarded several
    /// times; it is protected until the last guard is dropped.
    pub fn guard(&self, name: String) -> CopyGuard {
        *self.lock().kept.entry(name.clone()).or_default() += 1;
        CopyGuard { copies: self.clone(), name }
    }

    /// Begins a removal. The caller determines which copies are needed after this call.
    pub fn begin_removal(&self) -> CopyRemoval {
        self.lock().removals += 1;
        CopyRemoval(self.clone())
    }

    /// Held for short steps only, never across a wait.
    fn lock(&self) -> MutexGuard<'_, KeptCopiesState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Protects one copy from removal, until it is dropped. [`KeptCopies::guard`] creates it; other
/// guards of the same copy are independent.
#[derive(Debug)]
pub struct CopyGuard {
    copies: KeptCopies,
    name: String,
}

impl Drop for CopyGuard {
    fn drop(&mut self) {
        let state = &mut *self.copies.lock();
        if let Some(count) = state.kept.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                state.kept.remove(&self.name);
            }
        }
        if state.removals > 0 {
            state.kept_before.insert(std::mem::take(&mut self.name));
        }
    }
}

/// A removal in progress. It ends on drop.
#[derive(Debug)]
pub struct CopyRemoval(KeptCopies);

impl CopyRemoval {
    /// Calls `remove` unless the copy is guarded, or was since this removal began. No new guard can
    /// be created during the call.
    pub fn remove_unless_kept(&self, name: &str, remove: impl FnOnce()) {
        let state = self.0.lock();
        if !state.kept.contains_key(name) && !state.kept_before.contains(name) {
            remove();
        }
    }
}

impl Drop for CopyRemoval {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.removals -= 1;
        if state.removals == 0 {
            state.kept_before.clear();
        }
    }
}
