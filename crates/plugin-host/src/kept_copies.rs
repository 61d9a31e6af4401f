//! [`KeptCopies`]: copies that somebody needs who isn't in the catalog or the mount table yet.
//!
//! Copies that nothing needs are removed. What is needed is said by the catalog and by the mounts,
//! and both are looked at before files are removed. Whoever registers or mounts a plug-in
//! meanwhile has its copy made, or relies on it, before it can be seen there; so it keeps the copy
//! from before until after that. A removal leaves out all that was kept at any moment of it:
//! whatever became visible after the look was kept then, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names of the copies that must stay.
#[derive(Clone, Debug, Default)]
pub struct KeptCopies(Arc<Mutex<KeptCopiesState>>);

#[derive(Debug, Default)]
struct KeptCopiesState {
    /// How many keep each.
    kept: BTreeMap<String, usize>,
    removals: usize,
    /// What was kept since the first of the removals that are under way began.
    kept_before: BTreeSet<String>,
}

impl KeptCopies {
    /// Keeps a copy until the answer is dropped.
    pub fn guard(&self, name: String) -> CopyGuard {
        *self.lock().kept.entry(name.clone()).or_default() += 1;
        CopyGuard { copies: self.clone(), name }
    }

    /// Begins a removal. What is needed is to be found out after this.
    pub fn begin_removal(&self) -> CopyRemoval {
        self.lock().removals += 1;
        CopyRemoval(self.clone())
    }

    /// Held for single steps only.
    fn lock(&self) -> MutexGuard<'_, KeptCopiesState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who keeps a copy.
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

/// A removal that is under way.
#[derive(Debug)]
pub struct CopyRemoval(KeptCopies);

impl CopyRemoval {
    /// Removes the copy of this name, unless somebody keeps it or did since this began. Nobody
    /// begins to keep it meanwhile.
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
