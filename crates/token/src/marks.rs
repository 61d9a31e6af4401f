//! Marks: which tokens are being revoked.
//!
//! The first step of a revocation marks the token, durably. From then on it and everything below
//! it is refused, and no batch that makes a child or a lease from it can succeed, since such a
//! batch requires that there be no mark. So the walk down the tree, however long it takes and
//! however often it is interrupted, can't be outrun.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::token::TokenKey;

/// What is to become of a marked token's children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// They are revoked with it.
    Tree,
    /// They become orphans and live on.
    Orphan,
}

/// All marks. Most of the time there are none, and then readers take no lock.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    count: AtomicUsize,
    marks: RwLock<HashMap<TokenKey, Mark>>,
}

impl Marks {
    pub(crate) fn new(marks: HashMap<TokenKey, Mark>) -> Self {
        Self { count: AtomicUsize::new(marks.len()), marks: RwLock::new(marks) }
    }

    pub(crate) fn get(&self, key: &TokenKey) -> Option<Mark> {
        if self.is_empty() {
            return None;
        }
        self.marks.read().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn all(&self) -> Vec<(TokenKey, Mark)> {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        marks.iter().map(|(key, mark)| (key.clone(), *mark)).collect()
    }

    pub(crate) fn set(&self, key: &TokenKey, mark: Mark) {
        self.change(|marks| _ = marks.insert(key.clone(), mark));
    }

    pub(crate) fn remove(&self, key: &TokenKey) {
        self.change(|marks| _ = marks.remove(key));
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<TokenKey, Mark>)) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut marks);
        self.count.store(marks.len(), Ordering::Release);
    }
}
